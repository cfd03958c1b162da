//! Texts as numbers: tokens, a vocabulary, labelled data sets, batches, and scores.

pub mod batches;
mod checkpoint;
pub mod classifier;
pub mod dataset;
mod lines;
pub mod metrics;
pub mod options;
#[cfg(feature = "vectors")]
mod pretrained;
mod records;
mod saved;
pub mod tokenizer;
pub mod trainer;
pub mod vocab;

pub use batches::{Batches, TrainingPosition};
pub use classifier::{ClassifierConfig, ClassifierSession, Pooling, TextClassifier};
pub use dataset::{Dataset, DatasetSummary};
pub use metrics::{Averaging, Confusion, LabelScores, Scores};
pub use options::{Column, DatasetOptions, LabelMode};
pub use tokenizer::Tokenizer;
pub use trainer::{StepReport, Trainer, TrainerConfig};
pub use vocab::{Vocab, VocabOptions, WordCounts};

use crate::buffer::push;
