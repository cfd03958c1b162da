//! The trainer's steps beside a plain trainer in f64: losses, norms, counts and all weights after each of several steps, with
//! dropout, clipping, texts of different lengths, both losses, all poolings, trained and frozen embeddings.
#![cfg(feature = "text")]

mod common;

use common::masks::Mask;
use common::reference::nn::{Reduction, bce_with_logits, cross_entropy, dense_backward, dense_forward};
use common::reference::{Cotangents, Inputs, Weights, backward, forward};
use common::relative_error;
use simdrnn::io::safetensors::{Finite, TensorFile};
use simdrnn::nn::{AdamConfig, Dropout, OptimizerConfig, SgdConfig};
use simdrnn::rnn::{Cell, Direction, DropoutPosition, RnnConfig, Session};
use simdrnn::text::{
    ClassifierConfig, Dataset, DatasetOptions, LabelMode, Pooling, TextClassifier, Trainer, TrainerConfig, VocabOptions,
};

const DROPOUT: f32 = 0.3;
const SEED: u64 = 0x1234_5678_9ABC;
const STEPS: usize = 6;
const EXAMPLES: u32 = 8;

/// Everything that is trained, each a tensor: embedding, recurrent layers, dense weight, dense bias.
type Params = [Vec<f64>; 4];

/// The weights of a model, as its file has them.
fn weights(model: &TextClassifier, rnn: &RnnConfig, file: &std::path::Path) -> Params {
    model.save(file).unwrap();
    let file = TensorFile::open(file).unwrap();
    let read = |name: &str| {
        let shape = file.shape(name).unwrap().to_vec();
        let mut values = vec![0.0; shape.iter().product()];
        file.read_f32(name, &shape, Finite::Required, &mut values).unwrap();
        values.into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    let layers = rnn.param_specs().unwrap().iter().flat_map(|spec| read(&format!("rnn.{spec}"))).collect();
    [read("embedding.weight"), layers, read("dense.weight"), read("dense.bias")]
}

/// The optimizer's rule, as its paper has it, for one tensor.
#[derive(Clone, Default)]
struct Moments {
    first: Vec<f64>,
    second: Vec<f64>,
}

fn update(rule: &OptimizerConfig, step: i32, state: &mut Moments, p: &mut [f64], g: &[f64]) {
    let is_first = state.first.is_empty();
    state.first.resize(p.len(), 0.0);
    state.second.resize(p.len(), 0.0);
    for i in 0..p.len() {
        let (m, v) = (&mut state.first[i], &mut state.second[i]);
        match rule {
            OptimizerConfig::Sgd(c) => {
                *m = if is_first { g[i] } else { c.momentum * *m + g[i] };
                p[i] -= c.lr * *m;
            }
            OptimizerConfig::Adam(c) => {
                *m = c.betas[0] * *m + (1.0 - c.betas[0]) * g[i];
                *v = c.betas[1] * *v + (1.0 - c.betas[1]) * g[i] * g[i];
                let unbiased = |x: f64, beta: f64| x / (1.0 - beta.powi(step));
                p[i] -= c.lr * unbiased(*m, c.betas[0]) / (unbiased(*v, c.betas[1]).sqrt() + c.eps);
            }
            _ => unreachable!("not among the cases"),
        }
    }
}

/// The trainer in f64.
struct Plain<'a> {
    config: &'a ClassifierConfig,
    rnn: RnnConfig,
    training: &'a TrainerConfig,
    frozen: bool,
    params: Params,
    moments: [Moments; 4],
    step: u64,
}

struct Found {
    loss: f64,
    norm: f64,
    correct: usize,
}

