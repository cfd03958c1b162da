//! Training runs: they go on from a file bit for bit; a step that is refused, short of memory or not finite has not been
//! made.
#![cfg(feature = "text")]

use simdrnn::ErrorKind;
use simdrnn::nn::{AdamConfig, NonFinite, OptimizerConfig, RmsPropConfig, SgdConfig};
use simdrnn::rnn::{Cell, Session};
use simdrnn::text::{
    ClassifierConfig, ClassifierSession, Dataset, DatasetOptions, LabelMode, Pooling, TextClassifier, Trainer,
    TrainerConfig, TrainingPosition, Vocab, VocabOptions,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;

/// The system's allocator, of which a thread may ask that its n-th allocation fail.
struct Failing;

thread_local! {
    /// Bytes that the thread has now, and the most it had.
    static BYTES: std::cell::Cell<(isize, isize)> = const { std::cell::Cell::new((0, 0)) };
    static LEFT: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

fn fails() -> bool {
    LEFT.try_with(|left| {
        let n = left.get();
        left.set(if n == usize::MAX { n } else { n.wrapping_sub(1) });
        n == 0
    })
    .unwrap_or(false)
}

fn count(bytes: isize) {
    let _ = BYTES.try_with(|b| b.set((b.get().0 + bytes, b.get().1.max(b.get().0 + bytes))));
}

// SAFETY: every call that does not fail goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that `System` asks for.
        if fails() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        if fails() { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - layout.size() as isize);
        // SAFETY: as above.
        if fails() { std::ptr::null_mut() } else { unsafe { System.realloc(ptr, layout, new_size) } }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// What `call` gives where its allocation number `n` fails, and whether there was one.
fn without<T>(n: usize, call: impl FnOnce() -> T) -> (T, bool) {
    LEFT.set(n);
    let found = call();
    let reached = LEFT.replace(usize::MAX) > n;
    (found, reached)
}

/// A file of the test's own, removed at the end.
struct Temp(PathBuf);
impl Temp {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("simdrnn-training-{name}-{}", std::process::id())))
    }
}
impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const TEXTS: [(&str, LabelMode); 2] = [
    ("a\tx y z\nb\ty z\na\tx x w\nc\tz\nb\tw y x z w\nc\ty\nb\tx y\n", LabelMode::Single),
    ("a\tx y z\nb\ty z\na,b\tx x w\nc,a\tz\nb,c\tw y x z w\nc\ty\na\tx y\n", LabelMode::Multi),
];

fn data(text: &str, mode: LabelMode) -> (Dataset, Vocab) {
    let options = DatasetOptions { mode, ..DatasetOptions::default() };
    Dataset::train_from(text.as_bytes(), "texts", &options, &VocabOptions::default()).unwrap()
}

fn shape(pooling: Pooling, labels: LabelMode) -> ClassifierConfig {
    ClassifierConfig {
        cell: Cell::Lstm,
        embedding_dim: 5,
        hidden_size: 6,
        num_layers: 2,
        pooling,
        labels,
        dropout: 0.4,
        ..ClassifierConfig::default()
    }
}

fn optimizers() -> [OptimizerConfig; 4] {
    [
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, lr: 0.05, ..SgdConfig::default() }),
        OptimizerConfig::Adam(AdamConfig { lr: 0.02, ..AdamConfig::default() }),
        OptimizerConfig::Adam(AdamConfig::adamw()),
        OptimizerConfig::RmsProp(RmsPropConfig { momentum: 0.5, centered: true, ..RmsPropConfig::default() }),
    ]
}

/// A run from the start.
fn start(labels: usize, pooling: Pooling, training: &TrainerConfig) -> (Dataset, TextClassifier, Trainer) {
    let (text, mode) = TEXTS[labels];
    let (data, vocab) = data(text, mode);
    let model = TextClassifier::new(&shape(pooling, mode), vocab, data.labels().to_vec(), 3).unwrap();
    let trainer = Trainer::new(&model, training, Session::new()).unwrap();
    (data, model, trainer)
}

