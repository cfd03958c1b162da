//! One layer in one direction over a block of steps, forward: the code that inference, training and streaming share.

use super::batch::Plan;
use super::config::{Cell, RnnConfig};
use super::row::{self, States, Walk};
use super::weights::{ForwardWeights, Layout};
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::kernel::gates::elman::Elman;
use crate::kernel::gates::gru::{self, ResetAfter, ResetBefore};
use crate::kernel::gates::lstm::Lstm;
use crate::kernel::gates::{self, Flush, Mat, Previous, STATE_PADDING, Span};
use crate::kernel::gemm::{Output, Start, gemm, gemm_gates};
use crate::kernel::panel::{Geometry, padded_row};
use crate::kernel::rows::{Left, Rows};
use crate::parallel::{FEWEST_PRODUCTS, Team};
use crate::simd::Ops;
use std::ops::Range;

/// Rows of the input product that are computed ahead of the recurrence: enough for full tiles, few enough that they
/// are still in the cache when their step comes.
pub(crate) const HOISTED_ROWS: usize = 96;

/// What a pass records about a range of steps: the initial states of all sequences, in sorted order, then one row for
/// each (step, sequence).
pub(crate) struct History {
    /// Pre-activations: rows only, in packed order.
    pub(crate) pre: AlignedBuf<f32>,
    pub(crate) h: AlignedBuf<f32>,
    /// Cell states, for LSTM.
    pub(crate) c: AlignedBuf<f32>,
    /// The packed row that is kept first.
    pub(crate) base: usize,
    /// The steps that are kept.
    pub(crate) steps: Range<usize>,
}

/// The strides of the rows that a pass works on.
#[derive(Clone, Copy)]
pub(crate) struct Strides {
    pub(crate) pre: usize,
    pub(crate) h: usize,
    pub(crate) c: usize,
}

impl Strides {
    pub(crate) fn of(config: &RnnConfig, lanes: usize) -> Self {
        Self {
            pre: padded_row(lanes, config.hidden_size, Layout::of(config.cell).slots),
            h: config.state_size().next_multiple_of(STATE_PADDING),
            c: config.hidden_size.next_multiple_of(STATE_PADDING),
        }
    }
}

impl History {
    pub(crate) const fn new() -> Self {
        Self { pre: AlignedBuf::new(), h: AlignedBuf::new(), c: AlignedBuf::new(), base: 0, steps: 0..0 }
    }

    /// Makes room for `batch` initial states and `rows` rows.
    pub(crate) fn reserve(&mut self, config: &RnnConfig, lanes: usize, batch: usize, rows: usize) -> Result<()> {
        let strides = Strides::of(config, lanes);
        self.pre.resize(product("pre-activations", &[rows, strides.pre])?)?;
        self.h.resize(product("hidden states", &[batch + rows, strides.h])?)?;
        if config.cell.has_cell_state() {
            self.c.resize(product("cell states", &[batch + rows, strides.c])?)?;
        }
        Ok(())
    }

    /// Sets the initial states from arrays (passes, batch, features), or to zero.
    pub(crate) fn set_initial(
        &mut self,
        config: &RnnConfig,
        plan: &Plan,
        pass: usize,
        h0: Option<&[f32]>,
        c0: Option<&[f32]>,
    ) {
        self.steps = 0..0;
        let set = |target: &mut [f32], stride: usize, features: usize, source: Option<&[f32]>| {
            for (row, &b) in target.chunks_exact_mut(stride).zip(plan.order.iter()) {
                row.fill(0.0);
                if let Some(source) = source {
                    let start = (pass * plan.batch + b) * features;
                    row[..features].copy_from_slice(&source[start..start + features]);
                }
            }
        };
        let strides = Strides::of(config, 1);
        set(&mut self.h[..plan.batch * strides.h], strides.h, config.state_size(), h0);
        if config.cell.has_cell_state() {
            set(&mut self.c[..plan.batch * strides.c], strides.c, config.hidden_size, c0);
        }
    }