impl Plain<'_> {
    fn step(&mut self, texts: &[&[u32]], targets: &[&[u32]], classes: usize) -> Found {
        let c = self.config;
        let (batch, dim, hidden) = (texts.len(), c.embedding_dim, c.hidden_size);
        let directions = self.rnn.direction.count();
        let size = directions * hidden;
        let seed = self.training.seed ^ self.step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let drop = Dropout::new(f64::from(c.dropout), seed).unwrap();
        let kept = |position: usize| f64::from(drop.keep_scale(position as u64));
        let of_token = |b: usize, t: usize, j: usize| kept(((b + 1) << 32) + t * dim + j);
        let mask = Mask { position: DropoutPosition { seed, ..DropoutPosition::default() }, p: c.dropout };
        let between = |layer: usize, t: usize, b: usize, feature: usize| mask.factor(layer, t, b, feature);

        let lengths: Vec<usize> = texts.iter().map(|t| t.len()).collect();
        let steps = *lengths.iter().max().unwrap();
        let mut x = vec![0.0; steps * batch * dim];
        for (b, text) in texts.iter().enumerate() {
            for (t, &word) in text.iter().enumerate() {
                for j in 0..dim {
                    x[(t * batch + b) * dim + j] = self.params[0][word as usize * dim + j] * of_token(b, t, j);
                }
            }
        }
        let layers = Weights { values: self.params[1].clone() };
        let inputs = Inputs { lengths: Some(&lengths), dropout: Some(&between), ..Inputs::new(&x, batch, steps) };
        let out = forward(&self.rnn, &layers, &inputs);

        // Pooling, and where each maximum was found.
        let y = |b: usize, t: usize, i: usize| out.y[(t * batch + b) * size + i];
        let last_pass = |d: usize| self.rnn.passes() - directions + d;
        let mut pooled = vec![0.0; batch * size];
        let mut best = vec![0; batch * size];
        for b in 0..batch {
            for i in 0..size {
                let value = &mut pooled[b * size + i];
                match c.pooling {
                    Pooling::Last => *value = out.hn[(last_pass(i / hidden) * batch + b) * hidden + i % hidden],
                    Pooling::Mean => *value = (0..lengths[b]).map(|t| y(b, t, i)).sum::<f64>() / lengths[b] as f64,
                    Pooling::Max => {
                        let at = (0..lengths[b]).reduce(|a, t| if y(b, t, i) > y(b, a, i) { t } else { a }).unwrap();
                        (*value, best[b * size + i]) = (y(b, at, i), at);
                    }
                    other => unreachable!("{} is not among the cases", other.name()),
                }
            }
        }
        let dropped: Vec<f64> = pooled.iter().enumerate().map(|(i, v)| v * kept(i)).collect();
        let logits = dense_forward(&dropped, &self.params[2], Some(&self.params[3]), size);

        let rows = logits.chunks_exact(classes).zip(targets);
        let (loss, dlogits, correct) = match c.labels {
            LabelMode::Single => {
                let wanted: Vec<i64> = targets.iter().map(|t| i64::from(t[0])).collect();
                let (loss, dlogits) = cross_entropy(&logits, &wanted, classes, None, None, Reduction::Mean);
                let right = |(row, t): &(&[f64], &&[u32])| row.iter().all(|v| *v <= row[t[0] as usize]);
                (loss, dlogits, rows.filter(right).count())
            }
            LabelMode::Multi => {
                let flag = |(t, k): (&&[u32], usize)| if t.contains(&(k as u32)) { 1.0 } else { 0.0 };
                let flags: Vec<f64> = targets.iter().flat_map(|t| (0..classes).map(move |k| flag((t, k)))).collect();
                let (loss, dlogits) = bce_with_logits(&logits, &flags, Reduction::Mean);
                let right = |(row, t): &(&[f64], &&[u32])| {
                    row.iter().enumerate().all(|(k, v)| (*v > 0.0) == t.contains(&(k as u32)))
                };
                (loss, dlogits, rows.filter(right).count())
            }
        };

        let dense = dense_backward(&dropped, &self.params[2], size, &dlogits);
        let dpooled: Vec<f64> = dense.x.iter().enumerate().map(|(i, d)| d * kept(i)).collect();
        let (mut dy, mut dhn) = (vec![0.0; out.y.len()], vec![0.0; out.hn.len()]);
        for b in 0..batch {
            for i in 0..size {
                let d = dpooled[b * size + i];
                match c.pooling {
                    Pooling::Last => dhn[(last_pass(i / hidden) * batch + b) * hidden + i % hidden] = d,
                    Pooling::Mean => {
                        (0..lengths[b]).for_each(|t| dy[(t * batch + b) * size + i] = d / lengths[b] as f64);
                    }
                    Pooling::Max => dy[(best[b * size + i] * batch + b) * size + i] = d,
                    other => unreachable!("{} is not among the cases", other.name()),
                }
            }
        }
        let g = backward(&self.rnn, &layers, &inputs, &Cotangents { dy: Some(&dy), dhn: Some(&dhn), dcn: None });
        let mut table = vec![0.0; self.params[0].len()];
        for (b, text) in texts.iter().enumerate() {
            for (t, &word) in text.iter().enumerate() {
                for j in 0..dim {
                    table[word as usize * dim + j] += g.x[(t * batch + b) * dim + j] * of_token(b, t, j);
                }
            }
        }

        let mut gradients = [table, g.weights, dense.weight, dense.bias];
        if self.frozen {
            gradients[0].fill(0.0);
        }
        let norm = gradients.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
        let factor = (self.training.clip_norm / (norm + 1e-6)).min(1.0);
        self.step += 1;
        for (i, g) in gradients.iter_mut().enumerate().filter(|(i, _)| !(self.frozen && *i == 0)) {
            g.iter_mut().for_each(|g| *g *= factor);
            update(&self.training.optimizer, self.step as i32, &mut self.moments[i], &mut self.params[i], g);
        }
        Found { loss, norm, correct }
    }
}

/// Labels and texts, of which each step takes a few; lengths from 1 to 9.
fn data(mode: LabelMode) -> (Dataset, simdrnn::text::Vocab) {
    let labels = match mode {
        LabelMode::Single => ["a", "b", "c", "a", "b", "c", "a", "b"],
        LabelMode::Multi => ["a", "b", "a,c", "b,c", "a,b,c", "c", "a,b", "b"],
    };
    let texts = ["x y z", "y", "z x x w y q z w x", "w q", "x x y y q", "q w z y", "z", "y x w q w x"];
    let lines: String = labels.iter().zip(texts).map(|(l, t)| format!("{l}\t{t}\n")).collect();
    let options = DatasetOptions { mode, ..DatasetOptions::default() };
    Dataset::train_from(lines.as_bytes(), "texts", &options, &VocabOptions::default()).unwrap()
}

