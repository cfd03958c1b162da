//! Truncated backpropagation through time, BPTT(h; h') of Williams and Peng 1990: after every `k1` steps (their h')
//! the errors of those steps are propagated back over the last `k2` steps (their h). `k2 = k1` is the usual training on
//! consecutive chunks with carried, detached state.

use super::backward::BackwardArgs;
use super::backward_scratch::Wanted;
use super::batch::Batch;
use super::config::{Direction, RnnConfig};
use super::dropout::DropoutPosition;
use super::grads::Grads;
use super::input::ForwardArgs;
use super::model::Rnn;
use super::session::Session;
use super::tape::Tape;
use crate::buffer::{AlignedBuf, probe, try_grow};
use crate::error::{Result, check_len, ensure, product};
use crate::simd::Isa;

/// Training over a sequence of any length in memory that `k2` sets: the tapes of the last `k2 / k1` chunks and the
/// carried states. If weights are updated between chunks, older chunks are walked with their recorded activations and
/// the current weights, as in the paper's on-line form.
///
/// ```
/// use simdrnn::rnn::{Cell, Grads, Init, Rnn, RnnConfig, Session, TruncatedBptt};
///
/// let mut rnn = Rnn::new(&RnnConfig::new(Cell::Lstm, 2, 4))?;
/// rnn.init(Init::TorchUniform, 1)?;
/// let (mut session, mut grads) = (Session::new(), Grads::new(&rnn)?);
/// // Chunks of 10 steps of one sequence; errors go back over 20.
/// let mut bptt = TruncatedBptt::new(&rnn, 1, 10, 20)?;
/// let (x, mut y) = ([0.5; 10 * 2], [0.0; 10 * 4]);
/// for chunk in 0..3 {
///     bptt.forward(&rnn, &mut session, 10, &x, Some(&mut y), chunk)?;
///     let dy = y; // of a loss: half the sum of squares
///     grads.zero();
///     bptt.backward(&rnn, &mut session, &dy, None, &mut grads)?;
///     // an optimizer's step comes here
/// }
/// assert!(grads.values().iter().any(|&g| g != 0.0));
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct TruncatedBptt {
    pub(super) config: RnnConfig,
    /// The tapes' rows are laid out for it.
    pub(super) isa: Isa,
    pub(super) batch_size: usize,
    pub(super) k1: usize,
    /// Chunks in `k2` steps.
    pub(super) window: usize,
    /// Made as chunks come, up to `window`. The newest chunk's place is `next - 1`.
    pub(super) tapes: Vec<Tape>,
    pub(super) next: usize,
    pub(super) recorded: usize,
    /// Whether the newest chunk's errors are still to come.
    pub(super) pending: bool,
    pub(super) steps_done: u32,
    /// Carried states, and room for their successors and gradients.
    pub(super) h: [AlignedBuf<f32>; 3],
    pub(super) c: [AlignedBuf<f32>; 3],
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
        let h = product("the states", &[config.passes(), batch_size, config.state_size()])?;
        let cells = product("the cell states", &[config.passes(), batch_size, config.hidden_size])?;
        let c = if config.cell.has_cell_state() { cells } else { 0 };
        probe(product("the states", &[3 * size_of::<f32>(), h.saturating_add(c)])?)?;
        Ok(Self {
            config: config.clone(),
            isa: rnn.isa(),
            batch_size,
            k1,
            window: k2 / k1,
            tapes: Vec::new(),
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
    /// `y` (steps, batch, S), batch first if so configured. A failed call changes nothing.
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
        let place = self.next;
        try_grow(&mut self.tapes, place + 1, Tape::new)?;
        let ([h, h_next, _], [c, c_next, _]) = (&mut self.h, &mut self.c);
        let args = ForwardArgs {
            x,
            h0: Some(h),
            c0: lstm.then_some(&c[..]),
            y,
            hn: Some(h_next),
            cn: lstm.then_some(&mut c_next[..]),
            ..ForwardArgs::default()
        };
        let position =
            DropoutPosition { seed: dropout_seed, first_step: self.steps_done, ..DropoutPosition::default() };
        let batch = Batch::new(self.batch_size, steps);
        rnn.forward_train(session, &mut self.tapes[place], &batch, args, position)?;
        self.h.swap(0, 1);
        self.c.swap(0, 1);
        self.next = (place + 1) % self.window;
        self.recorded = (self.recorded + 1).min(self.window);
        self.pending = true;
        self.steps_done = self.steps_done.wrapping_add(steps as u32);
        Ok(())
    }

    /// Propagates the newest chunk's errors `dy`, the gradient of its `y`, back over the last `k2` steps, adding to
    /// `grads`; `dx` receives the gradient of the newest chunk's `x`. A failed call changes nothing.
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
        // All memory before the first result: then no chunk's backward fails.
        let args = BackwardArgs { dy, dx: dx.as_deref_mut(), ..BackwardArgs::default() };
        rnn.check_backward(self.chunk(0), &args, Some(grads))?;
        rnn.backward_weights()?;
        for back in 0..self.recorded {
            let wanted = Wanted { dx: back == 0 && dx.is_some(), norms: false };
            rnn.reserve_backward(session, self.chunk(back), wanted)?;
        }
        // The buffers for the next states are free between forwards: they hold the states' gradients between chunks.
        let ([_, dh, dh_before], [_, dc, dc_before]) = (&mut self.h, &mut self.c);
        for back in 0..self.recorded {
            let tape = &self.tapes[(self.next + self.window - 1 - back) % self.window];
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

    /// The tape of the chunk so many before the newest.
    pub(super) fn chunk(&self, back: usize) -> &Tape {
        &self.tapes[(self.next + self.window - 1 - back) % self.window]
    }

    /// Steps since the start: where dropout stands. It wraps at 2^32.
    pub fn steps_done(&self) -> u32 {
        self.steps_done
    }

    /// Goes on from these states, in the layout of [`TruncatedBptt::hidden`] and [`TruncatedBptt::cell`] (`None` for
    /// zeros), with nothing to propagate into; `steps_done` says where dropout stands. After a backward with `k2 = k1`
    /// that is all there is to restore; at other points [`TruncatedBptt::save`] keeps the chunks of the last `k2` steps
    /// too.
    pub fn set_state(&mut self, h: Option<&[f32]>, c: Option<&[f32]>, steps_done: u32) -> Result<()> {
        if let Some(h) = h {
            check_len("h", h.len(), self.h[0].len())?;
        }
        if let Some(c) = c {
            ensure!(self.config.cell.has_cell_state(), InvalidArgument, "c is given, but only an LSTM has cell states");
            check_len("c", c.len(), self.c[0].len())?;
        }
        self.reset();
        for (to, from) in [(&mut self.h[0], h), (&mut self.c[0], c)] {
            from.into_iter().for_each(|from| to.copy_from_slice(from));
        }
        self.steps_done = steps_done;
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
