//! The one walk through layers, directions and time. What a call does is worked out once, as a value: in which order it visits
//! the passes' blocks of steps, and which of them run at the same time. Inference, training forward and backward give it the
//! work for a block and what follows, and read from it how much memory they need.

use super::batch::Plan;
use super::config::{Direction, RnnConfig};
use super::load;
use crate::kernel::panel::Geometry;
use crate::parallel::{Load, Pool, Split, Team, Wavefront, directions_at_once, is_worth_waking};
use crate::simd::{Isa, Ops};
use std::ops::Range;

/// Rows of the input product that are computed ahead of the recurrence: enough for full tiles, few enough that they
/// are still in the cache when their step comes.
pub(crate) const HOISTED_ROWS: usize = 96;
/// Rows whose gradients are gathered before the products over them run: the depth of the weight gradients' products.
pub(crate) const GATHERED_ROWS: usize = 256;

/// A call's way through a stack of layers.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) order: Order,
    layers: usize,
    direction: Direction,
    /// Whether layers are visited from the last to the first, and steps against each pass's order.
    is_backward: bool,
    /// Rows of a block of whole steps at least, except of the last: of a pass that has all threads, and of one that has half.
    rows: [usize; 2],
    /// Whether both directions run at once: in the first layer, and in the others, whose inputs have another size.
    at_once: [bool; 2],
}

/// The order in which blocks of steps are visited.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Order {
    /// Each goes through all layers before the next one starts. For stacks in one direction.
    Blocks,
    /// As `Blocks`, but each part of the sequences by itself, from the first block of steps and layer to the last.
    Parts(Split),
    /// Each layer takes all of them before the next layer starts.
    Layers,
    /// Layers on threads of their own. For stacks in one direction.
    Wavefront(Wavefront),
}

/// A block of steps of one pass.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) layer: usize,
    pub(crate) direction: usize,
    /// Among the passes that run at the same time.
    pub(crate) worker: usize,
    /// Blocks of the pass that came before.
    pub(crate) number: usize,
    pub(crate) block: Range<usize>,
    /// The steps whose results are gathered: `block` is among them.
    pub(crate) gathered: Range<usize>,
}

/// What is done on the way. The walk says what is complete and who else is at work; that is the contract of every method.
pub(crate) trait Work<S: Ops>: Sync {
    /// A pass begins.
    ///
    /// # Safety
    /// Nobody else works on this pass.
    unsafe fn begin(&self, _at: &Place) {}

