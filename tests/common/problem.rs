//! A model, a batch and the gradients of its outputs, all seeded; and running them through the library.

use simdrnn::Isa;
use simdrnn::rnn::{BackwardArgs, Batch, Cell, Direction, DropoutPosition, ForwardArgs, Grads};
use simdrnn::rnn::{Rnn, RnnConfig, Session, Tape};

use super::random::SplitMix64;

/// Everything that goes into a forward and a backward call, in the layouts of the configuration.
#[derive(Clone)]
pub struct Problem {
    pub config: RnnConfig,
    pub batch: usize,
    pub seq_len: usize,
    pub lengths: Option<Vec<usize>>,
    pub params: Vec<f32>,
    pub x: Vec<f32>,
    pub h0: Vec<f32>,
    /// Empty unless an LSTM's, as `dcn`.
    pub c0: Vec<f32>,
    pub dy: Vec<f32>,
    pub dhn: Vec<f32>,
    pub dcn: Vec<f32>,
}

/// What forward gives.
#[derive(Clone)]
pub struct Outputs {
    pub y: Vec<f32>,
    pub hn: Vec<f32>,
    pub cn: Vec<f32>,
}

/// What backward gives.
#[derive(Clone)]
pub struct Gradients {
    pub dx: Vec<f32>,
    pub dh0: Vec<f32>,
    pub dc0: Vec<f32>,
    pub params: Vec<f32>,
}

/// A configuration in short.
pub fn describe(config: &RnnConfig) -> String {
    format!(
        "{} {}->{} proj {} layers {} {:?}{}{}",
        config.cell.name(),
        config.input_size,
        config.hidden_size,
        config.proj_size,
        config.num_layers,
        config.direction,
        if config.bias { "" } else { " no bias" },
        if config.batch_first { " batch first" } else { "" }
    )
}

impl Problem {
    /// Random data: weights around ±1.5/sqrt(fan in), so that states neither die out nor all saturate.
    pub fn random(
        r: &mut SplitMix64,
        config: &RnnConfig,
        batch: usize,
        seq_len: usize,
        lengths: Option<Vec<usize>>,
    ) -> Self {
        let mut params = Vec::new();
        for spec in config.param_specs().unwrap() {
            let fan = if spec.is_matrix { spec.cols } else { 4 };
            params.extend(r.values_f32(spec.len(), 1.5 / (fan as f32).sqrt()));
        }
        let (steps, states) = (seq_len * batch, config.passes() * batch);
        let cells = if config.cell.has_cell_state() { states * config.hidden_size } else { 0 };
        Self {
            params,
            x: r.values_f32(steps * config.input_size, 1.5),
            h0: r.values_f32(states * config.state_size(), 1.0),
            c0: r.values_f32(cells, 1.0),
            dy: r.values_f32(steps * config.output_size(), 1.0),
            dhn: r.values_f32(states * config.state_size(), 1.0),
            dcn: r.values_f32(cells, 1.0),
            config: config.clone(),
            batch,
            seq_len,
            lengths,
        }
    }

    pub fn describe(&self) -> String {
        let lengths = self.lengths.as_ref().map_or(String::new(), |l| format!(" lengths {l:?}"));
        format!("{}, batch {} of {} steps{lengths}", describe(&self.config), self.batch, self.seq_len)
    }

    pub fn is_lstm(&self) -> bool {
        self.config.cell.has_cell_state()
    }

    pub fn length(&self, b: usize) -> usize {
        self.lengths.as_ref().map_or(self.seq_len, |l| l[b])
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch { batch_size: self.batch, seq_len: self.seq_len, lengths: self.lengths.as_deref(), packed: false }
    }

    /// Where row (step, sequence) of `features` lies in `x`, `y` and their like.
    pub fn row(&self, t: usize, b: usize, features: usize) -> std::ops::Range<usize> {
        let row = if self.config.batch_first { b * self.seq_len + t } else { t * self.batch + b };
        row * features..(row + 1) * features
    }

    pub fn model(&self, isa: Isa) -> Rnn {
        let mut rnn = Rnn::with_isa(&self.config, isa).unwrap();
        assert_eq!(rnn.isa(), isa);
        rnn.update(|values| values.copy_from_slice(&self.params));
        rnn
    }

    /// Outputs to be written.
    pub fn room(&self) -> Outputs {
        Outputs {
            y: vec![f32::NAN; self.dy.len()],
            hn: vec![f32::NAN; self.h0.len()],
            cn: vec![f32::NAN; self.c0.len()],
        }
    }

