//! One layer in one direction over a block of steps, forward: the code that inference, training and streaming share.

use super::batch::Plan;
use super::config::RnnConfig;
use super::history::{History, Kept, Strides};
use super::load;
use super::output::OutputRows;
use super::weights::ForwardWeights;
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::kernel::cell::Flush;
use crate::kernel::cell_kernels::CellKernels;
use crate::kernel::columns::gemm_columns;
use crate::kernel::gates::{Forward, Span};
use crate::kernel::gemm::{Output, Start, gemm_gates};
use crate::kernel::lhs::{Lhs, Rows};
use crate::kernel::look_ahead::{LookAhead, MOST_AHEAD};
use crate::kernel::mat::{Mat, Series};
use crate::kernel::panel::{Panels, slot_vector};
use crate::kernel::single_row::{RowBuffers, States, Weights};
use crate::parallel::{Elements, FEWEST_PRODUCTS, Load, MOST_SHARED, NEAR_VALUES, Split, Team};
use crate::simd::Ops;
use std::ops::Range;

/// Memory that a pass needs for one step.
pub(crate) struct StepScratch {
    /// For each thread, where its sequences' previous states, cell states, own rows of `rows` and of the target start.
    offsets: AlignedBuf<usize>,
    /// The second product's operand: `r h` (GRU with reset before) or the hidden state before projection.
    rows: AlignedBuf<f32>,
    /// For each thread, the inputs of a look-ahead window.
    ahead: AlignedBuf<f32>,
}

/// Kinds of offsets.
const KINDS: usize = 4;

impl StepScratch {
    pub(crate) const fn new() -> Self {
        Self { offsets: AlignedBuf::new(), rows: AlignedBuf::new(), ahead: AlignedBuf::new() }
    }

    pub(crate) fn reserve(&mut self, config: &RnnConfig, batch: usize, threads: usize) -> Result<()> {
        // Members that share a sequence each have its offsets, but only a few sequences are shared.
        self.offsets.resize(product("a step's offsets", &[KINDS, batch + MOST_SHARED * threads])?)?;
        if config.has_second_product() {
            self.rows.resize(product("a step's scratch", &[batch, Strides::of(config, 1).c])?)?;
        } else {
            self.ahead.resize(product("a look-ahead window", &[threads, window_values(config)])?)?;
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.offsets.bytes() + self.ahead.bytes()
    }
}

/// Values of [`StepScratch::ahead`] for each thread.
fn window_values(config: &RnnConfig) -> usize {
    let between = if config.num_layers > 1 { config.output_size() } else { 0 };
    config.input_size.max(between).saturating_mul(MOST_AHEAD)
}

/// Values of recurrent weights that the first-level cache holds about; fewer leave nothing to wait for.
const FEWEST_AHEAD: usize = 8 << 10;
/// Values of all weights that the last cache holds for certain. Of more, every read costs, and steps with look-ahead read the
/// input weights more often.
const MOST_WEIGHTS_AHEAD: usize = 4 << 20;

/// Whether a single sequence's steps look ahead, by sizes. Inputs much longer than the state would be left over, and fare
/// better in a product of their own.
fn looks_ahead<S: Ops>(config: &RnnConfig, load: &Load) -> bool {
    let gates = load.gates * load.units;
    !config.has_second_product()
        && S::AHEAD_ROWS > 0
        && pays_to_look_ahead::<S>()
        && load.rows > S::AHEAD_ROWS
        && gates * load.state > FEWEST_AHEAD
        && gates * (load.state + load.input) <= MOST_WEIGHTS_AHEAD
        && load.input <= 2 * load.state
}

/// Whether this processor gains by it; tests try both on every one.
fn pays_to_look_ahead<S: Ops>() -> bool {
    #[cfg(test)]
    if let Some(forced) = tests::forced() {
        return forced;
    }
    S::looks_ahead()
}

/// Rows of a step from which on a product of them alone is as fast as one of several steps' rows.
const ROWS_OF_A_STEP: usize = 16;

/// How threads share a block.
struct Sharing {
    split: Split,
    /// Sequences that run in the block's first step, and on the average.
    sequences: usize,
    average: usize,
    /// Whether each part of the sequences is consecutive, so that nobody's rows lie between another's (and are fetched by it);
    /// else parts take turns, and all have as many that are running.
    is_consecutive: bool,
    /// Parts that units can be cut into: whole panels of every gate.
    pieces: usize,
    /// Blocks of LANES units.
    blocks: usize,
    input_product: InputProduct,
    /// Whether rows go one by one through the row kernel.
    by_rows: bool,
}

/// When the input product of a block is made.
#[derive(Clone, Copy, PartialEq)]
enum InputProduct {
    /// Before the first step, its rows shared by all threads.
    Before,
    /// Before a thread's first step, of its own sequences and units.
    Own,
    /// That of the first window before the first step, the others' while steps run.
    LookAhead,
}

impl Sharing {
    fn choose<S: Ops>(config: &RnnConfig, plan: &Plan, threads: usize, block: &Range<usize>, input: usize) -> Self {
        let load = load::forward(config, S::PANEL_WIDTH, input, plan, block);
        let split = Split::choose(threads, &load);
        let (sequences, average) = (load.most, load.rows / load.steps);
        let is_near = load.gates * load.units * load.input <= NEAR_VALUES;
        let enough = if is_near { S::TILE_ROWS } else { ROWS_OF_A_STEP };
        let is_consecutive = split.units == 1 && average / split.sequences >= enough;
        let input_product = if sequences == 1 && looks_ahead::<S>(config, &load) {
            InputProduct::LookAhead
        } else if split.threads() > 1 && (is_consecutive || split.sequences == 1) {
            InputProduct::Own
        } else {
            InputProduct::Before
        };
        let (pieces, blocks) = (load.pieces, config.hidden_size.div_ceil(S::LANES));
        let by_rows = sequences == 1 && !config.has_second_product();
        Self { split, sequences, average, is_consecutive, pieces, blocks, input_product, by_rows }
    }

