//! One layer in one direction over a block of steps, backward.

use super::backward_scratch::PassScratch;
use super::batch::Plan;
use super::config::RnnConfig;
use super::history::{History, Strides};
use super::load::{self, gate_row};
use super::weights::BackwardWeights;
use crate::kernel::cell::{Flush, Operand};
use crate::kernel::cell_kernels::CellKernels;
use crate::kernel::columns::gemm_columns;
use crate::kernel::gates::{Backward, Span};
use crate::kernel::gemm::{Output, Start, gemm};
use crate::kernel::lhs::Rows;
use crate::kernel::mat::{Mat, Strided};
use crate::parallel::{Elements, FEWEST_COPIES, FEWEST_PRODUCTS, MOST_SHARED, NEAR_VALUES, Split, Team};
use crate::simd::Ops;
use std::ops::Range;

/// Gradients of a layer's outputs.
#[derive(Clone, Copy)]
pub(super) enum OutputGradients<'a> {
    Zero,
    /// In packed rows, of all steps of the plan.
    Packed(Mat<'a>),
    /// As the caller has them.
    User(&'a [f32]),
}

impl<'a> OutputGradients<'a> {
    /// The row of step `t` and sorted place `j`.
    ///
    /// # Safety
    /// It is complete, and nobody writes it meanwhile.
    #[inline]
    unsafe fn row(self, config: &RnnConfig, plan: &Plan, t: usize, j: usize) -> Option<&'a [f32]> {
        let features = config.output_size();
        match self {
            Self::Zero => None,
            Self::Packed(rows) => {
                assert!(j < plan.count(t) && rows.stride() == features);
                // SAFETY: there are rows for all steps, and the caller's contract.
                Some(unsafe { rows.slice(plan.start(t) + j, features) })
            }
            Self::User(rows) => Some(&rows[plan.user_offset(config, t, j, features)..][..features]),
        }
    }
}

/// A pass ready to walk back.
pub(super) struct PassBackward<'a> {
    pub(super) config: &'a RnnConfig,
    pub(super) plan: &'a Plan,
    pub(super) reverse: bool,
    pub(super) direction: usize,
    pub(super) weights: &'a BackwardWeights,
    pub(super) history: &'a History,
    /// The layer's input, packed rows.
    pub(super) inputs: &'a [f32],
    pub(super) strides: Strides,
    pub(super) outputs: OutputGradients<'a>,
}

/// The buffers of a block as threads share them: each writes the rows of its own sequences, and there the columns of its
/// own units.
struct Memory<'a> {
    dh: Mat<'a>,
    dc: Mat<'a>,
    step: Mat<'a>,
    gates: Mat<'a>,
    hidden: Mat<'a>,
    projected: Mat<'a>,
    h_offsets: Elements<'a, usize>,
    c_offsets: Elements<'a, usize>,
    squares: Elements<'a, f64>,
    cell_squares: Elements<'a, f64>,
    cells: Mat<'a>,
    /// The packed row that its rows begin with.
    base: usize,
}

/// How threads share a block.
struct Sharing {
    split: Split,
    /// Sequences that run in the block's first step, and those by which they are cut into parts.
    sequences: usize,
    cut_by: usize,
    /// Panels of the recurrent product, which members share.
    pieces: usize,
    /// Whether gate gradients are multiplied where they were made.
    own_input_gradient: bool,
}

