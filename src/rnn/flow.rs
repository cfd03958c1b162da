//! Gradient flow: the numbers behind vanishing and exploding gradients (Pascanu, Mikolov and Bengio 2013).

use super::config::RnnConfig;
use super::history::Strides;
use super::model::Rnn;
use super::tape::Tape;
use crate::buffer::{AlignedBuf, try_grow};
use crate::error::{Result, ensure, product};
use crate::kernel::cell::{Activation, MOST_SLOTS};
use crate::kernel::panel::{Geometry, slot_value};

/// Share of a gate's activations that sit near its limits, over all steps and sequences of a tape (the shares that
/// Karpathy, Johnson and Fei-Fei 2015 plot).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Saturation {
    /// Below 0.1 for a sigmoid, below -0.9 for a tanh, 0 for a relu.
    pub low: f32,
    /// Above 0.9; always 0 for a relu.
    pub high: f32,
}

/// What backward can tell about how gradients flow; filled by [`Rnn::backward`].
///
/// ```
/// # use simdrnn::rnn::{BackwardArgs, Batch, Cell, DropoutPosition, ForwardArgs, Init, Rnn, RnnConfig, Session, Tape};
/// use simdrnn::rnn::GradientFlow;
/// # let mut rnn = Rnn::new(&RnnConfig::new(Cell::ElmanTanh, 1, 4))?;
/// # rnn.init(Init::TorchUniform, 3)?;
/// # let (mut session, mut tape) = (Session::new(), Tape::new());
/// # let batch = Batch::new(1, 6);
/// # let args = ForwardArgs { x: &[0.5; 6], ..ForwardArgs::default() };
/// # rnn.forward_train(&mut session, &mut tape, &batch, args, DropoutPosition::default())?;
///
/// // After a forward_train of 6 steps: a gradient that enters at the last one.
/// let mut flow = GradientFlow::new();
/// let args = BackwardArgs { dhn: Some(&[1.0; 4]), ..BackwardArgs::default() };
/// rnn.backward(&mut session, &tape, args, None, Some(&mut flow))?;
/// let norms = flow.state_norms(0)?;
/// assert!(norms.len() == 6 && norms[0] < norms[5]); // it vanishes on its way back
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Default)]
pub struct GradientFlow {
    passes: usize,
    steps: usize,
    gates: usize,
    has_cells: bool,
    /// For each pass, a norm for each step of the hidden states' gradients, then, for LSTM, of the cell states'.
    norms: AlignedBuf<f64>,
    singular: AlignedBuf<f64>,
    saturation: Vec<Saturation>,
    work: AlignedBuf<f64>,
}

/// Norms of a pass over `steps` steps.
pub(super) fn norms_per_pass(config: &RnnConfig, steps: usize) -> usize {
    steps * if config.cell.has_cell_state() { 2 } else { 1 }
}

impl GradientFlow {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes (layer times directions plus direction) that were measured.
    pub fn passes(&self) -> usize {
        self.passes
    }

    /// Time steps that were measured.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Gates per pass, in PyTorch's order.
    pub fn gates(&self) -> usize {
        self.gates
    }

    /// For each time step the Euclidean norm, over the batch and the features, of the loss's gradient with respect to
    /// the hidden state `h_t` of `pass`: from `y`, from layers above and through time. Zero past all sequences' ends.
    pub fn state_norms(&self, pass: usize) -> Result<&[f64]> {
        self.check(pass, 0)?;
        Ok(self.norms_of(pass).0)
    }

    /// As [`GradientFlow::state_norms`], with respect to an LSTM's cell state `c_t`: from `h_t` and through time. That is
    /// the path on which an LSTM carries gradients far: from step to step it shrinks by the forget gate alone.
    pub fn cell_norms(&self, pass: usize) -> Result<&[f64]> {
        self.check(pass, 0)?;
        ensure!(
            self.has_cells,
            InvalidArgument,
            "norms of cell states are asked for, but only an LSTM has cell states"
        );
        Ok(self.norms_of(pass).1)
    }

    fn norms_of(&self, pass: usize) -> (&[f64], &[f64]) {
        let per_pass = self.norms.len() / self.passes;
        self.norms[pass * per_pass..][..per_pass].split_at(self.steps)
    }

    /// The largest singular value of a gate's recurrent matrix. For Elman with tanh, below 1 gradients must vanish
    /// over time, and above 1 they can explode.
    pub fn largest_singular_value(&self, pass: usize, gate: usize) -> Result<f64> {
        self.check(pass, gate)?;
        Ok(self.singular[pass * self.gates + gate])
    }

    /// How saturated a gate is.
    pub fn saturation(&self, pass: usize, gate: usize) -> Result<Saturation> {
        self.check(pass, gate)?;
        Ok(self.saturation[pass * self.gates + gate])
    }

    fn check(&self, pass: usize, gate: usize) -> Result<()> {
        ensure!(self.passes > 0, InvalidState, "nothing has been measured, expected a backward call with this first");
        ensure!(pass < self.passes, InvalidArgument, "pass {pass}, expected less than {}", self.passes);
        ensure!(gate < self.gates, InvalidArgument, "gate {gate}, expected less than {}", self.gates);
        Ok(())
    }

