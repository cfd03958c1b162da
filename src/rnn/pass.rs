//! One layer in one direction over a block of steps, forward: the code that inference, training and streaming share.

use super::batch::Plan;
use super::config::{Cell, RnnConfig};
use super::history::{History, Strides};
use super::output::Target;
use super::row::{self, Ahead, MOST_AHEAD, States, Walk};
use super::session::block_rows;
use super::weights::ForwardWeights;
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::kernel::columns::gemm_columns;
use crate::kernel::gates::elman::Elman;
use crate::kernel::gates::gru::{self, ResetAfter, ResetBefore};
use crate::kernel::gates::lstm::Lstm;
use crate::kernel::gates::{self, Copies, Flush, Mat, Previous, Span};
use crate::kernel::gemm::{Output, Start, gemm_gates};
use crate::kernel::panel::Panels;
use crate::kernel::rows::{Left, Rows};
use crate::parallel::{FEWEST_PRODUCTS, Load, MOST_SHARED, NEAR_VALUES, Split, Team};
use crate::simd::Ops;
use std::ops::Range;

/// Rows of the input product that are computed ahead of the recurrence: enough for full tiles, few enough that they
/// are still in the cache when their step comes.
pub(crate) const HOISTED_ROWS: usize = 96;

/// Memory that a pass needs for one step.
pub(crate) struct StepScratch {
    /// For each thread, where its sequences' previous states, cell states, own rows of `rows` and of the target start.
    offsets: AlignedBuf<usize>,
    /// `r h` (GRU with reset before) or the hidden state before projection.
    rows: AlignedBuf<f32>,
    /// For each thread, the inputs of rows that a single sequence takes along.
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
            self.ahead.resize(product("rows to come", &[threads, ahead_values(config)])?)?;
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.offsets.bytes() + self.ahead.bytes()
    }
}

/// Values of [`StepScratch::ahead`] for each thread.
fn ahead_values(config: &RnnConfig) -> usize {
    let between = if config.num_layers > 1 { config.output_size() } else { 0 };
    config.input_size.max(between).saturating_mul(MOST_AHEAD)
}

/// Values of recurrent weights that the first-level cache holds about; fewer leave nothing to wait for.
const FEWEST_ALONG: usize = 8 << 10;
/// Values of all weights that the last cache holds for certain. Of more, every read costs, and steps that take rows along read
/// the input weights more often.
const MOST_ALONG: usize = 4 << 20;

/// Whether a single sequence's steps take the input product of rows to come along, by sizes. Inputs much longer than the state
/// would be left over, and fare better in a product of their own.
fn takes_along<S: Ops>(config: &RnnConfig, load: &Load) -> bool {
    let gates = load.gates * load.units;
    row::serves(config)
        && S::AHEAD_ROWS > 0
        && pays_to_take_along::<S>()
        && load.rows > S::AHEAD_ROWS
        && gates * load.state > FEWEST_ALONG
        && gates * (load.state + load.input) <= MOST_ALONG
        && load.input <= 2 * load.state
}

/// Whether this processor gains by it; tests try both on every one.
fn pays_to_take_along<S: Ops>() -> bool {
    #[cfg(test)]
    if let Some(forced) = tests::forced() {
        return forced;
    }
    S::takes_along()
}

/// What a pass with `input` features has to do in the steps `block`.
pub(crate) fn load(config: &RnnConfig, panel_width: usize, input: usize, plan: &Plan, block: &Range<usize>) -> Load {
    Load {
        gates: config.cell.gates(),
        units: config.hidden_size,
        state: config.state_size(),
        input,
        steps: block.len(),
        rows: block_rows(plan, block),
        most: plan.count(block.start),
        pieces: config.hidden_size.div_ceil(panel_width),
        meetings: if config.has_second_product() { 2 } else { 1 },
        exchanged: config.state_size(),
    }
}

/// A pass ready to run.
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a RnnConfig,
    pub(crate) weights: &'a ForwardWeights,
    pub(crate) plan: &'a Plan,
    pub(crate) reverse: bool,
}

/// The buffers of a block as threads share them: each writes the rows of its own sequences, and there the columns of its
/// own units.
struct Memory<'a> {
    history: &'a History,
    strides: Strides,
    /// Pre-activations from the history's first row on.
    pre: Mat,
    h: Mat,
    h_len: usize,
    c: Mat,
    /// [`StepScratch::rows`].
    rows: Mat,
    rows_len: usize,
    /// [`StepScratch::offsets`].
    offsets: *mut usize,
    /// [`StepScratch::ahead`].
    ahead: *mut f32,
}