    /// A block of steps of a pass.
    ///
    /// # Safety
    /// The pass has done the blocks before; the layer before in the walk's order has done these steps. Others may be at work on
    /// other passes, and on other blocks of other layers; those that run at the same time have other workers.
    unsafe fn block(&self, s: S, team: Team<'_>, at: &Place);

    /// A pass has done all steps of `at.gathered`.
    ///
    /// # Safety
    /// Nobody else works on this pass; in an order by layers, others may be at work on the layer's other direction.
    unsafe fn gathered(&self, _s: S, _team: Team<'_>, _at: &Place) {}

    /// A layer's directions have done some steps.
    ///
    /// # Safety
    /// Nobody else works on these steps of the layer, and the next layer has not seen them yet.
    unsafe fn layer(&self, _s: S, _team: Team<'_>, _layer: usize, _steps: &Range<usize>) {}

    /// A pass has done all its steps; `at.number` is that of its blocks.
    ///
    /// # Safety
    /// As for [`Work::begin`].
    unsafe fn end(&self, _at: &Place) {}
}

impl Walk {
    /// That of a forward without recording, on so many threads.
    pub(crate) fn inference(config: &RnnConfig, isa: Isa, plan: &Plan, threads: usize) -> Self {
        let walk = Self::training(config, isa, plan, threads);
        if config.direction == Direction::Bidirectional || matches!(walk.order, Order::Wavefront(_)) {
            return walk;
        }
        let split = split_of_sequences(config, isa, plan, threads);
        Self { order: if split.sequences > 1 { Order::Parts(split) } else { Order::Blocks }, ..walk }
    }

    /// That of a forward without recording, block by block: of a part of the sequences, or of a stream's.
    pub(crate) fn by_blocks(config: &RnnConfig, isa: Isa, plan: &Plan, threads: usize) -> Self {
        let rows = [HOISTED_ROWS * split_of_sequences(config, isa, plan, threads).sequences; 2];
        Self { order: Order::Blocks, rows, ..Self::new(config, 1, false, rows, |_| unreachable!("one thread")) }
    }

    /// That of a forward that is recorded.
    pub(crate) fn training(config: &RnnConfig, isa: Isa, plan: &Plan, threads: usize) -> Self {
        let rows = [threads, threads / 2]
            .map(|threads| HOISTED_ROWS * split_of_sequences(config, isa, plan, threads).sequences);
        Self::new(config, threads, false, rows, |input| of_all_steps(config, isa, input, plan))
    }

    /// That of a backward.
    pub(crate) fn backward(config: &RnnConfig, isa: Isa, plan: &Plan, threads: usize, wants_norms: bool) -> Self {
        let block = Blocks::new(plan, !config.is_reverse(0), GATHERED_ROWS).next().unwrap_or(0..0);
        let width = panel_width(isa);
        Self::new(config, threads, true, [GATHERED_ROWS; 2], |input| {
            load::backward(config, width, input, plan, &block, wants_norms)
        })
    }

    fn new(
        config: &RnnConfig,
        threads: usize,
        is_backward: bool,
        rows: [usize; 2],
        load: impl Fn(usize) -> Load,
    ) -> Self {
        let RnnConfig { direction, num_layers: layers, .. } = *config;
        let mut walk = Self { order: Order::Layers, layers, direction, is_backward, rows, at_once: [false; 2] };
        if threads == 1 {
            return walk;
        }
        if direction == Direction::Bidirectional {
            let at_once = |layer| directions_at_once(threads, &load(config.layer_input_size(layer)));
            walk.at_once = [at_once(0), at_once(1)];
        } else if let Some(wavefront) = Wavefront::choose(threads, layers, &load(config.state_size())) {
            walk.order = Order::Wavefront(wavefront);
        }
        walk
    }

    /// Passes that run at the same time.
    pub(crate) fn workers(&self) -> usize {
        match self.order {
            Order::Wavefront(wavefront) => wavefront.stages,
            _ => 1 + usize::from(self.at_once.contains(&true)),
        }
    }

    pub(crate) fn is_wavefront(&self) -> bool {
        matches!(self.order, Order::Wavefront(_))
    }

    /// Blocks of a pass whose results are needed at the same time: in a wavefront the layer above reads one while the next is
    /// made.
    pub(crate) fn blocks_in_flight(&self) -> usize {
        1 + usize::from(self.is_wavefront())
    }

    /// The most of `threads` that work on one pass.
    pub(crate) fn threads_of_a_pass(&self, threads: usize) -> usize {
        if self.at_once == [true; 2] { threads.div_ceil(2) } else { threads }
    }

    /// The most rows of a block: its last step may bring a whole batch.
    pub(crate) fn block_rows(&self, plan: &Plan) -> usize {
        let rows = match self.order {
            // Steps have no more rows than those before them, so no block has more than the first.
            Order::Wavefront(wavefront) => plan.start(wavefront.steps.min(plan.steps)),
            _ => self.rows[0].max(self.rows[1]) + plan.batch,
        };
        plan.rows.min(rows)
    }

    /// Goes the way, giving `work` its places.
    pub(crate) fn run<S: Ops>(&self, s: S, plan: &Plan, team: Team<'_>, work: &impl Work<S>) {
        // SAFETY: each order keeps the contracts of `Work`.
        unsafe {
            match self.order {
                Order::Blocks | Order::Parts(_) => self.block_by_block(s, plan, team, work),
                Order::Layers => self.layer_by_layer(s, plan, team, work),
                Order::Wavefront(wavefront) => self.as_wavefront(s, plan, team, work, wavefront),
            }
        }
    }

    /// # Safety
    /// None of its own: `work` is unsafe.
    unsafe fn block_by_block<S: Ops>(&self, s: S, plan: &Plan, team: Team<'_>, work: &impl Work<S>) {
        // SAFETY: one after another.
        unsafe {
            self.layers().for_each(|layer| work.begin(&Place::of_pass(layer, 0, 0)));
            let mut number = 0;
            for block in self.blocks(plan, 0, self.rows[0]) {
                for layer in self.layers() {
                    let at = Place::new(layer, 0, 0, number, block.clone(), block.clone());
                    work.block(s, team, &at);
                    work.gathered(s, team, &at);
                    work.layer(s, team, layer, &block);
                }
                number += 1;
            }
            self.layers().for_each(|layer| work.end(&Place { number, ..Place::of_pass(layer, 0, 0) }));
        }
    }

    /// # Safety
    /// None of its own: `work` is unsafe.
    unsafe fn layer_by_layer<S: Ops>(&self, s: S, plan: &Plan, team: Team<'_>, work: &impl Work<S>) {
        for layer in self.layers() {
            let pass = |direction: usize, worker: usize, rows: usize, team: Team<'_>| {
                let mut at = Place::of_pass(layer, direction, worker);
                // SAFETY: the other direction is another pass, with another worker where it runs meanwhile.
                unsafe {
                    work.begin(&at);
                    for block in self.blocks(plan, direction, rows) {
                        (at.block, at.gathered) = (block.clone(), block);
                        work.block(s, team, &at);
                        work.gathered(s, team, &at);
                        at.number += 1;
                    }
                    work.end(&at);
                }
            };
            // A forked child's team is smaller than the pool.
            if self.at_once[layer.min(1)] && team.threads() > 1 {
                team.join(|team| pass(0, 0, self.rows[1], team), |team| pass(1, 1, self.rows[1], team));
            } else {
                (0..self.direction.count()).for_each(|direction| pass(direction, 0, self.rows[0], team));
            }
            // SAFETY: both directions are done.
            unsafe { work.layer(s, team, layer, &(0..plan.steps)) };
        }
    }

    /// # Safety
    /// None of its own: `work` is unsafe.
    unsafe fn as_wavefront<S: Ops>(
        &self,
        s: S,
        plan: &Plan,
        team: Team<'_>,
        work: &impl Work<S>,
        wavefront: Wavefront,
    ) {
        // SAFETY: in one wave a layer is one stage's, and so is a worker; all meet after it.
        unsafe {
            self.layers().for_each(|layer| work.begin(&Place::of_pass(layer, 0, 0)));
            let (reverse, mut number) = (self.is_reverse(0), 0);
            // What backward gathers is a wavefront of its own: products over it follow.
            let rows = if self.is_backward { self.rows[0] } else { usize::MAX };
            for gathered in Blocks::new(plan, reverse, rows) {
                let blocks = wavefront.blocks(&gathered);
                wavefront.run(team, self.layers, blocks, &|stage, layers, k, team| {
                    let block = wavefront.block(&gathered, reverse, k);
                    for layer in layers.map(|place| self.layer_at(place)) {
                        let at = Place::new(layer, 0, stage, number + k, block.clone(), gathered.clone());
                        work.block(s, team, &at);
                        work.layer(s, team, layer, &block);
                    }
                });
                number += blocks;
                for layer in self.layers() {
                    work.gathered(s, team, &Place::new(layer, 0, 0, number, gathered.clone(), gathered.clone()));
                }
            }
            self.layers().for_each(|layer| work.end(&Place { number, ..Place::of_pass(layer, 0, 0) }));
        }
    }

    /// The layers in the order in which they are visited.
    fn layers(&self) -> impl Iterator<Item = usize> {
        let walk = *self;
        (0..self.layers).map(move |place| walk.layer_at(place))
    }

    fn layer_at(&self, place: usize) -> usize {
        if self.is_backward { self.layers - 1 - place } else { place }
    }

    /// Whether steps of a direction are visited from the last to the first.
    fn is_reverse(&self, direction: usize) -> bool {
        (direction == 1 || self.direction == Direction::Reverse) != self.is_backward
    }

    /// The blocks of a direction in the order in which they are visited.
    fn blocks<'a>(&self, plan: &'a Plan, direction: usize, rows: usize) -> Blocks<'a> {
        Blocks::new(plan, self.is_reverse(direction), rows)
    }
}

