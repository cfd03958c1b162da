//! The f64 reference's gradients against central differences of its forward pass, on random shapes.

mod common;

use common::random::SplitMix64;
use common::reference::{Cotangents, Gradients, Inputs, Weights, backward, forward};
use simdrnn::rnn::{Cell, Direction, RnnConfig};

/// A random layer with everything that can be differentiated.
struct Problem {
    config: RnnConfig,
    batch: usize,
    seq_len: usize,
    lengths: Option<Vec<usize>>,
    /// (layer, time, batch, feature) of the factors, empty without dropout.
    mask: Vec<f64>,
    weights: Weights,
    x: Vec<f64>,
    h0: Vec<f64>,
    c0: Vec<f64>,
    dy: Vec<f64>,
    dhn: Vec<f64>,
    dcn: Vec<f64>,
}

/// The tensors a loss is differentiated by.
#[derive(Clone, Copy, Debug)]
enum Wrt {
    X,
    H0,
    C0,
    Weights,
}

impl Problem {
    fn random(r: &mut SplitMix64, cell: Cell, direction: Direction, ragged: bool, dropout: bool, proj: bool) -> Self {
        let mut config = RnnConfig::new(cell, r.between(1, 4), r.between(2, 4));
        config.direction = direction;
        config.num_layers = if dropout { r.between(2, 3) } else { r.between(1, 2) };
        config.bias = r.between(0, 3) > 0;
        config.proj_size = if proj { r.between(1, config.hidden_size - 1) } else { 0 };
        let (batch, seq_len) = (r.between(2, 3), r.between(2, 5));
        let lengths = ragged.then(|| {
            let mut lengths: Vec<usize> = (0..batch).map(|_| r.between(1, seq_len)).collect();
            lengths[r.between(0, batch - 1)] = 0;
            lengths
        });
        let keep = |r: &mut SplitMix64| if r.between(0, 2) == 0 { 0.0 } else { 1.5 };
        let mask_len = if dropout { config.num_layers * seq_len * batch * config.output_size() } else { 0 };
        let weights = config.param_specs().unwrap().last().unwrap().range().end;
        let (y, h) = (seq_len * batch * config.output_size(), config.passes() * batch * config.state_size());
        let c = if cell.has_cell_state() { config.passes() * batch * config.hidden_size } else { 0 };
        Self {
            batch,
            seq_len,
            lengths,
            mask: (0..mask_len).map(|_| keep(r)).collect(),
            weights: Weights { values: r.values(weights, 0.8) },
            x: r.values(seq_len * batch * config.input_size, 1.0),
            h0: r.values(h, 1.0),
            c0: r.values(c, 1.0),
            dy: r.values(y, 1.0),
            dhn: r.values(h, 1.0),
            dcn: r.values(c, 1.0),
            config,
        }
    }

    fn tensor(&mut self, wrt: Wrt) -> &mut Vec<f64> {
        match wrt {
            Wrt::X => &mut self.x,
            Wrt::H0 => &mut self.h0,
            Wrt::C0 => &mut self.c0,
            Wrt::Weights => &mut self.weights.values,
        }
    }

    fn with_inputs<R>(&self, run: impl FnOnce(&Inputs<'_>) -> R) -> R {
        let factor = |layer: usize, t: usize, b: usize, feature: usize| {
            assert!(layer + 1 < self.config.num_layers, "dropout of the last layer's output");
            self.mask[((layer * self.seq_len + t) * self.batch + b) * self.config.output_size() + feature]
        };
        run(&Inputs {
            x: &self.x,
            batch: self.batch,
            seq_len: self.seq_len,
            lengths: self.lengths.as_deref(),
            h0: Some(&self.h0),
            c0: Some(&self.c0),
            dropout: if self.mask.is_empty() { None } else { Some(&factor) },
        })
    }

    fn loss(&self) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let out = self.with_inputs(|inputs| forward(&self.config, &self.weights, inputs));
        dot(&out.y, &self.dy) + dot(&out.hn, &self.dhn) + dot(&out.cn, &self.dcn)
    }