    /// Zeroes the initial state of sorted place `j`.
    pub(crate) fn zero_initial(&mut self, config: &RnnConfig, j: usize) {
        let strides = Strides::of(config, 1);
        self.h[j * strides.h..(j + 1) * strides.h].fill(0.0);
        if config.cell.has_cell_state() {
            self.c[j * strides.c..(j + 1) * strides.c].fill(0.0);
        }
    }

    /// Index, among the rows of `h` or `c`, of packed row `row`.
    #[inline]
    pub(crate) fn index(&self, plan: &Plan, row: usize) -> usize {
        plan.batch + row - self.base
    }

    /// Index of the state that precedes row (t, j) in a pass's order of time.
    #[inline]
    pub(crate) fn previous_index(&self, plan: &Plan, reverse: bool, t: usize, j: usize) -> usize {
        let before = if reverse { t + 1 } else { t.wrapping_sub(1) };
        if self.steps.contains(&before) && j < plan.count(before) {
            self.index(plan, plan.start(before) + j)
        } else {
            j
        }
    }

    /// Index of the state of sorted place `j` after its last kept step.
    pub(crate) fn final_index(&self, plan: &Plan, reverse: bool, j: usize) -> usize {
        let end = plan.lengths[j].min(self.steps.end);
        if end <= self.steps.start {
            return j;
        }
        let t = if reverse { self.steps.start } else { end - 1 };
        self.index(plan, plan.start(t) + j)
    }

    /// Forgets the kept steps: their final states become the initial ones.
    pub(crate) fn settle(&mut self, config: &RnnConfig, plan: &Plan, reverse: bool) {
        self.carry(config, plan, reverse);
        self.steps = 0..0;
    }

    /// Makes the final states the initial ones, before the next block of steps.
    pub(crate) fn carry(&mut self, config: &RnnConfig, plan: &Plan, reverse: bool) {
        let strides = Strides::of(config, 1);
        for j in 0..plan.batch {
            let from = self.final_index(plan, reverse, j);
            if from != j {
                self.h.copy_within(from * strides.h..(from + 1) * strides.h, j * strides.h);
                if config.cell.has_cell_state() {
                    self.c.copy_within(from * strides.c..(from + 1) * strides.c, j * strides.c);
                }
            }
        }
    }

    /// Copies final states into arrays (passes, batch, features).
    pub(crate) fn write_final(
        &self,
        config: &RnnConfig,
        plan: &Plan,
        pass: usize,
        reverse: bool,
        hn: Option<&mut [f32]>,
        cn: Option<&mut [f32]>,
    ) {
        let strides = Strides::of(config, 1);
        let write = |target: &mut [f32], source: &[f32], stride: usize, features: usize| {
            for (j, &b) in plan.order.iter().enumerate() {
                let from = self.final_index(plan, reverse, j) * stride;
                let to = (pass * plan.batch + b) * features;
                target[to..to + features].copy_from_slice(&source[from..from + features]);
            }
        };
        if let Some(hn) = hn {
            write(hn, &self.h, strides.h, config.state_size());
        }
        if let (Some(cn), true) = (cn, config.cell.has_cell_state()) {
            write(cn, &self.c, strides.c, config.hidden_size);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.pre) + size_of_val(&*self.h) + size_of_val(&*self.c)
    }
}

/// Memory that a pass needs for one step.
pub(crate) struct StepScratch {
    h_offsets: AlignedBuf<usize>,
    c_offsets: AlignedBuf<usize>,
    /// `r h` (GRU with reset before) or the hidden state before projection.
    rows: AlignedBuf<f32>,
    row_offsets: AlignedBuf<usize>,
}

impl StepScratch {
    pub(crate) const fn new() -> Self {
        Self {
            h_offsets: AlignedBuf::new(),
            c_offsets: AlignedBuf::new(),
            rows: AlignedBuf::new(),
            row_offsets: AlignedBuf::new(),
        }
    }

