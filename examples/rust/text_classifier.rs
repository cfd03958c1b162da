//! Trains a text classifier, saves it, loads it back, and classifies sentences.
//!
//! ```text
//! cargo run --release --example text_classifier
//! cargo run --release --example text_classifier -- --train my.tsv --test held-out.tsv --cell gru --epochs 10
//! cargo run --release --example text_classifier -- --embeddings glove.6B.100d.txt --freeze-epochs 20
//! cargo run --release --example text_classifier -- --load text_classifier.safetensors "Not bad at all."
//! ```
//!
//! Training files have one `label<TAB>text` a line, UTF-8. Ctrl-C ends training and keeps what has been learned.

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use simdrnn::io::vectors::ReadOptions;
use simdrnn::nn::vectors::{FillOptions, Unknown, WordVectors};
use simdrnn::nn::{AdamConfig, OptimizerConfig};
use simdrnn::rnn::{Cell, Session};
use simdrnn::text::{
    BagOfWords, Batches, ClassifierConfig, ClassifierSession, Confusion, Dataset, DatasetOptions, LabelMode,
    LabelScores, Pooling, TextClassifier, Trainer, TrainerConfig, VocabOptions,
    metrics::ClassCounts,
    trainer::{argmax, predict},
};
use simdrnn::{Error, Pool};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

#[derive(Clone, Copy, ValueEnum)]
enum CellOption {
    Elman,
    Lstm,
    Gru,
}

#[derive(Clone, Copy, ValueEnum)]
enum PoolingOption {
    Last,
    Mean,
    Max,
}

#[derive(Clone, Copy, ValueEnum)]
enum UnknownOption {
    Zero,
    Mean,
    Random,
}

