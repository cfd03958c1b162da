//! The equations of the layers in f64, written like the papers: what every test compares with.
//!
//! Never fast, and not meant to be: every step allocates, every sequence runs alone. Misuse (a wrong length, a
//! configuration that [`RnnConfig::check`] refuses) panics.
//!
//! Everything is time-major: `x` is (time, batch, input), `y` (time, batch, directions * state), states (layers *
//! directions, batch, state or hidden). [`transpose_batch_first`] converts; `batch_first` of the configuration is not
//! read here. Neither is `dropout`, whose factors come with [`Inputs`], nor `flush_small_states`, which changes a state
//! by less than 2^-50.
//!
//! - [`cells`]: one step of each cell, forward and backward, with its equation and source
//! - [`params`]: the parameters of a pass, from and to the flat array
//! - [`nn`]: activations, losses and the dense layer

pub mod cells;
pub mod nn;
pub mod params;

use cells::{Step, step, step_backward};
use params::{PassParams, param_count};
use simdrnn::rnn::{Direction, RnnConfig};

/// The parameters of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// All values, in the order and at the offsets of [`RnnConfig::param_specs`].
    pub values: Vec<f64>,
}

impl Weights {
    /// The same values as `values`.
    pub fn from_f32(values: &[f32]) -> Self {
        Self { values: values.iter().map(|&v| f64::from(v)).collect() }
    }
}

/// The factor by which dropout scales an output of a layer before the next layer reads it, 0 or 1 / (1 - p): a function
/// of the layer whose output it is, the time step, the sequence and the feature of the concatenated output.
pub type DropoutFactor<'a> = &'a dyn Fn(usize, usize, usize, usize) -> f64;

/// What a stack reads.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// (time, batch, input). Values past a sequence's end are never read.
    pub x: &'a [f64],
    /// Number of sequences.
    pub batch: usize,
    /// Number of time steps.
    pub seq_len: usize,
    /// The length of each sequence, at most `seq_len`, in any order, 0 allowed; all `seq_len` if absent.
    pub lengths: Option<&'a [usize]>,
    /// (layers * directions, batch, state); zeros if absent.
    pub h0: Option<&'a [f64]>,
    /// (layers * directions, batch, hidden), for LSTM; zeros if absent.
    pub c0: Option<&'a [f64]>,
    /// Dropout between layers; none if absent. The output of the last layer is never scaled.
    pub dropout: Option<DropoutFactor<'a>>,
}

impl<'a> Inputs<'a> {
    /// Full-length sequences from zero states, no dropout.
    pub fn new(x: &'a [f64], batch: usize, seq_len: usize) -> Self {
        Self { x, batch, seq_len, lengths: None, h0: None, c0: None, dropout: None }
    }

    fn length(&self, sequence: usize) -> usize {
        self.lengths.map_or(self.seq_len, |lengths| lengths[sequence])
    }

    fn check(&self, config: &RnnConfig, weights: &Weights) {
        assert_eq!(weights.values.len(), param_count(config), "weights");
        assert_eq!(self.x.len(), self.seq_len * self.batch * config.input_size, "x");
        check_len("h0", self.h0, config.passes() * self.batch * config.state_size());
        check_len("c0", self.c0, cell_state_len(config, self.batch));
        if let Some(lengths) = self.lengths {
            assert_eq!(lengths.len(), self.batch, "lengths");
            assert!(lengths.iter().all(|&n| n <= self.seq_len), "a length is above seq_len {}", self.seq_len);
        }
    }
}

/// What a stack computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// (time, batch, directions * state); zero past a sequence's end.
    pub y: Vec<f64>,
    /// (layers * directions, batch, state): the state after the last step of each pass, of a sequence without steps
    /// the initial state.
    pub hn: Vec<f64>,
    /// (layers * directions, batch, hidden); empty unless an LSTM's.
    pub cn: Vec<f64>,
}

/// The derivatives of a loss with respect to the outputs; zeros where absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cotangents<'a> {
    /// Of the shape of `y`. Values past a sequence's end are never read.
    pub dy: Option<&'a [f64]>,
    /// Of the shape of `hn`.
    pub dhn: Option<&'a [f64]>,
    /// Of the shape of `cn`.
    pub dcn: Option<&'a [f64]>,
}

/// The derivatives of a loss with respect to everything that went in.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// Of the shape of `x`; zero past a sequence's end.
    pub x: Vec<f64>,
    /// Of the shape of `h0`.
    pub h0: Vec<f64>,
    /// Of the shape of `c0`; empty unless an LSTM's.
    pub c0: Vec<f64>,
    /// In the order and at the offsets of [`RnnConfig::param_specs`].
    pub weights: Vec<f64>,
    /// (layers * directions, time): the Euclidean norm, over batch and features, of the derivative with respect to
    /// `h_t` by every path: the outputs at `t`, the layers above, the later steps of the pass and the final state.
    /// Sequences count up to their ends.
    pub dh_norms: Vec<f64>,
    /// The same with respect to `c_t`; zero unless an LSTM's.
    pub dc_norms: Vec<f64>,
}