impl Sharing {
    fn choose<S: Ops>(pass: &PassBackward<'_>, threads: usize, block: &Range<usize>, wants_norms: bool) -> Self {
        let (config, plan) = (pass.config, pass.plan);
        let load = load::backward(config, S::PANEL_WIDTH, 0, plan, block, wants_norms);
        let average = load.rows.div_ceil(block.len());
        let mut split = Split::choose(threads, &load);
        if split.units == 1 {
            let fewest = (FEWEST_PRODUCTS / (gate_row(config) * load.state * block.len())).max(1);
            split = Split { sequences: (average / fewest).clamp(1, threads), units: 1 };
        }
        // Unless that means to read far weights for a few rows each.
        let weights = pass.weights.input.view().data.len();
        let own_rows = split.threads() > 1 && average / split.sequences >= 2 * S::TILE_ROWS && weights <= NEAR_VALUES;
        let sharing = Self {
            split,
            sequences: load.most,
            // Where members share sequences, none may have more than there is room for.
            cut_by: if split.units > 1 { load.most } else { average },
            pieces: config.state_size().div_ceil(S::PANEL_WIDTH),
            own_input_gradient: own_rows && split.units == 1,
        };
        let most = (0..split.sequences).map(|i| sharing.part(i).len()).max();
        assert!(split.units == 1 || most <= Some(MOST_SHARED));
        sharing
    }

    /// The sorted sequences of a part.
    fn part(&self, i: usize) -> Range<usize> {
        let cut = |i: usize| self.split.cut(i, self.cut_by, self.sequences);
        cut(i)..cut(i + 1)
    }

    /// That of the member at `place` of those who have part `part` of the sequences.
    fn share<'a>(&self, plan: &Plan, part: usize, team: Team<'a>, place: usize) -> Share<'a> {
        let piece = |i: usize| self.pieces * i / self.split.units;
        let sequences = self.part(part);
        let offsets = if self.split.units > 1 {
            plan.batch + (part * self.split.units + place) * MOST_SHARED
        } else {
            sequences.start
        };
        Share { sequences, team, place, panels: piece(place)..piece(place + 1), offsets }
    }
}

/// One thread's share of the steps: of its sequences, the units of some panels.
struct Share<'a> {
    /// Sorted sequences.
    sequences: Range<usize>,
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

    /// Its sequences that run at step `t`.
    fn running(&self, plan: &Plan, t: usize) -> Range<usize> {
        let Range { start, end } = self.sequences;
        start..end.min(plan.count(t)).max(start)
    }
}

