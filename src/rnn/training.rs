//! Forward that is recorded for backward.

use super::batch::{Batch, Plan};
use super::dropout::{DropoutPosition, Mask};
use super::history::{History, Kept};
use super::input::{ForwardArgs, Input};
use super::model::Rnn;
use super::output::{OutputRows, Outputs};
use super::pass::{Pass, StepScratch};
use super::scratch::Scratch;
use super::session::Session;
use super::tape::{Recorded, Tape};
use super::walk::{Place, Walk, Work, pool_for};
use crate::buffer::AlignedBuf;
use crate::error::Result;
use crate::kernel::lhs::Rows;
use crate::kernel::mat::Mat;
use crate::parallel::{Elements, FEWEST_COPIES, Pool, Team, enter};
use crate::simd::{Kernel, Ops, dispatch};
use std::ops::Range;

impl Rnn {
    /// [`Rnn::forward`] in training: applies dropout between layers and records on `tape` what backward needs.
    /// After an error the tape holds what it held before.
    pub fn forward_train(
        &self,
        session: &mut Session,
        tape: &mut Tape,
        batch: &Batch<'_>,
        args: ForwardArgs<'_>,
        dropout: DropoutPosition,
    ) -> Result<()> {
        let config = self.config();
        args.check(config, batch)?;
        let Session { pool, scratch, initial, .. } = session;
        let args = args.with_initial(initial)?;
        let Scratch { plan, buffers, .. } = scratch;
        plan.set(batch)?;
        args.check_tokens(config, plan)?;
        let pool = pool_for(config, self.isa(), plan, pool.as_ref());
        let threads = pool.map_or(1, Pool::threads);
        let walk = Walk::training(config, self.isa(), plan, threads);
        buffers.reserve_steps(config, plan.batch, &walk, threads)?;
        buffers.x_offsets[0].resize(plan.rows)?;
        // The last that may fail: the tape changes only with the call's success.
        tape.reserve(config, self.isa(), plan)?;
        tape.recorded = None;
        let recorded = Recorded { config: config.clone(), isa: self.isa(), version: self.version(), dropout };
        let (steps, x_offsets) = (&mut buffers.steps[..], &mut buffers.x_offsets[0][..]);
        enter(pool, |team| {
            dispatch(self.isa(), Run { rnn: self, walk, steps, x_offsets, tape, args, dropout, team });
        });
        tape.recorded = Some(recorded);
        Ok(())
    }
}

struct Run<'a> {
    rnn: &'a Rnn,
    walk: Walk,
    steps: &'a mut [StepScratch],
    x_offsets: &'a mut [usize],
    tape: &'a mut Tape,
    args: ForwardArgs<'a>,
    dropout: DropoutPosition,
    team: Team<'a>,
}

impl Kernel for Run<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self { rnn, walk, steps, x_offsets, tape, args, dropout, team } = self;
        let config = rnn.config();
        let Tape { plan, inputs, histories, .. } = tape;
        let input = args.input(config);
        let ForwardArgs { h0, c0, y, y_row_stride, hn, cn, .. } = args;
        let outputs = Outputs::new(config, plan, y, y_row_stride, hn, cn);
        copy_input(rnn, plan, team, input, x_offsets, &mut inputs[0]);
        assert!(walk.workers() <= steps.len() && config.passes() <= histories.len());
        let work = Training {
            rnn,
            plan,
            h0,
            c0,
            outputs,
            inputs: &inputs[..config.num_layers],
            mask: Mask::new(dropout, config.dropout),
            // SAFETY: the array is borrowed, and the plan has all sequences.
            y: outputs.y.map(|y| unsafe { OutputRows::user(y, config, plan) }),
            histories: Elements::of(histories),
            steps: Elements::of(steps),
        };
        walk.run(s, plan, team, &work);
    }
}