/// Runs the stack.
pub fn forward(config: &RnnConfig, weights: &Weights, inputs: &Inputs<'_>) -> Outputs {
    inputs.check(config, weights);
    let passes = PassParams::from_flat(config, &weights.values);
    let (batch, state) = (inputs.batch, config.state_size());
    let mut out = Outputs {
        y: vec![0.0; inputs.seq_len * batch * config.output_size()],
        hn: vec![0.0; config.passes() * batch * state],
        cn: vec![0.0; cell_state_len(config, batch)],
    };
    for b in 0..batch {
        let tape = run_sequence(config, &passes, inputs, b);
        for t in 0..inputs.length(b) {
            row_mut(&mut out.y, t * batch + b, config.output_size()).copy_from_slice(&tape.layer_output(
                config,
                config.num_layers - 1,
                t,
            ));
        }
        for (pass, end) in tape.ends.into_iter().enumerate() {
            row_mut(&mut out.hn, pass * batch + b, state).copy_from_slice(&end.h);
            if config.cell.has_cell_state() {
                row_mut(&mut out.cn, pass * batch + b, config.hidden_size).copy_from_slice(&end.c);
            }
        }
    }
    out
}

/// Runs the stack and then backpropagates through time.
pub fn backward(config: &RnnConfig, weights: &Weights, inputs: &Inputs<'_>, cotangents: &Cotangents<'_>) -> Gradients {
    inputs.check(config, weights);
    let (batch, state) = (inputs.batch, config.state_size());
    check_len("dy", cotangents.dy, inputs.seq_len * batch * config.output_size());
    check_len("dhn", cotangents.dhn, config.passes() * batch * state);
    check_len("dcn", cotangents.dcn, cell_state_len(config, batch));

    let passes = PassParams::from_flat(config, &weights.values);
    let mut pass_gradients = PassParams::all_zeros(config);
    let mut gradients = Gradients {
        x: vec![0.0; inputs.x.len()],
        h0: vec![0.0; config.passes() * batch * state],
        c0: vec![0.0; cell_state_len(config, batch)],
        weights: vec![],
        dh_norms: vec![0.0; config.passes() * inputs.seq_len],
        dc_norms: vec![0.0; config.passes() * inputs.seq_len],
    };
    for b in 0..batch {
        let tape = run_sequence(config, &passes, inputs, b);
        backward_sequence(config, &passes, inputs, cotangents, b, &tape, &mut pass_gradients, &mut gradients);
    }
    gradients.weights = PassParams::to_flat(config, &mut pass_gradients);
    gradients.dh_norms.iter_mut().chain(&mut gradients.dc_norms).for_each(|norm| *norm = norm.sqrt());
    gradients
}

/// The states of one pass between two steps; `c` is empty unless an LSTM's.
struct State {
    h: Vec<f64>,
    c: Vec<f64>,
}

/// Everything that happened to one sequence.
struct Tape {
    /// For each pass, its steps in the order of time (not of visit).
    steps: Vec<Vec<Step>>,
    /// For each pass, the state after its last visited step.
    ends: Vec<State>,
}

impl Tape {
    /// The outputs of all directions of `layer` at `t`, side by side.
    fn layer_output(&self, config: &RnnConfig, layer: usize, t: usize) -> Vec<f64> {
        let directions = config.direction.count();
        (0..directions).flat_map(|d| self.steps[layer * directions + d][t].h.iter().copied()).collect()
    }
}

/// The time steps of a sequence in the order in which a direction visits them.
fn visits(config: &RnnConfig, direction: usize, length: usize) -> Vec<usize> {
    let reverse = config.direction == Direction::Reverse || direction == 1;
    if reverse { (0..length).rev().collect() } else { (0..length).collect() }
}

fn run_sequence(config: &RnnConfig, passes: &[PassParams], inputs: &Inputs<'_>, b: usize) -> Tape {
    let length = inputs.length(b);
    let row_of_x = |t: usize| row(inputs.x, t * inputs.batch + b, config.input_size).to_vec();
    let mut layer_input: Vec<Vec<f64>> = (0..length).map(row_of_x).collect();
    let mut tape = Tape { steps: vec![], ends: vec![] };
    for layer in 0..config.num_layers {
        for direction in 0..config.direction.count() {
            let pass = layer * config.direction.count() + direction;
            let mut now = initial_state(config, inputs, pass, b);
            let mut steps: Vec<Option<Step>> = vec![None; length];
            for t in visits(config, direction, length) {
                let done = step(config.cell, &passes[pass], &layer_input[t], &now.h, &now.c);
                now = State { h: done.h.clone(), c: done.c.clone() };
                steps[t] = Some(done);
            }
            tape.steps.push(steps.into_iter().map(|s| s.expect("every step is visited")).collect());
            tape.ends.push(now);
        }
        if layer + 1 < config.num_layers {
            layer_input = (0..length).map(|t| tape.layer_output(config, layer, t)).collect();
            scale_by_dropout(inputs, layer, b, &mut layer_input);
        }
    }
    tape
}

