//! A training run in a file: all that it needs to go on as if it had never stopped.
//!
//! One safetensors file holds the classifier as [`TextClassifier::save`] writes it, so that
//! [`TextClassifier::load`] reads it too, the optimizer's state (see [`Optimizer::save`](crate::nn::Optimizer::save)),
//! and as metadata `trainer.version`, `trainer.clip_norm` (the 16 hex digits of its bits), `trainer.seed`,
//! `trainer.non_finite`, `trainer.skipped`, `trainer.embedding_frozen` (0 or 1), and `trainer.position`: batch size, seed,
//! epoch and next batch, with spaces between.

use super::batches::{Batches, TrainingPosition};
use super::classifier::TextClassifier;
use super::trainer::{DENSE, EMBEDDING, RNN, Trainer, TrainerConfig};
use crate::error::{Result, ensure, err};
use crate::io::safetensors::{TensorFile, TensorWriter};
use crate::io::{LoadOptions, SaveOptions};
use crate::nn::{NonFinite, Optimizer, StateText, metadata_float, metadata_number, metadata_text};
use crate::rnn::Session;
use crate::shown::Excerpt;
use std::fmt;
use std::path::Path;

const VERSION: u32 = 1;

impl Trainer {
    /// Writes `model` and the whole state of its training to one file, from which [`Trainer::load`] goes on bit for bit.
    /// `position` is where the run stands among its batches.
    ///
    /// # Errors
    /// Those of [`TensorWriter::save`], weights and states that are not finite among them. A failed save leaves an existing
    /// file as it was.
    pub fn save(&self, model: &TextClassifier, position: &TrainingPosition, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(model, position, path, &SaveOptions::default())
    }

    /// [`Trainer::save`] with options.
    ///
    /// # Errors
    /// As there.
    pub fn save_with(
        &self,
        model: &TextClassifier,
        position: &TrainingPosition,
        path: impl AsRef<Path>,
        options: &SaveOptions,
    ) -> Result<()> {
        let mut writer = TensorWriter::with_options(*options);
        self.write(model, position, &mut writer)?;
        writer.save(path)
    }

    /// Adds what [`Trainer::save`] writes to a file that is being written.
    ///
    /// # Errors
    /// As [`TensorWriter::tensor`].
    pub fn write<'a>(
        &'a self,
        model: &'a TextClassifier,
        position: &TrainingPosition,
        writer: &mut TensorWriter<'a>,
    ) -> Result<()> {
        model.write(writer)?;
        let mut entry = |key: &str, value: fmt::Arguments<'_>| writer.metadata(key, StateText::new(value)?.as_str());
        entry("trainer.version", format_args!("{VERSION}"))?;
        entry("trainer.clip_norm", format_args!("{:016x}", self.config.clip_norm.to_bits()))?;
        entry("trainer.seed", format_args!("{}", self.config.seed))?;
        entry("trainer.non_finite", format_args!("{}", self.config.non_finite.name()))?;
        entry("trainer.skipped", format_args!("{}", self.skipped))?;
        entry("trainer.embedding_frozen", format_args!("{}", u8::from(model.embedding.is_frozen())))?;
        let TrainingPosition { batch_size, seed, epoch, batch } = position;
        entry("trainer.position", format_args!("{batch_size} {seed} {epoch} {batch}"))?;
        self.optimizer.save(writer)
    }

    /// Reads what [`Trainer::save`] wrote: the trainer, its model, and where the run stood. Work is spread over `session`'s
    /// pool, if it has one; that changes no bit. Strict by default.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`] and [`Trainer::read`].
    pub fn load(path: impl AsRef<Path>, session: Session) -> Result<(Self, TextClassifier, TrainingPosition)> {
        Self::read(&TensorFile::open(path)?, session, &LoadOptions::default())
    }

    /// [`Trainer::load`] from an opened file, or one in memory.
    ///
    /// # Errors
    /// Those of [`TextClassifier::read`] and [`Optimizer::read_state`]; `NotFound` for a classifier without a training run;
    /// `InvalidData` for entries that make no sense or belong to another model.
    pub fn read(
        file: &TensorFile,
        session: Session,
        options: &LoadOptions,
    ) -> Result<(Self, TextClassifier, TrainingPosition)> {
        let mut model = TextClassifier::read(file, options)?;
        let mut optimizer = Optimizer::new(&TrainerConfig::default().optimizer)?;
        let (config, skipped, frozen, position) = described(file).map_err(|e| file.named(&e))?;
        optimizer.read_state(file, options)?;
        let lengths = [model.embedding.table().len(), model.rnn.values().len(), model.dense.values().len()];
        for (slot, expected) in [EMBEDDING, RNN, DENSE].into_iter().zip(lengths) {
            let found = optimizer.slot_len(slot).unwrap_or(expected);
            if found != expected {
                return Err(file.named(&err!(
                    InvalidData,
                    "optimizer slot {slot} has {found} values, expected the model's {expected}"
                )));
            }
        }
        model.embedding.set_frozen(frozen);
        let config = TrainerConfig { optimizer: *optimizer.config(), ..config };
        let mut trainer = Trainer::new(&model, &config, session)?;
        trainer.take_state(optimizer, skipped);
        Ok((trainer, model, position))
    }
}

