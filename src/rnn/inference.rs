//! Forward without recording.

use super::batch::{Batch, Plan};
use super::config::RnnConfig;
use super::history::{History, Kept, Strides};
use super::input::{ForwardArgs, Input};
use super::model::Rnn;
use super::output::{OutputRows, Outputs};
use super::pass::{Pass, StepScratch};
use super::scratch::{Buffers, Scratch};
use super::session::Session;
use super::walk::{Order, Place, Walk, Work, pool_for};
use crate::buffer::AlignedBuf;
use crate::error::Result;
use crate::kernel::lhs::Rows;
use crate::kernel::mat::Mat;
use crate::parallel::{Elements, Pool, Split, Team, enter};
use crate::simd::{Kernel, Ops, dispatch};

impl Rnn {
    /// Runs the layers over a batch. Nothing is written unless the call succeeds.
    ///
    /// For finite results every sequence's outputs depend on the model, its input and its initial state alone: not on
    /// the other sequences, the padding, the instruction set or how the sequence is cut into calls.
    pub fn forward(&self, session: &mut Session, batch: &Batch<'_>, args: ForwardArgs<'_>) -> Result<()> {
        let config = self.config();
        args.check(config, batch)?;
        let Session { pool, scratch, initial, .. } = session;
        let args = args.with_initial(initial)?;
        scratch.plan.set(batch)?;
        args.check_tokens(config, &scratch.plan)?;
        let pool = pool_for(config, self.isa(), &scratch.plan, pool.as_ref());
        let threads = pool.map_or(1, Pool::threads);
        let walk = Walk::inference(config, self.isa(), &scratch.plan, threads);
        scratch.reserve(config, self.isa(), &walk, threads)?;
        enter(pool, |team| dispatch(self.isa(), Run { rnn: self, walk, scratch, args, team }));
        Ok(())
    }
}

struct Run<'a> {
    rnn: &'a Rnn,
    walk: Walk,
    scratch: &'a mut Scratch,
    args: ForwardArgs<'a>,
    team: Team<'a>,
}

impl Kernel for Run<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self { rnn, walk, scratch, args, team } = self;
        let input = args.input(rnn.config());
        let ForwardArgs { h0, c0, y, y_row_stride, hn, cn, .. } = args;
        let outputs = Outputs::new(rnn.config(), &scratch.plan, y, y_row_stride, hn, cn);
        let arrays = Arrays { input, initial: Initial::Arrays { h0, c0 }, outputs };
        if let Order::Parts(split) = walk.order {
            return in_parts(s, rnn, &mut scratch.parts, arrays, team, split);
        }
        let Scratch { plan, histories, buffers, .. } = scratch;
        // SAFETY: the arrays are borrowed, and the plan has all sequences.
        unsafe { Inference::new(rnn, &walk, plan, histories, buffers, arrays) }.run(s, team);
    }
}

/// Each part of the sequences on threads of its own, with its own memory: they meet at the end.
fn in_parts<S: Ops>(s: S, rnn: &Rnn, parts: &mut [Scratch], arrays: Arrays<'_>, team: Team<'_>, split: Split) {
    let run = |part: &mut Scratch, team: Team<'_>| {
        let Scratch { plan, histories, buffers, .. } = part;
        let walk = Walk::by_blocks(rnn.config(), rnn.isa(), plan, split.units);
        // SAFETY: no other part has these sequences.
        unsafe { Inference::new(rnn, &walk, plan, histories, buffers, arrays) }.run(s, team);
    };
    let parts = &mut parts[..split.sequences];
    if team.threads() < split.threads() {
        // In a forked child.
        return parts.iter_mut().for_each(|part| run(part, Team::one()));
    }
    let parts = Elements::of(parts);
    // SAFETY: there are as many parts, and each is one thread's.
    team.first(split.threads()).run(split.sequences, &|i, team| run(unsafe { &mut *parts.at(i) }, team));
}

/// What a forward reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Arrays<'a> {
    pub(super) input: Input<'a>,
    pub(super) initial: Initial<'a>,
    pub(super) outputs: Outputs<'a>,
}

/// Where sequences begin, and whether their last states are kept for the next call.
#[derive(Clone, Copy)]
pub(super) enum Initial<'a> {
    /// At these arrays (passes, batch, features), or at zero.
    Arrays { h0: Option<&'a [f32]>, c0: Option<&'a [f32]> },
    /// At the initial states of the histories, where the last states go too.
    Histories,
}

/// A forward without recording, on its way through the layers. Histories have a block at a time, in a wavefront two: while one
/// is written, the layer above reads the other.
pub(super) struct Inference<'a> {
    rnn: &'a Rnn,
    walk: &'a Walk,
    plan: &'a Plan,
    arrays: Arrays<'a>,
    y: Option<OutputRows<'a>>,
    histories: Elements<'a, History>,
    steps: Elements<'a, StepScratch>,
    x_offsets: Elements<'a, AlignedBuf<usize>>,
    between: &'a [AlignedBuf<f32>; 2],
}