    /// The arguments of a forward into `out`.
    pub fn args<'a>(&'a self, out: &'a mut Outputs) -> ForwardArgs<'a> {
        let lstm = self.is_lstm();
        ForwardArgs {
            x: &self.x,
            h0: Some(&self.h0),
            c0: lstm.then_some(&self.c0[..]),
            y: Some(&mut out.y),
            hn: Some(&mut out.hn),
            cn: lstm.then_some(&mut out.cn[..]),
            ..ForwardArgs::default()
        }
    }

    pub fn forward(&self, rnn: &Rnn, session: &mut Session) -> Outputs {
        let mut out = self.room();
        rnn.forward(session, &self.batch(), self.args(&mut out)).unwrap();
        out
    }

    pub fn forward_train(
        &self,
        rnn: &Rnn,
        session: &mut Session,
        tape: &mut Tape,
        dropout: DropoutPosition,
    ) -> Outputs {
        let mut out = self.room();
        rnn.forward_train(session, tape, &self.batch(), self.args(&mut out), dropout).unwrap();
        out
    }

    /// Backward of all cotangents into fresh gradients.
    pub fn backward(&self, rnn: &Rnn, session: &mut Session, tape: &Tape) -> Gradients {
        let lstm = self.is_lstm();
        let mut grads = Grads::new(rnn).unwrap();
        let mut out = Gradients {
            dx: vec![f32::NAN; self.x.len()],
            dh0: vec![f32::NAN; self.h0.len()],
            dc0: vec![f32::NAN; self.c0.len()],
            params: vec![],
        };
        let args = BackwardArgs {
            dy: Some(&self.dy),
            dhn: Some(&self.dhn),
            dcn: lstm.then_some(&self.dcn[..]),
            dx: Some(&mut out.dx),
            dh0: Some(&mut out.dh0),
            dc0: lstm.then_some(&mut out.dc0[..]),
        };
        rnn.backward(session, tape, args, Some(&mut grads), None).unwrap();
        out.params = grads.values().to_vec();
        out
    }

    /// Forward, training forward and backward with everything fresh.
    pub fn run(&self, isa: Isa) -> (Outputs, Gradients) {
        let (rnn, mut tape) = (self.model(isa), Tape::new());
        let out = self.forward_train(&rnn, &mut Session::new(), &mut tape, DropoutPosition::default());
        let gradients = self.backward(&rnn, &mut Session::new(), &tape);
        (out, gradients)
    }

    /// A batch of some of the sequences in buffers of `seq_len` steps, NaN past their ends.
    pub fn select(&self, sequences: &[usize], seq_len: usize) -> Problem {
        let (config, count) = (&self.config, sequences.len());
        let lengths: Vec<usize> = sequences.iter().map(|&b| self.length(b)).collect();
        let states = |source: &[f32], features: usize| {
            if source.is_empty() {
                return vec![];
            }
            let mut to = Vec::new();
            for pass in 0..config.passes() {
                for &b in sequences {
                    to.extend_from_slice(&source[(pass * self.batch + b) * features..][..features]);
                }
            }
            to
        };
        let (state, hidden) = (config.state_size(), config.hidden_size);
        let mut chosen = Problem {
            config: config.clone(),
            batch: count,
            seq_len,
            params: self.params.clone(),
            x: vec![f32::NAN; count * seq_len * config.input_size],
            dy: vec![f32::NAN; count * seq_len * config.output_size()],
            h0: states(&self.h0, state),
            c0: states(&self.c0, hidden),
            dhn: states(&self.dhn, state),
            dcn: states(&self.dcn, hidden),
            lengths: None,
        };
        for (to, &b) in sequences.iter().enumerate() {
            for t in 0..self.length(b) {
                let at = chosen.row(t, to, config.input_size);
                chosen.x[at].copy_from_slice(&self.x[self.row(t, b, config.input_size)]);
                let at = chosen.row(t, to, config.output_size());
                chosen.dy[at].copy_from_slice(&self.dy[self.row(t, b, config.output_size())]);
            }
        }
        // Full-length batches take the path without lengths.
        chosen.lengths = lengths.iter().any(|&n| n != seq_len).then_some(lengths);
        chosen
    }

    /// Steps `start..end` as a problem of their own, with the same states.
    pub fn steps(&self, start: usize, end: usize) -> Problem {
        let mut cut = self.clone();
        cut.seq_len = end - start;
        cut.lengths = self.lengths.as_ref().map(|l| l.iter().map(|&n| n.clamp(start, end) - start).collect());
        cut.x = self.rows(&self.x, self.config.input_size, start, end);
        cut.dy = self.rows(&self.dy, self.config.output_size(), start, end);
        cut
    }