/// Everything that decides what comes: the bytes of a checkpoint.
fn state(trainer: &Trainer, model: &TextClassifier, file: &Temp) -> Vec<u8> {
    trainer.save(model, &TrainingPosition::default(), &file.0).unwrap();
    std::fs::read(&file.0).unwrap()
}

fn lengths(data: &Dataset) -> impl ExactSizeIterator<Item = usize> {
    (0..data.len()).map(|i| data.token_count(i))
}

/// Steps from a position on until so many have been made; returns the losses' bits.
fn go_on(
    (trainer, model): (&mut Trainer, &mut TextClassifier),
    data: &Dataset,
    position: &mut TrainingPosition,
    steps: usize,
) -> Vec<u64> {
    let mut losses = Vec::new();
    while losses.len() < steps {
        let batches = position.batches(lengths(data)).unwrap();
        for batch in batches.iter().skip(position.batch as usize).take(steps - losses.len()) {
            losses.push(trainer.step(model, data, batch).unwrap().loss.to_bits());
            position.batch += 1;
        }
        if position.batch == batches.len() as u64 {
            (position.epoch, position.batch) = (position.epoch + 1, 0);
        }
    }
    losses
}

#[test]
fn a_run_goes_on_from_its_file_bit_for_bit_in_the_middle_of_an_epoch() {
    let file = Temp::new("resume");
    for (case, optimizer) in optimizers().into_iter().enumerate() {
        let training = TrainerConfig { optimizer, clip_norm: 0.3, seed: 11, non_finite: NonFinite::Skip };
        let pooling = [Pooling::Last, Pooling::Mean, Pooling::Max][case % 3];
        let (data, mut model, mut trainer) = start(case % 2, pooling, &training);
        model.embedding_mut().set_frozen(case == 1);
        let mut position = TrainingPosition { batch_size: 2, seed: 9, ..TrainingPosition::default() };
        go_on((&mut trainer, &mut model), &data, &mut position, 6);
        assert_eq!((position.epoch, position.batch), (1, 2), "the middle of an epoch");
        trainer.optimizer_mut().set_lr(0.0123).unwrap();
        trainer.save(&model, &position, &file.0).unwrap();
        let (mut again, mut copy, mut found) = Trainer::load(&file.0, Session::new()).unwrap();
        assert_eq!(found, position);
        assert_eq!((again.config().clip_norm, again.config().seed), (0.3, 11));
        assert_eq!(again.config().non_finite, NonFinite::Skip);
        assert_eq!(again.config().optimizer, trainer.config().optimizer);
        assert_eq!(copy.embedding_mut().is_frozen(), case == 1);
        let expected = go_on((&mut trainer, &mut model), &data, &mut position, 9);
        let losses = go_on((&mut again, &mut copy), &data, &mut found, 9);
        assert_eq!(losses, expected, "case {case}");
        assert_eq!(found, position);
        assert!(state(&again, &copy, &file) == state(&trainer, &model, &file), "case {case}");
        // The same file is a classifier's.
        let plain = TextClassifier::load(&file.0).unwrap();
        let (mut p, mut q) = ([0.0; 3], [0.0; 3]);
        plain.classify(&mut ClassifierSession::default(), "x z", &mut p).unwrap();
        model.classify(&mut ClassifierSession::default(), "x z", &mut q).unwrap();
        assert_eq!(p, q);
    }
}

#[test]
fn files_without_a_sound_run_are_refused() {
    let file = Temp::new("unsound");
    let (data, mut model, mut trainer) = start(0, Pooling::Last, &TrainerConfig::default());
    model.save(&file.0).unwrap();
    let e = Trainer::load(&file.0, Session::new()).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.message().contains("without a training run"), "{e}");
    trainer.step(&mut model, &data, &[0, 1]).unwrap();
    let good = state(&trainer, &model, &file);
    let edited = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).expect(from);
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&file.0, bytes).unwrap();
        Trainer::load(&file.0, Session::new()).err().expect(to)
    };
    for (from, to) in [
        ("\"trainer.version\":\"1\"", "\"trainer.version\":\"2\""),
        ("\"trainer.position\":\"0 0 0 0\"", "\"trainer.position\":\"0 0 0\t0\""),
        ("\"trainer.position\":\"0 0 0 0\"", "\"trainer.position\":\"0 0 0 x\""),
        ("\"trainer.non_finite\":\"stop\"", "\"trainer.non_finite\":\"stay\""),
        ("\"trainer.embedding_frozen\":\"0\"", "\"trainer.embedding_frozen\":\"7\""),
        ("\"trainer.clip_norm\":\"3ff0", "\"trainer.clip_norm\":\"bff0"),
        ("\"trainer.skipped\":\"0\"", "\"trainer.skipped\":\"-\""),
    ] {
        let e = edited(from, to);
        assert_eq!(e.kind(), ErrorKind::InvalidData, "{to}: {e}");
    }
    assert_eq!(edited("trainer.seed", "trainer.seek").kind(), ErrorKind::NotFound);
}

