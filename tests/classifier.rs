//! The text classifier: it learns, its gradients are those of its loss, threads and instruction sets change nothing, and
//! its file comes back whole or is refused.
#![cfg(feature = "text")]

use approx::assert_relative_eq;
use simdrnn::nn::{OptimizerConfig, SgdConfig};
use simdrnn::rnn::{Cell, Session};
use simdrnn::text::{
    Batches, ClassifierConfig, ClassifierSession, Dataset, DatasetOptions, LabelMode, Pooling, TextClassifier, Trainer,
    TrainerConfig, Vocab, VocabOptions, trainer::argmax, trainer::predict,
};
use simdrnn::{ErrorKind, Isa, Pool};
use std::path::PathBuf;

/// Texts whose label is decided by order: whichever of `a` and `b` comes first, among fillers.
fn ordered_texts() -> String {
    let fillers = ["x", "y", "z w", "w", "y x"];
    let mut text = String::new();
    for (i, f) in fillers.iter().enumerate() {
        for g in &fillers[..=i] {
            text += &format!(
                "first-a\t{f} a {g} b\nfirst-b\t{f} b {g} a\nfirst-a\ta {g} {f} b {g}\nfirst-b\tb {g} {f} a {g}\n"
            );
        }
    }
    text
}

fn data(text: &str, mode: LabelMode) -> (Dataset, Vocab) {
    let options = DatasetOptions { mode, ..DatasetOptions::default() };
    Dataset::train_from(text.as_bytes(), "texts", &options, &VocabOptions::default()).unwrap()
}

fn small(cell: Cell, pooling: Pooling, labels: LabelMode) -> ClassifierConfig {
    ClassifierConfig {
        cell,
        embedding_dim: 7,
        hidden_size: 10,
        pooling,
        labels,
        dropout: 0.0,
        ..ClassifierConfig::default()
    }
}

/// Trains for some epochs; returns the model and the last epoch's mean loss.
fn trained(config: &ClassifierConfig, session: Session, epochs: u32) -> (TextClassifier, f64) {
    let (data, vocab) = data(&ordered_texts(), config.labels);
    let mut model = TextClassifier::new(config, vocab, data.labels().to_vec(), 3).unwrap();
    let mut training = TrainerConfig::default();
    if let OptimizerConfig::Adam(adam) = &mut training.optimizer {
        adam.lr = 0.02;
    }
    let mut trainer = Trainer::new(&model, &training, session).unwrap();
    let mut loss = 0.0;
    for epoch in 0..epochs {
        let batches = Batches::shuffled((0..data.len()).map(|i| data.token_count(i)), 8, 5, epoch).unwrap();
        loss = 0.0;
        for batch in batches.iter() {
            loss += trainer.step(&mut model, &data, batch).unwrap().loss / batches.len() as f64;
        }
    }
    (model, loss)
}

#[test]
fn every_cell_and_pooling_learns_the_order_of_words() {
    let (data, _) = data(&ordered_texts(), LabelMode::Single);
    for cell in [Cell::ElmanTanh, Cell::Lstm, Cell::Gru] {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
            let (model, loss) = trained(&small(cell, pooling, LabelMode::Single), Session::new(), 40);
            let all = predict(&model, &mut ClassifierSession::default(), &data, 7).unwrap();
            for (i, row) in all.chunks_exact(2).enumerate() {
                assert_eq!(argmax(row) as u32, data.targets(i)[0], "{} {} text {i}", cell.name(), pooling.name());
            }
            assert!(loss < 0.1, "{} {}: {loss}", cell.name(), pooling.name());
        }
    }
}

