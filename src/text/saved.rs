//! A classifier's file: weights as tensors; configuration, labels and words in the metadata.

use super::classifier::{ClassifierConfig, Pooling, TextClassifier};
use super::options::LabelMode;
use super::vocab::Vocab;
use crate::buffer::try_format;
use crate::error::{Error, ErrorKind, Result, ensure, err};
use crate::io::models::{dense_parts, embedding_parts, expect_none_unused, rnn_parts};
use crate::io::safetensors::{TensorFile, TensorWriter};
use crate::io::{JsonFault, LoadOptions, SaveOptions, json};
use crate::rnn::Cell;
use crate::shown::Excerpt;
use serde_json::{Map, Value};
use std::path::Path;

/// What a classifier's file says it is.
const FORMAT: &str = "simdrnn text classifier";
const VERSION: u64 = 2;

impl TextClassifier {
    /// Writes everything to one safetensors file: weights as tensors (`embedding.weight`, `rnn.` and PyTorch's names,
    /// `dense.weight`, `dense.bias`); configuration, labels and words in its metadata.
    ///
    /// # Errors
    /// Those of [`TensorWriter::save`], weights that are not finite among them. A failed save leaves an existing file as it
    /// was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &SaveOptions::default())
    }

    /// [`TextClassifier::save`] with options.
    ///
    /// # Errors
    /// As there.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &SaveOptions) -> Result<()> {
        let mut writer = TensorWriter::with_options(*options);
        self.write(&mut writer)?;
        writer.save(path)
    }

    /// Adds everything to a file that is being written.
    ///
    /// # Errors
    /// As [`TensorWriter::tensor`].
    pub fn write<'a>(&'a self, writer: &mut TensorWriter<'a>) -> Result<()> {
        let c = &self.config;
        // By key; names need no escapes, and dropout is a finite number.
        let config = try_format(format_args!(
            "{{\"bidirectional\":{},\"cell\":\"{}\",\"dropout\":{:?},\"embedding_dim\":{},\"format\":\"{FORMAT}\",\
             \"hidden_size\":{},\"max_tokens\":{},\"multi_label\":{},\"num_layers\":{},\"pooling\":\"{}\",\
             \"version\":{VERSION}}}",
            c.bidirectional,
            c.cell.name(),
            f64::from(c.dropout),
            c.embedding_dim,
            c.hidden_size,
            c.max_tokens.unwrap_or(0),
            c.labels == LabelMode::Multi,
            c.num_layers,
            c.pooling.name(),
        ))?;
        writer.metadata("config", &config)?;
        writer.metadata("labels", &json::to_text(|out| json::value(out, self.labels()))?)?;
        writer.metadata("vocab", &self.vocab().to_text()?)?;
        self.embedding.write_params(writer, "embedding.")?;
        self.rnn.write_params(writer, "rnn.")?;
        self.dense.write_params(writer, "dense.")
    }

    /// Reads a file that [`TextClassifier::save`] wrote, with the strict defaults.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`] and [`TextClassifier::read`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(&TensorFile::open(path)?, &LoadOptions::default())
    }

    /// The classifier in an opened file, or one in memory.
    ///
    /// # Errors
    /// `InvalidData` for a file that is no classifier's, a newer version, metadata that makes no sense and, unless
    /// `options` allow them, weights that are not finite and tensors that stay unused; `NotFound` and `ShapeMismatch` for
    /// tensors that are missing or have other shapes than the metadata say; `OutOfMemory`. The tensors that are there bound
    /// the memory that is taken.
    pub fn read(file: &TensorFile, options: &LoadOptions) -> Result<Self> {
        let (config, labels, vocab) = described(file).map_err(|e| file.named(&e))?;
        let senseless = |e: Error| match e.kind() {
            ErrorKind::InvalidArgument | ErrorKind::SizeOverflow => {
                file.named(&err!(InvalidData, "the metadata make no classifier: {}", e.message()))
            }
            _ => e,
        };
        // What the metadata claim must be there before memory is taken for it.
        let embedding = embedding_parts([vocab.len(), config.embedding_dim], file, "embedding.", options)?;
        let rnn = rnn_parts(&config.rnn(), file, "rnn.", options).map_err(senseless)?;
        let shape = [labels.len(), config.pooled_size()];
        let dense = dense_parts(shape, true, file, "dense.", options)?;
        if !options.allow_unused {
            // A checkpoint of training may lie beside it; what lies under its modules' names has been looked at but for
            // modules below.
            let known = ["embedding.weight", "dense.weight", "dense.bias"];
            let other = |name: &str| {
                let own = name.strip_prefix("rnn.").is_some_and(|rest| !rest.contains('.'));
                !own && !known.contains(&name) && !name.starts_with("optimizer.") && !name.starts_with("trainer.")
            };
            expect_none_unused(file, "", other)?;
        }
        let mut model = Self::zeroed(&config, vocab, labels).map_err(senseless)?;
        model.embedding.take(&embedding)?;
        model.rnn.take(&rnn)?;
        model.dense.take(&dense)?;
        Ok(model)
    }
}