#[test]
fn a_refused_step_has_not_been_made() {
    let file = Temp::new("refused");
    for labels in [0, 1] {
        let training = TrainerConfig::default();
        let (text, mode) = TEXTS[labels];
        let run = |refusals: bool| {
            let (data, mut model, mut trainer) = start(labels, Pooling::Max, &training);
            let refuse = |trainer: &mut Trainer, model: &mut TextClassifier| {
                let other = |text: &str, mode, config: &ClassifierConfig| {
                    let (data, vocab) = self::data(text, mode);
                    let model = TextClassifier::new(config, vocab, data.labels().to_vec(), 3).unwrap();
                    (data, model)
                };
                let longer = text.to_owned() + "a\tnew words here\n";
                let (long_data, mut long_model) = other(&longer, mode, &shape(Pooling::Max, mode));
                let renamed = text.replace("c\t", "q\t").replace("c,", "q,").replace(",c", ",q");
                let (renamed, _) = other(&renamed, mode, &shape(Pooling::Max, mode));
                let wide = ClassifierConfig { hidden_size: 7, ..shape(Pooling::Max, mode) };
                let (_, mut wide) = other(text, mode, &wide);
                let (other_text, other_mode) = TEXTS[1 - labels];
                let (other_data, _) = other(other_text, other_mode, &shape(Pooling::Max, other_mode));
                let before = state(trainer, model, &file);
                // Each twice: what is refused once stays refused.
                for _ in 0..2 {
                    let fails = |e: simdrnn::Result<_>, kind| assert_eq!(e.unwrap_err().kind(), kind);
                    fails(trainer.step(&mut long_model, &data, &[0, 1]), ErrorKind::InvalidArgument);
                    fails(trainer.step(&mut long_model, &long_data, &[0, 1]), ErrorKind::ShapeMismatch);
                    fails(trainer.step(&mut wide, &data, &[0, 1]), ErrorKind::ShapeMismatch);
                    fails(trainer.step(model, &long_data, &[7]), ErrorKind::InvalidArgument);
                    fails(trainer.step(model, &renamed, &[0]), ErrorKind::InvalidArgument);
                    fails(trainer.step(model, &other_data, &[0]), ErrorKind::InvalidArgument);
                    fails(trainer.step(model, &data, &[]), ErrorKind::InvalidArgument);
                    fails(trainer.step(model, &data, &[0, 7]), ErrorKind::InvalidArgument);
                }
                assert!(state(trainer, model, &file) == before, "a refused step changed something");
            };
            for step in 0..4 {
                if refusals && step % 2 == 0 {
                    refuse(&mut trainer, &mut model);
                }
                trainer.step(&mut model, &data, &[step, step + 1, 6 - step]).unwrap();
            }
            state(&trainer, &model, &file)
        };
        assert!(run(true) == run(false), "later steps differ");
    }
}