    pub(crate) fn reserve(&mut self, config: &RnnConfig, batch: usize) -> Result<()> {
        self.h_offsets.resize(batch)?;
        self.c_offsets.resize(batch)?;
        if config.cell == Cell::GruResetBefore || config.proj_size > 0 {
            let stride = Strides::of(config, 1).c;
            self.rows.resize(product("a step's scratch", &[batch, stride])?)?;
            self.row_offsets.resize(batch)?;
            self.row_offsets.iter_mut().enumerate().for_each(|(i, o)| *o = i * stride);
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.rows) + 8 * (self.h_offsets.len() + self.c_offsets.len() + self.row_offsets.len())
    }
}

/// A pass ready to run.
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a RnnConfig,
    pub(crate) weights: &'a ForwardWeights,
    pub(crate) plan: &'a Plan,
    pub(crate) reverse: bool,
}

/// The buffers of a block as threads share them: each writes the rows of its own sequences.
struct Memory<'a> {
    history: &'a History,
    strides: Strides,
    /// Pre-activations from the history's first row on.
    pre: Mat,
    h: Mat,
    c: Mat,
    /// [`StepScratch::rows`].
    rows: Mat,
    h_offsets: *mut usize,
    c_offsets: *mut usize,
    row_offsets: &'a [usize],
}

// SAFETY: threads work on disjoint ranges of sequences, and every row and offset belongs to one sequence.
unsafe impl Sync for Memory<'_> {}