    /// The most sequences of a part.
    fn most(&self) -> usize {
        self.sequences.div_ceil(self.split.sequences)
    }

    /// Offsets of each kind that its threads need.
    fn offsets(&self) -> usize {
        self.sequences.max(self.most() * self.split.threads())
    }

    /// That of the member at `place` of those who have part `part` of the sequences.
    fn share<'a, S: Ops>(&self, part: usize, team: Team<'a>, place: usize) -> Share<'a> {
        let cut = |i: usize| self.split.cut(i, self.average, self.sequences);
        let piece = |i: usize| (self.pieces * i / self.split.units * S::PANEL_VECTORS).min(self.blocks);
        let (first, stride, sequences, offsets) = if self.is_consecutive {
            (cut(part), 1, cut(part + 1) - cut(part), cut(part))
        } else {
            (part, self.split.sequences, self.most(), self.most() * (part * self.split.units + place))
        };
        Share { first, stride, sequences, blocks: piece(place)..piece(place + 1), team, place, offsets }
    }
}

/// One thread's part of a pass: `sequences` sorted sequences from `first` on, `stride` apart, and of those, blocks of units.
struct Share<'a> {
    first: usize,
    stride: usize,
    sequences: usize,
    blocks: Range<usize>,
    /// The threads that share these sequences, and this one's place among them.
    team: Team<'a>,
    place: usize,
    /// Where its part of [`StepScratch::offsets`] is: room for so many sequences precedes it.
    offsets: usize,
}

impl Share<'_> {
    /// How many of the sequences are among the `running` first.
    fn count(&self, running: usize) -> usize {
        running.saturating_sub(self.first).div_ceil(self.stride).min(self.sequences)
    }

    /// Waits for those who share the sequences.
    #[inline]
    fn meet(&self) {
        self.team.meet(self.place);
    }
}

/// The buffers of a block as threads share them: each writes the rows of its own sequences, and there the columns of its
/// own units.
struct Memory<'a> {
    strides: Strides,
    /// Which rows `pre`, `h` and `c` have.
    kept: &'a Kept,
    pre: Mat<'a>,
    h: Mat<'a>,
    c: Mat<'a>,
    /// [`StepScratch::rows`].
    rows: Mat<'a>,
    offsets: Elements<'a, usize>,
    /// [`StepScratch::ahead`], a row for each thread.
    ahead: Mat<'a>,
}

/// Where a pass's hidden states go beside its history: rows, and which direction's features of them.
pub(crate) type Target<'a> = Option<(&'a OutputRows<'a>, usize)>;

/// A pass ready to run.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a RnnConfig,
    pub(crate) weights: &'a ForwardWeights,
    pub(crate) plan: &'a Plan,
    pub(crate) reverse: bool,
}