impl Place {
    fn new(
        layer: usize,
        direction: usize,
        worker: usize,
        number: usize,
        block: Range<usize>,
        gathered: Range<usize>,
    ) -> Self {
        Self { layer, direction, worker, number, block, gathered }
    }

    /// Before the first block.
    pub(crate) fn of_pass(layer: usize, direction: usize, worker: usize) -> Self {
        Self::new(layer, direction, worker, 0, 0..0, 0..0)
    }
}

/// The pool, unless a forward of `plan` is too little work to wake its threads.
pub(crate) fn pool_for<'a>(config: &RnnConfig, isa: Isa, plan: &Plan, pool: Option<&'a Pool>) -> Option<&'a Pool> {
    pool.filter(|_| is_worth_sharing(config, isa, plan))
}

/// Whether a forward of `plan` is work enough to wake a pool's threads.
pub(crate) fn is_worth_sharing(config: &RnnConfig, isa: Isa, plan: &Plan) -> bool {
    is_worth_waking(config.passes() * of_all_steps(config, isa, config.input_size, plan).cost())
}

/// What a pass with `input` features has to do in all steps of `plan`.
fn of_all_steps(config: &RnnConfig, isa: Isa, input: usize, plan: &Plan) -> Load {
    load::forward(config, panel_width(isa), input, plan, &(0..plan.steps))
}

/// How threads share all steps of the first layer, as a rule for the size of blocks.
fn split_of_sequences(config: &RnnConfig, isa: Isa, plan: &Plan, threads: usize) -> Split {
    if threads < 2 { Split::NONE } else { Split::choose(threads, &of_all_steps(config, isa, config.input_size, plan)) }
}

fn panel_width(isa: Isa) -> usize {
    let Geometry { lanes, panel_vectors } = Geometry::of(isa);
    lanes * panel_vectors
}

/// Blocks of whole steps that have at least `rows` rows, except the last.
struct Blocks<'a> {
    plan: &'a Plan,
    reverse: bool,
    left: Range<usize>,
    rows: usize,
}

impl<'a> Blocks<'a> {
    fn new(plan: &'a Plan, reverse: bool, rows: usize) -> Self {
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
