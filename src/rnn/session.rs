//! Forward without recording: scratch memory of one caller, and the loops over blocks, layers and directions.

use super::batch::{Batch, Plan};
use super::config::{Direction, RnnConfig};
use super::history::{History, Strides};
use super::input::{ForwardArgs, Input};
use super::model::Rnn;
use super::output::{Outputs, Target};
use super::pass::{HOISTED_ROWS, Pass, StepScratch, load};
use crate::buffer::{AlignedBuf, try_grow};
use crate::error::{Result, product};
use crate::kernel::panel::Geometry;
use crate::kernel::rows::Rows;
use crate::parallel::{Elements, Load, Pool, Split, Team, Wavefront, directions_at_once, enter, is_worth_waking};
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::ops::Range;

/// One caller's scratch memory for forward and backward. It grows to what a call needs and is reused from then on:
/// calls of a shape that fitted before allocate nothing. Not to be used by two threads at once.
///
/// ```
/// use simdrnn::{Pool, rnn::Session};
///
/// let pool = Pool::new(2)?;
/// let mut session = Session::with_pool(&pool); // or Session::new(): the caller's thread alone
/// assert_eq!(session.bytes(), 0);
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Default)]
pub struct Session {
    pub(crate) pool: Option<Pool>,
    pub(crate) scratch: Scratch,
    pub(crate) backward: super::backward::BackwardScratch,
}

#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) plan: Plan,
    /// One for each pass that runs at the same time.
    pub(crate) step: Vec<StepScratch>,
    pub(crate) histories: Vec<History>,
    pub(crate) x_offsets: [AlignedBuf<usize>; 2],
    /// Outputs of a bidirectional layer for the next one, packed rows.
    between: [AlignedBuf<f32>; 2],
    /// Of threads that have sequences of their own.
    parts: Vec<Scratch>,
}

impl Session {
    /// An empty session that works on the caller's thread.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty session that spreads its work over the threads of `pool`.
    pub fn with_pool(pool: &Pool) -> Self {
        Self { pool: Some(pool.clone()), ..Self::default() }
    }

    /// Spreads the work over the threads of `pool` from now on, or with `None` over no others. The number of threads changes
    /// no bit.
    pub fn set_pool(&mut self, pool: Option<&Pool>) {
        self.pool = pool.cloned();
    }

    /// Bytes of scratch memory held. Forward of a stack in one direction needs no more for a longer sequence, except 8
    /// bytes a step if lengths differ; a bidirectional stack also keeps two layers' outputs. A training forward needs 8
    /// bytes for each step of each sequence.
    pub fn bytes(&self) -> usize {
        self.scratch.bytes() + self.backward.bytes()
    }
}

impl Rnn {
    /// Runs the layers over a batch. Nothing is written unless the call succeeds.
    ///
    /// For finite results every sequence's outputs depend on the model, its input and its initial state alone: not on
    /// the other sequences, the padding, the instruction set or how the sequence is cut into calls.
    pub fn forward(&self, session: &mut Session, batch: &Batch<'_>, args: ForwardArgs<'_>) -> Result<()> {
        let config = self.config();
        args.check(config, batch)?;
        let scratch = &mut session.scratch;
        scratch.plan.set(batch)?;
        args.check_tokens(config, &scratch.plan)?;
        let pool = self.pool_for(&scratch.plan, session.pool.as_ref());
        let threads = pool.map_or(1, Pool::threads);
        let schedule = self.schedule(&scratch.plan, threads);
        scratch.reserve(self, threads, schedule)?;
        enter(pool, |team| {
            dispatch(self.isa(), Forward { rnn: self, scratch, args, keep_states: false, team, schedule });
        });
        Ok(())
    }

    /// How a forward of `plan` is shared by threads.
    fn schedule(&self, plan: &Plan, threads: usize) -> Schedule {
        let config = self.config();
        if config.direction == Direction::Bidirectional {
            return Schedule::Together;
        }
        let split = Split::choose(threads, &all_steps(config, self.isa(), config.input_size, plan));
        match self.wavefront(plan, threads) {
            Some(wavefront) => Schedule::Wavefront(wavefront),
            None if split.sequences > 1 => Schedule::Apart(split),
            None => Schedule::Together,
        }
    }