impl PassBackward<'_> {
    /// Gate gradients of a block, which is among the steps `gathered` whose rows the scratch has; the states' gradients move
    /// to the step that precedes the block in the pass. The input's gradient goes to the packed rows `target`.
    ///
    /// # Safety
    /// The gradients of these steps' outputs are complete; nobody else touches the states of the pass or these rows of
    /// `target`, which has those of all steps.
    pub(super) unsafe fn steps<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        gathered: &Range<usize>,
        block: &Range<usize>,
        scratch: &mut PassScratch,
        wants_norms: bool,
        target: Option<Mat<'_>>,
    ) {
        let base = self.plan.start(gathered.start);
        let sharing = Sharing::choose::<S>(self, team.threads(), block, wants_norms);
        self.check(&sharing, base, block, scratch, wants_norms, team.threads());
        let memory = self.memory(scratch, base);
        let cell = self.config.cell.kernels::<S>();
        let run = Run { pass: self, cell, block, sharing: &sharing, memory: &memory, wants_norms };
        let split = sharing.split;
        team.first(split.threads()).run(split.sequences, &|part, team| {
            team.run(split.units, &|place, _| {
                let share = sharing.share(self.plan, part, team, place);
                // SAFETY: the buffers reach to the block's last row, as checked; threads have disjoint sequences, or disjoint
                // units and meet.
                unsafe { run.share(s, &share, target.filter(|_| sharing.own_input_gradient)) }
            });
        });
        if let Some(target) = target.filter(|_| !sharing.own_input_gradient) {
            let rows = self.plan.start(block.start)..self.plan.start(block.end);
            let fewest = (FEWEST_PRODUCTS / (gate_row(self.config) * target.stride())).max(S::TILE_ROWS);
            team.split(rows, fewest, &|part: Range<usize>| {
                // SAFETY: all gate gradients are made; parts are disjoint.
                unsafe { run.input_gradient(s, part, target) }
            });
        }
    }

    /// Panics unless the buffers reach to the block's last row.
    fn check(
        &self,
        sharing: &Sharing,
        base: usize,
        block: &Range<usize>,
        scratch: &PassScratch,
        wants_norms: bool,
        threads: usize,
    ) {
        let (config, plan, strides, history) = (self.config, self.plan, self.strides, self.history);
        let (sequences, last) = (sharing.sequences, plan.start(block.end));
        assert!(last * strides.pre <= history.pre.len() && (plan.batch + last) * strides.h <= history.h.len());
        assert!(base <= plan.start(block.start));
        let rows = last - base;
        assert!(rows * gate_row(config) <= scratch.gates.len() && rows <= scratch.squares.len());
        assert!(sequences * strides.h <= scratch.dh.len() && sequences * strides.c <= scratch.dc.len());
        assert!(sequences * strides.c <= scratch.step.len());
        let offsets = plan.batch + threads * MOST_SHARED;
        assert!(offsets <= scratch.h_offsets.len() && offsets <= scratch.c_offsets.len());
        if config.cell.has_cell_state() {
            assert!((plan.batch + last) * strides.c <= history.c.len());
            let cells = sequences * strides.c;
            assert!(!wants_norms || rows <= scratch.cell_squares.len() && cells <= scratch.cells.len());
        }
        if config.has_second_product() {
            assert!(rows * strides.c <= scratch.hidden.len() && rows * config.proj_size <= scratch.projected.len());
        }
    }

    fn memory<'m>(&self, scratch: &'m mut PassScratch, base: usize) -> Memory<'m> {
        let strides = self.strides;
        Memory {
            dh: Mat::new(&mut scratch.dh, strides.h),
            dc: Mat::new(&mut scratch.dc, strides.c),
            step: Mat::new(&mut scratch.step, strides.c),
            gates: Mat::new(&mut scratch.gates, gate_row(self.config)),
            hidden: Mat::new(&mut scratch.hidden, strides.c),
            projected: Mat::new(&mut scratch.projected, self.config.proj_size),
            h_offsets: Elements::of(&mut scratch.h_offsets[..]),
            c_offsets: Elements::of(&mut scratch.c_offsets[..]),
            squares: Elements::of(&mut scratch.squares[..]),
            cell_squares: Elements::of(&mut scratch.cell_squares[..]),
            cells: Mat::new(&mut scratch.cells, strides.c),
            base,
        }
    }

    /// Copies packed rows of some steps to where the caller has them.
    ///
    /// # Safety
    /// They are complete, and nobody else touches these rows; both have all steps.
    pub(super) unsafe fn unpack(&self, team: Team<'_>, steps: &Range<usize>, rows: Mat<'_>, user: Mat<'_>) {
        self.for_each_row(team, steps.clone(), rows.stride(), &|row, place| {
            // SAFETY: each row has a place of its own in the caller's array, and the caller's contract.
            unsafe { std::ptr::copy_nonoverlapping(rows.row(row).cast_const(), user.row(place), rows.stride()) }
        });
    }

    /// The sum of both directions' packed rows, into `user` or else into `first`.
    ///
    /// # Safety
    /// As [`PassBackward::unpack`]'s.
    pub(super) unsafe fn add_parts<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        first: Mat<'_>,
        second: Mat<'_>,
        user: Option<Mat<'_>>,
    ) {
        let features = first.stride();
        self.for_each_row(team, 0..self.plan.steps, features, &|row, place| {
            s.enter(
                #[inline(always)]
                // SAFETY: each row has a place of its own in the caller's array, and the caller's contract.
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

    /// Norms of the states' gradients of gathered steps, from the squares that they left.
    pub(super) fn norms(&self, steps: &Range<usize>, scratch: &PassScratch, norms: &mut [f64]) {
        let (plan, first) = (self.plan, self.plan.start(steps.start));
        let write = |squares: &[f64], norms: &mut [f64]| {
            for t in steps.clone() {
                let squares = &squares[plan.start(t) - first..][..plan.count(t)];
                norms[t] = squares.iter().fold(0.0, |sum, v| sum + v).sqrt();
            }
        };
        let (hidden, cells) = norms.split_at_mut(plan.seq_len);
        write(&scratch.squares, hidden);
        if !cells.is_empty() {
            write(&scratch.cell_squares, cells);
        }
    }
}

fn sum_of_squares(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |sum, &v| sum + f64::from(v) * f64::from(v))
}

/// A block of a pass, as all its threads see it.
struct Run<'a, S: Ops> {
    pass: &'a PassBackward<'a>,
    cell: &'static dyn CellKernels<S>,
    block: &'a Range<usize>,
    sharing: &'a Sharing,
    memory: &'a Memory<'a>,
    /// Whether steps leave the squares of their states' gradients.
    wants_norms: bool,
}

/// One thread's rows of one step.
struct Step<'a> {
    /// Sorted sequences.
    sequences: Range<usize>,
    /// Their first packed row, and that among the gathered ones.
    first: usize,
    row: usize,
    span: Span,
    dh: Mat<'a>,
    gates: Mat<'a>,
    /// Where their previous states start.
    h_offsets: &'a [usize],
    c_offsets: &'a [usize],
}