impl<'a> Pass<'a> {
    /// Runs the steps `block`, whose input rows in packed order are `input`, and records them in `history`. Hidden states
    /// also go to `target`, which nobody else writes meanwhile.
    pub(crate) fn run<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        block: Range<usize>,
        input: Rows<'_>,
        history: &mut History,
        scratch: &mut StepScratch,
        target: Target<'_>,
    ) {
        let sharing = Sharing::choose::<S>(self.config, self.plan, team.threads(), &block, input.width());
        self.check::<S>(&sharing, &block, &input, history, scratch);
        let memory = self.memory::<S>(history, scratch);
        let cell = self.config.cell.kernels::<S>();
        let run = Run { pass: self, cell, block: &block, input, sharing: &sharing, memory: &memory, target };
        if sharing.input_product == InputProduct::Before {
            run.input_product(s, team);
        }
        let split = sharing.split;
        team.first(split.threads()).run(split.sequences, &|part, team| {
            team.run(split.units, &|place, _| {
                let share = sharing.share::<S>(part, team, place);
                // SAFETY: the buffers reach to the block's last row, as checked; threads have disjoint sequences or units, and
                // those who share sequences all come here.
                unsafe { run.share(s, &share) }
            });
        });
    }

    /// Panics unless the buffers reach to the block's last row.
    fn check<S: Ops>(
        &self,
        sharing: &Sharing,
        block: &Range<usize>,
        input: &Rows<'_>,
        history: &History,
        scratch: &StepScratch,
    ) {
        let (config, plan, strides) = (self.config, self.plan, Strides::of(self.config, S::LANES));
        let last = plan.start(block.end) - history.kept.base;
        assert!(input.count() == plan.rows_of(block) && last * strides.pre <= history.pre.len());
        assert!((plan.batch + last) * strides.h <= history.h.len());
        assert!(!config.cell.has_cell_state() || (plan.batch + last) * strides.c <= history.c.len());
        assert!(!config.has_second_product() || sharing.sequences * strides.c <= scratch.rows.len());
        assert!(KINDS * sharing.offsets() <= scratch.offsets.len());
        if sharing.input_product == InputProduct::LookAhead {
            #[cfg(test)]
            tests::count();
            let values = window_values(config);
            assert!(MOST_AHEAD * input.width() <= values && sharing.split.units * values <= scratch.ahead.len());
        }
    }

    fn memory<'m, S: Ops>(&self, history: &'m mut History, scratch: &'m mut StepScratch) -> Memory<'m> {
        let strides = Strides::of(self.config, S::LANES);
        let History { pre, h, c, kept } = history;
        Memory {
            strides,
            kept,
            pre: Mat::new(pre, strides.pre),
            h: Mat::new(h, strides.h),
            c: Mat::new(c, strides.c),
            rows: Mat::new(&mut scratch.rows, strides.c),
            offsets: Elements::of(&mut scratch.offsets[..]),
            ahead: Mat::new(&mut scratch.ahead, window_values(self.config)),
        }
    }
}

/// A block of a pass, as all its threads see it.
struct Run<'a, S: Ops> {
    pass: &'a Pass<'a>,
    cell: &'static dyn CellKernels<S>,
    block: &'a Range<usize>,
    input: Rows<'a>,
    sharing: &'a Sharing,
    memory: &'a Memory<'a>,
    target: Target<'a>,
}