#[test]
fn a_step_short_of_memory_has_not_been_made() {
    let file = Temp::new("memory");
    for (case, optimizer) in optimizers().into_iter().enumerate() {
        let training = TrainerConfig { optimizer, ..TrainerConfig::default() };
        // The second step is of more and longer texts, the third has slots and memory already.
        let batches: [&[u32]; 3] = [&[3, 5], &[0, 1, 2, 4], &[6, 1]];
        let run = |short: bool| {
            let (data, mut model, mut trainer) = start(case % 2, Pooling::Mean, &training);
            let mut failures = 0;
            for batch in batches {
                let before = state(&trainer, &model, &file);
                for n in 0.. {
                    let (found, reached) =
                        without(if short { n } else { usize::MAX - 1 }, || trainer.step(&mut model, &data, batch));
                    let Err(e) = found else { break };
                    assert!(reached && e.kind() == ErrorKind::OutOfMemory, "{e}");
                    assert!(state(&trainer, &model, &file) == before, "allocation {n}, batch {batch:?}");
                    failures += 1;
                }
            }
            (state(&trainer, &model, &file), failures)
        };
        let ((found, failures), (expected, _)) = (run(true), run(false));
        assert!(found == expected, "later steps differ");
        assert!(failures > 20, "{failures} allocations failed");
        println!("case {case}: {failures} failed allocations");
    }
}

#[test]
fn probabilities_short_of_memory_stay_as_they_were() {
    for labels in [0, 1] {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
            let (_, model, _) = start(labels, pooling, &TrainerConfig::default());
            let mut session = ClassifierSession::default();
            let mut failures = 0;
            for text in ["x", "y z W x unknown y", "x"] {
                let mut expected = [0.0; 3];
                model.classify(&mut ClassifierSession::default(), text, &mut expected).unwrap();
                for n in 0.. {
                    let mut found = [77.0; 3];
                    match without(n, || model.classify(&mut session, text, &mut found)).0 {
                        Ok(()) => {
                            assert_eq!(found, expected);
                            break;
                        }
                        Err(e) => assert_eq!((e.kind(), found), (ErrorKind::OutOfMemory, [77.0; 3]), "allocation {n}"),
                    }
                    failures += 1;
                }
            }
            assert!(failures >= 8, "{failures}");
        }
    }
}

/// A word's vector becomes another; returns what it was.
fn replace(model: &mut TextClassifier, word: u32, vector: [f32; 5]) -> [f32; 5] {
    let row = &mut model.embedding_mut().table_mut()[5 * word as usize..][..5];
    let before = row.try_into().unwrap();
    row.copy_from_slice(&vector);
    before
}

/// The state with numbers in place of a vector that is not finite, which no file takes.
fn state_without(trainer: &Trainer, model: &mut TextClassifier, word: u32, file: &Temp) -> Vec<u8> {
    let poison = replace(model, word, [0.0; 5]);
    let found = state(trainer, model, file);
    replace(model, word, poison);
    found
}

#[test]
fn a_step_that_is_not_finite_stops_is_left_out_or_is_taken() {
    let file = Temp::new("finite");
    for labels in [0, 1] {
        let run = |non_finite, poisoned: bool| {
            let training = TrainerConfig { non_finite, ..TrainerConfig::default() };
            let (data, mut model, mut trainer) = start(labels, Pooling::Mean, &training);
            let first = trainer.step(&mut model, &data, &[0, 1]).unwrap();
            assert!(!first.skipped);
            // A word of the text 2 only.
            let word = data.tokens(2)[2];
            let sound = replace(&mut model, word, [f32::NAN; 5]);
            let before = state_without(&trainer, &mut model, word, &file);
            let mut refused = None;
            if poisoned {
                for _ in 0..2 {
                    let found = trainer.step(&mut model, &data, &[2, 3]);
                    refused = Some(found.map(|r| (r.skipped, r.loss.is_nan())).map_err(|e| e.kind()));
                }
            }
            let after = state_without(&trainer, &mut model, word, &file);
            replace(&mut model, word, sound);
            let later = trainer.step(&mut model, &data, &[5, 6]);
            (
                refused,
                before == after,
                later.unwrap().loss.to_bits(),
                trainer.skipped(),
                trainer.optimizer().step_count(),
            )
        };
        let (_, _, loss, ..) = run(NonFinite::Stop, false);
        let stopped = run(NonFinite::Stop, true);
        assert_eq!(stopped, (Some(Err(ErrorKind::NonFinite)), true, loss, 0, 2));
        let skipped = run(NonFinite::Skip, true);
        assert_eq!((skipped.0, skipped.3, skipped.4), (Some(Ok((true, true))), 2, 2));
        assert_ne!(skipped.2, loss, "dropout's place has moved on");
        assert_eq!(run(NonFinite::Skip, false).2, loss);
    }
    let (data, mut model, mut trainer) =
        start(0, Pooling::Last, &TrainerConfig { non_finite: NonFinite::Continue, ..TrainerConfig::default() });
    replace(&mut model, data.tokens(2)[2], [f32::NAN; 5]);
    let report = trainer.step(&mut model, &data, &[2, 3]).unwrap();
    assert!(report.loss.is_nan() && !report.skipped && trainer.optimizer().step_count() == 1);
    assert!(trainer.step(&mut model, &data, &[0]).unwrap().loss.is_nan(), "NaN went into the weights");
}