/// A step of plain SGD lowers the loss by `lr |g|^2` up to second order in `lr`; two step sizes cancel that order.
#[test]
fn gradients_are_those_of_the_loss() {
    let multi = "a\tx y z\nb\ty z\na,b\tx x w\nc,a\tz\nb,c\tw y x z w\nc\ty\n";
    let single = "a\tx y z\nb\ty z\na\tx x w\nc\tz\nb\tw y x z w\nc\ty\n";
    for (text, labels) in [(single, LabelMode::Single), (multi, LabelMode::Multi)] {
        let (data, _) = data(text, labels);
        let batch: Vec<u32> = (0..data.len() as u32).collect();
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
            let mut config = small(Cell::Lstm, pooling, labels);
            config.num_layers = 2;
            let descent = |lr: f64| {
                let (_, vocab) = self::data(text, labels);
                let mut model = TextClassifier::new(&config, vocab, data.labels().to_vec(), 9).unwrap();
                let training = TrainerConfig {
                    optimizer: OptimizerConfig::Sgd(SgdConfig { lr, ..SgdConfig::default() }),
                    clip_norm: f64::INFINITY,
                    seed: 1,
                    ..TrainerConfig::default()
                };
                let mut trainer = Trainer::new(&model, &training, Session::new()).unwrap();
                let before = trainer.step(&mut model, &data, &batch).unwrap();
                let after = trainer.step(&mut model, &data, &batch).unwrap();
                ((before.loss - after.loss) / lr, before.grad_norm)
            };
            let ((whole, norm), (half, _)) = (descent(4e-3), descent(2e-3));
            // What is left is of third order and the rounding of f32 losses, both below a percent here.
            assert_relative_eq!(2.0 * half - whole, norm * norm, max_relative = 0.01);
            assert!(norm > 0.01, "the check needs a gradient, found {norm}");
        }
    }
}

#[test]
fn threads_instruction_sets_and_batch_mates_change_no_bit() {
    let mut config = small(Cell::Gru, Pooling::Max, LabelMode::Single);
    (config.dropout, config.hidden_size) = (0.3, 70);
    let (data, _) = data(&ordered_texts(), LabelMode::Single);
    let run = |session: Session| {
        let (model, loss) = trained(&config, session, 2);
        (predict(&model, &mut ClassifierSession::default(), &data, 16).unwrap(), loss.to_bits(), model)
    };
    let (all, loss, model) = run(Session::new());
    for threads in [2, 3] {
        let other = run(Session::with_pool(&Pool::new(threads).unwrap()));
        assert_eq!((&other.0, other.1), (&all, loss), "{threads} threads");
    }
    let best = Isa::choose().unwrap();
    for isa in Isa::available() {
        Isa::set_limit(isa).unwrap();
        let other = run(Session::new());
        assert_eq!((&other.0, other.1), (&all, loss), "{}", isa.name());
    }
    Isa::set_limit(best).unwrap();
    for i in 0..data.len() {
        let mut alone = [0.0; 2];
        model.probabilities(&mut ClassifierSession::default(), &[data.tokens(i)], &mut alone).unwrap();
        assert_eq!(alone, all[2 * i..2 * i + 2], "text {i}");
    }
}

