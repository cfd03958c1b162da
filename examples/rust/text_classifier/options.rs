//! The command line, and what it means for the library.

use clap::{Parser, ValueEnum};
use simdrnn::rnn::{Cell, Session};
use simdrnn::text::{
    ClassifierConfig, Column, DatasetOptions, LabelMode, Pooling, TextClassifier, Tokenizer, VocabOptions,
};
use simdrnn::{Error, ErrorKind, Pool};
use std::path::PathBuf;

/// Options that a model keeps from its first training on: beside a model that is there already they would do nothing.
const OF_A_NEW_MODEL: [&str; 17] = [
    "cell",
    "embedding_dim",
    "embeddings",
    "unknown",
    "fold_case",
    "hidden_size",
    "layers",
    "bidirectional",
    "pooling",
    "dropout",
    "min_count",
    "max_words",
    "multi_label",
    "max_tokens",
    "keep_case",
    "nfc",
    "resume",
];

/// Options that a run keeps from its start on.
const OF_A_NEW_RUN: [&str; 22] = [
    "load",
    "batch_size",
    "lr",
    "seed",
    "frozen",
    "freeze_epochs",
    "cell",
    "embedding_dim",
    "embeddings",
    "unknown",
    "fold_case",
    "hidden_size",
    "layers",
    "bidirectional",
    "pooling",
    "dropout",
    "min_count",
    "max_words",
    "multi_label",
    "max_tokens",
    "keep_case",
    "nfc",
];

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CellOption {
    Elman,
    Lstm,
    Gru,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PoolingOption {
    Last,
    Mean,
    Max,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum UnknownOption {
    Zero,
    Mean,
    Random,
}

/// Trains a text classifier, or classifies with a saved one.
#[derive(Parser)]
pub(crate) struct Options {
    /// Training file, `label<TAB>text` lines unless the options below say otherwise [default: the shipped reviews]
    #[arg(long, value_name = "FILE")]
    pub(crate) train: Option<PathBuf>,
    /// Test file in the same form [default: the shipped reviews, or none with --train]
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
    /// The column of the label: its number from 1, or its name in the header
    #[arg(long, value_name = "COLUMN", default_value = "1")]
    pub(crate) label_column: String,
    /// The column of the text
    #[arg(long, value_name = "COLUMN", default_value = "2")]
    pub(crate) text_column: String,
    /// The first line has the columns' names; so it is where a column is given by name
    #[arg(long)]
    pub(crate) header: bool,
    /// What stands between columns: a character, or `tab` [default: a tab, or a comma with --csv]
    #[arg(long, value_name = "C")]
    pub(crate) delimiter: Option<String>,
    /// Columns may stand in double quotes, and then have delimiters and line ends in them
    #[arg(long)]
    pub(crate) csv: bool,
    /// Leave out lines that cannot be used, and say how many
    #[arg(long)]
    pub(crate) skip_bad_lines: bool,
    /// Read only the first N tokens of a text
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// Keep capital letters apart from small ones
    #[arg(long)]
    pub(crate) keep_case: bool,
    /// Bring texts to Unicode's form NFC: an accented letter as one character and as two is then the same
    #[arg(long)]
    pub(crate) nfc: bool,
    #[arg(long, value_enum, default_value = "lstm")]
    pub(crate) cell: CellOption,
    /// Features of a token [default: 64, or as --embeddings has]
    #[arg(long, value_name = "N")]
    pub(crate) embedding_dim: Option<usize>,
    /// Start from the word vectors of this file: Word2Vec, GloVe, fastText or Navec
    #[arg(long, value_name = "FILE")]
    pub(crate) embeddings: Option<PathBuf>,
    /// What words without a vector in --embeddings get
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) unknown: UnknownOption,
    /// Let a word take the vector of one that equals it but for case
    #[arg(long)]
    pub(crate) fold_case: bool,
    /// Leave the token table as it is for the first N epochs
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) freeze_epochs: u32,
    /// Leave the token table as it is
    #[arg(long)]
    pub(crate) frozen: bool,
    /// Features of a hidden state, per direction
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) hidden_size: usize,
    /// Recurrent layers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) layers: usize,
    /// Read the text in both directions
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) bidirectional: bool,
    /// How the outputs of all tokens become one vector
    #[arg(long, value_enum, default_value = "last")]
    pub(crate) pooling: PoolingOption,
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    pub(crate) dropout: f32,
    /// Passes over the training texts [default: 120 for the shipped reviews, 10 with --train]
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) batch_size: usize,
    /// Learning rate of Adam
    #[arg(long, value_name = "X", default_value_t = 0.005)]
    pub(crate) lr: f64,
    /// Words seen less often become <unk>
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) min_count: u64,
    /// The most words of the vocabulary
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) max_words: usize,
    /// Several labels a text, separated by commas: a sigmoid each instead of one softmax
    #[arg(long)]
    pub(crate) multi_label: bool,
    /// With several labels a text, those more probable than this are chosen
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    pub(crate) threshold: f32,
    /// Threads; 0 for all cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where the trained model goes
    #[arg(long, value_name = "FILE", default_value = "text_classifier.safetensors")]
    pub(crate) save: PathBuf,
    /// Where the run is kept while it lasts, to --resume it [default: --save's name and .checkpoint]
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Minutes between checkpoints; one is written after every epoch as well
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    pub(crate) checkpoint_minutes: f64,
    /// Stop after N steps, as Ctrl-C and SIGTERM do: what has been learned is saved, and the run can be resumed
    #[arg(long, value_name = "N")]
    pub(crate) stop_after: Option<u64>,
    /// Classify with a saved model; with --train, train it further on that file's texts
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_NEW_MODEL)]
    pub(crate) load: Option<PathBuf>,
    /// Go on with a run from its checkpoint, as if it had never stopped: with the same files and, for more, other --epochs
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_NEW_RUN)]
    pub(crate) resume: Option<PathBuf>,
    /// Sentences to classify; `-`, or none with --load: lines of standard input
    pub(crate) sentences: Vec<String>,
}

