//! One layer in one direction over a block of steps, backward.

use super::batch::Plan;
use super::config::{Cell, RnnConfig};
use super::flow::sum_of_squares;
use super::history::{History, Strides};
use super::pass::load;
use super::session::block_rows;
use super::weights::{BackwardWeights, Layout};
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::kernel::columns::gemm_columns;
use crate::kernel::gates::{Flush, Mat, Previous, Span, elman, gru, lstm};
use crate::kernel::gemm::{Output, Start, gemm};
use crate::kernel::outer::OuterScratch;
use crate::kernel::rows::Rows;
use crate::parallel::{FEWEST_COPIES, FEWEST_PRODUCTS, Load, MOST_SHARED, NEAR_VALUES, Split, Team};
use crate::simd::Ops;
use std::ops::Range;

/// Rows whose gradients are gathered before the products over them run: the depth of the weight gradients' products.
pub(super) const BLOCK_ROWS: usize = 256;

/// The memory of one pass.
#[derive(Default)]
pub(super) struct PassScratch {
    /// Gradient of the states of all sequences.
    pub(super) dh: AlignedBuf<f32>,
    pub(super) dc: AlignedBuf<f32>,
    /// A step's gradient of what precedes the projection, or of `r h`.
    step: AlignedBuf<f32>,
    /// A block's gate gradients.
    pub(super) gates: AlignedBuf<f32>,
    /// A block's `r h`, or hidden states before projection.
    pub(super) hidden: AlignedBuf<f32>,
    /// A block's gradients of projected states.
    pub(super) projected: AlignedBuf<f32>,
    /// For each row of a block, the sum of the squares of its state's gradient.
    pub(super) squares: AlignedBuf<f64>,
    /// The same of its cell state's gradient.
    pub(super) cell_squares: AlignedBuf<f64>,
    /// A step's gradients of cell states, for their norms.
    cells: AlignedBuf<f32>,
    h_offsets: AlignedBuf<usize>,
    c_offsets: AlignedBuf<usize>,
    /// A block's rows in the order of visit: where each row's operands start.
    pub(super) visit: [AlignedBuf<usize>; 5],
    /// Sums of gate gradients on top of what the gradients of `bias_ih` and `bias_hh` were before.
    pub(super) sums: [AlignedBuf<f32>; 2],
}