impl Pass<'_> {
    /// Runs the steps `block`, whose input rows in packed order are `input`, and records them in `history`.
    pub(crate) fn run<S: Ops>(
        &self,
        s: S,
        team: Team,
        block: Range<usize>,
        input: Rows<'_>,
        history: &mut History,
        scratch: &mut StepScratch,
    ) {
        let strides = Strides::of(self.config, S::LANES);
        let first = self.plan.start(block.start) - history.base;
        let rows = self.plan.start(block.end - 1) + self.plan.count(block.end - 1) - self.plan.start(block.start);
        let sequences = self.plan.count(block.start);
        let states = (self.plan.batch + first + rows) * strides.h;
        assert!(input.count() == rows && (first + rows) * strides.pre <= history.pre.len());
        assert!(states <= history.h.len() && sequences <= scratch.h_offsets.len());
        if self.config.cell.has_cell_state() {
            assert!((self.plan.batch + first + rows) * strides.c <= history.c.len());
        }
        if self.config.cell == Cell::GruResetBefore || self.config.proj_size > 0 {
            assert!(sequences * strides.c <= scratch.rows.len() && sequences <= scratch.row_offsets.len());
        }
        let (pre, h) = (Mat::new(&mut history.pre, strides.pre), Mat::new(&mut history.h, strides.h));
        let memory = Memory {
            strides,
            pre,
            h,
            c: Mat::new(&mut history.c, strides.c),
            rows: Mat::new(&mut scratch.rows, strides.c),
            h_offsets: scratch.h_offsets.as_mut_ptr(),
            c_offsets: scratch.c_offsets.as_mut_ptr(),
            row_offsets: &scratch.row_offsets,
            history,
        };
        let (gates, units, size) = (self.config.cell.gates(), self.config.hidden_size, self.config.state_size());
        let fewest_rows = (FEWEST_PRODUCTS / (gates * units * input.width())).max(S::TILE_ROWS);
        team.split(0..rows, fewest_rows, &|part: Range<usize>| {
            // SAFETY: the rows lie within the history, as asserted, and parts are disjoint.
            let target =
                unsafe { std::slice::from_raw_parts_mut(pre.row(first + part.start), part.len() * strides.pre) };
            self.start_rows(s, input.slice(part), target, strides.pre);
        });
        if sequences == 1 && row::serves(self.config) {
            // SAFETY: the buffers reach to the block's last row, as asserted.
            unsafe { self.run_single(s, &block, &memory) }
            return;
        }
        let fewest_sequences = (FEWEST_PRODUCTS / (gates * units * size * block.len())).max(1);
        team.split(0..sequences, fewest_sequences, &|part: Range<usize>| {
            let step = |t: usize| {
                let running = part.start..part.end.min(self.plan.count(t));
                if !running.is_empty() {
                    // SAFETY: the buffers reach to the block's last row, as asserted, and parts are disjoint.
                    unsafe { self.step(s, t, running, &memory) }
                }
            };
            if self.reverse { block.clone().rev().for_each(step) } else { block.clone().for_each(step) }
        });
    }

    /// The steps `block`, in which one sequence runs, after their input product.
    ///
    /// # Safety
    /// The memory's buffers have the rows of all steps, and no other thread works on them.
    unsafe fn run_single<S: Ops>(&self, s: S, block: &Range<usize>, memory: &Memory<'_>) {
        let (plan, history) = (self.plan, memory.history);
        let (first, sign) = if self.reverse { (block.end - 1, -1) } else { (block.start, 1) };
        let row = plan.start(first) - history.base;
        let before = history.previous_index(plan, self.reverse, first, 0);
        // SAFETY: the caller's contract; a single sequence's rows follow each other, and each is the next one's past.
        unsafe {
            let walk = |rows: Mat, row: usize| Walk { first: rows.row(row), step: sign * rows.stride as isize };
            let states = |rows: Mat| States::chained(rows.row(before), walk(rows, plan.batch + row));
            let (pre, h) = (walk(memory.pre, row), states(memory.h));
            let c = if self.config.cell.has_cell_state() { states(memory.c) } else { h };
            let (start, count) = (pre.read(), block.len());
            let rows = row::Rows { start, keep: Some(pre), x: start, h, c, count, turned: false };
            row::run_layer(s, self.config, self.weights, false, rows);
        }
    }

    /// The input product of some rows, and the recurrent bias where it has a slot of its own.
    fn start_rows<S: Ops>(&self, s: S, input: Rows<'_>, pre: &mut [f32], stride: usize) {
        let bias = &*self.weights.bias;
        let panels = self.weights.input.view().panels;
        gemm_gates(s, input, &self.weights.input, 0..panels, Start::Row(bias), Output::new(pre, stride));
        if self.config.cell == Cell::Gru {
            for row in pre.chunks_exact_mut(stride) {
                for (to, from) in row.chunks_exact_mut(4 * S::LANES).zip(bias.chunks_exact(4 * S::LANES)) {
                    to[3 * S::LANES..].copy_from_slice(&from[3 * S::LANES..]);
                }
            }
        }
    }

    /// Step `t` of the sequences at sorted places `part`.
    ///
    /// # Safety
    /// The memory's buffers have the rows of step `t`, and no other thread works on these sequences.
    unsafe fn step<S: Ops>(&self, s: S, t: usize, part: Range<usize>, memory: &Memory<'_>) {
        let (config, plan, weights) = (self.config, self.plan, self.weights);
        let Memory { history, strides, .. } = *memory;
        let count = part.len();
        // SAFETY: offsets exist for all sequences; this thread's are its own.
        let (h_offsets, c_offsets) = unsafe {
            (
                std::slice::from_raw_parts_mut(memory.h_offsets.add(part.start), count),
                std::slice::from_raw_parts_mut(memory.c_offsets.add(part.start), count),
            )
        };
        for (i, j) in part.clone().enumerate() {
            let index = history.previous_index(plan, self.reverse, t, j);
            h_offsets[i] = index * strides.h;
            c_offsets[i] = index * strides.c;
        }
        let first = plan.start(t) + part.start;
        let state = history.index(plan, first);
        let flush = Flush::new(config.flush_small_states);
        let units = config.hidden_size;
        let span = |blocks: Range<usize>| Span { rows: count, blocks, units };
        // SAFETY: previous states are rows other than the step's own, which alone are written, and only this thread
        // writes rows of these sequences; all rows lie within their buffers by the caller's contract.
        unsafe {
            let pre = memory.pre.starting_at(first - history.base);
            let h = memory.h.starting_at(state);
            let previous = Rows::at_raw(memory.h.values, history.h.len(), h_offsets, config.state_size());
            let previous_h = Previous { values: memory.h.values, offsets: h_offsets };
            let product = |panels, range, left: Rows<'_>| {
                let out = Output::raw(pre.values, count * strides.pre, strides.pre);
                gemm_gates(s, left, panels, range, Start::Output, out);
            };
            match config.cell {
                Cell::ElmanTanh | Cell::ElmanRelu => {
                    for (blocks, range) in Groups::new::<S>(units, 1) {
                        product(&weights.recurrent[0], range, previous);
                        let cell = Elman { relu: config.cell == Cell::ElmanRelu };
                        gates::forward(s, cell, span(blocks), pre, previous_h, h, h, flush);
                    }
                }
                Cell::Lstm => {
                    let previous_c = Previous { values: memory.c.values, offsets: c_offsets };
                    let c = memory.c.starting_at(state);
                    let projected = weights.projection.as_ref();
                    let hidden = if projected.is_some() { memory.rows.starting_at(part.start) } else { h };
                    for (blocks, range) in Groups::new::<S>(units, 4) {
                        product(&weights.recurrent[0], range, previous);
                        gates::forward(s, Lstm, span(blocks), pre, previous_c, c, hidden, flush);
                    }
                    if let Some(projection) = projected {
                        let rows = std::slice::from_raw_parts(hidden.values, count * strides.c);
                        let rows = Rows::strided(rows, count, strides.c, units);
                        gemm(s, rows, projection, Start::Zero, Output::raw(h.values, count * strides.h, strides.h));
                        flush.apply_to(std::slice::from_raw_parts_mut(h.values, count * strides.h));
                    }
                }
                Cell::Gru => {
                    for (blocks, range) in Groups::new::<S>(units, 3) {
                        product(&weights.recurrent[0], range, previous);
                        gates::forward(s, ResetAfter, span(blocks), pre, previous_h, h, h, flush);
                    }
                }
                Cell::GruResetBefore => {
                    let reset_h = memory.rows.starting_at(part.start);
                    let panels = &weights.recurrent[0];
                    product(panels, 0..panels.view().panels, previous);
                    gru::reset(s, span(0..units.div_ceil(S::LANES)), pre, previous_h, reset_h);
                    let reset_len = (part.start + count) * strides.c;
                    let offsets = &memory.row_offsets[part];
                    let reset_rows = Rows::at_raw(memory.rows.values, reset_len, offsets, units);
                    for (blocks, range) in Groups::new::<S>(units, 1) {
                        product(&weights.recurrent[1], range, reset_rows);
                        gates::forward(s, ResetBefore, span(blocks), pre, previous_h, h, h, flush);
                    }
                }
            }
        }
    }
}