/// Trains a text classifier, or classifies with a saved one.
#[derive(Parser)]
struct Options {
    /// Training file, `label<TAB>text` lines [default: the shipped reviews]
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// Test file in the same form [default: the shipped reviews, or none with --train]
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "lstm")]
    cell: CellOption,
    /// Features of a token [default: 64, or as --embeddings has]
    #[arg(long, value_name = "N")]
    embedding_dim: Option<usize>,
    /// Start from the word vectors of this file: Word2Vec, GloVe, fastText or Navec
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// What words without a vector in --embeddings get
    #[arg(long, value_enum, default_value = "random")]
    unknown: UnknownOption,
    /// Let a word take the vector of one that equals it but for case
    #[arg(long)]
    fold_case: bool,
    /// Leave the token table as it is for the first N epochs
    #[arg(long, value_name = "N", default_value_t = 0)]
    freeze_epochs: u32,
    /// Leave the token table as it is
    #[arg(long)]
    frozen: bool,
    /// Features of a hidden state, per direction
    #[arg(long, value_name = "N", default_value_t = 64)]
    hidden_size: usize,
    /// Recurrent layers
    #[arg(long, value_name = "N", default_value_t = 1)]
    layers: usize,
    /// Read the text in both directions
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    bidirectional: bool,
    /// How the outputs of all tokens become one vector
    #[arg(long, value_enum, default_value = "last")]
    pooling: PoolingOption,
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    dropout: f32,
    /// Passes over the training texts [default: 120 for the shipped reviews, 10 with --train]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// Learning rate of Adam
    #[arg(long, value_name = "X", default_value_t = 0.005)]
    lr: f64,
    /// Words seen less often become <unk>
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_count: u64,
    /// The most words of the vocabulary
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    max_words: usize,
    /// Several labels a text, separated by commas: a sigmoid each instead of one softmax
    #[arg(long)]
    multi_label: bool,
    /// Threads; 0 for all cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the trained model goes
    #[arg(long, value_name = "FILE", default_value = "text_classifier.safetensors")]
    save: PathBuf,
    /// Classify with a saved model instead of training
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Sentences to classify; `-`, or none with --load: lines of standard input
    sentences: Vec<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.load {
        Some(path) => load_and_classify(&options, path).map(|()| ExitCode::SUCCESS),
        None => train(&options),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load_and_classify(options: &Options, path: &Path) -> Result<(), Error> {
    let model = TextClassifier::load(path)?;
    if let Some(test) = &options.test {
        let reading = DatasetOptions { mode: model.config().labels, ..DatasetOptions::default() };
        let data = Dataset::open(test, &reading, model.vocab(), model.labels())?;
        let mut session = ClassifierSession::new(session(options)?);
        let probabilities = predict(&model, &mut session, &data, 64)?;
        println!("test accuracy: {:.4}", report(&model, &data, &probabilities)?);
        if options.sentences.is_empty() {
            return Ok(());
        }
    }
    classify(&model, options, options.sentences.is_empty())
}

fn session(options: &Options) -> Result<Session, Error> {
    Ok(match options.threads {
        1 => Session::new(),
        n => Session::with_pool(&Pool::new(n)?),
    })
}

fn train(options: &Options) -> Result<ExitCode, Error> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let (train_path, test_path) = match (&options.train, &options.test) {
        (None, None) => (shipped.join("reviews-train.tsv"), Some(shipped.join("reviews-test.tsv"))),
        (None, Some(test)) => (shipped.join("reviews-train.tsv"), Some(test.clone())),
        (Some(train), test) => (train.clone(), test.clone()),
    };
    // Not at the end of a long training.
    let directory = options.save.parent().filter(|d| !d.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|d| !d.is_dir()) {
        eprintln!("error: --save {}: {} is no directory", options.save.display(), directory.display());
        return Ok(ExitCode::FAILURE);
    }
    let mut config = ClassifierConfig {
        cell: match options.cell {
            CellOption::Elman => Cell::ElmanTanh,
            CellOption::Lstm => Cell::Lstm,
            CellOption::Gru => Cell::Gru,
        },
        embedding_dim: options.embedding_dim.unwrap_or(64),
        hidden_size: options.hidden_size,
        num_layers: options.layers,
        bidirectional: options.bidirectional,
        pooling: match options.pooling {
            PoolingOption::Last => Pooling::Last,
            PoolingOption::Mean => Pooling::Mean,
            PoolingOption::Max => Pooling::Max,
        },
        dropout: options.dropout,
        labels: if options.multi_label { LabelMode::Multi } else { LabelMode::Single },
        max_tokens: None,
    };
    let reading = DatasetOptions { mode: config.labels, ..DatasetOptions::default() };
    let words = VocabOptions { min_count: options.min_count, max_size: options.max_words, ..VocabOptions::default() };
    let (data, vocab) = Dataset::train(&train_path, &reading, &words)?;
    let test = match &test_path {
        Some(path) => Some(Dataset::open(path, &reading, &vocab, data.labels())?),
        None => None,
    };
    let test_len = test.as_ref().map_or(0, Dataset::len);
    println!(
        "{} training texts, {test_len} test texts, {} words, {} labels",
        data.len(),
        vocab.len(),
        data.labels().len()
    );

    let vectors = match &options.embeddings {
        Some(path) => {
            let read = ReadOptions { dim: options.embedding_dim, fold_case: options.fold_case, ..Default::default() };
            Some(WordVectors::open_for(path, &vocab.words()?, &read)?)
        }
        None => None,
    };
    if let Some(vectors) = &vectors {
        config.embedding_dim = vectors.dim();
    }
    let mut model = TextClassifier::new(&config, vocab, data.labels().to_vec(), options.seed)?;
    if let Some(vectors) = &vectors {
        start_from(&mut model, vectors, options, &data)?;
    }
    drop(vectors);
    println!("instruction set: {}", simdrnn::Isa::choose()?.name());
    let trainer_config = TrainerConfig {
        optimizer: OptimizerConfig::Adam(AdamConfig { lr: options.lr, ..AdamConfig::default() }),
        seed: options.seed,
        ..TrainerConfig::default()
    };
    let mut trainer = Trainer::new(&model, &trainer_config, session(options)?)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    if let Err(e) = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)) {
        eprintln!("warning: Ctrl-C will not save: {e}");
    }

    let speed = run_epochs(options, &mut model, &mut trainer, &data, test.as_ref(), &stop)?;
    model.save(&options.save)?;
    println!("saved to {}", options.save.display());
    let loaded = TextClassifier::load(&options.save)?;

    let accuracy = match &test {
        Some(test) => {
            let probabilities = trainer.predict(&loaded, test, 64)?;
            let accuracy = report(&loaded, test, &probabilities)?;
            if config.labels == LabelMode::Single {
                // As strong as scikit-learn's C = 1.
                let baseline = BagOfWords::train(&data, loaded.vocab().len(), 1.0 / data.len() as f64, 300)?;
                let note = if baseline.converged() { "" } else { " (not converged)" };
                println!("bag of words accuracy: {:.4}{note}", baseline.accuracy(test)?);
            }
            Some(accuracy)
        }
        None => None,
    };
    if !options.sentences.is_empty() {
        classify(&loaded, options, false)?;
    }
    if let Some(accuracy) = accuracy {
        println!("test accuracy: {accuracy:.4}");
    }
    println!("training speed: {speed:.0} tokens/s");
    Ok(ExitCode::SUCCESS)
}