impl PassScratch {
    pub(super) fn reserve(&mut self, config: &RnnConfig, plan: &Plan, threads: usize, wants_norms: bool) -> Result<()> {
        let strides = Strides::of(config, 1);
        let (block, gate_row) = (most_rows(plan), gate_row(config));
        self.dh.resize(product("state gradients", &[plan.batch, strides.h])?)?;
        self.dc.resize(product("state gradients", &[plan.batch, strides.c])?)?;
        self.step.resize(product("state gradients", &[plan.batch, strides.c])?)?;
        self.gates.resize(product("gate gradients", &[block, gate_row])?)?;
        if config.has_second_product() {
            self.hidden.resize(product("hidden states", &[block, strides.c])?)?;
        }
        self.projected.resize(product("projected states", &[block, config.proj_size])?)?;
        self.squares.resize(block)?;
        if wants_norms && config.cell.has_cell_state() {
            self.cell_squares.resize(block)?;
            self.cells.resize(product("cell state gradients", &[plan.batch, strides.c])?)?;
        }
        // Members that share sequences each have their offsets.
        self.h_offsets.resize(plan.batch + MOST_SHARED * threads)?;
        self.c_offsets.resize(plan.batch + MOST_SHARED * threads)?;
        for offsets in &mut self.visit {
            offsets.resize(block)?;
        }
        for sums in &mut self.sums {
            sums.resize(gate_row)?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        let floats = [&self.dh, &self.dc, &self.step, &self.gates, &self.hidden, &self.projected, &self.cells];
        let offsets = self.visit.iter().chain([&self.h_offsets, &self.c_offsets]);
        floats.into_iter().chain(&self.sums).map(|b| b.bytes()).sum::<usize>()
            + offsets.map(|b| b.bytes()).sum::<usize>()
            + self.squares.bytes()
            + self.cell_squares.bytes()
    }
}

/// Makes room for the products of a pass's weight gradients.
pub(super) fn reserve_outer(outer: &mut OuterScratch, config: &RnnConfig, plan: &Plan, threads: usize) -> Result<()> {
    let widest = config.input_size.max(config.output_size()).max(config.hidden_size);
    outer.reserve(most_rows(plan), gate_row(config).max(config.state_size()), widest, threads)
}

/// The most rows of a block: its last step may bring a whole batch.
fn most_rows(plan: &Plan) -> usize {
    plan.rows.min(BLOCK_ROWS + plan.batch)
}

/// Values in a row of gate gradients.
fn gate_row(config: &RnnConfig) -> usize {
    Layout::of(config.cell).gradient_gates * config.hidden_size
}

/// Gradients of a layer's outputs.
#[derive(Clone, Copy)]
pub(super) enum OutputGradients<'a> {
    Zero,
    /// In packed rows, of all steps of the plan; those that are asked for are complete.
    Packed(Mat),
    /// As the caller has them.
    User(&'a [f32]),
}

impl<'a> OutputGradients<'a> {
    /// The row of step `t` and sorted place `j`.
    #[inline]
    fn row(self, config: &RnnConfig, plan: &Plan, t: usize, j: usize) -> Option<&'a [f32]> {
        let features = config.output_size();
        match self {
            Self::Zero => None,
            Self::Packed(rows) => {
                assert!(j < plan.count(t) && rows.stride == features);
                // SAFETY: who made this vouches for the rows.
                Some(unsafe { std::slice::from_raw_parts(rows.row(plan.start(t) + j), features) })
            }
            Self::User(rows) => Some(&rows[plan.user_offset(config, t, j, features)..][..features]),
        }
    }
}

/// What a pass with `input` features has to do in the steps `block`, backward, but for the gradients of its weights.
pub(super) fn backward_load(
    config: &RnnConfig,
    panel_width: usize,
    input: usize,
    plan: &Plan,
    block: &Range<usize>,
    wants_norms: bool,
) -> Load {
    let load = Load { exchanged: gate_row(config), ..load(config, panel_width, input, plan, block) };
    // Norms are of whole rows, and so are further products' operands.
    let pieces = if wants_norms || config.has_second_product() { 1 } else { load.pieces };
    Load { pieces, ..load }
}

/// A pass ready to walk back.
pub(super) struct PassBackward<'a> {
    pub(super) config: &'a RnnConfig,
    pub(super) plan: &'a Plan,
    pub(super) reverse: bool,
    pub(super) direction: usize,
    pub(super) layout: &'static Layout,
    pub(super) weights: &'a BackwardWeights,
    pub(super) history: &'a History,
    /// The layer's input, packed rows.
    pub(super) inputs: &'a [f32],
    pub(super) strides: Strides,
    pub(super) outputs: OutputGradients<'a>,
}

/// The buffers of a block as threads share them: each writes the rows of its own sequences, and there the columns of its
/// own units.
struct Memory {
    dh: Mat,
    dc: Mat,
    step: Mat,
    gates: Mat,
    hidden: Mat,
    projected: Mat,
    h_offsets: *mut usize,
    c_offsets: *mut usize,
    squares: *mut f64,
    cell_squares: *mut f64,
    cells: Mat,
    /// Whether steps leave the squares of their states' gradients.
    wants_norms: bool,
    /// The packed row that its rows begin with.
    base: usize,
}

// SAFETY: threads work on disjoint sequences or units, and meet where one reads what another wrote.
unsafe impl Sync for Memory {}

/// One thread's share of the steps: of its sequences, the units of some panels.
struct Share<'a> {
    /// The threads that share these sequences, and this one's place among them.
    team: Team<'a>,
    place: usize,
    panels: Range<usize>,
    /// Where its offsets start.
    offsets: usize,
}

impl Share<'_> {
    /// Waits for those who share the sequences.
    #[inline]
    fn meet(&self) {
        if self.team.threads() > 1 {
            self.team.meet(self.place);
        }
    }
}

