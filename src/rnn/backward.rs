//! Backpropagation through time.
//!
//! A pass is walked against its own order of time. Steps only compute gate gradients and carry the state's gradient;
//! after each block of steps, one product per block gives the input's gradient and two sums of outer products those of
//! the weights. Their rows are taken in the order in which backward visits them: steps against the pass's order, and
//! within a step sequences from the longest to the shortest. Each weight's gradient is one chain in that order.

use super::backward_pass::{OutputGradients, PassBackward};
use super::backward_scratch::{BackwardScratch, PassScratch, Wanted, between_count, writes_directly};
use super::batch::Plan;
use super::config::{Direction, RnnConfig};
use super::dropout::Mask;
use super::flow::{GradientFlow, norms_per_pass};
use super::grads::Grads;
use super::history::Strides;
use super::model::Rnn;
use super::session::Session;
use super::tape::Tape;
use super::walk::{Place, Walk, Work, pool_for};
use super::weights::{BackwardWeights, PassParams};
use crate::buffer::AlignedBuf;
use crate::error::{Result, check_len, ensure, err};
use crate::kernel::mat::Mat;
use crate::kernel::outer::OuterScratch;
use crate::parallel::{Elements, Pool, Team, enter};
use crate::simd::{Kernel, Ops, dispatch};
use std::ops::Range;

/// The arrays of a backward call, in the layouts of [`super::ForwardArgs`].
#[derive(Default)]
pub struct BackwardArgs<'a> {
    /// Gradient of `y`; `None` for zero. Values past a sequence's end are ignored.
    pub dy: Option<&'a [f32]>,
    /// Gradient of `hn`; `None` for zero.
    pub dhn: Option<&'a [f32]>,
    /// Gradient of `cn`; `None` for zero.
    pub dcn: Option<&'a [f32]>,
    /// Receives the gradient of `x`, zero past a sequence's end.
    pub dx: Option<&'a mut [f32]>,
    /// Receives the gradient of `h0`.
    pub dh0: Option<&'a mut [f32]>,
    /// Receives the gradient of `c0`.
    pub dc0: Option<&'a mut [f32]>,
}

impl Rnn {
    /// Gradients of a loss through the forward that `tape` recorded. Writes those of `x`, `h0` and `c0` where asked,
    /// adds those of the weights to `grads`, and fills `flow`. Nothing is written unless the call succeeds.
    ///
    /// The weights must still be those of the forward.
    pub fn backward(
        &self,
        session: &mut Session,
        tape: &Tape,
        args: BackwardArgs<'_>,
        grads: Option<&mut Grads>,
        flow: Option<&mut GradientFlow>,
    ) -> Result<()> {
        if let Some(recorded) = &tape.recorded {
            ensure!(
                recorded.version == self.version(),
                InvalidState,
                "the weights have changed since the tape was recorded, expected backward before the update"
            );
        }
        self.backward_with_current_weights(session, tape, args, grads, flow)
    }

    /// [`Rnn::backward`] through a tape that may have been recorded before the last update, as truncated
    /// backpropagation over several chunks does.
    pub(crate) fn backward_with_current_weights(
        &self,
        session: &mut Session,
        tape: &Tape,
        args: BackwardArgs<'_>,
        grads: Option<&mut Grads>,
        mut flow: Option<&mut GradientFlow>,
    ) -> Result<()> {
        self.check_backward(tape, &args, grads.as_deref())?;
        let weights = self.backward_weights()?;
        let wanted = Wanted { dx: args.dx.is_some(), norms: flow.is_some() };
        let (threads, walk) = self.reserve_backward(session, tape, wanted)?;
        if let Some(flow) = &mut flow {
            // The last that may fail: what the caller sees changes only with the call's success.
            flow.reserve(self.config(), tape.plan.seq_len)?;
        }
        let Session { pool, backward: scratch, .. } = session;
        let norms = flow.as_deref_mut().map(GradientFlow::norms_mut);
        let work = Backward::new((self, weights, tape, &walk), scratch, args, grads.map(Grads::values_mut), norms);
        enter(pool.as_ref().filter(|_| threads > 1), |team| dispatch(self.isa(), Run { work: &work, team }));
        if let Some(flow) = flow {
            flow.measure(self, tape);
        }
        Ok(())
    }