    /// The rows of steps `start..end` of `values`.
    pub fn rows(&self, values: &[f32], features: usize, start: usize, end: usize) -> Vec<f32> {
        let time = |t: usize| (0..self.batch).map(move |b| (t, b));
        let sequence = |b: usize| (start..end).map(move |t| (t, b));
        let rows: Vec<_> = match self.config.batch_first {
            true => (0..self.batch).flat_map(sequence).collect(),
            false => (start..end).flat_map(time).collect(),
        };
        rows.into_iter().flat_map(|(t, b)| values[self.row(t, b, features)].to_vec()).collect()
    }

    /// Copies rows of `features` that hold the steps from `start` on to their place in `values`.
    pub fn put_rows(&self, values: &mut [f32], features: usize, start: usize, rows: &[f32]) {
        let cut = Problem { seq_len: rows.len() / (self.batch * features).max(1), ..self.clone() };
        for t in 0..cut.seq_len {
            for b in 0..self.batch {
                values[self.row(start + t, b, features)].copy_from_slice(&rows[cut.row(t, b, features)]);
            }
        }
    }

    /// What one sequence gave: its steps of `y` in time order and its final states.
    pub fn outputs_of(&self, out: &Outputs, b: usize) -> Outputs {
        let features = self.config.output_size();
        Outputs {
            y: (0..self.length(b)).flat_map(|t| out.y[self.row(t, b, features)].to_vec()).collect(),
            hn: self.states_of(&out.hn, b, self.config.state_size()),
            cn: self.states_of(&out.cn, b, self.config.hidden_size),
        }
    }

    /// The gradients of one sequence's inputs.
    pub fn gradients_of(&self, out: &Gradients, b: usize) -> Gradients {
        let features = self.config.input_size;
        Gradients {
            dx: (0..self.length(b)).flat_map(|t| out.dx[self.row(t, b, features)].to_vec()).collect(),
            dh0: self.states_of(&out.dh0, b, self.config.state_size()),
            dc0: self.states_of(&out.dc0, b, self.config.hidden_size),
            params: vec![],
        }
    }

    fn states_of(&self, values: &[f32], b: usize, features: usize) -> Vec<f32> {
        let passes = if values.is_empty() { 0 } else { self.config.passes() };
        (0..passes).flat_map(|pass| values[(pass * self.batch + b) * features..][..features].to_vec()).collect()
    }

    /// Asserts that `y` and `dx` are zero past every sequence's end.
    pub fn assert_padding_is_zero(&self, y: &[f32], dx: &[f32], what: &str) {
        for b in 0..self.batch {
            for t in self.length(b)..self.seq_len {
                for (name, values, features) in
                    [("y", y, self.config.output_size()), ("dx", dx, self.config.input_size)]
                {
                    let row = &values[self.row(t, b, features)];
                    assert!(row.iter().all(|v| v.to_bits() == 0), "{what}: {name} of sequence {b} at step {t}");
                }
            }
        }
    }
}

impl Outputs {
    pub fn assert_same_bits(&self, expected: &Outputs, what: &str) {
        for (name, a, b) in
            [("y", &self.y, &expected.y), ("hn", &self.hn, &expected.hn), ("cn", &self.cn, &expected.cn)]
        {
            assert_same_bits(a, b, &format!("{what}: {name}"));
        }
    }
}

impl Gradients {
    pub fn assert_same_bits(&self, expected: &Gradients, what: &str) {
        for (name, a, b) in [
            ("dx", &self.dx, &expected.dx),
            ("dh0", &self.dh0, &expected.dh0),
            ("dc0", &self.dc0, &expected.dc0),
            ("weights", &self.params, &expected.params),
        ] {
            assert_same_bits(a, b, &format!("{what}: {name}"));
        }
    }
}

/// Asserts that two arrays are the same by bits, any NaN being like any other: which payload comes out of two NaNs
/// differs between processors.
pub fn assert_same_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    let bits = |v: f32| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() };
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        assert!(bits(a) == bits(b), "{what}[{i}]: found {a:e} ({:08x}), expected {b:e} ({:08x})", bits(a), bits(b));
    }
}

/// The cells, and the LSTM with a projection (of a size that depends on the hidden size).
pub fn variants() -> Vec<(Cell, bool)> {
    let mut all: Vec<(Cell, bool)> = Cell::ALL.into_iter().map(|cell| (cell, false)).collect();
    all.push((Cell::Lstm, true));
    all
}

/// The three orders of time.
pub const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

/// Random lengths up to `seq_len`: one full, one empty if there are more than two, the others anything.
pub fn random_lengths(r: &mut SplitMix64, batch: usize, seq_len: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> = (0..batch).map(|_| r.between(0, seq_len)).collect();
    let full = r.between(0, batch - 1);
    lengths[full] = seq_len;
    if batch > 2 {
        lengths[(full + r.between(1, batch - 1)) % batch] = 0;
    }
    lengths
}