/// Gives the model's words their vectors, and says how many have one.
fn start_from(
    model: &mut TextClassifier,
    vectors: &WordVectors,
    options: &Options,
    data: &Dataset,
) -> Result<(), Error> {
    let fill = FillOptions {
        unknown: match options.unknown {
            UnknownOption::Zero => Unknown::Zero,
            UnknownOption::Mean => Unknown::Mean,
            UnknownOption::Random => Unknown::Random,
        },
        seed: options.seed,
        fold_case: options.fold_case,
        ..FillOptions::default()
    };
    let counts = data.word_counts(model.vocab().len())?;
    let coverage = model.set_embeddings(vectors, Some(&counts), &fill)?;
    let (words, tokens) = (coverage.words_found(), coverage.tokens_found());
    println!(
        "{} vectors of {} values: {words} words found, {} missing; {:.2} % of tokens found",
        vectors.format().name(),
        vectors.dim(),
        coverage.words_missing(),
        100.0 * tokens as f64 / (tokens + coverage.tokens_missing()).max(1) as f64
    );
    let missing: Vec<&str> =
        coverage.missing()?.into_iter().take(10).filter_map(|i| model.vocab().word(i as u32)).collect();
    if !missing.is_empty() {
        println!("most frequent missing words: {}", missing.join(" "));
    }
    Ok(())
}

