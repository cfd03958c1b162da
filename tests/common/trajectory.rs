//! The golden trajectories: a small classifier trained in float64 by PyTorch. `tests/golden/make_trajectories.py` wrote
//! them and says what the model is.

use std::path::Path;

use serde_json::Value;
use simdrnn::rnn::{Cell, Direction, RnnConfig};

use super::golden::{File, files};

/// The model's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Params<T> {
    /// (vocab, embedding_dim); row 0 is padding, stays zero and has no gradient.
    pub embedding: Vec<T>,
    /// Flat, in the order of `config.param_specs()`.
    pub rnn: Vec<T>,
    /// (classes, 2 hidden).
    pub dense_weight: Vec<T>,
    pub dense_bias: Vec<T>,
}

/// One training run.
pub struct Trajectory {
    pub name: String,
    /// One bidirectional layer, batch_first.
    pub config: RnnConfig,
    /// sgd, sgd_momentum_nesterov, adam, adamw or rmsprop.
    pub optimizer: String,
    /// The optimizer's settings under PyTorch's names (lr, momentum, betas, ...).
    pub settings: Value,
    /// The global norm that gradients are clipped to.
    pub clip_norm: f64,
    pub vocab: usize,
    pub classes: usize,
    pub batch: usize,
    pub seq_len: usize,
    pub steps: usize,
    /// (steps, batch, seq_len), padded with 0.
    pub tokens: Vec<i64>,
    /// (steps, batch).
    pub lengths: Vec<usize>,
    /// (steps, batch).
    pub labels: Vec<i64>,
    /// The loss of each step's batch before its update.
    pub loss: Vec<f64>,
    /// The global norm of each step's gradients before clipping.
    pub grad_norm: Vec<f64>,
    pub before: Params<f32>,
    pub after: Params<f64>,
}

/// All trajectories, sorted by name.
pub fn all_trajectories() -> Vec<Trajectory> {
    let all: Vec<Trajectory> = files("trajectories").iter().map(|path| read(path)).collect();
    assert_eq!(all.len(), 15, "golden trajectories");
    all
}

fn read(path: &Path) -> Trajectory {
    let file = File::read(path);
    let [batch, seq_len, steps, vocab, classes] =
        ["batch", "seq_len", "steps", "vocab", "classes"].map(|key| file.size(key));
    let cell = Cell::from_name(file.config["cell"].as_str().unwrap()).unwrap();
    let mut config = RnnConfig::new(cell, file.size("embedding_dim"), file.size("hidden_size"));
    config.direction = Direction::Bidirectional;
    config.batch_first = true;
    let lengths = file.i64("lengths", &[steps, batch]);
    Trajectory {
        tokens: file.i64("tokens", &[steps, batch, seq_len]),
        lengths: lengths.into_iter().map(|n| usize::try_from(n).unwrap()).collect(),
        labels: file.i64("labels", &[steps, batch]),
        loss: file.f64("loss", &[steps]),
        grad_norm: file.f64("grad_norm", &[steps]),
        before: params(&file, "init.", &config, vocab, classes, File::f32),
        after: params(&file, "final.", &config, vocab, classes, File::f64),
        optimizer: file.config["optimizer"].as_str().unwrap().to_owned(),
        clip_norm: file.config["clip_norm"].as_f64().unwrap(),
        name: file.name,
        settings: file.config,
        config,
        vocab,
        classes,
        batch,
        seq_len,
        steps,
    }
}

fn params<T>(
    file: &File,
    prefix: &str,
    config: &RnnConfig,
    vocab: usize,
    classes: usize,
    read: fn(&File, &str, &[usize]) -> Vec<T>,
) -> Params<T> {
    let tensor = |name: &str, shape: &[usize]| read(file, &format!("{prefix}{name}"), shape);
    Params {
        embedding: tensor("embedding.weight", &[vocab, config.input_size]),
        rnn: file.params(&format!("{prefix}rnn."), config, read),
        dense_weight: tensor("dense.weight", &[classes, config.output_size()]),
        dense_bias: tensor("dense.bias", &[classes]),
    }
}