fn backward_sequence(
    config: &RnnConfig,
    passes: &[PassParams],
    inputs: &Inputs<'_>,
    cotangents: &Cotangents<'_>,
    b: usize,
    tape: &Tape,
    pass_gradients: &mut [PassParams],
    gradients: &mut Gradients,
) {
    let (batch, length, state) = (inputs.batch, inputs.length(b), config.state_size());
    let mut d_output: Vec<Vec<f64>> =
        (0..length).map(|t| row_or_zeros(cotangents.dy, t * batch + b, config.output_size())).collect();
    for layer in (0..config.num_layers).rev() {
        let mut d_input = vec![vec![0.0; config.layer_input_size(layer)]; length];
        for direction in 0..config.direction.count() {
            let pass = layer * config.direction.count() + direction;
            let mut dh = row_or_zeros(cotangents.dhn, pass * batch + b, state);
            let mut dc = if config.cell.has_cell_state() {
                row_or_zeros(cotangents.dcn, pass * batch + b, config.hidden_size)
            } else {
                vec![]
            };
            for t in visits(config, direction, length).into_iter().rev() {
                add(&mut dh, &d_output[t][direction * state..(direction + 1) * state]);
                gradients.dh_norms[pass * inputs.seq_len + t] += dh.iter().map(|v| v * v).sum::<f64>();
                let step = &tape.steps[pass][t];
                let back = step_backward(config.cell, &passes[pass], step, &dh, &dc, &mut pass_gradients[pass]);
                gradients.dc_norms[pass * inputs.seq_len + t] += back.c.iter().map(|v| v * v).sum::<f64>();
                add(&mut d_input[t], &back.x);
                (dh, dc) = (back.h_prev, back.c_prev);
            }
            row_mut(&mut gradients.h0, pass * batch + b, state).copy_from_slice(&dh);
            if config.cell.has_cell_state() {
                row_mut(&mut gradients.c0, pass * batch + b, config.hidden_size).copy_from_slice(&dc);
            }
        }
        if layer > 0 {
            scale_by_dropout(inputs, layer - 1, b, &mut d_input);
        }
        d_output = d_input;
    }
    for (t, dx) in d_output.iter().enumerate() {
        row_mut(&mut gradients.x, t * batch + b, config.input_size).copy_from_slice(dx);
    }
}

fn initial_state(config: &RnnConfig, inputs: &Inputs<'_>, pass: usize, b: usize) -> State {
    let at = pass * inputs.batch + b;
    let c = if config.cell.has_cell_state() { row_or_zeros(inputs.c0, at, config.hidden_size) } else { vec![] };
    State { h: row_or_zeros(inputs.h0, at, config.state_size()), c }
}

/// Forward and backward alike: the derivative of a scaling is the scaling.
fn scale_by_dropout(inputs: &Inputs<'_>, layer: usize, b: usize, values: &mut [Vec<f64>]) {
    let Some(factor) = inputs.dropout else { return };
    for (t, features) in values.iter_mut().enumerate() {
        for (feature, value) in features.iter_mut().enumerate() {
            *value *= factor(layer, t, b, feature);
        }
    }
}

/// Values of `c0` and `cn`.
fn cell_state_len(config: &RnnConfig, batch: usize) -> usize {
    if config.cell.has_cell_state() { config.passes() * batch * config.hidden_size } else { 0 }
}

/// Swaps the first two extents: (batch, time, features) to (time, batch, features) with `first` = batch and `second` =
/// time, and back with the two exchanged.
pub fn transpose_batch_first<T: Copy>(values: &[T], first: usize, second: usize, features: usize) -> Vec<T> {
    assert_eq!(values.len(), first * second * features, "values");
    let mut out = Vec::with_capacity(values.len());
    for j in 0..second {
        for i in 0..first {
            out.extend_from_slice(&values[(i * second + j) * features..][..features]);
        }
    }
    out
}

fn row(values: &[f64], index: usize, width: usize) -> &[f64] {
    &values[index * width..(index + 1) * width]
}

fn row_mut(values: &mut [f64], index: usize, width: usize) -> &mut [f64] {
    &mut values[index * width..(index + 1) * width]
}

fn row_or_zeros(values: Option<&[f64]>, index: usize, width: usize) -> Vec<f64> {
    values.map_or(vec![0.0; width], |v| row(v, index, width).to_vec())
}

fn add(to: &mut [f64], values: &[f64]) {
    to.iter_mut().zip(values).for_each(|(a, b)| *a += b);
}

fn check_len(what: &str, values: Option<&[f64]>, expected: usize) {
    if let Some(values) = values {
        assert_eq!(values.len(), expected, "{what} has {} values, expected {expected}", values.len());
    }
}