    /// The wavefront in which a forward of `plan` goes through the layers, if it does.
    pub(crate) fn wavefront(&self, plan: &Plan, threads: usize) -> Option<Wavefront> {
        let config = self.config();
        if config.direction == Direction::Bidirectional {
            return None;
        }
        let load = all_steps(config, self.isa(), config.state_size(), plan);
        Wavefront::choose(threads, config.num_layers, &load)
    }

    /// The pool, unless a forward of `plan` is too little work to wake its threads.
    pub(crate) fn pool_for<'a>(&self, plan: &Plan, pool: Option<&'a Pool>) -> Option<&'a Pool> {
        pool.filter(|_| is_worth_sharing(self.config(), self.isa(), plan))
    }
}

/// Whether a forward of `plan` is work enough to wake a pool's threads.
pub(crate) fn is_worth_sharing(config: &RnnConfig, isa: Isa, plan: &Plan) -> bool {
    is_worth_waking(config.passes() * all_steps(config, isa, config.input_size, plan).cost())
}

/// What a pass with `input` features has to do in all steps of `plan`.
fn all_steps(config: &RnnConfig, isa: Isa, input: usize, plan: &Plan) -> Load {
    let Geometry { lanes, panel_vectors } = Geometry::of(isa);
    load(config, lanes * panel_vectors, input, plan, &(0..plan.steps))
}

impl Scratch {
    pub(crate) fn bytes(&self) -> usize {
        self.histories.iter().map(History::bytes).sum::<usize>()
            + self.between.iter().map(AlignedBuf::bytes).sum::<usize>()
            + self.plan.bytes()
            + self.step.iter().map(StepScratch::bytes).sum::<usize>()
            + self.x_offsets.iter().map(AlignedBuf::bytes).sum::<usize>()
            + self.parts.iter().map(Scratch::bytes).sum::<usize>()
    }

    fn reserve(&mut self, rnn: &Rnn, threads: usize, schedule: Schedule) -> Result<()> {
        if let Schedule::Apart(Split { sequences, units }) = schedule {
            try_grow(&mut self.parts, sequences, Scratch::default)?;
            for (i, part) in self.parts[..sequences].iter_mut().enumerate() {
                part.plan.set_part(&self.plan, i, sequences)?;
                part.reserve(rnn, units, Schedule::Together)?;
            }
            return Ok(());
        }
        let wavefront = match schedule {
            Schedule::Wavefront(wavefront) => Some(wavefront),
            _ => None,
        };
        // A block stops growing once it has its rows; its last step may bring a whole batch.
        let rows = HOISTED_ROWS * threads + self.plan.batch;
        // Steps have no more rows than those before them, so no block has more than the first.
        let rows = rows.max(wavefront.map_or(0, |w| self.plan.start(w.steps.min(self.plan.steps))));
        let rows = self.plan.rows.min(rows);
        self.reserve_rows(rnn.config(), rnn.isa(), rows, threads)?;
        if let Some(Wavefront { stages, .. }) = wavefront {
            let (config, lanes) = (rnn.config(), Geometry::of(rnn.isa()).lanes);
            try_grow(&mut self.histories, 2 * config.num_layers, History::new)?;
            for history in &mut self.histories[config.num_layers..2 * config.num_layers] {
                history.reserve(config, lanes, self.plan.batch, rows)?;
            }
            reserve_steps(&mut self.step, stages, config, self.plan.batch, threads)?;
        }
        Ok(())
    }

    /// Makes room for blocks of `rows` rows of the planned batch.
    pub(crate) fn reserve_rows(&mut self, config: &RnnConfig, isa: Isa, rows: usize, threads: usize) -> Result<()> {
        let plan = &self.plan;
        let stacked = config.direction != Direction::Bidirectional;
        let at_once = if stacked || threads == 1 { 1 } else { 2 };
        let histories = if stacked { config.num_layers } else { at_once };
        try_grow(&mut self.histories, histories, History::new)?;
        for history in &mut self.histories[..histories] {
            history.reserve(config, Geometry::of(isa).lanes, plan.batch, rows)?;
        }
        reserve_steps(&mut self.step, at_once, config, plan.batch, threads)?;
        for x_offsets in &mut self.x_offsets[..at_once] {
            x_offsets.resize(rows)?;
        }
        if !stacked && config.num_layers > 1 {
            for between in &mut self.between {
                between.resize(product("layer outputs", &[plan.rows, config.output_size()])?)?;
            }
        }
        Ok(())
    }
}