    /// Makes room for measurements, and forgets those there were. After an error nothing has changed.
    pub(crate) fn reserve(&mut self, config: &RnnConfig, steps: usize) -> Result<()> {
        let (passes, gates) = (config.passes(), config.cell.gates());
        let all = product("gradient norms", &[passes, norms_per_pass(config, steps)])?;
        let (matrices, work) = (passes * gates, config.state_size() + config.hidden_size);
        let norms = self.norms.grown(all)?;
        let singular = self.singular.grown(matrices)?;
        let more = self.work.grown(work)?;
        try_grow(&mut self.saturation, matrices, Saturation::default)?;
        self.norms.adopt(norms, all);
        self.singular.adopt(singular, matrices);
        self.work.adopt(more, work);
        self.norms.fill(0.0);
        (self.passes, self.steps, self.gates) = (passes, steps, gates);
        self.has_cells = config.cell.has_cell_state();
        Ok(())
    }

    pub(crate) fn norms_mut(&mut self) -> &mut [f64] {
        &mut self.norms
    }

    /// Singular values and saturation, of the weights and the tape that backward has just used.
    pub(crate) fn measure(&mut self, rnn: &Rnn, tape: &Tape) {
        let config = rnn.config();
        for pass in 0..self.passes {
            let spec = rnn.pass_params(pass).weight_hh;
            let matrices = rnn.values()[spec.range()].chunks_exact(config.hidden_size * spec.cols);
            for (gate, matrix) in matrices.enumerate() {
                self.singular[pass * self.gates + gate] = largest_singular_value(matrix, spec.cols, &mut self.work);
            }
            for gate in 0..self.gates {
                self.saturation[pass * self.gates + gate] = saturation(rnn, tape, pass, gate);
            }
        }
    }
}

/// Power iteration on the transpose times the matrix, in f64, until the value stands still.
fn largest_singular_value(matrix: &[f32], cols: usize, work: &mut [f64]) -> f64 {
    let (v, u) = work.split_at_mut(cols);
    // Unequal entries, so that the start is orthogonal to no vector that a structured matrix is likely to have.
    v.iter_mut().enumerate().for_each(|(i, x)| *x = 1.0 + 0.5 * ((i % 7) as f64) / 7.0);
    let normalize = |x: &mut [f64]| {
        let norm = x.iter().fold(0.0, |s, v| s + v * v).sqrt();
        if norm > 0.0 {
            x.iter_mut().for_each(|v| *v /= norm);
        }
        norm
    };
    normalize(v);
    let mut value = 0.0;
    for _ in 0..500 {
        for (row, out) in matrix.chunks_exact(cols).zip(u.iter_mut()) {
            *out = row.iter().zip(v.iter()).fold(0.0, |s, (&m, x)| s + f64::from(m) * x);
        }
        let next = u.iter().fold(0.0, |s, x| s + x * x).sqrt();
        v.fill(0.0);
        for (row, scale) in matrix.chunks_exact(cols).zip(u.iter()) {
            v.iter_mut().zip(row).for_each(|(x, &m)| *x += scale * f64::from(m));
        }
        if normalize(v) == 0.0 || (next - value).abs() <= 1e-12 * next {
            return next;
        }
        value = next;
    }
    value
}

/// Counts a gate's activations near their limits, from the recorded pre-activations.
fn saturation(rnn: &Rnn, tape: &Tape, pass: usize, gate: usize) -> Saturation {
    let (config, plan, history) = (rnn.config(), &tape.plan, &tape.histories[pass]);
    let lanes = Geometry::of(rnn.isa()).lanes;
    let (cell, strides) = (config.cell.properties(), Strides::of(config, lanes));
    // sigmoid(a) > 0.9 is a > ln 9; tanh(a) > 0.9 is a > atanh(0.9).
    const SIGMOID: f32 = 2.197_224_6;
    const TANH: f32 = 1.472_219_5;
    let (mut low, mut high) = (0usize, 0usize);
    for row in history.pre.chunks_exact(strides.pre).take(plan.rows) {
        for unit in 0..config.hidden_size {
            let mut slots = [0.0; MOST_SLOTS];
            for (slot, v) in slots.iter_mut().enumerate().take(cell.slots) {
                *v = row[slot_value(lanes, cell.slots, unit, slot)];
            }
            let a = (cell.pre_activation)(gate, slots);
            let (is_low, is_high) = match cell.activations[gate] {
                Activation::Sigmoid => (a < -SIGMOID, a > SIGMOID),
                Activation::Tanh => (a < -TANH, a > TANH),
                Activation::Relu => (a <= 0.0, false),
            };
            low += usize::from(is_low);
            high += usize::from(is_high);
        }
    }
    let total = (plan.rows * config.hidden_size).max(1) as f32;
    Saturation { low: low as f32 / total, high: high as f32 / total }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_values_of_known_matrices() {
        let mut work = [0.0; 8];
        // A rotation times diag(3, 1), and a matrix of rank one.
        let (c, s) = (0.6f32, 0.8f32);
        let m = [3.0 * c, -s, 3.0 * s, c];
        // The entries 0.6 and 0.8 are rounded to f32.
        assert!((largest_singular_value(&m, 2, &mut work[..4]) - 3.0).abs() < 1e-6);
        let rank_one: Vec<f32> = [1.0f32, 2.0, 2.0].iter().flat_map(|a| [a * 2.0, a * 1.0]).collect();
        assert!((largest_singular_value(&rank_one, 2, &mut work[..5]) - 3.0 * 5f64.sqrt()).abs() < 1e-9);
        assert_eq!(largest_singular_value(&[0.0; 4], 2, &mut work[..4]), 0.0);
    }
}