/// What the metadata say.
fn described(file: &TensorFile) -> Result<(ClassifierConfig, Vec<String>, Vocab)> {
    let text = |key: &str| {
        file.metadata(key).ok_or_else(|| err!(InvalidData, "not a text classifier: the metadata has no entry '{key}'"))
    };
    let config = parse_config(text("config")?)?;
    let labels: Vec<String> = serde_json::from_str(text("labels")?)
        .map_err(|e| err!(InvalidData, "the metadata entry 'labels' is no list of texts: {}", JsonFault(&e)))?;
    let vocab = Vocab::from_text(text("vocab")?).map_err(|e| e.context(format_args!("the metadata entry 'vocab'")))?;
    Ok((config, labels, vocab))
}

fn parse_config(text: &str) -> Result<ClassifierConfig> {
    let config: Map<String, Value> = serde_json::from_str(text)
        .map_err(|e| err!(InvalidData, "the metadata entry 'config' is no JSON object: {}", JsonFault(&e)))?;
    let wrong = |key: &str, expected: &str| {
        let found = config.get(key).map_or_else(|| "nothing".to_owned(), Value::to_string);
        err!(InvalidData, "config '{key}' is {}, expected {expected}", Excerpt(&found, 60))
    };
    let string = |key: &str| config.get(key).and_then(Value::as_str).ok_or_else(|| wrong(key, "a text"));
    let flag = |key: &str| config.get(key).and_then(Value::as_bool).ok_or_else(|| wrong(key, "true or false"));
    let size = |key: &str| {
        let value = config.get(key).and_then(Value::as_u64).and_then(|v| u32::try_from(v).ok());
        value.map(|v| v as usize).ok_or_else(|| wrong(key, "a size below 2^32"))
    };
    ensure!(string("format")? == FORMAT, InvalidData, "{}", wrong("format", FORMAT));
    let version = config.get("version").and_then(Value::as_u64);
    ensure!(version == Some(VERSION), InvalidData, "{}", wrong("version", "2"));
    let dropout = config.get("dropout").and_then(Value::as_f64).ok_or_else(|| wrong("dropout", "a number"))?;
    Ok(ClassifierConfig {
        cell: Cell::from_name(string("cell")?).map_err(|e| err!(InvalidData, "{e}"))?,
        embedding_dim: size("embedding_dim")?,
        hidden_size: size("hidden_size")?,
        num_layers: size("num_layers")?,
        bidirectional: flag("bidirectional")?,
        pooling: Pooling::from_name(string("pooling")?).map_err(|e| err!(InvalidData, "{e}"))?,
        dropout: dropout as f32,
        labels: if flag("multi_label")? { LabelMode::Multi } else { LabelMode::Single },
        max_tokens: match config.contains_key("max_tokens") {
            true => Some(size("max_tokens")?).filter(|&n| n > 0),
            false => None,
        },
    })
}