impl<'a> Inference<'a> {
    /// With memory reserved for the walk.
    ///
    /// # Safety
    /// Until this is dropped, nobody else touches the rows of the plan's sequences in the arrays that are written.
    pub(super) unsafe fn new(
        rnn: &'a Rnn,
        walk: &'a Walk,
        plan: &'a Plan,
        histories: &'a mut [History],
        buffers: &'a mut Buffers,
        arrays: Arrays<'a>,
    ) -> Self {
        let Buffers { steps, x_offsets, between } = buffers;
        assert!(walk.workers() <= steps.len());
        Self {
            rnn,
            walk,
            plan,
            arrays,
            // SAFETY: the caller's contract.
            y: arrays.outputs.y.map(|y| unsafe { OutputRows::user(y, rnn.config(), plan) }),
            histories: Elements::of(histories),
            steps: Elements::of(steps),
            x_offsets: Elements::of(x_offsets),
            between,
        }
    }

    pub(super) fn run<S: Ops>(&self, s: S, team: Team<'_>) {
        self.walk.run(s, self.plan, team, self);
    }

    fn config(&self) -> &'a RnnConfig {
        self.rnn.config()
    }

    /// The history of a pass that has the block of that number.
    fn history(&self, at: &Place, number: usize) -> *mut History {
        let in_flight = self.walk.blocks_in_flight();
        let index = match self.walk.order {
            Order::Layers => at.worker,
            _ => at.layer * in_flight + number % in_flight,
        };
        // SAFETY: there are as many, as reserved.
        unsafe { self.histories.at(index) }
    }

    /// The outputs of a layer that takes all steps before the next one starts.
    fn outputs_of(&self, layer: usize) -> Mat<'a> {
        Mat::shared(&self.between[layer % 2], self.plan.rows, self.config().output_size())
    }

    fn is_reverse(&self, at: &Place) -> bool {
        self.config().is_reverse(at.direction)
    }

    /// The rows of a block's input, in packed order.
    ///
    /// # Safety
    /// As [`Work::block`]'s.
    unsafe fn input(&self, at: &Place, h_stride: usize) -> Rows<'_> {
        let (config, plan) = (self.config(), self.plan);
        // SAFETY: the caller's contract: the layer below has written these rows, and now writes others at most; offsets are
        // the worker's.
        unsafe {
            match (at.layer.checked_sub(1), self.walk.order) {
                (None, _) => self.arrays.input.rows(config, plan, &at.block, &mut *self.x_offsets.at(at.worker)),
                (Some(below), Order::Layers) => {
                    let (rows, features) = (self.outputs_of(below), config.output_size());
                    let count = plan.rows_of(&at.block);
                    let rows = rows.slice(plan.start(at.block.start), count * features);
                    Rows::strided(rows, count, features, features)
                }
                (Some(below), _) => {
                    let below: &History = &*self.history(&Place { layer: below, ..at.clone() }, at.number);
                    Rows::strided(
                        &below.h[plan.batch * h_stride..],
                        plan.rows_of(&at.block),
                        h_stride,
                        config.state_size(),
                    )
                }
            }
        }
    }
}

impl<S: Ops> Work<S> for Inference<'_> {
    unsafe fn begin(&self, at: &Place) {
        // SAFETY: the caller's contract.
        let history = unsafe { &mut *self.history(at, 0) };
        history.kept = Kept::NOTHING;
        if let Initial::Arrays { h0, c0 } = self.arrays.initial {
            history.set_initial(self.config(), self.plan, self.rnn.pass_index(at.layer, at.direction), h0, c0);
        }
    }

    unsafe fn block(&self, s: S, team: Team<'_>, at: &Place) {
        let (config, plan, reverse) = (self.config(), self.plan, self.is_reverse(at));
        let strides = Strides::of(config, S::LANES);
        // SAFETY: the caller's contract: a pass's history of this block is written here alone, and so is the memory for a step;
        // what the last block left is read alone.
        let (history, step, input) = unsafe {
            let history = self.history(at, at.number);
            if at.number > 0 && self.walk.blocks_in_flight() > 1 {
                (*self.history(at, at.number - 1)).carry_to(&mut *history, config, plan, reverse);
            } else if at.number > 0 {
                (*history).carry(config, plan, reverse);
            }
            (&mut *history, &mut *self.steps.at(at.worker), self.input(at, strides.h))
        };
        history.kept = Kept::rows_of(plan, at.block.clone());
        let is_last = at.layer + 1 == config.num_layers;
        let between = (!is_last && self.walk.order == Order::Layers)
            .then(|| OutputRows::packed(self.outputs_of(at.layer), config, plan));
        let target = between.as_ref().or(self.y.as_ref().filter(|_| is_last)).map(|target| (target, at.direction));
        let weights = self.rnn.forward_weights(self.rnn.pass_index(at.layer, at.direction));
        Pass { config, weights, plan, reverse }.run(s, team, at.block.clone(), input, history, step, target);
    }

    unsafe fn end(&self, at: &Place) {
        let (config, plan, reverse) = (self.config(), self.plan, self.is_reverse(at));
        // SAFETY: the caller's contract.
        let history = unsafe { &mut *self.history(at, at.number.saturating_sub(1)) };
        match self.arrays.initial {
            Initial::Histories => history.carry(config, plan, reverse),
            Initial::Arrays { .. } => {
                let pass = self.rnn.pass_index(at.layer, at.direction);
                history.write_final(config, plan, pass, reverse, &self.arrays.outputs);
            }
        }
        history.kept = Kept::NOTHING;
    }
}
