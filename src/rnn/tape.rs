//! Training forward: what it records for backward.

use super::batch::{Batch, Plan};
use super::config::RnnConfig;
use super::dropout::{DropoutPosition, Mask};
use super::history::History;
use super::input::ForwardArgs;
use super::model::Rnn;
use super::output::{Outputs, Target};
use super::pass::{Pass, StepScratch, load};
use super::session::{Blocks, Scratch, Session, block_rows, reserve_steps};
use crate::buffer::{AlignedBuf, push, try_grow};
use crate::error::{Result, product};
use crate::kernel::gates::Mat;
use crate::kernel::panel::Geometry;
use crate::kernel::rows::Rows;
use crate::parallel::{Elements, FEWEST_COPIES, Pool, Team, Wavefront, directions_at_once, enter};
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::ops::Range;

/// What a training forward recorded. With R the sum of the lengths and B the batch size, each layer holds R rows of
/// its input and each pass R rows of pre-activations (LSTM and GRU 4, GRU with reset before 3, Elman 1 times the
/// hidden size, padded to whole vectors plus one) and B + R rows of hidden, for LSTM also of cell states (padded to a
/// multiple of 16), all f32. Memory is reused by the next forward; where that needs more, the old memory is kept until the
/// new is there.
///
/// ```
/// use simdrnn::nn::{Optimizer, OptimizerConfig, SgdConfig, mse_loss, Reduction};
/// use simdrnn::rnn::{BackwardArgs, Batch, Cell, DropoutPosition, ForwardArgs, Grads, Init, Rnn, RnnConfig, Session, Tape};
///
/// let mut rnn = Rnn::new(&RnnConfig::new(Cell::ElmanTanh, 1, 4))?;
/// rnn.init(Init::TorchUniform, 3)?;
/// let (mut session, mut tape, mut grads) = (Session::new(), Tape::new(), Grads::new(&rnn)?);
/// let mut optimizer = Optimizer::new(&OptimizerConfig::Sgd(SgdConfig { lr: 0.5, ..SgdConfig::default() }))?;
/// let batch = Batch::new(1, 6);
/// let (x, target) = ([0.5; 6], [0.25; 6 * 4]);
/// let (mut y, mut dy, mut losses) = ([0.0; 6 * 4], [0.0; 6 * 4], Vec::new());
/// for _ in 0..20 {
///     let args = ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() };
///     rnn.forward_train(&mut session, &mut tape, &batch, args, DropoutPosition::default())?;
///     losses.push(mse_loss(Reduction::Mean, &y, &target, Some(&mut dy))?);
///     grads.zero();
///     let args = BackwardArgs { dy: Some(&dy), ..BackwardArgs::default() };
///     rnn.backward(&mut session, &tape, args, Some(&mut grads), None)?;
///     optimizer.begin_step();
///     rnn.optimize(&mut optimizer, 0, &grads)?;
/// }
/// assert!(losses[19] < losses[0] / 4.0);
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Default)]
pub struct Tape {
    pub(crate) recorded: Option<Recorded>,
    pub(crate) plan: Plan,
    /// For each layer, its input rows in packed order, after dropout.
    pub(crate) inputs: Vec<AlignedBuf<f32>>,
    /// For each pass, all its steps.
    pub(crate) histories: Vec<History>,
}

/// The model that a tape belongs to.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) config: RnnConfig,
    pub(crate) isa: Isa,
    pub(crate) version: u64,
    pub(crate) dropout: DropoutPosition,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.inputs.iter().map(AlignedBuf::bytes).sum::<usize>()
            + self.histories.iter().map(History::bytes).sum::<usize>()
            + self.plan.bytes()
    }

    /// Makes room for a forward of `plan`, which becomes the tape's. After an error the tape holds what it held.
    pub(super) fn reserve(&mut self, config: &RnnConfig, isa: Isa, plan: &Plan) -> Result<()> {
        let lanes = Geometry::of(isa).lanes;
        try_grow(&mut self.inputs, config.num_layers, AlignedBuf::new)?;
        try_grow(&mut self.histories, config.passes(), History::new)?;
        let (inputs, histories) = (&mut self.inputs, &mut self.histories);
        let mut each = |f: &mut dyn FnMut(&mut AlignedBuf<f32>, usize) -> Result<()>| {
            for (layer, input) in inputs[..config.num_layers].iter_mut().enumerate() {
                f(input, product("a layer's input", &[plan.rows, config.layer_input_size(layer)])?)?;
            }
            histories[..config.passes()].iter_mut().try_for_each(|history| {
                let lens = History::lens(config, lanes, plan.batch, plan.rows)?;
                history.buffers().into_iter().zip(lens).try_for_each(|(buffer, len)| f(buffer, len))
            })
        };
        self.plan.become_after(plan, || {
            let mut grown = Vec::new();
            each(&mut |buffer, len| buffer.grown(len)?.map_or(Ok(()), |new| push(&mut grown, new)))?;
            let mut grown = grown.into_iter();
            each(&mut |buffer, len| {
                let new = if buffer.has_room(len) { None } else { grown.next() };
                buffer.adopt(new, len);
                Ok(())
            })
        })
    }
}

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
        let Scratch { plan, step, x_offsets: [x_offsets, _], .. } = &mut session.scratch;
        plan.set(batch)?;
        args.check_tokens(config, plan)?;
        let pool = self.pool_for(plan, session.pool.as_ref());
        let threads = pool.map_or(1, Pool::threads);
        let wavefront = self.wavefront(plan, threads);
        let at_once = wavefront.map_or(threads.min(2), |wavefront| wavefront.stages);
        reserve_steps(step, at_once, config, batch.batch_size, threads)?;
        x_offsets.resize(plan.rows)?;
        // The last that may fail: the tape changes only with the call's success.
        tape.reserve(config, self.isa(), plan)?;
        tape.recorded = None;
        let recorded = Recorded { config: config.clone(), isa: self.isa(), version: self.version(), dropout };
        enter(pool, |team| {
            dispatch(self.isa(), ForwardTrain { rnn: self, step, x_offsets, tape, args, dropout, team, wavefront });
        });
        tape.recorded = Some(recorded);
        Ok(())
    }
}