impl PassBackward<'_> {
    /// Values in a row of gate gradients.
    pub(super) fn gate_row(&self) -> usize {
        gate_row(self.config)
    }

    /// Gate gradients of a block, which is among the steps `kept` whose rows the scratch has; the states' gradients move to
    /// the step that precedes the block in the pass. The input's gradient goes to the packed rows `target`.
    pub(super) fn steps<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        kept: &Range<usize>,
        block: &Range<usize>,
        scratch: &mut PassScratch,
        wants_norms: bool,
        target: Option<Mat>,
    ) {
        let (config, plan, strides) = (self.config, self.plan, self.strides);
        let (rows, sequences) = (block_rows(plan, block), plan.count(block.start));
        let (size, gate_row) = (config.state_size(), self.gate_row());
        let (base, first) = (plan.start(kept.start), plan.start(block.start));
        let (last, history) = (first + rows, self.history);
        assert!(last * strides.pre <= history.pre.len() && (plan.batch + last) * strides.h <= history.h.len());
        assert!(
            base <= first && (last - base) * gate_row <= scratch.gates.len() && last - base <= scratch.squares.len()
        );
        assert!(sequences * strides.h <= scratch.dh.len() && sequences * strides.c <= scratch.dc.len());
        assert!(sequences * strides.c <= scratch.step.len());
        assert!(plan.batch + team.threads() * MOST_SHARED <= scratch.h_offsets.len());
        if config.cell.has_cell_state() {
            assert!((plan.batch + last) * strides.c <= history.c.len());
            let (rows, cells) = (last - base, sequences * strides.c);
            assert!(!wants_norms || rows <= scratch.cell_squares.len() && cells <= scratch.cells.len());
        }
        if config.has_second_product() {
            assert!((last - base) * strides.c <= scratch.hidden.len());
            assert!((last - base) * config.proj_size <= scratch.projected.len());
        }
        let memory = Memory {
            dh: Mat::new(&mut scratch.dh, strides.h),
            dc: Mat::new(&mut scratch.dc, strides.c),
            step: Mat::new(&mut scratch.step, strides.c),
            gates: Mat::new(&mut scratch.gates, gate_row),
            hidden: Mat::new(&mut scratch.hidden, strides.c),
            projected: Mat::new(&mut scratch.projected, size),
            h_offsets: scratch.h_offsets.as_mut_ptr(),
            c_offsets: scratch.c_offsets.as_mut_ptr(),
            squares: scratch.squares.as_mut_ptr(),
            cell_squares: scratch.cell_squares.as_mut_ptr(),
            cells: Mat::new(&mut scratch.cells, strides.c),
            wants_norms,
            base,
        };
        let split = self.split::<S>(team, block, wants_norms);
        // Where members share sequences, none may have more than there is room for.
        let (average, pieces) = (rows.div_ceil(block.len()), self.pieces::<S>());
        let shared = if split.units > 1 { sequences } else { average };
        let cut = |i: usize| split.cut(i, shared, sequences);
        let parts = 0..split.sequences;
        assert!(split.units == 1 || parts.map(|i| cut(i + 1) - cut(i)).max() <= Some(MOST_SHARED));
        // Gate gradients are multiplied where they were made, unless that means to read far weights for a few rows each.
        let weights = self.weights.input.view().data.len();
        let own_rows = split.threads() > 1 && average / split.sequences >= 2 * S::TILE_ROWS && weights <= NEAR_VALUES;
        let own = target.filter(|_| own_rows && split.units == 1);
        let walk = |part: usize, team: Team<'_>, place: usize| {
            let piece = |i: usize| pieces * i / split.units;
            let share = Share {
                team,
                place,
                panels: piece(place)..piece(place + 1),
                offsets: if split.units > 1 {
                    plan.batch + (part * split.units + place) * MOST_SHARED
                } else {
                    cut(part)
                },
            };
            let running = |t: usize| cut(part)..cut(part + 1).min(plan.count(t)).max(cut(part));
            let step = |t: usize| {
                if !running(t).is_empty() {
                    // SAFETY: the buffers reach to the block's last row, as asserted; threads have other sequences, or
                    // other units and meet.
                    unsafe { self.step(s, t, running(t), &share, &memory) }
                }
            };
            if self.reverse {
                block.clone().for_each(step)
            } else {
                block.clone().rev().for_each(step)
            }
            if let Some(target) = own {
                for t in block.clone().filter(|&t| !running(t).is_empty()) {
                    let rows = plan.start(t) + running(t).start;
                    // SAFETY: as above; this thread made these gate gradients.
                    unsafe { self.input_gradient(s, rows..rows + running(t).len(), &memory, target) }
                }
            }
        };
        team.first(split.threads()).run(split.sequences, &|part, team| {
            team.run(split.units, &|place, _| walk(part, team, place));
        });
        if let (Some(target), None) = (target, own) {
            let fewest = (FEWEST_PRODUCTS / (gate_row * target.stride)).max(S::TILE_ROWS);
            team.split(first..last, fewest, &|part: Range<usize>| {
                // SAFETY: as above; all gate gradients are made.
                unsafe { self.input_gradient(s, part, &memory, target) }
            });
        }
    }

    /// How threads share the steps of a block: by sequences, and by units where these are few.
    fn split<S: Ops>(&self, team: Team<'_>, block: &Range<usize>, wants_norms: bool) -> Split {
        let load = backward_load(self.config, S::PANEL_WIDTH, 0, self.plan, block, wants_norms);
        let split = Split::choose(team.threads(), &load);
        if split.units > 1 {
            return split;
        }
        let fewest = (FEWEST_PRODUCTS / (self.gate_row() * load.state * block.len())).max(1);
        let sequences = (load.rows.div_ceil(block.len()) / fewest).clamp(1, team.threads());
        Split { sequences, units: 1 }
    }

    /// Panels of the recurrent product, which members share.
    fn pieces<S: Ops>(&self) -> usize {
        self.config.state_size().div_ceil(S::PANEL_WIDTH)
    }

    /// The input's gradient in some packed rows.
    ///
    /// # Safety
    /// `target` has all packed rows of the plan, the gate gradients of these rows are known, and no other thread writes
    /// either of them.
    unsafe fn input_gradient<S: Ops>(&self, s: S, rows: Range<usize>, memory: &Memory, target: Mat) {
        let (gate_row, width) = (self.gate_row(), target.stride);
        assert_eq!(width, self.weights.input.columns());
        // SAFETY: the caller's contract.
        let (gates, out) = unsafe {
            let gates = memory.gates.row(rows.start - memory.base).cast_const();
            let gates = std::slice::from_raw_parts(gates, rows.len() * gate_row);
            (gates, Output::raw(target.row(rows.start), rows.len() * width, width))
        };
        let gates = Rows::strided(gates, rows.len(), gate_row, gate_row);
        let gates = gates.columns(0, self.config.cell.gates() * self.config.hidden_size);
        gemm(s, gates, &self.weights.input, Start::Zero, out);
    }

    /// One thread's share of step `t` of the sequences at sorted places `part`.
    ///
    /// # Safety
    /// The buffers have the rows of step `t`, no other thread works on these sequences and units, and those that work on
    /// other units of these sequences take the same step.
    unsafe fn step<S: Ops>(&self, s: S, t: usize, part: Range<usize>, share: &Share<'_>, memory: &Memory) {
        let (config, plan, history, strides) = (self.config, self.plan, self.history, self.strides);
        let (units, size, gate_row) = (config.hidden_size, config.state_size(), self.gate_row());
        let (count, first) = (part.len(), plan.start(t) + part.start);
        let (row, index) = (first - memory.base, history.index(plan, first));
        // Whole panels of the recurrent product: for a state as wide as the hidden one these are its units.
        let is_all = share.panels.len() == self.pieces::<S>();
        let blocks = units.div_ceil(S::LANES);
        let block = |panel: usize| (panel * S::PANEL_VECTORS).min(blocks);
        let blocks = if is_all { 0..blocks } else { block(share.panels.start)..block(share.panels.end) };
        let columns = share.panels.start * S::PANEL_WIDTH..size.min(share.panels.end * S::PANEL_WIDTH);
        let span = Span { rows: count, blocks, units };
        // SAFETY: rows of these sequences are this thread's; all lie within their buffers by the caller's contract;
        // the buffers are distinct, and where two operands share one the kernels allow it. The tape is only read; the
        // kernels take one kind of matrix for both.
        unsafe {
            let h_offsets = std::slice::from_raw_parts_mut(memory.h_offsets.add(share.offsets), count);
            let c_offsets = std::slice::from_raw_parts_mut(memory.c_offsets.add(share.offsets), count);
            let squares = std::slice::from_raw_parts_mut(memory.squares.add(row), count);
            let dh = memory.dh.starting_at(part.start);
            for (i, j) in part.clone().enumerate() {
                let previous = history.previous_index(plan, self.reverse, t, j);
                h_offsets[i] = previous * strides.h;
                c_offsets[i] = previous * strides.c;
            }
            self.add_output_gradients(s, t, part.start, dh, count, columns);
            if memory.wants_norms {
                for (i, sum) in squares.iter_mut().enumerate() {
                    *sum = sum_of_squares(std::slice::from_raw_parts(dh.row(i), size));
                }
            }
            let pre = Mat { values: history.pre[first * strides.pre..].as_ptr().cast_mut(), stride: strides.pre };
            let gates = memory.gates.starting_at(row);
            let previous_h = Previous { values: history.h.as_ptr(), offsets: h_offsets };
            // The product of a run of gate gradients with their recurrent weights.
            let recurrent = |run: usize, start: Start<'_>, out: Mat| {
                let rows = std::slice::from_raw_parts(gates.values, count * gate_row);
                let run_gates = &self.layout.recurrent_gradients[run];
                let left = Rows::strided(rows, count, gate_row, gate_row);
                let left = left.columns(run_gates.column * units, run_gates.gates * units);
                gemm_columns(s, left, &self.weights.recurrent[run], share.panels.clone(), start, out);
            };
            let step = memory.step.starting_at(part.start);
            match config.cell {
                Cell::ElmanTanh | Cell::ElmanRelu => {
                    elman::backward(s, span, config.cell == Cell::ElmanRelu, pre, dh, gates);
                    share.meet();
                    recurrent(0, Start::Zero, dh);
                }
                Cell::Lstm => {
                    let previous_c = Previous { values: history.c.as_ptr(), offsets: c_offsets };
                    let c = Mat { values: history.c[index * strides.c..].as_ptr().cast_mut(), stride: strides.c };
                    let mut dh_hidden = dh;
                    if let Some(projection) = &self.weights.projection {
                        let dh_rows = std::slice::from_raw_parts(dh.values, count * strides.h);
                        let dh_rows = Rows::strided(dh_rows, count, strides.h, size);
                        for i in 0..count {
                            let kept = std::slice::from_raw_parts_mut(memory.projected.row(row + i), size);
                            kept.copy_from_slice(dh_rows.row(i));
                        }
                        gemm(
                            s,
                            dh_rows,
                            projection,
                            Start::Zero,
                            Output::raw(step.values, count * strides.c, strides.c),
                        );
                        dh_hidden = step;
                        lstm::hidden(
                            s,
                            span.clone(),
                            pre,
                            c,
                            memory.hidden.starting_at(row),
                            Flush::new(config.flush_small_states),
                        );
                    }
                    let dc = memory.dc.starting_at(part.start);
                    if memory.wants_norms {
                        let cells = memory.cells.starting_at(part.start);
                        lstm::cell_gradient(s, span.clone(), pre, c, dh_hidden, dc, cells);
                        for i in 0..count {
                            let cell = std::slice::from_raw_parts(cells.row(i), units);
                            memory.cell_squares.add(row + i).write(sum_of_squares(cell));
                        }
                    }
                    lstm::backward(s, span, pre, previous_c, c, dh_hidden, dc, gates);
                    share.meet();
                    recurrent(0, Start::Zero, dh);
                }
                Cell::Gru => {
                    gru::backward_after(s, span, pre, previous_h, dh, dh, gates);
                    share.meet();
                    recurrent(0, Start::Output, dh);
                    recurrent(1, Start::Output, dh);
                }
                Cell::GruResetBefore => {
                    gru::backward_before(s, span.clone(), pre, previous_h, dh, dh, gates);
                    recurrent(1, Start::Zero, step);
                    gru::backward_reset(s, span.clone(), pre, previous_h, step, dh, gates);
                    gru::reset(s, span, pre, previous_h, memory.hidden.starting_at(row));
                    recurrent(0, Start::Output, dh);
                }
            }
        }
    }

    /// Adds the gradients of step `t`'s outputs to those of its states, for `count` sequences from sorted place `first` on
    /// and some columns.
    ///
    /// # Safety
    /// `dh` has `count` rows, whose columns nobody else uses; they begin with a whole vector.
    unsafe fn add_output_gradients<S: Ops>(
        &self,
        s: S,
        t: usize,
        first: usize,
        dh: Mat,
        count: usize,
        columns: Range<usize>,
    ) {
        let size = self.config.state_size();
        s.enter(
            #[inline(always)]
            || {
                for i in 0..count {
                    let Some(dy) = self.outputs.row(self.config, self.plan, t, first + i) else { return };
                    let dy = &dy[self.direction * size..][..size];
                    for at in columns.clone().step_by(S::LANES) {
                        let n = S::LANES.min(size - at);
                        // SAFETY: `dy` has `n` more values; rows of states are padded to whole vectors.
                        unsafe {
                            let dy = dy.as_ptr().add(at);
                            let dy = if n == S::LANES { s.load(dy) } else { s.load_first(dy, n) };
                            let state = dh.row(i).add(at);
                            s.store(state, s.add(s.load(state), dy));
                        }
                    }
                }
            },
        );
    }

    /// Copies a block's packed rows to where the caller has them.
    pub(super) fn unpack(&self, team: Team<'_>, block: &Range<usize>, rows: Mat, user: Mat) {
        self.for_each_row(team, block.clone(), rows.stride, &|row, place| {
            // SAFETY: each row has a place of its own in the caller's array, which has all of them.
            unsafe { std::ptr::copy_nonoverlapping(rows.row(row).cast_const(), user.row(place), rows.stride) }
        });
    }

    /// The sum of both directions' packed rows, into `user` or else into `first`.
    pub(super) fn add_parts<S: Ops>(&self, s: S, team: Team<'_>, first: Mat, second: Mat, user: Option<Mat>) {
        let features = first.stride;
        self.for_each_row(team, 0..self.plan.steps, features, &|row, place| {
            s.enter(
                #[inline(always)]
                // SAFETY: as above; both parts have all rows.
                || unsafe {
                    let (a, b) = (first.row(row), second.row(row).cast_const());
                    let to = user.map_or(a, |user| user.row(place));
                    for at in (0..features).step_by(S::LANES) {
                        let n = S::LANES.min(features - at);
                        if n == S::LANES {
                            s.store(to.add(at), s.add(s.load(a.add(at)), s.load(b.add(at))));
                        } else {
                            let sum = s.add(s.load_first(a.add(at), n), s.load_first(b.add(at), n));
                            s.store_first(to.add(at), sum, n);
                        }
                    }
                },
            );
        });
    }

    /// Calls `f(packed row, the caller's row)` for the rows of some steps, on several threads if there are many.
    fn for_each_row(&self, team: Team<'_>, steps: Range<usize>, features: usize, f: &(impl Fn(usize, usize) + Sync)) {
        if steps.is_empty() {
            return;
        }
        let (config, plan) = (self.config, self.plan);
        let fewest = FEWEST_COPIES / (plan.count(steps.start) * features);
        team.split(steps, fewest, &|steps: Range<usize>| {
            for t in steps {
                for j in 0..plan.count(t) {
                    f(plan.start(t) + j, plan.user_offset(config, t, j, 1));
                }
            }
        });
    }
}
