//! Trains a text classifier, saves it, loads it back, and classifies sentences.
//!
//! ```text
//! cargo run --release --example text_classifier
//! cargo run --release --example text_classifier -- --train my.tsv --test held-out.tsv --cell gru --epochs 10
//! cargo run --release --example text_classifier -- --train my.csv --csv --label-column sentiment --text-column review
//! cargo run --release --example text_classifier -- --embeddings glove.6B.100d.txt --freeze-epochs 20
//! cargo run --release --example text_classifier -- --resume text_classifier.safetensors.checkpoint
//! cargo run --release --example text_classifier -- --load text_classifier.safetensors "Not bad at all."
//! cargo run --release --example text_classifier -- --load text_classifier.safetensors --train more.tsv --save better.safetensors
//! ```
//!
//! Ctrl-C and SIGTERM end training and keep what has been learned; the run itself is kept beside the model after every epoch
//! and every ten minutes, and goes on from there as if it had never stopped, bit for bit.

mod bag_of_words;
mod files;
mod options;
mod output;
mod report;
mod run;

use bag_of_words::BagOfWords;
use clap::Parser;
use options::{Options, UnknownOption};
use output::{complain, say};
use report::{classify, describe, report};
use run::{Run, Stop};
use simdrnn::Error;
use simdrnn::io::vectors::ReadOptions;
use simdrnn::nn::vectors::{FillOptions, Unknown, WordVectors};
use simdrnn::nn::{AdamConfig, OptimizerConfig};
use simdrnn::text::{ClassifierSession, Dataset, LabelMode, TextClassifier, Trainer, TrainerConfig, trainer::predict};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.load {
        Some(path) if options.train.is_none() => load_and_classify(&options, path),
        _ => train(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything could be read.
fn load_and_classify(options: &Options, path: &Path) -> Result<bool, Error> {
    let model = TextClassifier::load(path)?;
    if let Some(test) = &options.test {
        let data = Dataset::open(test, &options.reading(Some(&model))?, model.vocab(), model.labels())?;
        describe("test", &data)?;
        let mut session = ClassifierSession::new(options.session()?);
        let probabilities = predict(&model, &mut session, &data, 64)?;
        say!("test accuracy: {:.4}", report(options, &model, &data, &probabilities)?);
        if options.sentences.is_empty() {
            return Ok(true);
        }
    }
    classify(&model, options, options.sentences.is_empty())
}

fn train(options: &Options) -> Result<bool, Error> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let (train_path, test_path) = match (&options.train, &options.test) {
        (None, None) => (shipped.join("reviews-train.tsv"), Some(shipped.join("reviews-test.tsv"))),
        (None, Some(test)) => (shipped.join("reviews-train.tsv"), Some(test.clone())),
        (Some(train), test) => (train.clone(), test.clone()),
    };
    files::check(options, &options.checkpoint())?;
    let (mut run, data) = match &options.resume {
        Some(path) => {
            let run = Run::resume(options, path)?;
            let data = open(options, &run.model, &train_path)?;
            run.check_data(&data)?;
            (run, data)
        }
        None => begin(options, &train_path)?,
    };
    describe("training", &data)?;
    let test = match &test_path {
        Some(path) => Some(open(options, &run.model, path)?),
        None => None,
    };
    if let Some(test) = &test {
        describe("test", test)?;
    }
    let (test_len, words) = (test.as_ref().map_or(0, Dataset::len), run.model.vocab().len());
    say!("{} training texts, {test_len} test texts, {words} words, {} labels", data.len(), data.labels().len());
    say!("instruction set: {}", simdrnn::Isa::choose()?.name());

    let speed = run.train(options, &data, test.as_ref(), &Stop::listen())?;
    run.model.save(&options.save)?;
    say!("saved to {}", options.save.display());
    let loaded = TextClassifier::load(&options.save)?;

    let accuracy = match &test {
        Some(test) => Some(evaluate(options, &mut run.trainer, &loaded, &data, test)?),
        None => None,
    };
    let mut all = true;
    if !options.sentences.is_empty() {
        all = classify(&loaded, options, false)?;
    }
    if let Some(accuracy) = accuracy {
        say!("test accuracy: {accuracy:.4}");
    }
    say!("training speed: {speed:.0} tokens/s");
    Ok(all)
}

fn open(options: &Options, model: &TextClassifier, path: &PathBuf) -> Result<Dataset, Error> {
    Dataset::open(path, &options.reading(Some(model))?, model.vocab(), model.labels())
}

/// A new run: of a new model, or of a loaded one.
fn begin(options: &Options, train_path: &PathBuf) -> Result<(Run, Dataset), Error> {
    let (model, data) = match &options.load {
        Some(path) => {
            let model = TextClassifier::load(path)?;
            let data = open(options, &model, train_path)?;
            (model, data)
        }
        None => create(options, train_path)?,
    };
    let config = TrainerConfig {
        optimizer: OptimizerConfig::Adam(AdamConfig { lr: options.lr, ..AdamConfig::default() }),
        seed: options.seed,
        ..TrainerConfig::default()
    };
    let trainer = Trainer::new(&model, &config, options.session()?)?;
    Ok((Run::start(options, model, trainer, &data), data))
}

/// A new model for the training texts.
fn create(options: &Options, train_path: &PathBuf) -> Result<(TextClassifier, Dataset), Error> {
    let (data, vocab) = Dataset::train(train_path, &options.reading(None)?, &options.vocabulary())?;
    let mut config = options.config();
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
    Ok((model, data))
}

/// The saved model's scores, and those of a bag of words.
fn evaluate(
    options: &Options,
    trainer: &mut Trainer,
    model: &TextClassifier,
    data: &Dataset,
    test: &Dataset,
) -> Result<f64, Error> {
    let probabilities = trainer.predict(model, test, 64)?;
    let accuracy = report(options, model, test, &probabilities)?;
    if model.config().labels == LabelMode::Single {
        // As strong as scikit-learn's C = 1.
        let baseline = BagOfWords::train(data, model.vocab().len(), 1.0 / data.len() as f64, 300)?;
        let note = if baseline.converged() { "" } else { " (not converged)" };
        say!("bag of words accuracy: {:.4}{note}", baseline.accuracy(test)?);
    }
    Ok(accuracy)
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
    say!(
        "{} vectors of {} values: {words} words found, {} missing; {:.2} % of tokens found",
        vectors.format().name(),
        vectors.dim(),
        coverage.words_missing(),
        100.0 * tokens as f64 / (tokens + coverage.tokens_missing()).max(1) as f64
    );
    let missing: Vec<&str> =
        coverage.missing()?.into_iter().take(10).filter_map(|i| model.vocab().word(i as u32)).collect();
    if !missing.is_empty() {
        say!("most frequent missing words: {}", missing.join(" "));
    }
    Ok(())
}