struct ForwardTrain<'a> {
    rnn: &'a Rnn,
    step: &'a mut [StepScratch],
    x_offsets: &'a mut [usize],
    tape: &'a mut Tape,
    args: ForwardArgs<'a>,
    dropout: DropoutPosition,
    team: Team<'a>,
    wavefront: Option<Wavefront>,
}

impl Kernel for ForwardTrain<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self { rnn, step, x_offsets, tape, args, dropout, team, wavefront } = self;
        let config = rnn.config();
        let Tape { plan, inputs, histories, .. } = tape;
        let input = args.input();
        let ForwardArgs { h0, c0, y, hn, cn, .. } = args;
        let outputs = Outputs::new(config, plan, y, hn, cn);
        if plan.rows > 0 {
            let features = config.input_size;
            let x = input.rows(config, plan, &(0..plan.steps), x_offsets);
            split_rows(team, &mut inputs[0], features, &|range, rows| {
                for (i, row) in range.zip(rows.chunks_exact_mut(features)) {
                    row.copy_from_slice(x.row(i));
                }
            });
        }
        let histories = &mut histories[..config.passes()];
        for (pass, history) in histories.iter_mut().enumerate() {
            history.set_initial(config, plan, pass, h0, c0);
            (history.base, history.steps) = (0, 0..plan.steps);
        }
        let walk = Walk {
            rnn,
            plan,
            inputs: &inputs[..config.num_layers],
            mask: Mask::new(dropout, config.dropout),
            y: outputs.y.map(|y| Target::user(y, config, plan)),
        };
        match wavefront {
            Some(wavefront) => walk.as_wavefront(s, team, wavefront, histories, step),
            None => walk.layer_by_layer(s, team, histories, step),
        }
        for (pass, history) in histories.iter().enumerate() {
            history.write_final(config, plan, pass, config.is_reverse(pass % config.direction.count()), &outputs);
        }
    }
}

/// What all threads of a training forward share.
struct Walk<'a> {
    rnn: &'a Rnn,
    plan: &'a Plan,
    /// Of each layer; the layer below writes it.
    inputs: &'a [AlignedBuf<f32>],
    mask: Option<Mask>,
    y: Option<Target<'a>>,
}