/// Makes room for the steps of `count` passes that run at the same time, on `threads` threads together.
pub(crate) fn reserve_steps(
    steps: &mut Vec<StepScratch>,
    count: usize,
    config: &RnnConfig,
    batch: usize,
    threads: usize,
) -> Result<()> {
    try_grow(steps, count, StepScratch::new)?;
    steps[..count].iter_mut().try_for_each(|step| step.reserve(config, batch, threads))
}

/// How threads share a forward.
#[derive(Clone, Copy)]
pub(crate) enum Schedule {
    /// Block of steps after block of steps, layer after layer; within a layer's direction as [`Split`] says.
    Together,
    /// Each part of the sequences by itself, from the first block of steps and layer to the last. For stacks in one direction.
    Apart(Split),
    /// Layers on threads of their own. For stacks in one direction.
    Wavefront(Wavefront),
}

pub(crate) struct Forward<'a> {
    pub(crate) rnn: &'a Rnn,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) args: ForwardArgs<'a>,
    /// Whether the histories' states go on from where the last call left them; for stacks in one direction.
    pub(crate) keep_states: bool,
    pub(crate) team: Team<'a>,
    pub(crate) schedule: Schedule,
}

impl Kernel for Forward<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self { rnn, scratch, args, keep_states, team, schedule } = self;
        let input = args.input();
        let ForwardArgs { h0, c0, y, hn, cn, .. } = args;
        let outputs = Outputs::new(rnn.config(), &scratch.plan, y, hn, cn);
        let walk = Walk { rnn, input, h0, c0, outputs, keep_states };
        match schedule {
            Schedule::Wavefront(wavefront) => walk.as_wavefront(s, scratch, team, wavefront),
            Schedule::Apart(split) => walk.apart(s, scratch, team, split),
            _ if rnn.config().direction == Direction::Bidirectional => walk.layer_by_layer(s, scratch, team),
            _ => walk.block_by_block(s, scratch, team),
        }
    }
}

/// What all threads of a forward read, and the arrays in which each writes its own rows.
#[derive(Clone, Copy)]
struct Walk<'a> {
    rnn: &'a Rnn,
    input: Input<'a>,
    h0: Option<&'a [f32]>,
    c0: Option<&'a [f32]>,
    outputs: Outputs<'a>,
    keep_states: bool,
}