// SAFETY: threads work on disjoint sequences or units, and meet where one reads what another wrote.
unsafe impl Sync for Memory<'_> {}

/// One thread's part of a pass: `sequences` sorted sequences from `first` on, `apart` from each other, and of those, blocks
/// of units.
struct Share<'a> {
    first: usize,
    apart: usize,
    sequences: usize,
    blocks: Range<usize>,
    /// The threads that share these sequences, and this one's place among them.
    team: Team<'a>,
    place: usize,
    /// This thread's part of [`StepScratch::offsets`]: room for `sequences` of each kind.
    offsets: &'a mut [usize],
}

impl Share<'_> {
    /// How many of the sequences are among the `running` first.
    fn count(&self, running: usize) -> usize {
        running.saturating_sub(self.first).div_ceil(self.apart).min(self.sequences)
    }
}

/// Rows of a step from which on a product of them alone is as fast as one of several steps' rows.
const ROWS_OF_A_STEP: usize = 16;

impl Pass<'_> {
    /// Runs the steps `block`, whose input rows in packed order are `input`, and records them in `history`. Hidden states
    /// also go to `target`, as the features of that direction, which nobody else writes meanwhile.
    pub(crate) fn run<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        block: Range<usize>,
        input: Rows<'_>,
        history: &mut History,
        scratch: &mut StepScratch,
        target: Option<(&Target<'_>, usize)>,
    ) {
        let strides = Strides::of(self.config, S::LANES);
        let first = self.plan.start(block.start) - history.base;
        let rows = block_rows(self.plan, &block);
        let sequences = self.plan.count(block.start);
        let states = (self.plan.batch + first + rows) * strides.h;
        assert!(input.count() == rows && (first + rows) * strides.pre <= history.pre.len());
        assert!(states <= history.h.len());
        if self.config.cell.has_cell_state() {
            assert!((self.plan.batch + first + rows) * strides.c <= history.c.len());
        }
        assert!(!self.config.has_second_product() || sequences * strides.c <= scratch.rows.len());
        let (pre, h) = (Mat::new(&mut history.pre, strides.pre), Mat::new(&mut history.h, strides.h));
        let memory = Memory {
            strides,
            pre,
            h,
            h_len: history.h.len(),
            c: Mat::new(&mut history.c, strides.c),
            rows: Mat::new(&mut scratch.rows, strides.c),
            rows_len: scratch.rows.len(),
            offsets: scratch.offsets.as_mut_ptr(),
            ahead: scratch.ahead.as_mut_ptr(),
            history,
        };
        let load = load(self.config, S::PANEL_WIDTH, input.width(), self.plan, &block);
        let split = Split::choose(team.threads(), &load);
        let most = sequences.div_ceil(split.sequences);
        // Threads take consecutive sequences if these are enough, so that nobody's rows lie between another's (and are fetched
        // by it), and start their own rows. Else every so-manieth: all have as many that are running.
        let average = rows / block.len();
        let near = load.gates * load.units * load.input <= NEAR_VALUES;
        let enough = if near { S::TILE_ROWS } else { ROWS_OF_A_STEP };
        let consecutive = split.units == 1 && average / split.sequences >= enough;
        let cut = |i: usize| split.cut(i, average, sequences);
        let along = sequences == 1 && takes_along::<S>(self.config, &load);
        let own_rows = along || split.threads() > 1 && (consecutive || split.sequences == 1);
        if along {
            #[cfg(test)]
            tests::count();
            let values = ahead_values(self.config);
            assert!(MOST_AHEAD * input.width() <= values && split.units * values <= scratch.ahead.len());
        }
        if !own_rows {
            let fewest = (FEWEST_PRODUCTS / (load.gates * load.units * load.input)).max(S::TILE_ROWS);
            team.split(0..rows, fewest, &|part: Range<usize>| {
                // SAFETY: the rows lie within the history, as asserted, and parts are disjoint.
                unsafe {
                    let target = pre.starting_at(first + part.start);
                    self.start_rows(s, input.slice(part), target, self.all_blocks::<S>());
                }
            });
        }
        let blocks = self.all_blocks::<S>();
        assert!(KINDS * sequences.max(most * split.threads()) <= scratch.offsets.len());
        let walk = |part: usize, team: Team<'_>, place: usize| {
            // Whole panels of every gate.
            let piece = |i: usize| (load.pieces * i / split.units * S::PANEL_VECTORS).min(blocks.end);
            let (first_sequence, apart, count, index) = if consecutive {
                (cut(part), 1, cut(part + 1) - cut(part), cut(part))
            } else {
                (part, split.sequences, most, most * (part * split.units + place))
            };
            let memory = &memory;
            // SAFETY: the scratch has as many pieces, as asserted, and each thread takes another.
            let offsets = unsafe { std::slice::from_raw_parts_mut(memory.offsets.add(KINDS * index), KINDS * count) };
            let mut share = Share {
                first: first_sequence,
                apart,
                sequences: count,
                blocks: piece(place)..piece(place + 1),
                team,
                place,
                offsets,
            };
            if own_rows {
                let start_rows = |own: Range<usize>| {
                    // SAFETY: the rows lie within the history, as asserted, and threads have disjoint sequences or units.
                    unsafe {
                        let target = pre.starting_at(first + own.start);
                        self.start_rows(s, input.slice(own), target, share.blocks.clone());
                    }
                };
                if along {
                    // The first rows in the order of the steps.
                    let first = if self.reverse { rows - S::AHEAD_ROWS..rows } else { 0..S::AHEAD_ROWS };
                    start_rows(first);
                } else if split.sequences == 1 {
                    start_rows(0..rows);
                } else {
                    for t in block.clone() {
                        let (from, running) = (self.plan.start(t) - self.plan.start(block.start), self.plan.count(t));
                        if share.count(running) > 0 {
                            start_rows(from + share.first..from + share.first + share.count(running));
                        }
                    }
                }
            }
            let by_rows = sequences == 1 && row::serves(self.config);
            if by_rows {
                // SAFETY: the buffers reach to the block's last row, as asserted; threads have disjoint units.
                unsafe { self.run_single(s, &block, along.then_some(input), &share, memory) };
            } else {
                let mut step = |t: usize| {
                    // SAFETY: the buffers reach to the block's last row, as asserted; threads share no row, or meet.
                    unsafe { self.step(s, t, &mut share, memory, target) }
                };
                if self.reverse { block.clone().rev().for_each(&mut step) } else { block.clone().for_each(&mut step) }
            }
            // Else the gates have written it beside the states.
            if let Some((target, direction)) = target
                && (by_rows || self.weights.projection.is_some())
            {
                // SAFETY: those who share these sequences have met after the last step; each writes other rows.
                unsafe { self.write(&block, &share, memory, target, direction) };
            }
        };
        team.first(split.threads()).run(split.sequences, &|part, team| {
            team.run(split.units, &|place, _| walk(part, team, place));
        });
    }

    /// One thread's share of the steps `block`, in which one sequence runs, after their input product; with `input`, after
    /// that of the first rows.
    ///
    /// # Safety
    /// The memory's buffers have the rows of all steps, no other thread works on these units, and those that work on
    /// others do the same.
    unsafe fn run_single<S: Ops>(
        &self,
        s: S,
        block: &Range<usize>,
        input: Option<Rows<'_>>,
        share: &Share<'_>,
        memory: &Memory<'_>,
    ) {
        let (plan, history) = (self.plan, memory.history);
        let (first, sign) = if self.reverse { (block.end - 1, -1) } else { (block.start, 1) };
        let row = plan.start(first) - history.base;
        let before = history.previous_index(plan, self.reverse, first, 0);
        // SAFETY: the caller's contract; a single sequence's rows follow each other, and each is the next one's past.
        unsafe {
            let walk = |rows: Mat, row: usize| Walk { first: rows.row(row), step: sign * rows.stride as isize };
            let states = |rows: Mat| States { first: rows.row(before), now: walk(rows, plan.batch + row) };
            let (pre, h) = (walk(memory.pre, row), states(memory.h));
            let c = if self.config.cell.has_cell_state() { states(memory.c) } else { h };
            let (start, count) = (pre.read(), block.len());
            let bias = self.weights.bias.as_ptr();
            let rows = row::Rows { start, bias, keep: Some(pre), x: start, h, c, count };
            let meet = || share.team.meet(share.place);
            let ahead = input.map(|input| Ahead {
                weights: self.weights.input.view().into(),
                bias,
                x: move |i: usize| input.pointer(if self.reverse { count - 1 - i } else { i }),
                packed: memory.ahead.add(share.place * ahead_values(self.config)),
                out: pre,
            });
            row::run(s, self.config, self.weights, &rows, ahead.as_ref(), share.blocks.clone(), meet);
        }
    }

    /// Copies the hidden states of one thread's part of the steps `block` to `target`: of the members who share sequences,
    /// each takes every so-manieth of a step's.
    ///
    /// # Safety
    /// The states of `block` are complete, and nobody else writes these rows of the target.
    unsafe fn write(
        &self,
        block: &Range<usize>,
        share: &Share<'_>,
        memory: &Memory<'_>,
        target: &Target<'_>,
        direction: usize,
    ) {
        let (plan, size) = (self.plan, self.config.state_size());
        for t in block.clone() {
            for i in (share.place..share.count(plan.count(t))).step_by(share.team.threads()) {
                let j = share.first + i * share.apart;
                let row = memory.history.index(plan, plan.start(t) + j);
                // SAFETY: the caller's contract; the target has this row, as long as all directions' features.
                unsafe { std::ptr::copy_nonoverlapping(memory.h.row(row), target.row(t, j, direction), size) };
            }
        }
    }

    /// All blocks of units.
    fn all_blocks<S: Ops>(&self) -> Range<usize> {
        0..self.config.hidden_size.div_ceil(S::LANES)
    }

    /// The input product of some rows for some blocks of units, and the recurrent bias where it has a slot of its own.
    ///
    /// # Safety
    /// `pre` reaches to the last of the input's rows, and nothing else touches these rows and units.
    unsafe fn start_rows<S: Ops>(&self, s: S, input: Rows<'_>, pre: Mat, blocks: Range<usize>) {
        let (bias, rows) = (&*self.weights.bias, input.count());
        if rows == 0 {
            return;
        }
        let panels = panels::<S>(&blocks, self.config.cell.gates());
        // SAFETY: the caller's contract.
        unsafe {
            let len = (rows - 1) * pre.stride + self.weights.input.row_len();
            let out = Output::raw(pre.values, len, pre.stride);
            gemm_gates(s, input, self.weights.input.view(), panels, Start::Row(bias), out);
            if self.config.cell == Cell::Gru {
                // The product of the state with the last gate's weights is kept apart.
                let slot = |block: usize| (4 * block + 3) * S::LANES;
                assert!(4 * S::LANES * blocks.end <= bias.len());
                s.enter(
                    #[inline(always)]
                    || {
                        for row in 0..rows {
                            for block in blocks.clone() {
                                s.store(pre.row(row).add(slot(block)), s.load(bias.as_ptr().add(slot(block))));
                            }
                        }
                    },
                );
            }
        }
    }

    /// One thread's share of step `t`. Those who share its sequences have met when this returns.
    ///
    /// # Safety
    /// The memory's buffers have the rows of step `t`, no other thread works on these sequences and units, nobody else writes
    /// them in the target, and those that work on other units of these sequences take the same step.
    unsafe fn step<S: Ops>(
        &self,
        s: S,
        t: usize,
        share: &mut Share<'_>,
        memory: &Memory<'_>,
        target: Option<(&Target<'_>, usize)>,
    ) {
        let (config, plan, weights) = (self.config, self.plan, self.weights);
        let (history, strides, apart) = (memory.history, memory.strides, share.apart);
        let count = share.count(plan.count(t));
        if count == 0 {
            return;
        }
        let (h_offsets, rest) = share.offsets.split_at_mut(share.sequences);
        let (c_offsets, rest) = rest.split_at_mut(share.sequences);
        let (row_offsets, y_offsets) = rest.split_at_mut(share.sequences);
        let (h_offsets, c_offsets) = (&mut h_offsets[..count], &mut c_offsets[..count]);
        let (row_offsets, y_offsets) = (&mut row_offsets[..count], &mut y_offsets[..count]);
        for i in 0..count {
            let j = share.first + i * apart;
            let index = history.previous_index(plan, self.reverse, t, j);
            h_offsets[i] = index * strides.h;
            c_offsets[i] = index * strides.c;
            row_offsets[i] = j * strides.c;
            if let Some((target, direction)) = target {
                y_offsets[i] = target.offset(t, j, direction);
            }
        }
        let copies = target.map(|(target, _)| Copies { values: target.values(), offsets: y_offsets });
        let first = plan.start(t) + share.first;
        let state = history.index(plan, first);
        let flush = Flush::new(config.flush_small_states);
        let units = config.hidden_size;
        let span = |blocks: Range<usize>| Span { rows: count, blocks, units };
        let groups = |gates| Groups::new::<S>(share.blocks.clone(), gates);
        let meet = || share.team.meet(share.place);
        // SAFETY: previous states are rows other than the step's own, which alone are written, and only this thread
        // writes these units of these sequences; the others' units are read after all have met; all rows lie within
        // their buffers by the caller's contract.
        unsafe {
            let rows_of = |m: Mat, row| m.starting_at(row).every(apart);
            let pre = rows_of(memory.pre, first - history.base);
            let h = rows_of(memory.h, state);
            let step_rows = rows_of(memory.rows, share.first);
            let previous = Rows::at_raw(memory.h.values, memory.h_len, h_offsets, config.state_size());
            let previous_h = Previous { values: memory.h.values, offsets: h_offsets };
            let product = |panels: &Panels, range, left: Rows<'_>| {
                let out = Output::raw(pre.values, (count - 1) * pre.stride + strides.pre, pre.stride);
                gemm_gates(s, left, panels.view(), range, Start::Output, out);
            };
            match config.cell {
                Cell::ElmanTanh | Cell::ElmanRelu => {
                    for (blocks, range) in groups(1) {
                        product(&weights.recurrent[0], range, previous);
                        let cell = Elman { relu: config.cell == Cell::ElmanRelu };
                        gates::forward(s, cell, span(blocks), pre, previous_h, h, h, copies, flush);
                    }
                }
                Cell::Lstm => {
                    let previous_c = Previous { values: memory.c.values, offsets: c_offsets };
                    let c = rows_of(memory.c, state);
                    let (hidden, copies) = if weights.projection.is_some() { (step_rows, None) } else { (h, copies) };
                    for (blocks, range) in groups(4) {
                        product(&weights.recurrent[0], range, previous);
                        gates::forward(s, Lstm, span(blocks), pre, previous_c, c, hidden, copies, flush);
                    }
                    if let Some(projection) = &weights.projection {
                        meet();
                        let rows = Rows::at_raw(memory.rows.values, memory.rows_len, row_offsets, units);
                        let panels = projection.view().panels;
                        let cut = |place: usize| panels * place / share.team.threads();
                        let panels = cut(share.place)..cut(share.place + 1);
                        let columns =
                            panels.start * S::PANEL_WIDTH..(panels.end * S::PANEL_WIDTH).min(config.proj_size);
                        gemm_columns(s, rows, projection, panels, Start::Zero, h);
                        for row in 0..count {
                            let values = h.row(row).add(columns.start);
                            flush.apply_to(std::slice::from_raw_parts_mut(values, columns.len()));
                        }
                    }
                }
                Cell::Gru => {
                    for (blocks, range) in groups(3) {
                        product(&weights.recurrent[0], range, previous);
                        gates::forward(s, ResetAfter, span(blocks), pre, previous_h, h, h, copies, flush);
                    }
                }
                Cell::GruResetBefore => {
                    product(&weights.recurrent[0], panels::<S>(&share.blocks, 2), previous);
                    gru::reset(s, span(share.blocks.clone()), pre, previous_h, step_rows);
                    meet();
                    let reset_rows = Rows::at_raw(memory.rows.values, memory.rows_len, row_offsets, units);
                    for (blocks, range) in groups(1) {
                        product(&weights.recurrent[1], range, reset_rows);
                        gates::forward(s, ResetBefore, span(blocks), pre, previous_h, h, h, copies, flush);
                    }
                }
            }
        }
        meet();
    }
}

/// The panels that hold `gates` gates of some blocks of units; the first block's start a panel.
fn panels<S: Ops>(blocks: &Range<usize>, gates: usize) -> Range<usize> {
    debug_assert!((blocks.start * gates).is_multiple_of(S::PANEL_VECTORS));
    blocks.start * gates / S::PANEL_VECTORS..(blocks.end * gates).div_ceil(S::PANEL_VECTORS)
}

/// Cuts units into groups whose columns are whole panels, so that a group's gates can run while its pre-activations are
/// still in the cache. Yields blocks of LANES units and the panels that hold their gates.
struct Groups {
    gates: usize,
    panels: fn(&Range<usize>, usize) -> Range<usize>,
    blocks_per_group: usize,
    left: Range<usize>,
}

impl Groups {
    fn new<S: Ops>(blocks: Range<usize>, gates: usize) -> Self {
        let vectors = S::PANEL_VECTORS * S::ROW_PANELS;
        // The fewest blocks whose vectors fill the panels that a single row reads together.
        let blocks_per_group = (1..=vectors).find(|b| (b * gates).is_multiple_of(vectors)).unwrap_or(vectors);
        Self { gates, panels: panels::<S>, blocks_per_group, left: blocks }
    }
}

impl Iterator for Groups {
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
