//! What a pass records: pre-activations and states, one row for each (step, sequence), and how rows are found.

use super::batch::Plan;
use super::config::RnnConfig;
use super::output::Outputs;
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::kernel::mat::{Mat, STATE_PADDING};
use crate::kernel::panel::padded_row;
use std::ops::Range;

/// What a pass records about a range of steps: the initial states of all sequences, in sorted order, then one row for
/// each (step, sequence).
pub(crate) struct History {
    /// Pre-activations: rows only, in packed order.
    pub(crate) pre: AlignedBuf<f32>,
    pub(crate) h: AlignedBuf<f32>,
    /// Cell states, for LSTM.
    pub(crate) c: AlignedBuf<f32>,
    pub(crate) kept: Kept,
}

/// Which rows a history keeps.
#[derive(Clone)]
pub(crate) struct Kept {
    /// The first packed row.
    pub(crate) base: usize,
    pub(crate) steps: Range<usize>,
}

impl Kept {
    pub(crate) const NOTHING: Self = Self { base: 0, steps: 0..0 };

    /// The rows of some steps.
    pub(crate) fn rows_of(plan: &Plan, steps: Range<usize>) -> Self {
        Self { base: plan.start(steps.start), steps }
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
    fn final_index(&self, plan: &Plan, reverse: bool, j: usize) -> usize {
        let end = plan.lengths[j].min(self.steps.end);
        if end <= self.steps.start {
            return j;
        }
        let t = if reverse { self.steps.start } else { end - 1 };
        self.index(plan, plan.start(t) + j)
    }
}

/// The strides of the rows that a pass works on.
#[derive(Clone, Copy)]
pub(crate) struct Strides {
    pub(crate) pre: usize,
    pub(crate) h: usize,
    pub(crate) c: usize,
}

impl Strides {
    /// That of rows of states of `size` values.
    #[inline]
    pub(crate) fn of_states(size: usize) -> usize {
        size.next_multiple_of(STATE_PADDING)
    }

    pub(crate) fn of(config: &RnnConfig, lanes: usize) -> Self {
        Self {
            pre: padded_row(lanes, config.hidden_size, config.cell.properties().slots),
            h: Self::of_states(config.state_size()),
            c: Self::of_states(config.hidden_size),
        }
    }
}

impl History {
    pub(crate) const fn new() -> Self {
        Self { pre: AlignedBuf::new(), h: AlignedBuf::new(), c: AlignedBuf::new(), kept: Kept::NOTHING }
    }

    /// Makes room for `batch` initial states and `rows` rows.
    pub(crate) fn reserve(&mut self, config: &RnnConfig, lanes: usize, batch: usize, rows: usize) -> Result<()> {
        let lens = Self::lens(config, lanes, batch, rows)?;
        self.buffers().into_iter().zip(lens).try_for_each(|(buffer, len)| buffer.resize(len))
    }

    /// The lengths of [`History::buffers`] for `batch` initial states and `rows` rows.
    pub(crate) fn lens(config: &RnnConfig, lanes: usize, batch: usize, rows: usize) -> Result<[usize; 3]> {
        let strides = Strides::of(config, lanes);
        let all = batch.saturating_add(rows);
        let c = if config.cell.has_cell_state() { product("cell states", &[all, strides.c])? } else { 0 };
        Ok([product("pre-activations", &[rows, strides.pre])?, product("hidden states", &[all, strides.h])?, c])
    }

    /// Pre-activations, hidden and cell states.
    pub(crate) fn buffers(&mut self) -> [&mut AlignedBuf<f32>; 3] {
        [&mut self.pre, &mut self.h, &mut self.c]
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
        self.kept = Kept::NOTHING;
        let set = |target: &mut [f32], stride: usize, features: usize, source: Option<&[f32]>| {
            for (row, &b) in target.chunks_exact_mut(stride).zip(plan.order.iter()) {
                row.fill(0.0);
                if let Some(source) = source {
                    let start = (pass * plan.in_arrays + b) * features;
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

    /// Moves `count` rows of states from row `from` on to row `to` on.
    pub(crate) fn move_states(&mut self, config: &RnnConfig, from: usize, to: usize, count: usize) {
        let strides = Strides::of(config, 1);
        let rows = |stride: usize| from * stride..(from + count) * stride;
        self.h.copy_within(rows(strides.h), to * strides.h);
        if config.cell.has_cell_state() {
            self.c.copy_within(rows(strides.c), to * strides.c);
        }
    }

    /// Makes the final states the initial ones of `next`, which takes the next block of steps.
    pub(crate) fn carry_to(&self, next: &mut History, config: &RnnConfig, plan: &Plan, reverse: bool) {
        let strides = Strides::of(config, 1);
        for j in 0..plan.batch {
            let from = self.kept.final_index(plan, reverse, j);
            let copy = |to: &mut [f32], source: &[f32], stride: usize| {
                to[j * stride..(j + 1) * stride].copy_from_slice(&source[from * stride..(from + 1) * stride]);
            };
            copy(&mut next.h, &self.h, strides.h);
            if config.cell.has_cell_state() {
                copy(&mut next.c, &self.c, strides.c);
            }
        }
    }

    /// Makes the final states the initial ones, before the next block of steps.
    pub(crate) fn carry(&mut self, config: &RnnConfig, plan: &Plan, reverse: bool) {
        for j in 0..plan.batch {
            let from = self.kept.final_index(plan, reverse, j);
            if from != j {
                self.move_states(config, from, j, 1);
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
        arrays: &Outputs<'_>,
    ) {
        self.write(config, plan, pass, arrays, |j| self.kept.final_index(plan, reverse, j));
    }

    /// Copies states into arrays (passes, batch, features): for each sorted place the row that `row` tells.
    pub(crate) fn write(
        &self,
        config: &RnnConfig,
        plan: &Plan,
        pass: usize,
        arrays: &Outputs<'_>,
        row: impl Fn(usize) -> usize,
    ) {
        let strides = Strides::of(config, 1);
        let write = |target: Option<Mat<'_>>, source: &[f32], stride: usize, features: usize| {
            let Some(target) = target else { return };
            for (j, &b) in plan.order.iter().enumerate() {
                let from = &source[row(j) * stride..][..features];
                // SAFETY: the array has a row for each pass and sequence, and only this plan has this sequence.
                unsafe { target.slice_mut(pass * plan.in_arrays + b, features) }.copy_from_slice(from);
            }
        };
        write(arrays.hn, &self.h, strides.h, config.state_size());
        if config.cell.has_cell_state() {
            write(arrays.cn, &self.c, strides.c, config.hidden_size);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pre.bytes() + self.h.bytes() + self.c.bytes()
    }
}