    /// Whether a backward through `tape` makes sense.
    pub(crate) fn check_backward(&self, tape: &Tape, args: &BackwardArgs<'_>, grads: Option<&Grads>) -> Result<()> {
        let recorded = tape
            .recorded
            .as_ref()
            .ok_or_else(|| err!(InvalidState, "the tape holds no forward, expected a training forward first"))?;
        ensure!(
            recorded.config == *self.config() && recorded.isa == self.isa(),
            InvalidState,
            "the tape was recorded by a model of another configuration"
        );
        args.check(self.config(), &tape.plan)?;
        grads.map_or(Ok(()), |grads| grads.check(self))
    }

    /// Makes room for a backward through `tape`, and tells how many threads it takes and how it goes. Done again, after
    /// other tapes, it cannot fail: memory that is there is kept.
    pub(crate) fn reserve_backward(&self, session: &mut Session, tape: &Tape, wanted: Wanted) -> Result<(usize, Walk)> {
        let (config, plan) = (self.config(), &tape.plan);
        let threads = pool_for(config, self.isa(), plan, session.pool.as_ref()).map_or(1, Pool::threads);
        let walk = Walk::backward(config, self.isa(), plan, threads, wanted.norms);
        session.backward.reserve(config, plan, &walk, threads, wanted)?;
        Ok((threads, walk))
    }
}

impl BackwardArgs<'_> {
    fn check(&self, config: &RnnConfig, plan: &Plan) -> Result<()> {
        let steps = plan.user_rows();
        let states = config.passes() * plan.batch * config.state_size();
        let cells = config.passes() * plan.batch * config.hidden_size;
        let lens = [
            ("dy", self.dy.map(<[f32]>::len), steps * config.output_size()),
            ("dhn", self.dhn.map(<[f32]>::len), states),
            ("dcn", self.dcn.map(<[f32]>::len), cells),
            ("dx", self.dx.as_ref().map(|v| v.len()), steps * config.input_size),
            ("dh0", self.dh0.as_ref().map(|v| v.len()), states),
            ("dc0", self.dc0.as_ref().map(|v| v.len()), cells),
        ];
        for (name, len, expected) in lens {
            let Some(len) = len else { continue };
            ensure!(
                !name.starts_with("dc") || config.cell.has_cell_state(),
                InvalidArgument,
                "{name} is given, but only an LSTM has cell states"
            );
            check_len(name, len, expected)?;
        }
        Ok(())
    }
}

struct Run<'a> {
    work: &'a Backward<'a>,
    team: Team<'a>,
}

impl Kernel for Run<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self { work, team } = self;
        let (config, plan) = (work.config(), &work.tape.plan);
        work.walk.run(s, plan, team, work);
        if let Some(dx) = work.dx {
            plan.for_each_padding(|t, j| {
                // SAFETY: as asserted, there is a row for each step and sequence, and all threads have ended.
                unsafe { dx.slice_mut(plan.user_offset(config, t, j, 1), config.input_size) }.fill(0.0);
            });
        }
    }
}

/// A backward on its way through the layers.
struct Backward<'a> {
    rnn: &'a Rnn,
    weights: &'a [BackwardWeights],
    tape: &'a Tape,
    walk: &'a Walk,
    mask: Option<Mask>,
    dy: Option<&'a [f32]>,
    dhn: Option<&'a [f32]>,
    dcn: Option<&'a [f32]>,
    /// Rows as long as the input, in the caller's order.
    dx: Option<Mat<'a>>,
    /// Rows of states: passes times sequences.
    dh0: Option<Mat<'a>>,
    dc0: Option<Mat<'a>>,
    grads: Option<Mat<'a>>,
    norms: Option<Elements<'a, f64>>,
    /// See [`BackwardScratch`].
    between: &'a [AlignedBuf<f32>],
    second: &'a AlignedBuf<f32>,
    passes: Elements<'a, PassScratch>,
    outer: Elements<'a, OuterScratch>,
}

