//! A training run: its epochs, its stops, and its checkpoints.

use crate::options::{Options, wrong};
use crate::output::{complain, say};
use crate::report::accuracy;
use indicatif::{ProgressBar, ProgressStyle};
use simdrnn::Error;
use simdrnn::io::LoadOptions;
use simdrnn::io::safetensors::{TensorFile, TensorWriter};
use simdrnn::text::{Dataset, TextClassifier, Trainer, TrainingPosition};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where this program's own numbers stand among a checkpoint's metadata.
const KEY: &str = "text_classifier";

/// What the present epoch has found.
#[derive(Clone, Copy, Default)]
struct Sums {
    loss: f64,
    correct: u64,
    seen: u64,
}

/// Everything that a checkpoint holds, and where it goes.
pub(crate) struct Run {
    pub(crate) model: TextClassifier,
    pub(crate) trainer: Trainer,
    position: TrainingPosition,
    sums: Sums,
    /// Epochs in which the token table is left as it is.
    frozen_epochs: u32,
    data_mark: u64,
    checkpoint: PathBuf,
}

impl Run {
    pub(crate) fn start(options: &Options, model: TextClassifier, trainer: Trainer, data: &Dataset) -> Self {
        let position = TrainingPosition {
            batch_size: options.batch_size as u64,
            seed: options.seed,
            ..TrainingPosition::default()
        };
        let frozen_epochs = if options.frozen { u32::MAX } else { options.freeze_epochs };
        let (sums, data_mark, checkpoint) = (Sums::default(), mark(data), options.checkpoint());
        Self { model, trainer, position, sums, frozen_epochs, data_mark, checkpoint }
    }

    /// Reads a checkpoint; the data are checked by [`Run::check_data`].
    pub(crate) fn resume(options: &Options, path: &Path) -> Result<Self, Error> {
        let file = TensorFile::open(path)?;
        let (trainer, model, position) = Trainer::read(&file, options.session()?, &LoadOptions::default())?;
        let text = file.metadata(KEY).unwrap_or_default();
        let numbers: Vec<u64> = text.split(' ').filter_map(|n| u64::from_str_radix(n, 16).ok()).collect();
        let [loss, correct, seen, frozen_epochs, data_mark] = numbers[..] else {
            return Err(wrong(&format!("{} is no checkpoint of this program", path.display())));
        };
        let sums = Sums { loss: f64::from_bits(loss), correct, seen };
        let (frozen_epochs, checkpoint) = (frozen_epochs as u32, options.checkpoint());
        Ok(Self { model, trainer, position, sums, frozen_epochs, data_mark, checkpoint })
    }

    /// The run goes on as it would have only with the same texts.
    pub(crate) fn check_data(&self, data: &Dataset) -> Result<(), Error> {
        match mark(data) == self.data_mark {
            true => Ok(()),
            false => Err(wrong("--train has other texts than the run that is resumed")),
        }
    }