impl<S: Ops> Run<'_, S> {
    /// The input product of the block, its rows shared by the team.
    fn input_product(&self, s: S, team: Team<'_>) {
        let weights = self.pass.config.cell.gates() * self.pass.config.hidden_size * self.input.width();
        let fewest = (FEWEST_PRODUCTS / weights).max(S::TILE_ROWS);
        team.split(0..self.input.count(), fewest, &|part: Range<usize>| {
            // SAFETY: the rows are the block's, and parts are disjoint.
            unsafe { self.start_rows(s, part, 0..self.sharing.blocks) }
        });
    }

    /// One thread's share of the block.
    ///
    /// # Safety
    /// No other thread works on these sequences and units; those that work on other units of these sequences do the same.
    unsafe fn share(&self, s: S, share: &Share<'_>) {
        // SAFETY: the caller's contract.
        unsafe {
            self.own_input_product(s, share);
            if self.sharing.by_rows {
                self.rows(s, share);
            } else if self.pass.reverse {
                self.block.clone().rev().for_each(|t| self.step(s, t, share));
            } else {
                self.block.clone().for_each(|t| self.step(s, t, share));
            }
            // Else the gates have written it beside the states.
            if self.sharing.by_rows || self.pass.weights.projection.is_some() {
                self.write(share);
            }
        }
    }

    /// What of the input product a thread makes for itself, before its steps.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn own_input_product(&self, s: S, share: &Share<'_>) {
        let (plan, rows) = (self.pass.plan, self.input.count());
        // SAFETY: the caller's contract.
        let start_rows = |own: Range<usize>| unsafe { self.start_rows(s, own, share.blocks.clone()) };
        match self.sharing.input_product {
            InputProduct::Before => {}
            // The first rows in the order of the steps.
            InputProduct::LookAhead if self.pass.reverse => start_rows(rows - S::AHEAD_ROWS..rows),
            InputProduct::LookAhead => start_rows(0..S::AHEAD_ROWS),
            InputProduct::Own if self.sharing.split.sequences == 1 => start_rows(0..rows),
            InputProduct::Own => {
                for t in self.block.clone() {
                    let (from, count) = (plan.start(t) - plan.start(self.block.start), share.count(plan.count(t)));
                    if count > 0 {
                        start_rows(from + share.first..from + share.first + count);
                    }
                }
            }
        }
    }

    /// The input product of some of the block's rows for some blocks of units, and the recurrent bias where it has a slot of
    /// its own.
    ///
    /// # Safety
    /// Nothing else touches these rows and units.
    unsafe fn start_rows(&self, s: S, rows: Range<usize>, blocks: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let Pass { config, weights, plan, .. } = *self.pass;
        let (bias, cell) = (&*weights.bias, config.cell.properties());
        let panels = panels::<S>(&blocks, cell.gates);
        let first = plan.start(self.block.start) - self.memory.kept.base;
        let input = self.input.slice(rows.clone());
        // SAFETY: the caller's contract; the history reaches to the block's last row.
        unsafe {
            let pre = self.memory.pre.starting_at(first + rows.start);
            let len = (rows.len() - 1) * pre.stride() + weights.input.row_len();
            let out = Output::raw(pre.values(), len, pre.stride());
            gemm_gates(s, input, weights.input.view(), panels, Start::Row(bias), out);
            // Products of the state that are kept apart begin at their bias.
            for slot in (0..cell.slots).filter(|&slot| cell.own_slots.contains(slot)) {
                let at = |block: usize| slot_vector(S::LANES, cell.slots, block, slot);
                assert!(cell.slots * S::LANES * blocks.end <= bias.len());
                s.enter(
                    #[inline(always)]
                    || {
                        for row in 0..rows.len() {
                            for block in blocks.clone() {
                                s.store(pre.at(row, at(block)), s.load(bias.as_ptr().add(at(block))));
                            }
                        }
                    },
                );
            }
        }
    }

    /// The steps of one sequence, row by row.
    ///
    /// # Safety
    /// As [`Run::share`]'s; one sequence runs in the block.
    unsafe fn rows(&self, s: S, share: &Share<'_>) {
        let (Pass { config, weights, plan, reverse }, memory) = (*self.pass, self.memory);
        let (count, input) = (self.block.len(), &self.input);
        let (first, sign) = if reverse { (self.block.end - 1, -1) } else { (self.block.start, 1) };
        let row = plan.start(first) - memory.kept.base;
        let before = memory.kept.previous_index(plan, reverse, first, 0);
        // SAFETY: the caller's contract; a single sequence's rows follow each other, and each is the next one's past.
        unsafe {
            let series =
                |rows: Mat<'_>, row: usize| Series { first: rows.row(row), step: sign * rows.stride() as isize };
            let states = |rows: Mat<'_>| States { first: rows.row(before), now: series(rows, plan.batch + row) };
            let (pre, h) = (series(memory.pre, row), states(memory.h));
            let c = if config.cell.has_cell_state() { states(memory.c) } else { h };
            let (start, bias) = (pre.read(), weights.bias.as_ptr());
            let rows = RowBuffers { start, bias, keep: Some(pre), x: start, h, c, count };
            let x = |i: usize| input.pointer(if reverse { count - 1 - i } else { i });
            let ahead = (self.sharing.input_product == InputProduct::LookAhead).then(|| LookAhead {
                weights: weights.input.view().into(),
                bias,
                x: &x,
                packed: memory.ahead.row(share.place),
                out: pre,
            });
            let meet = || share.meet();
            let meet: Option<&dyn Fn()> = if share.team.threads() > 1 { Some(&meet) } else { None };
            let weights = Weights { input: None, recurrent: weights.recurrent.view().into() };
            let flush = Flush::new(config.flush_small_states);
            let kernels = self.cell.single_row().expect("a cell with one product");
            kernels.rows(s, &weights, &rows, ahead.as_ref(), share.blocks.clone(), flush, meet);
        }
    }

    /// Copies the hidden states of one thread's part of the block to the target: of the members who share sequences, each
    /// takes every so many of a step's.
    ///
    /// # Safety
    /// The states are complete, and nobody else writes these rows of the target.
    unsafe fn write(&self, share: &Share<'_>) {
        let Some((target, direction)) = self.target else { return };
        let (plan, size) = (self.pass.plan, self.pass.config.state_size());
        for t in self.block.clone() {
            for i in (share.place..share.count(plan.count(t))).step_by(share.team.threads()) {
                let j = share.first + i * share.stride;
                let row = self.memory.kept.index(plan, plan.start(t) + j);
                // SAFETY: the caller's contract; the target has this row, as long as all directions' features.
                unsafe {
                    std::ptr::copy_nonoverlapping(self.memory.h.row(row), target.row(t, j, direction), size);
                }
            }
        }
    }

    /// One thread's share of step `t`. Those who share its sequences have met when this returns.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn step(&self, s: S, t: usize, share: &Share<'_>) {
        let count = share.count(self.pass.plan.count(t));
        if count == 0 {
            return;
        }
        // SAFETY: the caller's contract.
        let Offsets { h, c, rows, copies } = unsafe { self.offsets(t, count, share) };
        let (Pass { config, weights, plan, .. }, memory) = (*self.pass, self.memory);
        let Memory { strides, kept, .. } = memory;
        let first = plan.start(t) + share.first;
        let units = config.hidden_size;
        let cell = config.cell.properties();
        // SAFETY: previous states are rows other than the step's own, which alone are written, and only this thread
        // writes these units of these sequences; the others' units are read after all have met; all rows lie within
        // their buffers.
        unsafe {
            let pre = memory.pre.starting_at(first - kept.base).every(share.stride);
            let own_h = memory.h.starting_at(kept.index(plan, first)).every(share.stride);
            let own_c = if cell.has_cell_state {
                memory.c.starting_at(kept.index(plan, first)).every(share.stride)
            } else {
                memory.c
            };
            let step_rows = if config.has_second_product() {
                memory.rows.starting_at(share.first).every(share.stride)
            } else {
                memory.rows
            };
            let before_h = memory.h.read().gathered(h);
            let before_c = memory.c.read().gathered(c);
            let before = if cell.has_cell_state { before_c } else { before_h };
            let is_projected = weights.projection.is_some();
            let flush = Flush::new(config.flush_small_states);
            let forward = Forward {
                pre,
                before,
                c: own_c,
                h: if is_projected { step_rows } else { own_h },
                copies: self.target.filter(|_| !is_projected).map(|(target, _)| target.at(copies)),
                flush,
            };
            let state = Rows::at_raw(memory.h.values(), memory.h.len(), h, config.state_size());
            let between = |values: Mat<'_>| Rows::at_raw(values.values(), values.len(), rows, units);
            let product = |panels: &Panels, range, left: Rows<'_>| {
                let out = Output::raw(pre.values(), (count - 1) * pre.stride() + strides.pre, pre.stride());
                gemm_gates(s, left, panels.view(), range, Start::Output, out);
            };
            let span = |blocks: Range<usize>| Span { rows: count, blocks, units };
            let (mut last, mut operand) = (&weights.recurrent, state);
            let mut gates = cell.recurrent.len();
            if let Some(second) = &weights.second {
                product(last, panels::<S>(&share.blocks, gates), operand);
                let kernels = self.cell.second_product().expect("a cell with two products");
                kernels.between(s, &span(share.blocks.clone()), pre.read(), before_h, step_rows);
                share.meet();
                (last, operand, gates) = (second, between(memory.rows), cell.second.len());
            }
            for (blocks, range) in UnitGroups::new::<S>(share.blocks.clone(), gates) {
                product(last, range, operand);
                self.cell.forward(s, &span(blocks), &forward);
            }
            if let Some(projection) = &weights.projection {
                share.meet();
                self.project(s, projection, between(memory.rows), own_h, share, flush);
            }
        }
        share.meet();
    }

    /// The projected states of a step's rows: each member makes the columns of some panels.
    ///
    /// # Safety
    /// All units of the rows `unprojected` are complete, and nobody else writes these columns of `h`.
    unsafe fn project(
        &self,
        s: S,
        projection: &Panels,
        unprojected: Rows<'_>,
        h: Mat<'_>,
        share: &Share<'_>,
        flush: Flush,
    ) {
        let panels = projection.view().panels;
        let cut = |place: usize| panels * place / share.team.threads();
        let panels = cut(share.place)..cut(share.place + 1);
        let columns = panels.start * S::PANEL_WIDTH..(panels.end * S::PANEL_WIDTH).min(self.pass.config.proj_size);
        let count = unprojected.count();
        // SAFETY: the caller's contract.
        unsafe {
            gemm_columns(s, unprojected, projection, panels, Start::Zero, h);
            for row in 0..count {
                let values = h.row(row).add(columns.start);
                flush.apply_to(std::slice::from_raw_parts_mut(values, columns.len()));
            }
        }
    }

    /// Where the rows of a step's first `count` sequences of a share start.
    ///
    /// # Safety
    /// As [`Run::share`]'s; what it gave for the share before is no longer used.
    unsafe fn offsets(&self, t: usize, count: usize, share: &Share<'_>) -> Offsets<'_> {
        let (plan, Memory { kept, strides, offsets, .. }) = (self.pass.plan, self.memory);
        // SAFETY: the scratch has as many pieces, as checked, and each thread takes another.
        let offsets = unsafe { offsets.slice(KINDS * share.offsets, KINDS * share.sequences) };
        let (h, rest) = offsets.split_at_mut(share.sequences);
        let (c, rest) = rest.split_at_mut(share.sequences);
        let (rows, copies) = rest.split_at_mut(share.sequences);
        let (h, c, rows, copies) = (&mut h[..count], &mut c[..count], &mut rows[..count], &mut copies[..count]);
        for i in 0..count {
            let j = share.first + i * share.stride;
            let index = kept.previous_index(plan, self.pass.reverse, t, j);
            h[i] = index * strides.h;
            c[i] = index * strides.c;
            rows[i] = j * strides.c;
            if let Some((target, direction)) = self.target {
                copies[i] = target.offset(t, j, direction);
            }
        }
        Offsets { h, c, rows, copies }
    }
}