impl<'a> Backward<'a> {
    fn new(
        (rnn, weights, tape, walk): (&'a Rnn, &'a [BackwardWeights], &'a Tape, &'a Walk),
        scratch: &'a mut BackwardScratch,
        args: BackwardArgs<'a>,
        grads: Option<&'a mut [f32]>,
        norms: Option<&'a mut [f64]>,
    ) -> Self {
        let (config, plan) = (rnn.config(), &tape.plan);
        let BackwardArgs { dy, dhn, dcn, dx, dh0, dc0 } = args;
        if let Some(dx) = &dx {
            assert!(dx.len() >= plan.user_rows() * config.input_size);
        }
        let BackwardScratch { between, second, passes, outer } = scratch;
        Self {
            rnn,
            weights,
            tape,
            walk,
            mask: tape.recorded.as_ref().and_then(|r| Mask::new(r.dropout, config.dropout)),
            dy,
            dhn,
            dcn,
            dx: dx.map(|dx| Mat::new(dx, config.input_size)),
            dh0: dh0.map(|dh0| Mat::new(dh0, config.state_size())),
            dc0: dc0.map(|dc0| Mat::new(dc0, config.hidden_size)),
            grads: grads.map(|grads| Mat::new(grads, 1)),
            norms: norms.map(Elements::of),
            between: &between[..between_count(config, walk)],
            second,
            passes: Elements::of(passes),
            outer: Elements::of(outer),
        }
    }

    fn config(&self) -> &'a RnnConfig {
        self.rnn.config()
    }

    fn pass_index(&self, at: &Place) -> usize {
        self.rnn.pass_index(at.layer, at.direction)
    }

    /// Packed rows of the gradient of the inputs of a layer but the first.
    fn inner_inputs(&self, layer: usize) -> Mat<'a> {
        let (rows, width) = (&self.between[layer % self.between.len()], self.config().output_size());
        Mat::shared(rows, self.tape.plan.rows, width)
    }

    /// Packed rows for the gradient of a layer's inputs, if it is wanted: those of one direction, or the sum of both.
    fn inputs(&self, layer: usize) -> Option<Mat<'a>> {
        let (config, plan) = (self.config(), &self.tape.plan);
        if layer > 0 {
            return Some(self.inner_inputs(layer));
        }
        let dx = self.dx?;
        let is_direct = writes_directly(config, plan);
        Some(if is_direct { dx } else { Mat::shared(&self.between[0], plan.rows, config.input_size) })
    }

    /// Where the packed rows of the first layer's inputs are to be copied to.
    fn user_inputs(&self, layer: usize) -> Option<Mat<'a>> {
        self.dx.filter(|_| layer == 0 && !writes_directly(self.config(), &self.tape.plan))
    }

    /// The pass of a layer in a direction.
    fn pass<S: Ops>(&self, at: &Place) -> PassBackward<'a> {
        let (config, index) = (self.config(), self.pass_index(at));
        let outputs = match self.dy {
            _ if at.layer + 1 < config.num_layers => OutputGradients::Packed(self.inner_inputs(at.layer + 1)),
            Some(dy) => OutputGradients::User(dy),
            None => OutputGradients::Zero,
        };
        PassBackward {
            config,
            plan: &self.tape.plan,
            reverse: config.is_reverse(at.direction),
            direction: at.direction,
            weights: &self.weights[index],
            history: &self.tape.histories[index],
            inputs: &self.tape.inputs[at.layer],
            strides: Strides::of(config, S::LANES),
            outputs,
        }
    }

    /// The pass's memory.
    ///
    /// # Safety
    /// Nobody else works on the pass.
    #[expect(clippy::mut_from_ref, reason = "each pass has its own")]
    unsafe fn scratch(&self, at: &Place) -> &mut PassScratch {
        let place = if self.walk.is_wavefront() { at.layer } else { at.direction };
        // SAFETY: there is one for each, and the caller's contract.
        unsafe { &mut *self.passes.at(place) }
    }

    /// The gradients of the pass's parameters, if they are wanted.
    ///
    /// # Safety
    /// Nobody else works on the pass.
    #[expect(clippy::mut_from_ref, reason = "each pass has its own")]
    unsafe fn grads(&self, params: &PassParams<'_>) -> Option<&mut [f32]> {
        let range = params.range();
        // SAFETY: the gradients are those of all parameters, and the caller's contract.
        self.grads.map(|grads| unsafe { grads.slice_mut(range.start, range.len()) })
    }

    /// Rows of an array (passes, batch, features) for the pass: the sequence at each sorted place, and its row.
    fn state_rows(&self, at: &Place) -> impl Iterator<Item = usize> {
        let (plan, index) = (&self.tape.plan, self.pass_index(at));
        plan.order.iter().map(move |&b| index * plan.batch + b)
    }
}