/// The most memory that training and prediction take beyond what there was.
fn peak(work: impl FnOnce()) -> isize {
    let before = BYTES.get().0;
    BYTES.set((before, before));
    work();
    BYTES.get().1 - before
}

#[test]
fn one_long_text_takes_no_room_beside_each_short_one() {
    let mut text = "a\tx y\nb\ty z\n".repeat(16);
    text += "a\t";
    text += &"x y z ".repeat(700);
    let (data, vocab) = data(&text, LabelMode::Single);
    for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
        for dropout in [0.0, 0.4] {
            let config = ClassifierConfig { dropout, ..shape(pooling, LabelMode::Single) };
            let take = |batch: &[u32]| {
                let mut model = TextClassifier::new(&config, vocab.clone(), data.labels().to_vec(), 3).unwrap();
                let mut trainer = Trainer::new(&model, &TrainerConfig::default(), Session::new()).unwrap();
                let texts: Vec<&[u32]> = batch.iter().map(|&i| data.tokens(i as usize)).collect();
                let mut probabilities = vec![0.0; 2 * batch.len()];
                let training = peak(|| assert!(trainer.step(&mut model, &data, batch).is_ok()));
                let mut session = ClassifierSession::default();
                let use_ = peak(|| model.probabilities(&mut session, &texts, &mut probabilities).unwrap());
                (training, use_)
            };
            let (alone, among) = (take(&[32]), take(&(0..33).collect::<Vec<_>>()));
            println!("{} {dropout}: alone {alone:?} bytes, among 32 short texts {among:?}", pooling.name());
            let room = 1 << 16;
            assert!(among.0 < alone.0 * 11 / 10 + room && among.1 < alone.1 * 11 / 10 + room, "{alone:?} {among:?}");
        }
    }
}

#[test]
fn no_more_tokens_are_read_than_allowed() {
    let file = Temp::new("cut");
    let (data, vocab) = data(TEXTS[0].0, LabelMode::Single);
    let lengths: Vec<usize> = (0..data.len()).map(|i| data.token_count(i)).collect();
    assert_eq!(lengths[..5], [3, 2, 3, 1, 5]);
    let config = ClassifierConfig { max_tokens: Some(3), ..shape(Pooling::Mean, LabelMode::Single) };
    let mut model = TextClassifier::new(&config, vocab.clone(), data.labels().to_vec(), 3).unwrap();
    let mut trainer = Trainer::new(&model, &TrainerConfig::default(), Session::new()).unwrap();
    let report = trainer.step(&mut model, &data, &[0, 3, 4]).unwrap();
    assert_eq!((report.tokens, report.truncated), (7, 1));
    model.save(&file.0).unwrap();
    let model = TextClassifier::load(&file.0).unwrap();
    assert_eq!(model.config().max_tokens, Some(3));
    let mut session = ClassifierSession::default();
    let (mut p, mut q) = ([0.0; 3], [0.0; 3]);
    model.classify(&mut session, "w y x", &mut p).unwrap();
    assert_eq!(session.truncated(), 0);
    model.classify(&mut session, "w y x z", &mut q).unwrap();
    assert_eq!((p, session.truncated()), (q, 1));
    let none = ClassifierConfig { max_tokens: Some(0), ..config };
    assert!(TextClassifier::new(&none, vocab, data.labels().to_vec(), 3).is_err());
}