/// Cuts a layer's units into groups whose columns are whole panels, so that a group's gates can run while its
/// pre-activations are still in the cache. Yields blocks of LANES units and the panels that hold their gates.
struct Groups {
    gates: usize,
    panel_vectors: usize,
    blocks_per_group: usize,
    blocks: usize,
    next: usize,
}

impl Groups {
    fn new<S: Ops>(units: usize, gates: usize) -> Self {
        let vectors = S::PANEL_VECTORS * S::ROW_PANELS;
        // The fewest blocks whose vectors fill the panels that a single row reads together.
        let blocks_per_group = (1..=vectors).find(|b| (b * gates).is_multiple_of(vectors)).unwrap_or(vectors);
        Self { gates, panel_vectors: S::PANEL_VECTORS, blocks_per_group, blocks: units.div_ceil(S::LANES), next: 0 }
    }
}

impl Iterator for Groups {
    type Item = (Range<usize>, Range<usize>);
    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.blocks {
            return None;
        }
        let (start, end) = (self.next, (self.next + self.blocks_per_group).min(self.blocks));
        self.next = end;
        let panels = start * self.gates / self.panel_vectors..(end * self.gates).div_ceil(self.panel_vectors);
        Some((start..end, panels))
    }
}

/// Lanes of the instruction set a model uses.
pub(crate) fn lanes(isa: crate::simd::Isa) -> usize {
    Geometry::of(isa).lanes
}