/// Copies the input to packed rows, on several threads if there are many.
fn copy_input(
    rnn: &Rnn,
    plan: &Plan,
    team: Team<'_>,
    input: Input<'_>,
    x_offsets: &mut [usize],
    rows: &mut AlignedBuf<f32>,
) {
    if plan.rows == 0 {
        return;
    }
    let features = rnn.config().input_size;
    let x = input.rows(rnn.config(), plan, &(0..plan.steps), x_offsets);
    let rows = Mat::new(rows, features);
    team.split(0..plan.rows, FEWEST_COPIES.div_ceil(features), &|part: Range<usize>| {
        for i in part {
            // SAFETY: there is a row for each of the plan's, and parts are disjoint.
            unsafe { rows.slice_mut(i, features) }.copy_from_slice(x.row(i));
        }
    });
}

/// A forward that is recorded, on its way through the layers.
struct Training<'a> {
    rnn: &'a Rnn,
    plan: &'a Plan,
    h0: Option<&'a [f32]>,
    c0: Option<&'a [f32]>,
    outputs: Outputs<'a>,
    /// Of each layer; the layer below writes it.
    inputs: &'a [AlignedBuf<f32>],
    mask: Option<Mask>,
    y: Option<OutputRows<'a>>,
    histories: Elements<'a, History>,
    steps: Elements<'a, StepScratch>,
}

impl<'a> Training<'a> {
    /// The packed rows of a layer's input.
    fn input(&self, layer: usize) -> Mat<'a> {
        Mat::shared(&self.inputs[layer], self.plan.rows, self.rnn.config().layer_input_size(layer))
    }

    /// # Safety
    /// Nobody else works on the pass.
    #[expect(clippy::mut_from_ref, reason = "each pass has its own")]
    unsafe fn history(&self, pass: usize) -> &mut History {
        // SAFETY: there is one for each, and the caller's contract.
        unsafe { &mut *self.histories.at(pass) }
    }
}

impl<S: Ops> Work<S> for Training<'_> {
    unsafe fn begin(&self, at: &Place) {
        let pass = self.rnn.pass_index(at.layer, at.direction);
        // SAFETY: the caller's contract.
        let history = unsafe { self.history(pass) };
        history.set_initial(self.rnn.config(), self.plan, pass, self.h0, self.c0);
        history.kept = Kept { base: 0, steps: 0..self.plan.steps };
    }

    unsafe fn block(&self, s: S, team: Team<'_>, at: &Place) {
        let (config, plan) = (self.rnn.config(), self.plan);
        let (pass, features) = (self.rnn.pass_index(at.layer, at.direction), config.layer_input_size(at.layer));
        let rows = plan.rows_of(&at.block);
        // SAFETY: the caller's contract: the layer below has done these steps; history and memory for a step are this pass's.
        let (input, history, step) = unsafe {
            let input = self.input(at.layer).slice(plan.start(at.block.start), rows * features);
            (input, self.history(pass), &mut *self.steps.at(at.worker))
        };
        let is_last = at.layer + 1 == config.num_layers;
        let next = (!is_last).then(|| OutputRows::packed(self.input(at.layer + 1), config, plan));
        let target = next.as_ref().or(self.y.as_ref()).map(|target| (target, at.direction));
        let input = Rows::strided(input, rows, features, features);
        let weights = self.rnn.forward_weights(pass);
        let pass = Pass { config, weights, plan, reverse: config.is_reverse(at.direction) };
        pass.run(s, team, at.block.clone(), input, history, step, target);
    }

    /// Applies dropout, unless the layer is the last.
    unsafe fn layer(&self, _: S, team: Team<'_>, layer: usize, steps: &Range<usize>) {
        if let (Some(mask), true) = (&self.mask, layer + 1 < self.inputs.len()) {
            // SAFETY: the caller's contract.
            unsafe { mask.apply_to_rows(team, self.plan, layer, steps.clone(), self.input(layer + 1)) };
        }
    }

    unsafe fn end(&self, at: &Place) {
        let config = self.rnn.config();
        let pass = self.rnn.pass_index(at.layer, at.direction);
        // SAFETY: the caller's contract.
        let history = unsafe { self.history(pass) };
        history.write_final(config, self.plan, pass, config.is_reverse(at.direction), &self.outputs);
    }
}
