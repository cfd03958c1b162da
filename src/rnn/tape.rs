//! Training forward: what it records for backward.

use super::batch::{Batch, Plan};
use super::config::RnnConfig;
use super::dropout::{DropoutPosition, Mask};
use super::history::History;
use super::input::ForwardArgs;
use super::model::Rnn;
use super::output::{Outputs, Target};
use super::pass::{Pass, StepScratch, load};
use super::session::{Blocks, Session, block_rows, reserve_steps};
use crate::buffer::{AlignedBuf, try_grow};
use crate::error::{Result, product};
use crate::kernel::gates::Mat;
use crate::kernel::panel::Geometry;
use crate::kernel::rows::Rows;
use crate::parallel::{FEWEST_COPIES, Pool, Team, directions_at_once, enter};
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::ops::Range;

/// What a training forward recorded. With R the sum of the lengths and B the batch size, each layer holds R rows of
/// its input and each pass R rows of pre-activations (LSTM and GRU 4, GRU with reset before 3, Elman 1 times the
/// hidden size, padded to whole vectors plus one) and B + R rows of hidden, for LSTM also of cell states (padded to a
/// multiple of 16), all f32. Memory is reused by the next forward.
#[derive(Default)]
pub struct Tape {
    pub(crate) recorded: Option<Recorded>,
    pub(crate) plan: Plan,
    /// For each layer, its input rows in packed order, after dropout.
    pub(crate) inputs: Vec<AlignedBuf<f32>>,
    /// For each pass, all its steps.
    pub(crate) histories: Vec<History>,
    x_offsets: AlignedBuf<usize>,
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
            + self.x_offsets.bytes()
    }

    fn reserve(&mut self, rnn: &Rnn) -> Result<()> {
        let (config, rows) = (rnn.config(), self.plan.rows);
        try_grow(&mut self.inputs, config.num_layers, AlignedBuf::new)?;
        try_grow(&mut self.histories, config.passes(), History::new)?;
        for layer in 0..config.num_layers {
            self.inputs[layer].resize(product("a layer's input", &[rows, config.layer_input_size(layer)])?)?;
        }
        for history in &mut self.histories[..config.passes()] {
            history.reserve(config, Geometry::of(rnn.isa()).lanes, self.plan.batch, rows)?;
        }
        self.x_offsets.resize(rows)
    }
}

impl Rnn {
    /// [`Rnn::forward`] in training: applies dropout between layers and records on `tape` what backward needs.
    /// After an error the tape holds nothing.
    pub fn forward_train(
        &self,
        session: &mut Session,
        tape: &mut Tape,
        batch: &Batch<'_>,
        args: ForwardArgs<'_>,
        dropout: DropoutPosition,
    ) -> Result<()> {
        let config = self.config();
        tape.recorded = None;
        args.check(config, batch)?;
        tape.plan.set(batch)?;
        args.check_tokens(config, &tape.plan)?;
        tape.reserve(self)?;
        let pool = self.pool_for(&tape.plan, session.pool.as_ref());
        let threads = pool.map_or(1, Pool::threads);
        reserve_steps(&mut session.scratch.step, threads.min(2), config, batch.batch_size, threads)?;
        let recorded = Recorded { config: config.clone(), isa: self.isa(), version: self.version(), dropout };
        let step = &mut session.scratch.step;
        enter(pool, |team| {
            dispatch(self.isa(), ForwardTrain { rnn: self, step, tape, args, dropout, team });
        });
        tape.recorded = Some(recorded);
        Ok(())
    }
}

struct ForwardTrain<'a> {
    rnn: &'a Rnn,
    step: &'a mut [StepScratch],
    tape: &'a mut Tape,
    args: ForwardArgs<'a>,
    dropout: DropoutPosition,
    team: Team<'a>,
}

impl Kernel for ForwardTrain<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let config = self.rnn.config();
        let Tape { plan, inputs, histories, x_offsets, .. } = self.tape;
        let input = self.args.input();
        let ForwardArgs { h0, c0, y, hn, cn, .. } = self.args;
        let outputs = Outputs::new(config, plan, y, hn, cn);
        let team = self.team;
        if plan.rows > 0 {
            let features = config.input_size;
            let x = input.rows(config, plan, &(0..plan.steps), x_offsets);
            split_rows(team, &mut inputs[0], features, &|range, rows| {
                for (i, row) in range.zip(rows.chunks_exact_mut(features)) {
                    row.copy_from_slice(x.row(i));
                }
            });
        }
        let (plan, mask) = (&*plan, Mask::new(self.dropout, config.dropout));
        for layer in 0..config.num_layers {
            let (input, above) = inputs[layer..config.num_layers].split_first_mut().expect("every layer has an input");
            let (directions, features) = (config.direction.count(), config.layer_input_size(layer));
            let target = match above.first_mut() {
                Some(next) => Some(Target::packed(next, config, plan)),
                None => outputs.y.map(|y| Target::user(y, config, plan)),
            };
            let input = &**input;
            let walk = |direction: usize, team: Team<'_>, history: &mut History, step: &mut StepScratch| {
                let (pass, reverse) = (layer * directions + direction, config.is_reverse(direction));
                history.set_initial(config, plan, pass, h0, c0);
                (history.base, history.steps) = (0, 0..plan.steps);
                let weights = self.rnn.forward_weights(pass);
                for block in Blocks::new::<S>(config, plan, reverse, team) {
                    let first = plan.start(block.start);
                    let rows = Rows::strided(&input[first * features..], block_rows(plan, &block), features, features);
                    let target = target.as_ref().map(|target| (target, direction));
                    Pass { config, weights, plan, reverse }.run(s, team, block, rows, history, step, target);
                }
            };
            let own = &mut histories[layer * directions..(layer + 1) * directions];
            let load = load(config, S::PANEL_WIDTH, features, plan, &(0..plan.steps));
            let (first_step, others) = self.step.split_first_mut().expect("memory for a pass");
            match own {
                [first, second] if directions_at_once(team.threads(), &load) => {
                    team.join(|team| walk(0, team, first, first_step), |team| walk(1, team, second, &mut others[0]));
                }
                _ => own.iter_mut().enumerate().for_each(|(d, history)| walk(d, team, history, first_step)),
            }
            for (direction, history) in own.iter().enumerate() {
                let (pass, reverse) = (layer * directions + direction, config.is_reverse(direction));
                history.write_final(config, plan, pass, reverse, &outputs);
            }
            if let (Some(next), Some(mask)) = (above.first_mut(), &mask) {
                mask_rows(team, mask, plan, layer, next, config.output_size());
            }
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

/// Applies the dropout of `layer`'s outputs to packed rows: to the outputs in forward, to their gradient in backward.
pub(crate) fn mask_rows(team: Team<'_>, mask: &Mask, plan: &Plan, layer: usize, rows: &mut [f32], features: usize) {
    let (steps, rows) = (0..plan.steps, Mat::new(&mut rows[..plan.rows * features], features));
    let fewest = FEWEST_COPIES * plan.steps / (plan.rows * features).max(1);
    team.split(steps, fewest, &|steps: Range<usize>| {
        for t in steps {
            for j in 0..plan.count(t) {
                // SAFETY: steps are disjoint, and their rows lie within all.
                let row = unsafe { std::slice::from_raw_parts_mut(rows.row(plan.start(t) + j), features) };
                mask.apply(layer, t, plan.order[j], row);
            }
        }
    });
}