impl Step<'_> {
    fn count(&self) -> usize {
        self.sequences.len()
    }
}

impl<S: Ops> Run<'_, S> {
    /// One thread's share of the block; the input's gradient too, where there is a `target`.
    ///
    /// # Safety
    /// No other thread works on these sequences and units; those that work on other units of these sequences do the same.
    unsafe fn share(&self, s: S, share: &Share<'_>, target: Option<Mat<'_>>) {
        let plan = self.pass.plan;
        // SAFETY: the caller's contract; this thread made these gate gradients.
        unsafe {
            if self.pass.reverse {
                self.block.clone().for_each(|t| self.step(s, t, share));
            } else {
                self.block.clone().rev().for_each(|t| self.step(s, t, share));
            }
            let Some(target) = target else { return };
            for t in self.block.clone() {
                let running = share.running(plan, t);
                let first = plan.start(t) + running.start;
                if !running.is_empty() {
                    self.input_gradient(s, first..first + running.len(), target);
                }
            }
        }
    }

    /// The input's gradient in some packed rows.
    ///
    /// # Safety
    /// `target` has all packed rows of the plan, the gate gradients of these rows are known, and no other thread writes
    /// either of them.
    unsafe fn input_gradient(&self, s: S, rows: Range<usize>, target: Mat<'_>) {
        let (config, weights) = (self.pass.config, &self.pass.weights.input);
        let (gate_row, width) = (gate_row(config), target.stride());
        assert_eq!(width, weights.columns());
        // SAFETY: the caller's contract.
        let (gates, out) = unsafe {
            let gates = self.memory.gates.slice(rows.start - self.memory.base, rows.len() * gate_row);
            (gates, Output::raw(target.row(rows.start), rows.len() * width, width))
        };
        let gates = Rows::strided(gates, rows.len(), gate_row, gate_row);
        let gates = gates.columns(0, config.cell.gates() * config.hidden_size);
        gemm(s, gates, weights, Start::Zero, out);
    }

    /// One thread's share of step `t`.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn step(&self, s: S, t: usize, share: &Share<'_>) {
        let sequences = share.running(self.pass.plan, t);
        if sequences.is_empty() {
            return;
        }
        let (pass, memory) = (self.pass, self.memory);
        let (config, history, strides) = (pass.config, pass.history, pass.strides);
        let cell = config.cell.properties();
        // SAFETY: rows of these sequences are this thread's; all lie within their buffers; the buffers are distinct, and
        // where two operands share one the kernels allow it.
        unsafe {
            let step = self.rows_of(t, sequences, share);
            self.add_output_gradients(s, t, share, &step);
            if self.wants_norms {
                self.leave_squares(&step);
            }
            let before_h = Strided::new(&history.h, strides.h).gathered(step.h_offsets);
            let before_c = Strided::new(&history.c, strides.c).gathered(step.c_offsets);
            let dc = memory.dc.starting_at(step.sequences.start);
            let c = Strided::new(&history.c, strides.c);
            let index = history.kept.index(pass.plan, step.first);
            let operand = memory.step.starting_at(step.sequences.start);
            let mut rows = Backward {
                pre: Strided::new(&history.pre, strides.pre).starting_at(step.first),
                before: if cell.has_cell_state { before_c } else { before_h },
                c: if cell.has_cell_state { c.starting_at(index) } else { c },
                dh: step.dh,
                carried: if cell.has_cell_state { dc } else { step.dh },
                gates: step.gates,
            };
            if pass.weights.projection.is_some() {
                self.unproject(s, &step, &rows, operand);
                rows.dh = operand;
            }
            if self.wants_norms && cell.has_cell_state {
                self.leave_cell_squares(s, &step, &rows);
            }
            self.cell.backward(s, &step.span, &rows);
            share.meet();
            if let Some(kernels) = self.cell.second_product() {
                self.products(s, share, &step, Operand::Between, Start::Zero, operand);
                kernels.backward_between(s, &step.span, &rows, operand);
                kernels.between(s, &step.span, rows.pre, before_h, memory.hidden.starting_at(step.row));
            }
            let start = if cell.carries_hidden { Start::Output } else { Start::Zero };
            self.products(s, share, &step, Operand::Hidden, start, step.dh);
        }
    }

    /// The rows of a step, with the offsets of their previous states.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn rows_of<'s>(&'s self, t: usize, sequences: Range<usize>, share: &Share<'_>) -> Step<'s> {
        let (pass, memory) = (self.pass, self.memory);
        let (plan, kept, strides, units) = (pass.plan, &pass.history.kept, pass.strides, pass.config.hidden_size);
        let count = sequences.len();
        let first = plan.start(t) + sequences.start;
        // SAFETY: the caller's contract; each thread has room of its own.
        let (h_offsets, c_offsets) =
            unsafe { (memory.h_offsets.slice(share.offsets, count), memory.c_offsets.slice(share.offsets, count)) };
        for (i, j) in sequences.clone().enumerate() {
            let previous = kept.previous_index(plan, pass.reverse, t, j);
            h_offsets[i] = previous * strides.h;
            c_offsets[i] = previous * strides.c;
        }
        // Whole panels of the recurrent product: for a state as wide as the hidden one these are its units.
        let is_all = share.panels.len() == self.sharing.pieces;
        let all = units.div_ceil(S::LANES);
        let block = |panel: usize| (panel * S::PANEL_VECTORS).min(all);
        let blocks = if is_all { 0..all } else { block(share.panels.start)..block(share.panels.end) };
        // SAFETY: the buffers reach to these rows.
        let (dh, gates) =
            unsafe { (memory.dh.starting_at(sequences.start), memory.gates.starting_at(first - memory.base)) };
        let (row, span) = (first - memory.base, Span { rows: count, blocks, units });
        Step { sequences, first, row, span, dh, gates, h_offsets, c_offsets }
    }

    /// Adds the gradients of step `t`'s outputs to those of its states, in the columns of the share's panels.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn add_output_gradients(&self, s: S, t: usize, share: &Share<'_>, step: &Step<'_>) {
        let (pass, dh) = (self.pass, step.dh);
        let size = pass.config.state_size();
        let columns = share.panels.start * S::PANEL_WIDTH..size.min(share.panels.end * S::PANEL_WIDTH);
        s.enter(
            #[inline(always)]
            || {
                for (i, j) in step.sequences.clone().enumerate() {
                    // SAFETY: complete before the block began.
                    let Some(dy) = (unsafe { pass.outputs.row(pass.config, pass.plan, t, j) }) else { return };
                    let dy = &dy[pass.direction * size..][..size];
                    for at in columns.clone().step_by(S::LANES) {
                        let n = S::LANES.min(size - at);
                        // SAFETY: `dy` has `n` more values; rows of states are padded to whole vectors.
                        unsafe {
                            let dy = dy.as_ptr().add(at);
                            let dy = if n == S::LANES { s.load(dy) } else { s.load_first(dy, n) };
                            let state = dh.at(i, at);
                            s.store(state, s.add(s.load(state), dy));
                        }
                    }
                }
            },
        );
    }

    /// The squares of the states' gradients, for their norms.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn leave_squares(&self, step: &Step<'_>) {
        let size = self.pass.config.state_size();
        // SAFETY: the caller's contract.
        unsafe {
            for (i, sum) in self.memory.squares.slice(step.row, step.count()).iter_mut().enumerate() {
                *sum = sum_of_squares(step.dh.slice(i, size));
            }
        }
    }

    /// The same of the cell states' gradients.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn leave_cell_squares(&self, s: S, step: &Step<'_>, rows: &Backward<'_>) {
        let units = self.pass.config.hidden_size;
        // SAFETY: the caller's contract.
        unsafe {
            let cells = self.memory.cells.starting_at(step.sequences.start);
            self.cell.cell_gradient(s, &step.span, rows, cells);
            for (i, sum) in self.memory.cell_squares.slice(step.row, step.count()).iter_mut().enumerate() {
                *sum = sum_of_squares(cells.slice(i, units));
            }
        }
    }

    /// Keeps the gradients of projected states, and what was projected; the gradient of that goes to `out`.
    ///
    /// # Safety
    /// As [`Run::share`]'s.
    unsafe fn unproject(&self, s: S, step: &Step<'_>, rows: &Backward<'_>, out: Mat<'_>) {
        let (config, memory, strides, count) = (self.pass.config, self.memory, self.pass.strides, step.count());
        let size = config.state_size();
        let projection = self.pass.weights.projection.as_ref().expect("a projection");
        // SAFETY: the caller's contract.
        unsafe {
            let dh = Rows::strided(step.dh.slice(0, (count - 1) * strides.h + size), count, strides.h, size);
            for i in 0..count {
                memory.projected.slice_mut(step.row + i, size).copy_from_slice(dh.row(i));
            }
            gemm(s, dh, projection, Start::Zero, Output::raw(out.values(), count * strides.c, strides.c));
            let flush = Flush::new(config.flush_small_states);
            self.cell.unprojected(s, &step.span, rows, memory.hidden.starting_at(step.row), flush);
        }
    }

    /// The products of gate gradients with the recurrent weights whose operand was `operand`: the share's columns of `out`.
    ///
    /// # Safety
    /// As [`Run::share`]'s; the gate gradients of these runs are complete.
    unsafe fn products(
        &self,
        s: S,
        share: &Share<'_>,
        step: &Step<'_>,
        operand: Operand,
        mut start: Start<'_>,
        out: Mat<'_>,
    ) {
        let (config, count) = (self.pass.config, step.count());
        let (units, gate_row) = (config.hidden_size, gate_row(config));
        let runs = config.cell.properties().runs.iter().zip(&self.pass.weights.recurrent);
        for (run, weights) in runs.filter(|(run, _)| run.operand == operand) {
            // SAFETY: the caller's contract.
            unsafe {
                let left = Rows::strided(step.gates.slice(0, count * gate_row), count, gate_row, gate_row);
                let left = left.columns(run.column * units, run.gates * units);
                gemm_columns(s, left, weights, share.panels.clone(), start, out);
            }
            start = Start::Output;
        }
    }
}
