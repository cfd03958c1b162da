//! Texts as numbers: tokens, a vocabulary, labelled data sets, batches, a baseline and scores.

pub mod bag_of_words;
pub mod batches;
pub mod classifier;
pub mod dataset;
mod lines;
pub mod metrics;
pub mod tokenizer;
pub mod trainer;
pub mod vocab;
mod words;

pub use bag_of_words::BagOfWords;
pub use batches::Batches;
pub use classifier::{ClassifierConfig, ClassifierSession, Pooling, TextClassifier};
pub use dataset::{Dataset, LabelMode};
pub use metrics::{Confusion, LabelScores};
pub use tokenizer::Tokenizer;
pub use trainer::{StepReport, Trainer, TrainerConfig};
pub use vocab::{Vocab, WordCounts};

use crate::error::{Result, err};

/// Appends a value, or fails where memory is short.
fn push<T>(values: &mut Vec<T>, value: T) -> Result<()> {
    values.try_reserve(1).map_err(|_| {
        err!(OutOfMemory, "could not grow a list of {} entries of {} bytes", values.len(), size_of::<T>())
    })?;
    values.push(value);
    Ok(())
}