#[test]
fn steps_are_those_of_the_equations() {
    // The last step's weights have been through six roundings of half a unit (3.6e-7 of the largest weight at worst), and
    // gradients of a few 1e-7 relative times a learning rate.
    const WEIGHTS: f64 = 6e-7;
    const NUMBERS: f64 = 5e-7;
    let file = std::env::temp_dir().join(format!("simdrnn-trainer-reference-{}", std::process::id()));
    let (mut worst_weights, mut worst_numbers, mut clipped, mut steps) = (0f64, 0f64, 0, 0);
    let optimizers = [
        OptimizerConfig::Sgd(SgdConfig { lr: 0.5, momentum: 0.9, ..SgdConfig::default() }),
        // An eps that no gradient's rounding shines through.
        OptimizerConfig::Adam(AdamConfig { lr: 0.02, eps: 1e-2, ..AdamConfig::default() }),
    ];
    let mut rights = Vec::new();
    for labels in [LabelMode::Single, LabelMode::Multi] {
        for (case, pooling) in [Pooling::Last, Pooling::Mean, Pooling::Max].into_iter().enumerate() {
            for (o, optimizer) in optimizers.into_iter().enumerate() {
                for frozen in [false, true] {
                    let cell = [Cell::Lstm, Cell::Gru, Cell::ElmanTanh][(case + o) % 3];
                    let bidirectional = case != 1;
                    let config = ClassifierConfig {
                        cell,
                        embedding_dim: 5,
                        hidden_size: 7,
                        num_layers: 3,
                        bidirectional,
                        pooling,
                        labels,
                        dropout: DROPOUT,
                        ..ClassifierConfig::default()
                    };
                    let what = format!("{labels:?} {pooling:?} {} {} frozen {frozen}", optimizer.name(), cell.name());
                    let mut rnn = RnnConfig::new(cell, 5, 7);
                    rnn.num_layers = 3;
                    rnn.direction = if bidirectional { Direction::Bidirectional } else { Direction::Forward };
                    let training = TrainerConfig { optimizer, clip_norm: 0.25, seed: SEED, ..TrainerConfig::default() };
                    let (data, vocab) = data(labels);
                    let mut model = TextClassifier::new(&config, vocab, data.labels().to_vec(), 5).unwrap();
                    model.embedding_mut().set_frozen(frozen);
                    let mut trainer = Trainer::new(&model, &training, Session::new()).unwrap();
                    let params = weights(&model, &rnn, &file);
                    let mut plain = Plain {
                        config: &config,
                        rnn: rnn.clone(),
                        training: &training,
                        frozen,
                        params,
                        moments: Default::default(),
                        step: 0,
                    };
                    for step in 0..STEPS as u32 {
                        let batch: Vec<u32> = (0..3 + step % 3).map(|i| (3 * step + 5 * i) % EXAMPLES).collect();
                        let texts: Vec<&[u32]> = batch.iter().map(|&i| data.tokens(i as usize)).collect();
                        let targets: Vec<&[u32]> = batch.iter().map(|&i| data.targets(i as usize)).collect();
                        let want = plain.step(&texts, &targets, data.labels().len());
                        let got = trainer.step(&mut model, &data, &batch).unwrap();
                        let off = |got: f64, want: f64| (got - want).abs() / want.abs();
                        let numbers = off(got.loss, want.loss).max(off(got.grad_norm, want.norm));
                        worst_numbers = worst_numbers.max(numbers);
                        assert!(numbers <= NUMBERS, "{what}, step {step}: {numbers:e} relative");
                        assert_eq!(got.correct, want.correct, "{what}, step {step}");
                        rights.push(got.correct as f64 / batch.len() as f64);
                        let found = weights(&model, &rnn, &file);
                        for (name, (found, want)) in ["embedding", "rnn", "dense.weight", "dense.bias"]
                            .iter()
                            .zip(found.iter().zip(&plain.params))
                        {
                            let error = relative_error(found, want);
                            worst_weights = worst_weights.max(error);
                            assert!(error <= WEIGHTS, "{what}, step {step}: {name} {error:e} relative");
                        }
                        clipped += usize::from(want.norm > training.clip_norm);
                        steps += 1;
                    }
                }
            }
        }
    }
    let _ = std::fs::remove_file(&file);
    println!(
        "{steps} steps, {clipped} clipped: numbers within {worst_numbers:.1e}, weights within {worst_weights:.1e}"
    );
    assert!(clipped > steps / 8 && clipped < steps, "clipping is to act in some steps: {clipped} of {steps}");
    assert!(rights.iter().any(|&r| r > 0.0) && rights.iter().any(|&r| r < 1.0), "counts that tell nothing");
}