impl Walk<'_> {
    /// Each part of the sequences on threads of its own, with its own memory: they meet at the end.
    fn apart<S: Ops>(&self, s: S, scratch: &mut Scratch, team: Team<'_>, split: Split) {
        let parts = &mut scratch.parts[..split.sequences];
        if team.threads() < split.threads() {
            // In a forked child.
            return parts.iter_mut().for_each(|part| self.block_by_block(s, part, Team::one()));
        }
        let parts = Elements::of(parts);
        team.first(split.threads()).run(split.sequences, &|i, team| {
            // SAFETY: there are as many parts, and each is one thread's.
            let part = unsafe { &mut *parts.at(i) };
            self.block_by_block(s, part, team);
        });
    }

    /// One direction: every block of steps goes through all layers before the next block starts.
    fn block_by_block<S: Ops>(&self, s: S, scratch: &mut Scratch, team: Team<'_>) {
        let config = self.rnn.config();
        let Scratch { plan, step, histories, x_offsets: [x_offsets, _], .. } = scratch;
        let reverse = config.direction == Direction::Reverse;
        let strides = Strides::of(config, S::LANES);
        for (layer, history) in histories[..config.num_layers].iter_mut().enumerate() {
            if !self.keep_states {
                history.set_initial(config, plan, layer, self.h0, self.c0);
            }
        }
        let target = self.outputs.y.map(|y| Target::user(y, config, plan));
        for block in Blocks::new::<S>(config, plan, reverse, team) {
            let rows = block_rows(plan, &block);
            for layer in 0..config.num_layers {
                let (below, own) = histories.split_at_mut(layer);
                let input = match below.last() {
                    None => self.input.rows(config, plan, &block, x_offsets),
                    Some(b) => Rows::strided(&b.h[plan.batch * strides.h..], rows, strides.h, config.state_size()),
                };
                let history = &mut own[0];
                (history.base, history.steps) = (plan.start(block.start), block.clone());
                let weights = self.rnn.forward_weights(layer);
                let target = target.as_ref().filter(|_| layer + 1 == config.num_layers).map(|target| (target, 0));
                let pass = Pass { config, weights, plan, reverse };
                pass.run(s, team, block.clone(), input, history, &mut step[0], target);
            }
            for history in &mut histories[..config.num_layers] {
                history.carry(config, plan, reverse);
            }
        }
        for (layer, history) in histories[..config.num_layers].iter_mut().enumerate() {
            history.steps = 0..0;
            history.write_final(config, plan, layer, reverse, &self.outputs);
        }
    }

    /// One direction, layers on threads of their own. Each layer has two histories, which take blocks in turns: while one is
    /// written, the layer above reads the other. Between two waves all meet.
    fn as_wavefront<S: Ops>(&self, s: S, scratch: &mut Scratch, team: Team<'_>, wavefront: Wavefront) {
        let config = self.rnn.config();
        let Scratch { plan, step, histories, x_offsets: [x_offsets, _], .. } = scratch;
        let (plan, layers) = (&*plan, config.num_layers);
        let reverse = config.direction == Direction::Reverse;
        let strides = Strides::of(config, S::LANES);
        for (layer, pair) in histories[..2 * layers].chunks_exact_mut(2).enumerate() {
            pair[0].set_initial(config, plan, layer, self.h0, self.c0);
        }
        let all = 0..plan.steps;
        let blocks = wavefront.blocks(&all);
        let target = self.outputs.y.map(|y| Target::user(y, config, plan));
        let (histories_of, steps_of) = (Elements::of(&mut histories[..2 * layers]), Elements::of(step));
        let offsets_of = Elements::of(std::slice::from_mut(x_offsets));
        let (source, rnn) = (self.input, self.rnn);
        wavefront.run(team, layers, blocks, &|stage, own, k, team| {
            let block = wavefront.block(&all, reverse, k);
            for layer in own {
                // SAFETY: in one wave a layer's history of this block is written here alone. The layer below has written the
                // one that is read in this stage or in an earlier wave, and writes its other one now. Steps are the
                // stage's, and only the first stage gathers input.
                let (before, history, step, input) = unsafe {
                    let at = |layer: usize, k: usize| histories_of.at(2 * layer + k % 2);
                    let input = if layer == 0 {
                        source.rows(config, plan, &block, &mut *offsets_of.at(0))
                    } else {
                        let below = &(&(*at(layer - 1, k)).h)[plan.batch * strides.h..];
                        Rows::strided(below, block_rows(plan, &block), strides.h, config.state_size())
                    };
                    (&*at(layer, k + 1), &mut *at(layer, k), &mut *steps_of.at(stage), input)
                };
                if k > 0 {
                    before.carry_to(history, config, plan, reverse);
                }
                (history.base, history.steps) = (plan.start(block.start), block.clone());
                let weights = rnn.forward_weights(layer);
                let target = target.as_ref().filter(|_| layer + 1 == layers).map(|target| (target, 0));
                Pass { config, weights, plan, reverse }.run(s, team, block.clone(), input, history, step, target);
            }
        });
        for (layer, pair) in histories[..2 * layers].chunks_exact_mut(2).enumerate() {
            let last = &mut pair[(blocks - 1) % 2];
            last.write_final(config, plan, layer, reverse, &self.outputs);
            last.steps = 0..0;
        }
    }

    /// Both directions: a layer runs over all steps before the next one starts.
    fn layer_by_layer<S: Ops>(&self, s: S, scratch: &mut Scratch, whole_team: Team<'_>) {
        let config = self.rnn.config();
        let Scratch { plan, step, histories, x_offsets, between, .. } = scratch;
        let (plan, features) = (&*plan, config.output_size());
        for layer in 0..config.num_layers {
            let [even, odd] = &mut *between;
            let (source, target) = if layer % 2 == 0 { (odd, even) } else { (even, odd) };
            let target = if layer + 1 < config.num_layers {
                Some(Target::packed(target, config, plan))
            } else {
                self.outputs.y.map(|y| Target::user(y, config, plan))
            };
            let source = &**source;
            let walk = |direction: usize,
                        team: Team<'_>,
                        history: &mut History,
                        step: &mut StepScratch,
                        offsets: &mut AlignedBuf<usize>| {
                let (pass, reverse) = (2 * layer + direction, direction == 1);
                history.set_initial(config, plan, pass, self.h0, self.c0);
                for block in Blocks::new::<S>(config, plan, reverse, team) {
                    let first = plan.start(block.start);
                    let input = if layer == 0 {
                        self.input.rows(config, plan, &block, offsets)
                    } else {
                        Rows::strided(&source[first * features..], block_rows(plan, &block), features, features)
                    };
                    (history.base, history.steps) = (first, block.clone());
                    let weights = self.rnn.forward_weights(pass);
                    let target = target.as_ref().map(|target| (target, direction));
                    Pass { config, weights, plan, reverse }.run(s, team, block.clone(), input, history, step, target);
                    history.carry(config, plan, reverse);
                }
                history.steps = 0..0;
            };
            let finish = |direction: usize, history: &History| {
                history.write_final(config, plan, 2 * layer + direction, direction == 1, &self.outputs);
            };
            let load = load(config, S::PANEL_WIDTH, config.layer_input_size(layer), plan, &(0..plan.steps));
            let [forth_offsets, back_offsets] = &mut *x_offsets;
            if directions_at_once(whole_team.threads(), &load) {
                let ([first, second, ..], [forth, back, ..]) = (&mut histories[..], &mut step[..]) else {
                    unreachable!("memory for both directions")
                };
                whole_team.join(
                    |team| walk(0, team, first, forth, forth_offsets),
                    |team| walk(1, team, second, back, back_offsets),
                );
                finish(0, first);
                finish(1, second);
            } else {
                for direction in 0..2 {
                    walk(direction, whole_team, &mut histories[0], &mut step[0], forth_offsets);
                    finish(direction, &histories[0]);
                }
            }
        }
    }
}