/// A directory of the test's own, removed at the end.
struct Dir(PathBuf);
impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("simdrnn-classifier-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}
impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_saved_model_comes_back_as_it_was() {
    let dir = Dir::new("save");
    let path = dir.0.join("model.safetensors");
    for labels in [LabelMode::Single, LabelMode::Multi] {
        let (model, _) = trained(&small(Cell::Lstm, Pooling::Mean, labels), Session::new(), 3);
        model.save(&path).unwrap();
        let loaded = TextClassifier::load(&path).unwrap();
        assert_eq!(loaded.config(), model.config());
        assert_eq!(loaded.labels(), model.labels());
        let first = std::fs::read(&path).unwrap();
        loaded.save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        for text in ["x a y b", "B first, then A", "никогда", ""] {
            let (mut p, mut q) = ([0.0; 2], [0.0; 2]);
            model.classify(&mut ClassifierSession::default(), text, &mut p).unwrap();
            loaded.classify(&mut ClassifierSession::default(), text, &mut q).unwrap();
            assert_eq!(p, q, "{text}");
            assert!(p.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}

#[test]
fn files_that_are_no_model_are_refused_by_name() {
    let dir = Dir::new("bad");
    let path = dir.0.join("model.safetensors");
    let (model, _) = trained(&small(Cell::Lstm, Pooling::Last, LabelMode::Single), Session::new(), 1);
    model.save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let fails = |bytes: &[u8], words: &[&str]| {
        std::fs::write(&path, bytes).unwrap();
        let e = TextClassifier::load(&path).err().expect("refused");
        assert_eq!(e.kind(), ErrorKind::InvalidData, "{e}");
        assert!(e.message().contains("model.safetensors"), "{e}");
        words.iter().for_each(|w| assert!(e.message().contains(w), "'{w}' in: {e}"));
    };
    for cut in [0, 1, 7, 8, 100, good.len() / 2, good.len() - 1] {
        fails(&good[..cut], &[]);
    }
    fails(b"label\ttext, and no model at all", &[]);
    let edit = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).expect(from);
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    fails(&edit("simdrnn text classifier", "another text classifier"), &["format"]);
    fails(&edit("\\\"version\\\":2", "\\\"version\\\":7"), &["version", "7", "2"]);
    fails(&edit("\\\"cell\\\":\\\"lstm\\\"", "\\\"cell\\\":\\\"lstn\\\""), &["lstn"]);
    fails(&edit("\\\"pooling\\\":\\\"last\\\"", "\\\"pooling\\\":\\\"lost\\\""), &["lost"]);
    fails(&edit("tokenizer lowercase=true", "tokenizer lowercase=1234"), &["'vocab'", "lowercase=1234"]);
    let mut nan = good.clone();
    let last = nan.len() - 4;
    nan[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fails(&nan, &["NaN"]);

    std::fs::remove_file(&path).unwrap();
    assert_eq!(TextClassifier::load(&path).err().unwrap().kind(), ErrorKind::Io);
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let dir = Dir::new("keep");
    let (model, _) = trained(&small(Cell::Gru, Pooling::Last, LabelMode::Single), Session::new(), 1);
    let path = dir.0.join("model.safetensors");
    model.save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    // A file cannot be a directory.
    assert_eq!(model.save(path.join("inside")).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 1);
}

#[test]
fn misuse_is_refused() {
    let config = small(Cell::Lstm, Pooling::Last, LabelMode::Single);
    let (data, vocab) = data(&ordered_texts(), LabelMode::Single);
    let e = TextClassifier::new(&config, vocab.clone(), vec!["one".into()], 1).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}");
    let mut model = TextClassifier::new(&config, vocab, data.labels().to_vec(), 1).unwrap();
    let mut trainer = Trainer::new(&model, &TrainerConfig::default(), Session::new()).unwrap();
    assert!(trainer.step(&mut model, &data, &[]).unwrap_err().message().contains("empty"));
    let e = trainer.step(&mut model, &data, &[0, 999]).unwrap_err();
    assert!(e.message().contains("999") && e.message().contains(&data.len().to_string()), "{e}");
    let mut session = ClassifierSession::default();
    assert_eq!(model.classify(&mut session, "a", &mut [0.0; 3]).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    let e = model.probabilities(&mut session, &[&[0, 60_000]], &mut [0.0; 2]).unwrap_err();
    assert!(e.message().contains("60000"), "{e}");
    assert!(model.probabilities(&mut session, &[&[]], &mut [0.0; 2]).is_err());
}

#[test]
fn of_equal_classes_the_first_is_taken() {
    for (row, best) in
        [(&[1.0, 1.0, 1.0][..], 0), (&[0.0, 2.0, 2.0], 1), (&[-0.0, 0.0], 0), (&[f32::NEG_INFINITY; 2], 0)]
    {
        assert_eq!(argmax(row), best, "{row:?}");
    }
}