impl Walk<'_> {
    /// A layer runs over all steps before the next one starts; both directions may run at the same time.
    fn layer_by_layer<S: Ops>(&self, s: S, team: Team<'_>, histories: &mut [History], step: &mut [StepScratch]) {
        let (config, plan) = (self.rnn.config(), self.plan);
        let directions = config.direction.count();
        let (first_step, others) = step.split_first_mut().expect("memory for a pass");
        for (layer, own) in histories.chunks_exact_mut(directions).enumerate() {
            let walk = |direction: usize, team: Team<'_>, history: &mut History, step: &mut StepScratch| {
                for block in Blocks::new::<S>(config, plan, config.is_reverse(direction), team) {
                    // SAFETY: directions write other features of a row, and the layer below is done.
                    unsafe { self.block(s, team, (layer, direction), block, history, step) };
                }
            };
            let load = load(config, S::PANEL_WIDTH, config.layer_input_size(layer), plan, &(0..plan.steps));
            match own {
                [first, second] if directions_at_once(team.threads(), &load) => {
                    team.join(|team| walk(0, team, first, first_step), |team| walk(1, team, second, &mut others[0]));
                }
                _ => own.iter_mut().enumerate().for_each(|(d, history)| walk(d, team, history, first_step)),
            }
            // SAFETY: the layer is done, and the next one has not begun.
            unsafe { self.mask_outputs(team, layer, 0..plan.steps) };
        }
    }

    /// One direction, layers on threads of their own.
    fn as_wavefront<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        wavefront: Wavefront,
        histories: &mut [History],
        step: &mut [StepScratch],
    ) {
        let config = self.rnn.config();
        let (all, reverse) = (0..self.plan.steps, config.is_reverse(0));
        assert!(wavefront.stages <= step.len() && config.num_layers == histories.len());
        let (histories, steps) = (Elements::of(histories), Elements::of(step));
        wavefront.run(team, config.num_layers, wavefront.blocks(&all), &|stage, layers, k, team| {
            let block = wavefront.block(&all, reverse, k);
            for layer in layers {
                // SAFETY: a layer, its history and its outputs are one stage's, and so is the memory for a step; the layer below
                // has done this block, and now writes the rows of another.
                unsafe {
                    let (history, step) = (&mut *histories.at(layer), &mut *steps.at(stage));
                    self.block(s, team, (layer, 0), block.clone(), history, step);
                    self.mask_outputs(team, layer, block.clone());
                }
            }
        });
    }

    /// One block of steps of a layer's direction.
    ///
    /// # Safety
    /// The rows of its input are complete, and nobody else touches the direction's features of its output rows.
    unsafe fn block<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        (layer, direction): (usize, usize),
        block: Range<usize>,
        history: &mut History,
        step: &mut StepScratch,
    ) {
        let (config, plan) = (self.rnn.config(), self.plan);
        let (first, rows, features) =
            (plan.start(block.start), block_rows(plan, &block), config.layer_input_size(layer));
        assert!((first + rows) * features <= self.inputs[layer].len());
        // SAFETY: the buffers have all rows of the plan, and the caller's contract.
        let (input, next) = unsafe {
            let next = self.inputs.get(layer + 1);
            (
                std::slice::from_raw_parts(self.inputs[layer].shared().add(first * features), rows * features),
                next.map(|next| Target::packed_raw(next.shared(), config, plan)),
            )
        };
        let weights = self.rnn.forward_weights(layer * config.direction.count() + direction);
        let target = next.as_ref().or(self.y.as_ref()).map(|target| (target, direction));
        let input = Rows::strided(input, rows, features, features);
        let pass = Pass { config, weights, plan, reverse: config.is_reverse(direction) };
        pass.run(s, team, block, input, history, step, target);
    }

    /// Applies dropout to a layer's outputs of some steps, unless the layer is the last.
    ///
    /// # Safety
    /// They are complete, and nobody else touches them.
    unsafe fn mask_outputs(&self, team: Team<'_>, layer: usize, steps: Range<usize>) {
        if let (Some(next), Some(mask)) = (self.inputs.get(layer + 1), &self.mask) {
            let rows = Mat { values: next.shared(), stride: self.rnn.config().output_size() };
            // SAFETY: the buffer has all rows of the plan, and the caller's contract.
            unsafe { mask_rows(team, mask, self.plan, layer, steps, rows) };
        }
    }
}

/// Calls `part` with ranges of rows and their values, on several threads if there are many.
fn split_rows(team: Team<'_>, rows: &mut [f32], features: usize, part: &(impl Fn(Range<usize>, &mut [f32]) + Sync)) {
    let (count, rows) = (rows.len() / features, Mat::new(rows, features));
    team.split(0..count, FEWEST_COPIES.div_ceil(features), &|range: Range<usize>| {
        // SAFETY: ranges are disjoint and within the rows.
        let rows = unsafe { std::slice::from_raw_parts_mut(rows.row(range.start), range.len() * features) };
        part(range, rows);
    });
}

/// Applies the dropout of `layer`'s outputs to the packed rows of some steps: to the outputs in forward, to their gradient in
/// backward.
///
/// # Safety
/// There are rows for all steps of the plan, and nobody else touches those of these steps.
pub(super) unsafe fn mask_rows(team: Team<'_>, mask: &Mask, plan: &Plan, layer: usize, steps: Range<usize>, rows: Mat) {
    let features = rows.stride;
    let fewest = FEWEST_COPIES * steps.len() / (block_rows(plan, &steps) * features).max(1);
    team.split(steps, fewest, &|steps: Range<usize>| {
        for t in steps {
            for j in 0..plan.count(t) {
                // SAFETY: threads have other steps, and the caller's contract.
                let row = unsafe { std::slice::from_raw_parts_mut(rows.row(plan.start(t) + j), features) };
                mask.apply(layer, t, plan.order[j], row);
            }
        }
    });
}