    fn gradients(&self) -> Gradients {
        let cotangents = Cotangents { dy: Some(&self.dy), dhn: Some(&self.dhn), dcn: Some(&self.dcn) };
        self.with_inputs(|inputs| backward(&self.config, &self.weights, inputs, &cotangents))
    }

    fn loss_at(&mut self, wrt: Wrt, index: usize, shift: f64) -> f64 {
        let value = self.tensor(wrt)[index];
        self.tensor(wrt)[index] = value + shift;
        let loss = self.loss();
        self.tensor(wrt)[index] = value;
        loss
    }

    /// Smooth cells: the five-point rule at 2^-10, whose truncation error is 2^-40 / 30 = 3e-14 times the fifth
    /// derivative and whose rounding error is about 1e-15 / 2^-10 = 1e-12 times the loss. Relu is piecewise polynomial:
    /// a step of 2^-20 with the three-point rule makes a kink within reach improbable (the data is fixed, so a kink
    /// would show every time), and leaves 1e-12 times the third derivative and 1e-9 times the loss.
    fn difference(&mut self, wrt: Wrt, index: usize) -> f64 {
        if self.config.cell == Cell::ElmanRelu {
            let e = (-20f64).exp2();
            return (self.loss_at(wrt, index, e) - self.loss_at(wrt, index, -e)) / (2.0 * e);
        }
        let e = (-10f64).exp2();
        let near = self.loss_at(wrt, index, e) - self.loss_at(wrt, index, -e);
        let far = self.loss_at(wrt, index, 2.0 * e) - self.loss_at(wrt, index, -2.0 * e);
        (8.0 * near - far) / (12.0 * e)
    }
}

/// The errors of [`Problem::difference`] with a factor of 1000 (relu: 100) for derivatives and losses above 1, relative
/// to the tensor's largest gradient or to 1e-2 where all are smaller, because the rounding error does not shrink with
/// them.
fn bound(cell: Cell) -> f64 {
    if cell == Cell::ElmanRelu { 1e-7 } else { 1e-9 }
}

fn check(problem: &mut Problem, what: &str) -> f64 {
    let gradients = problem.gradients();
    let mut worst = 0.0f64;
    for (wrt, analytic) in
        [(Wrt::X, &gradients.x), (Wrt::H0, &gradients.h0), (Wrt::C0, &gradients.c0), (Wrt::Weights, &gradients.weights)]
    {
        assert_eq!(analytic.len(), problem.tensor(wrt).len(), "{what}, {wrt:?}");
        let scale = analytic.iter().fold(1e-2f64, |m, v| m.max(v.abs()));
        for (index, &found) in analytic.iter().enumerate() {
            let expected = problem.difference(wrt, index);
            let error = (found - expected).abs() / scale;
            assert!(
                error <= bound(problem.config.cell),
                "{what}, {wrt:?}[{index}]: gradient {found:e}, difference {expected:e}, relative error {error:e}"
            );
            worst = worst.max(error);
        }
    }
    worst
}

fn check_cell(cell: Cell, proj: bool) {
    let mut r = SplitMix64::new(1000 + cell as u64 + if proj { 100 } else { 0 });
    let mut worst = 0.0f64;
    for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
        for ragged in [false, true] {
            for dropout in [false, true] {
                for round in 0..3 {
                    let mut problem = Problem::random(&mut r, cell, direction, ragged, dropout, proj);
                    let what = format!("{} {direction:?} ragged {ragged} dropout {dropout} {round}", cell.name());
                    worst = worst.max(check(&mut problem, &what));
                }
            }
        }
    }
    println!("{} projection {proj}: worst relative error {worst:e}", cell.name());
}

#[test]
fn elman_tanh() {
    check_cell(Cell::ElmanTanh, false);
}

#[test]
fn elman_relu() {
    check_cell(Cell::ElmanRelu, false);
}

#[test]
fn lstm() {
    check_cell(Cell::Lstm, false);
}

#[test]
fn lstm_with_projection() {
    check_cell(Cell::Lstm, true);
}

#[test]
fn gru() {
    check_cell(Cell::Gru, false);
}

#[test]
fn gru_reset_before() {
    check_cell(Cell::GruResetBefore, false);
}