    /// Writes the run and the model; each file is as it was or new, whatever happens.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let mut writer = TensorWriter::new();
        self.trainer.write(&self.model, &self.position, &mut writer)?;
        let Sums { loss, correct, seen } = self.sums;
        let (frozen, mark) = (self.frozen_epochs, self.data_mark);
        writer.metadata(KEY, &format!("{:x} {correct:x} {seen:x} {frozen:x} {mark:x}", loss.to_bits()))?;
        writer.save(&self.checkpoint)
    }

    /// Trains until the epochs are over or something asks to stop; returns tokens per second of training.
    pub(crate) fn train(
        &mut self,
        options: &Options,
        data: &Dataset,
        test: Option<&Dataset>,
        stop: &Stop,
    ) -> Result<f64, Error> {
        let epochs = options.epochs.unwrap_or(if options.train.is_none() { 120 } else { 10 });
        let every = Duration::try_from_secs_f64(60.0 * options.checkpoint_minutes)
            .map_err(|e| wrong(&format!("--checkpoint-minutes: {e}")))?;
        let (mut all_tokens, mut all_seconds, mut steps, mut saved) = (0, 0.0, 0, Instant::now());
        while self.position.epoch < epochs {
            let epoch = self.position.epoch;
            self.model.embedding_mut().set_frozen(epoch < self.frozen_epochs);
            let batches = self.position.batches((0..data.len()).map(|i| data.token_count(i)))?;
            let style =
                ProgressStyle::with_template("epoch {prefix} [{bar:30}] {pos}/{len} {msg}").expect("a valid template");
            let bar = ProgressBar::new(batches.len() as u64).with_style(style.progress_chars("=> "));
            bar.set_prefix((epoch + 1).to_string());
            bar.set_position(self.position.batch);
            let (start, mut tokens) = (Instant::now(), 0);
            for batch in batches.iter().skip(self.position.batch as usize) {
                if stop.is_asked() || options.stop_after.is_some_and(|n| steps >= n) {
                    bar.finish_and_clear();
                    self.save()?;
                    say!(
                        "interrupted: keeping what has been learned so far; go on with --resume {}",
                        self.checkpoint.display()
                    );
                    return Ok(all_tokens as f64 / f64::max(all_seconds, 1e-9));
                }
                let step = match self.trainer.step(&mut self.model, data, batch) {
                    Ok(step) => step,
                    // The model is as it was before the step.
                    Err(e) => {
                        bar.finish_and_clear();
                        self.save()?;
                        complain!("the run up to this step is in {}", self.checkpoint.display());
                        return Err(e);
                    }
                };
                self.sums.loss += step.loss * batch.len() as f64;
                self.sums.correct += step.correct as u64;
                self.sums.seen += batch.len() as u64;
                self.position.batch += 1;
                tokens += step.tokens;
                steps += 1;
                bar.set_message(format!("loss {:.4}", self.sums.loss / self.sums.seen as f64));
                bar.inc(1);
                if saved.elapsed() >= every && !every.is_zero() {
                    self.save()?;
                    saved = Instant::now();
                }
            }
            let seconds = start.elapsed().as_secs_f64();
            bar.finish_and_clear();
            (all_tokens, all_seconds) = (all_tokens + tokens, all_seconds + seconds);
            self.end_epoch(options, test, tokens as f64 / seconds)?;
            self.save()?;
            saved = Instant::now();
        }
        Ok(all_tokens as f64 / f64::max(all_seconds, 1e-9))
    }

    fn end_epoch(&mut self, options: &Options, test: Option<&Dataset>, speed: f64) -> Result<(), Error> {
        let Sums { loss, correct, seen } = std::mem::take(&mut self.sums);
        let seen = seen.max(1) as f64;
        let (epoch, loss, right) = (self.position.epoch + 1, loss / seen, correct as f64 / seen);
        let mut line = format!("epoch {epoch:3}: loss {loss:.4}, accuracy {right:.4}, {speed:.0} tokens/s");
        if let Some(test) = test {
            let probabilities = self.trainer.predict(&self.model, test, 64)?;
            line += &format!(", test accuracy {:.4}", accuracy(options, &self.model, test, &probabilities)?);
        }
        say!("{line}");
        (self.position.epoch, self.position.batch) = (epoch, 0);
        Ok(())
    }
}

/// Tells data sets apart: FNV-1a over all word and label numbers.
fn mark(data: &Dataset) -> u64 {
    let mut mark = 0xcbf2_9ce4_8422_2325_u64;
    for i in 0..data.len() {
        let end = std::iter::once(&u32::MAX);
        for number in data.tokens(i).iter().chain(end.clone()).chain(data.targets(i)).chain(end) {
            mark = (mark ^ u64::from(*number)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    mark
}

/// Whether Ctrl-C was pressed, or SIGTERM or SIGHUP came; a second one ends the program at once.
pub(crate) struct Stop(Arc<AtomicU32>);

impl Stop {
    pub(crate) fn listen() -> Self {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let handler = move || {
            if count.fetch_add(1, Ordering::Relaxed) > 0 {
                std::process::exit(130);
            }
        };
        if let Err(e) = ctrlc::set_handler(handler) {
            complain!("warning: Ctrl-C will not save: {e}");
        }
        Self(asked)
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