/// Trains until the epochs are over or Ctrl-C is pressed; returns tokens per second of training.
fn run_epochs(
    options: &Options,
    model: &mut TextClassifier,
    trainer: &mut Trainer,
    data: &Dataset,
    test: Option<&Dataset>,
    stop: &AtomicBool,
) -> Result<f64, Error> {
    let (mut all_tokens, mut all_seconds) = (0, 0.0);
    let epochs = options.epochs.unwrap_or(if options.train.is_none() { 120 } else { 10 });
    for epoch in 0..epochs {
        model.embedding_mut().set_frozen(options.frozen || epoch < options.freeze_epochs);
        let lengths = (0..data.len()).map(|i| data.token_count(i));
        let batches = Batches::shuffled(lengths, options.batch_size, options.seed, epoch)?;
        let style =
            ProgressStyle::with_template("epoch {prefix} [{bar:30}] {pos}/{len} {msg}").expect("a valid template");
        let bar = ProgressBar::new(batches.len() as u64).with_style(style.progress_chars("=> "));
        bar.set_prefix((epoch + 1).to_string());
        let start = Instant::now();
        let (mut loss, mut correct, mut seen, mut tokens) = (0.0, 0, 0, 0);
        for batch in batches.iter() {
            let step = trainer.step(model, data, batch)?;
            loss += step.loss * batch.len() as f64;
            correct += step.correct;
            seen += batch.len();
            tokens += step.tokens;
            bar.set_message(format!("loss {:.4}", loss / seen as f64));
            bar.inc(1);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        bar.finish_and_clear();
        (all_tokens, all_seconds) = (all_tokens + tokens, all_seconds + seconds);
        let seen = seen.max(1) as f64;
        let mut line = format!(
            "epoch {:3}: loss {:.4}, accuracy {:.4}, {:.0} tokens/s",
            epoch + 1,
            loss / seen,
            correct as f64 / seen,
            tokens as f64 / seconds
        );
        if let Some(test) = test {
            let probabilities = trainer.predict(model, test, 64)?;
            line += &format!(", test accuracy {:.4}", accuracy(model, test, &probabilities)?);
        }
        println!("{line}");
        if stop.load(Ordering::Relaxed) {
            println!("interrupted: keeping what has been learned so far");
            break;
        }
    }
    Ok(all_tokens as f64 / f64::max(all_seconds, 1e-9))
}

/// Share of texts whose labels were all right.
fn accuracy(model: &TextClassifier, data: &Dataset, probabilities: &[f32]) -> Result<f64, Error> {
    let rows = probabilities.chunks_exact(model.labels().len());
    let right = rows.enumerate().filter(|(i, row)| match data.mode() {
        LabelMode::Single => argmax(row) == data.targets(*i)[0] as usize,
        LabelMode::Multi => chosen(row) == data.targets(*i),
    });
    Ok(right.count() as f64 / data.len() as f64)
}

/// The labels of a text with several, in ascending order.
fn chosen(row: &[f32]) -> Vec<u32> {
    (0..).zip(row).filter(|(_, p)| **p > 0.5).map(|(i, _)| i).collect()
}

/// Prints the confusion matrix, or each label's scores, and returns the accuracy.
fn report(model: &TextClassifier, data: &Dataset, probabilities: &[f32]) -> Result<f64, Error> {
    let classes = model.labels().len();
    let rows = probabilities.chunks_exact(classes).enumerate();
    match data.mode() {
        LabelMode::Single => {
            let mut confusion = Confusion::new(classes)?;
            for (i, row) in rows {
                confusion.add(data.targets(i)[0], argmax(row) as u32)?;
            }
            if classes <= WIDEST_TABLE {
                println!("{}", confusion.table(model.labels()));
            } else {
                model.labels().iter().zip(0..).for_each(|(label, i)| print_scores(label, confusion.class(i)));
            }
        }
        LabelMode::Multi => {
            let mut scores = LabelScores::new(classes)?;
            for (i, row) in rows {
                scores.add(data.targets(i), &chosen(row))?;
            }
            for (label, counts) in model.labels().iter().zip(scores.classes()) {
                print_scores(label, *counts);
            }
        }
    }
    accuracy(model, data, probabilities)
}

/// Labels up to which a confusion matrix fits a screen.
const WIDEST_TABLE: usize = 16;

fn print_scores(label: &str, counts: ClassCounts) {
    println!("{label}: precision {:.4}, recall {:.4}, F1 {:.4}", counts.precision(), counts.recall(), counts.f1());
}

/// Prints the label and its probability for each sentence, or for each line of standard input.
fn classify(model: &TextClassifier, options: &Options, from_input: bool) -> Result<(), Error> {
    let mut session = ClassifierSession::default();
    let mut one = |sentence: &str| -> Result<(), Error> {
        let mut probabilities = vec![0.0; model.labels().len()];
        model.classify(&mut session, sentence, &mut probabilities)?;
        let labels: Vec<String> = match model.config().labels {
            LabelMode::Single => vec![argmax(&probabilities) as u32],
            LabelMode::Multi => chosen(&probabilities),
        }
        .into_iter()
        .map(|i| format!("{} ({:.3})", model.labels()[i as usize], probabilities[i as usize]))
        .collect();
        println!("{}\t{sentence}", labels.join(", "));
        Ok(())
    };
    if from_input || options.sentences.iter().any(|s| s == "-") {
        for line in std::io::stdin().lock().lines() {
            match line {
                Ok(line) => one(&line)?,
                Err(e) => {
                    eprintln!("error: standard input: {e}");
                    break;
                }
            }
        }
        return Ok(());
    }
    options.sentences.iter().try_for_each(|sentence| one(sentence))
}