/// Rows of a block of steps.
pub(crate) fn block_rows(plan: &Plan, block: &Range<usize>) -> usize {
    plan.start(block.end) - plan.start(block.start)
}

/// The blocks of steps in a pass's order.
pub(crate) struct Blocks<'a> {
    plan: &'a Plan,
    reverse: bool,
    left: Range<usize>,
    rows: usize,
}

impl<'a> Blocks<'a> {
    /// Blocks of about [`HOISTED_ROWS`] rows for each thread that has sequences of its own.
    pub(crate) fn new<S: Ops>(config: &RnnConfig, plan: &'a Plan, reverse: bool, team: Team<'_>) -> Self {
        let load = load(config, S::PANEL_WIDTH, config.input_size, plan, &(0..plan.steps));
        Self::of_rows(plan, reverse, HOISTED_ROWS * Split::choose(team.threads(), &load).sequences)
    }

    /// Blocks of whole steps that have at least `rows` rows, except the last.
    pub(crate) fn of_rows(plan: &'a Plan, reverse: bool, rows: usize) -> Self {
        Self { plan, reverse, left: 0..plan.steps, rows }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Range<usize>;
    fn next(&mut self) -> Option<Range<usize>> {
        if self.left.is_empty() {
            return None;
        }
        let block = if self.reverse {
            self.plan.block_start(self.left.end, self.rows)..self.left.end
        } else {
            self.left.start..self.plan.block_end(self.left.start, self.rows)
        };
        if self.reverse {
            self.left.end = block.start;
        } else {
            self.left.start = block.end;
        }
        Some(block)
    }
}
