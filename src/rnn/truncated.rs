//! Truncated backpropagation through time, BPTT(h; h') of Williams and Peng 1990: after every `k1` steps (their h')
//! the errors of those steps are propagated back over the last `k2` steps (their h). `k2 = k1` is the usual training on
//! consecutive chunks with carried, detached state.

use super::backward::BackwardArgs;
use super::batch::Batch;
use super::config::{Direction, RnnConfig};
use super::dropout::DropoutPosition;
use super::grads::Grads;
use super::input::ForwardArgs;
use super::model::Rnn;
use super::session::Session;
use super::tape::Tape;
use crate::buffer::{AlignedBuf, try_with_capacity};
use crate::error::{Result, ensure, product};
use crate::simd::Isa;

/// Training over a sequence of any length in memory that `k2` sets: the tapes of the last `k2 / k1` chunks and the
/// carried states. If weights are updated between chunks, older chunks are walked with their recorded activations and
/// the current weights, as in the paper's on-line form.
pub struct TruncatedBptt {
    config: RnnConfig,
    /// The tapes' rows are laid out for it.
    isa: Isa,
    batch_size: usize,
    k1: usize,
    /// The newest chunk's place in `tapes` is `next - 1`.
    tapes: Vec<Tape>,
    next: usize,
    recorded: usize,
    /// Whether the newest chunk's errors are still to come.
    pending: bool,
    steps_done: u32,
    /// Carried states, and room for their successors and gradients.
    h: [AlignedBuf<f32>; 3],
    c: [AlignedBuf<f32>; 3],
}

impl TruncatedBptt {
    /// For batches of `batch_size` sequences and models like `rnn`: stacks of forward layers. `k2` is a multiple of
    /// `k1`.
    pub fn new(rnn: &Rnn, batch_size: usize, k1: usize, k2: usize) -> Result<Self> {
        let config = rnn.config();
        ensure!(
            config.direction == Direction::Forward,
            InvalidArgument,
            "truncated backpropagation needs forward layers: a reverse direction carries no state to the next chunk"
        );
        ensure!(batch_size > 0, InvalidArgument, "batch_size is 0, expected at least 1");
        ensure!(
            k1 > 0 && k2 >= k1 && k2.is_multiple_of(k1),
            InvalidArgument,
            "k1 is {k1} and k2 is {k2}, expected k2 to be a positive multiple of k1"
        );
        let mut tapes = try_with_capacity(k2 / k1)?;
        tapes.resize_with(k2 / k1, Tape::new);
        let h = product("the states", &[config.passes(), batch_size, config.state_size()])?;
        let cells = product("the cell states", &[config.passes(), batch_size, config.hidden_size])?;
        let c = if config.cell.has_cell_state() { cells } else { 0 };
        Ok(Self {
            config: config.clone(),
            isa: rnn.isa(),
            batch_size,
            k1,
            tapes,
            next: 0,
            recorded: 0,
            pending: false,
            steps_done: 0,
            h: [AlignedBuf::zeroed(h)?, AlignedBuf::zeroed(h)?, AlignedBuf::zeroed(h)?],
            c: [AlignedBuf::zeroed(c)?, AlignedBuf::zeroed(c)?, AlignedBuf::zeroed(c)?],
        })
    }

    /// Starts new sequences: zero states, nothing to propagate into.
    pub fn reset(&mut self) {
        self.h.iter_mut().chain(&mut self.c).for_each(|b| b.fill(0.0));
        (self.next, self.recorded, self.pending, self.steps_done) = (0, 0, false, 0);
    }