impl<S: Ops> Work<S> for Backward<'_> {
    /// Gradients of the last states, and those of the biases so far.
    unsafe fn begin(&self, at: &Place) {
        let (config, params) = (self.config(), self.rnn.pass_params(self.pass_index(at)));
        let strides = Strides::of(config, 1);
        // SAFETY: the caller's contract.
        let (scratch, grads) = unsafe { (self.scratch(at), self.grads(&params)) };
        let load = |rows: &mut [f32], stride: usize, features: usize, source: Option<&[f32]>| {
            for (row, place) in rows.chunks_exact_mut(stride).zip(self.state_rows(at)) {
                row.fill(0.0);
                if let Some(source) = source {
                    row[..features].copy_from_slice(&source[place * features..][..features]);
                }
            }
        };
        load(&mut scratch.dh, strides.h, config.state_size(), self.dhn);
        load(&mut scratch.dc, strides.c, config.hidden_size, self.dcn);
        if let Some(grads) = grads {
            scratch.load_biases(config, &params, grads);
        }
    }

    unsafe fn block(&self, s: S, team: Team<'_>, at: &Place) {
        let target = self.inputs(at.layer).map(|rows| match at.direction {
            0 => rows,
            _ => Mat::shared(self.second, self.tape.plan.rows, rows.stride()),
        });
        let pass = self.pass::<S>(at);
        // SAFETY: the caller's contract: the layer above has done these steps.
        unsafe { pass.steps(s, team, &at.gathered, &at.block, self.scratch(at), self.norms.is_some(), target) };
    }

    unsafe fn gathered(&self, s: S, team: Team<'_>, at: &Place) {
        let (config, params, pass) = (self.config(), self.rnn.pass_params(self.pass_index(at)), self.pass::<S>(at));
        // SAFETY: the caller's contract; norms and gradients are the pass's own.
        unsafe {
            let scratch = self.scratch(at);
            if let Some(norms) = &self.norms {
                let per_pass = norms_per_pass(config, pass.plan.seq_len);
                pass.norms(&at.gathered, scratch, norms.slice(self.pass_index(at) * per_pass, per_pass));
            }
            if config.direction.count() == 1
                && let (Some(rows), Some(user)) = (self.inputs(at.layer), self.user_inputs(at.layer))
            {
                pass.unpack(team, &at.gathered, rows, user);
            }
            if let Some(grads) = self.grads(&params) {
                let outer = &mut *self.outer.at(at.direction);
                pass.weight_gradients(s, team, &at.gathered, scratch, outer, &params, grads);
            }
        }
    }

    unsafe fn layer(&self, s: S, team: Team<'_>, layer: usize, steps: &Range<usize>) {
        let Some(rows) = self.inputs(layer) else { return };
        // SAFETY: the caller's contract: these rows are complete, and the layer below has not read them yet.
        unsafe {
            if self.config().direction == Direction::Bidirectional {
                let second = Mat::shared(self.second, self.tape.plan.rows, rows.stride());
                let at = Place::of_pass(layer, 0, 0);
                self.pass::<S>(&at).add_parts(s, team, rows, second, self.user_inputs(layer));
            }
            if let (Some(mask), Some(below)) = (&self.mask, layer.checked_sub(1)) {
                mask.apply_to_rows(team, &self.tape.plan, below, steps.clone(), rows);
            }
        }
    }

    /// Gradients of the first states, and those of the biases.
    unsafe fn end(&self, at: &Place) {
        let (config, params) = (self.config(), self.rnn.pass_params(self.pass_index(at)));
        let strides = Strides::of(config, 1);
        // SAFETY: the caller's contract.
        let (scratch, grads) = unsafe { (self.scratch(at), self.grads(&params)) };
        if let Some(grads) = grads {
            scratch.store_biases(config, &params, grads);
        }
        let store = |rows: &[f32], stride: usize, features: usize, target: Option<Mat<'_>>| {
            let Some(target) = target else { return };
            for (row, place) in rows.chunks_exact(stride).zip(self.state_rows(at)) {
                // SAFETY: the array has a row for each pass and sequence, and those of this pass are nobody else's.
                unsafe { target.slice_mut(place, features) }.copy_from_slice(&row[..features]);
            }
        };
        store(&scratch.dh, strides.h, config.state_size(), self.dh0);
        store(&scratch.dc, strides.c, config.hidden_size, self.dc0);
    }
}