/// Where the rows of a step start.
struct Offsets<'a> {
    /// Previous states.
    h: &'a [usize],
    c: &'a [usize],
    /// Rows of the second product's operand.
    rows: &'a [usize],
    /// Rows of the target.
    copies: &'a [usize],
}

/// The panels that hold `gates` gates of some blocks of units; the first block's start a panel.
fn panels<S: Ops>(blocks: &Range<usize>, gates: usize) -> Range<usize> {
    debug_assert!((blocks.start * gates).is_multiple_of(S::PANEL_VECTORS));
    blocks.start * gates / S::PANEL_VECTORS..(blocks.end * gates).div_ceil(S::PANEL_VECTORS)
}

/// Cuts units into groups whose columns are whole panels, so that a group's gates can run while its pre-activations are
/// still in the cache. Yields blocks of LANES units and the panels that hold their gates.
struct UnitGroups {
    gates: usize,
    panels: fn(&Range<usize>, usize) -> Range<usize>,
    blocks_per_group: usize,
    left: Range<usize>,
}

impl UnitGroups {
    fn new<S: Ops>(blocks: Range<usize>, gates: usize) -> Self {
        let vectors = S::PANEL_VECTORS * S::ROW_PANELS;
        // The fewest blocks whose vectors fill the panels that a single row reads together.
        let blocks_per_group = (1..=vectors).find(|b| (b * gates).is_multiple_of(vectors)).unwrap_or(vectors);
        Self { gates, panels: panels::<S>, blocks_per_group, left: blocks }
    }
}

impl Iterator for UnitGroups {
    type Item = (Range<usize>, Range<usize>);
    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let end = (self.left.start + self.blocks_per_group).min(self.left.end);
        let blocks = std::mem::replace(&mut self.left.start, end)..end;
        let panels = (self.panels)(&blocks, self.gates);
        Some((blocks, panels))
    }
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