/// What the metadata say but for the optimizer: the configuration, steps left out, whether the table is frozen, the position.
fn described(file: &TensorFile) -> Result<(TrainerConfig, u64, bool, TrainingPosition)> {
    let version = metadata_text(file, "trainer.version")
        .map_err(|_| err!(NotFound, "a classifier without a training run: there is no entry trainer.version"))?;
    ensure!(
        metadata_number("trainer.version", version).is_ok_and(|found: u32| found == VERSION),
        InvalidData,
        "trainer.version is '{}', expected {VERSION}",
        Excerpt(version, 40)
    );
    let text = |key: &'static str| metadata_text(file, key);
    let number = |key| metadata_number::<u64>(key, text(key)?);
    let clip_norm = metadata_float("trainer.clip_norm", text("trainer.clip_norm")?)?;
    ensure!(clip_norm > 0.0, InvalidData, "trainer.clip_norm is {clip_norm}, expected more than 0");
    let config = TrainerConfig {
        clip_norm,
        seed: number("trainer.seed")?,
        non_finite: NonFinite::from_name(text("trainer.non_finite")?)
            .map_err(|e| err!(InvalidData, "trainer.non_finite: {}", e.message()))?,
        ..TrainerConfig::default()
    };
    let frozen = match text("trainer.embedding_frozen")? {
        "0" => false,
        "1" => true,
        other => {
            return Err(err!(InvalidData, "trainer.embedding_frozen is '{}', expected 0 or 1", Excerpt(other, 40)));
        }
    };
    let position = parse_position("trainer.position", text("trainer.position")?)?;
    Ok((config, number("trainer.skipped")?, frozen, position))
}

fn parse_position(key: &str, text: &str) -> Result<TrainingPosition> {
    let shown = Excerpt(text, 80);
    let wrong = || err!(InvalidData, "{key} is '{shown}', expected batch size, seed, epoch and batch");
    let mut words = text.split(' ');
    let mut next = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(wrong);
    let (batch_size, seed, epoch, batch) = (next()?, next()?, next()?, next()?);
    ensure!(words.next().is_none(), InvalidData, "{}", wrong());
    Ok(TrainingPosition { batch_size, seed, epoch: u32::try_from(epoch).map_err(|_| wrong())?, batch })
}

impl TrainingPosition {
    /// The batches of the position's epoch. `lengths` is as for [`Batches::shuffled`].
    ///
    /// # Errors
    /// Those of [`Batches::shuffled`].
    pub fn batches(&self, lengths: impl ExactSizeIterator<Item = usize>) -> Result<Batches> {
        let batch_size = usize::try_from(self.batch_size)
            .map_err(|_| err!(SizeOverflow, "a batch size of {} is more than memory can hold", self.batch_size))?;
        Batches::shuffled(lengths, batch_size, self.seed, self.epoch)
    }
}