    /// Runs the next chunk, `steps` (1 to `k1`) long, from the carried states: `x` is (steps, batch, input_size) and
    /// `y` (steps, batch, S), batch first if so configured. A failed call leaves the states as they were.
    pub fn forward(
        &mut self,
        rnn: &Rnn,
        session: &mut Session,
        steps: usize,
        x: &[f32],
        y: Option<&mut [f32]>,
        dropout_seed: u64,
    ) -> Result<()> {
        self.check_model(rnn)?;
        ensure!(
            (1..=self.k1).contains(&steps),
            InvalidArgument,
            "the chunk has {steps} steps, expected 1 to k1 = {}",
            self.k1
        );
        let lstm = self.config.cell.has_cell_state();
        let ([h, h_next, _], [c, c_next, _]) = (&mut self.h, &mut self.c);
        let args = ForwardArgs {
            x,
            tokens: None,
            h0: Some(h),
            c0: lstm.then_some(&c[..]),
            y,
            hn: Some(h_next),
            cn: lstm.then_some(&mut c_next[..]),
        };
        let position = DropoutPosition { seed: dropout_seed, first_step: self.steps_done, first_sequence: 0 };
        let batch = Batch::new(self.batch_size, steps);
        // Before a tape is touched: the newest chunk may be the only one.
        args.check(&self.config, &batch)?;
        let place = self.next;
        if let Err(e) = rnn.forward_train(session, &mut self.tapes[place], &batch, args, position) {
            // Memory was short. The oldest chunk's tape is lost, so it no longer counts.
            self.recorded = self.recorded.min(self.tapes.len() - 1);
            self.pending &= self.recorded > 0;
            return Err(e);
        }
        self.h.swap(0, 1);
        self.c.swap(0, 1);
        self.next = (place + 1) % self.tapes.len();
        self.recorded = (self.recorded + 1).min(self.tapes.len());
        self.pending = true;
        self.steps_done = self.steps_done.wrapping_add(steps as u32);
        Ok(())
    }

    /// Propagates the newest chunk's errors `dy`, the gradient of its `y`, back over the last `k2` steps, adding to
    /// `grads`; `dx` receives the gradient of the newest chunk's `x`.
    pub fn backward(
        &mut self,
        rnn: &Rnn,
        session: &mut Session,
        dy: &[f32],
        dx: Option<&mut [f32]>,
        grads: &mut Grads,
    ) -> Result<()> {
        self.check_model(rnn)?;
        ensure!(self.pending, InvalidState, "no chunk's errors are due, expected a forward first");
        let lstm = self.config.cell.has_cell_state();
        let (mut dx, mut dy) = (dx, Some(dy));
        // The buffers for the next states are free between forwards: they hold the states' gradients between chunks.
        let ([_, dh, dh_before], [_, dc, dc_before]) = (&mut self.h, &mut self.c);
        let count = self.tapes.len();
        for back in 0..self.recorded {
            let tape = &self.tapes[(self.next + count - 1 - back) % count];
            let newest = back == 0;
            let args = BackwardArgs {
                dy: dy.take(),
                dhn: (!newest).then_some(&dh[..]),
                dcn: (!newest && lstm).then_some(&dc[..]),
                dx: dx.take(),
                dh0: Some(dh_before),
                dc0: lstm.then_some(&mut dc_before[..]),
            };
            rnn.backward_with_current_weights(session, tape, args, Some(grads), None)?;
            std::mem::swap(dh, dh_before);
            std::mem::swap(dc, dc_before);
        }
        self.pending = false;
        Ok(())
    }

    /// The carried hidden states, (num_layers, batch, S).
    pub fn hidden(&self) -> &[f32] {
        &self.h[0]
    }

    /// The carried cell states, (num_layers, batch, hidden_size); empty unless the cell is an LSTM.
    pub fn cell(&self) -> &[f32] {
        &self.c[0]
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.tapes.iter().map(Tape::bytes).sum::<usize>() + 3 * (self.h[0].bytes() + self.c[0].bytes())
    }

    fn check_model(&self, rnn: &Rnn) -> Result<()> {
        ensure!(
            *rnn.config() == self.config && rnn.isa() == self.isa,
            InvalidState,
            "this was made for a model of another configuration"
        );
        Ok(())
    }
}