impl Options {
    /// How the data files are read. Of a model that is there its labels and its limit hold.
    pub(crate) fn reading(&self, model: Option<&TextClassifier>) -> Result<DatasetOptions, Error> {
        let column = |given: &str| match given.parse::<usize>() {
            Ok(0) => Err(wrong("columns are counted from 1, found 0")),
            Ok(number) => Ok(Column::Index(number - 1)),
            Err(_) => Ok(Column::Name(given.to_owned())),
        };
        let (label, text) = (column(&self.label_column)?, column(&self.text_column)?);
        let named = [&label, &text].iter().any(|c| matches!(c, Column::Name(_)));
        let delimiter = match self.delimiter.as_deref() {
            None => {
                if self.csv {
                    b','
                } else {
                    b'\t'
                }
            }
            Some("tab") => b'\t',
            Some(one) if one.len() == 1 => one.as_bytes()[0],
            Some(other) => {
                return Err(wrong(&format!("--delimiter is '{other}', expected one character of ASCII or tab")));
            }
        };
        let own = if self.multi_label { LabelMode::Multi } else { LabelMode::Single };
        Ok(DatasetOptions {
            mode: model.map_or(own, |m| m.config().labels),
            delimiter,
            quotes: self.csv,
            header: self.header || named,
            label,
            text,
            skip_bad_lines: self.skip_bad_lines,
            max_tokens: model.map_or(self.max_tokens, |m| m.config().max_tokens),
        })
    }

    /// How the vocabulary is made.
    pub(crate) fn vocabulary(&self) -> VocabOptions {
        VocabOptions {
            tokenizer: Tokenizer { lowercase: !self.keep_case, nfc: self.nfc },
            min_count: self.min_count,
            max_size: self.max_words,
        }
    }

    /// The shape of a new model.
    pub(crate) fn config(&self) -> ClassifierConfig {
        ClassifierConfig {
            cell: match self.cell {
                CellOption::Elman => Cell::ElmanTanh,
                CellOption::Lstm => Cell::Lstm,
                CellOption::Gru => Cell::Gru,
            },
            embedding_dim: self.embedding_dim.unwrap_or(64),
            hidden_size: self.hidden_size,
            num_layers: self.layers,
            bidirectional: self.bidirectional,
            pooling: match self.pooling {
                PoolingOption::Last => Pooling::Last,
                PoolingOption::Mean => Pooling::Mean,
                PoolingOption::Max => Pooling::Max,
            },
            dropout: self.dropout,
            labels: if self.multi_label { LabelMode::Multi } else { LabelMode::Single },
            max_tokens: self.max_tokens,
        }
    }

    /// Where the run is kept.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.checkpoint.clone().or_else(|| self.resume.clone()).unwrap_or_else(|| {
            let mut name = self.save.clone().into_os_string();
            name.push(".checkpoint");
            name.into()
        })
    }

    pub(crate) fn session(&self) -> Result<Session, Error> {
        Ok(match self.threads {
            1 => Session::new(),
            n => Session::with_pool(&Pool::new(n)?),
        })
    }
}

pub(crate) fn wrong(text: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format_args!("{text}"))
}
