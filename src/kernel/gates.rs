//! What happens between two products: loops over rows and units that call a cell's equations, forward and backward.
//!
//! Rows of pre-activations are in packed order: for each block of LANES units, one vector per slot. States are plain
//! rows whose stride is a multiple of 16, so that whole vectors may be read and written beyond the last unit; there
//! the weights are zero and what is computed is finite. Gate gradients are rows of exactly gates times units values,
//! gate after gate as PyTorch orders them.

use super::cell::{Equations, Flush, MOST_SLOTS, Reads, Recorded, SecondProduct};
use super::mat::{Gathered, Mat, STATE_PADDING, Scattered, Strided};
use super::panel::slot_vector;
use crate::simd::Ops;
use std::ops::Range;

/// The rows and units a gate kernel works on.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) rows: usize,
    /// Blocks of LANES units.
    pub(crate) blocks: Range<usize>,
    /// Units of the layer.
    pub(crate) units: usize,
}

/// The rows of a step forward.
pub(crate) struct Forward<'a> {
    pub(crate) pre: Mat<'a>,
    /// The states that the cell reads.
    pub(crate) before: Gathered<'a>,
    /// Receives the next cell states, for a cell that has them; may be where `before` is.
    pub(crate) c: Mat<'a>,
    /// Receives the next hidden states.
    pub(crate) h: Mat<'a>,
    /// Receives them too: the units that exist.
    pub(crate) copies: Option<Scattered<'a>>,
    pub(crate) flush: Flush,
}

/// The rows of a step backward.
pub(crate) struct Backward<'a> {
    pub(crate) pre: Strided<'a>,
    /// The states that the cell read.
    pub(crate) before: Gathered<'a>,
    /// The step's own cell states, for a cell that has them.
    pub(crate) c: Strided<'a>,
    /// The gradient of the hidden states.
    pub(crate) dh: Mat<'a>,
    /// For a cell with cell states, their gradient, which becomes that of the previous ones; for one that reads the previous
    /// hidden states, receives what of their gradient passes through no product, and may be where `dh` is.
    pub(crate) carried: Mat<'a>,
    /// Receives the gradient of the pre-activations.
    pub(crate) gates: Mat<'a>,
}

/// Writes the next states of a span.
///
/// # Safety
/// All reach to the span's last row and block, as far as the cell uses them, `copies` to the last unit that exists. Except
/// where [`Forward`] says so, nothing that is written overlaps what is read.
pub(crate) unsafe fn forward<S: Ops, C: Equations>(s: S, cell: C, span: &Span, rows: &Forward<'_>) {
    let Forward { pre, before, c, h, copies, flush } = *rows;
    s.enter(
        #[inline(always)]
        || {
            // Before the first block there is nothing to finish: that goes nowhere.
            let mut nowhere = [0f32; STATE_PADDING];
            let mut half = cell.idle(s);
            let (mut target, mut copy) = (nowhere.as_mut_ptr(), (nowhere.as_mut_ptr(), 0));
            // SAFETY: a block's `h` and the copy of the units that exist, by the caller's contract, or `nowhere`.
            let store = |h: S::f32s, target: *mut f32, (copy, count): (*mut f32, usize)| unsafe {
                s.store(target, h);
                if copies.is_some() {
                    if count == S::LANES { s.store(copy, h) } else { s.store_first(copy, h, count) }
                }
            };
            span.each::<S>(
                #[inline(always)]
                |at| {
                    // SAFETY: the caller's contract.
                    unsafe {
                        let slots = at.slots::<S, C>(s, pre.read());
                        let (next, next_c) = cell.begin(s, slots, at.before::<S, C>(s, before), flush);
                        if C::READS == Reads::Cell {
                            s.store(c.at(at.row, at.unit), next_c);
                        }
                        store(cell.finish(s, half, flush), target, copy);
                        (half, target) = (next, h.at(at.row, at.unit));
                        if let Some(copies) = copies {
                            copy = (copies.at(at.row, at.unit), at.count);
                        }
                    }
                },
            );
            store(cell.finish(s, half, flush), target, copy);
        },
    );
}

/// Writes the right operand of a cell's second product.
///
/// # Safety
/// All reach to the span's last row and block; nothing that is written overlaps what is read.
pub(crate) unsafe fn between<S: Ops, C: SecondProduct>(
    s: S,
    cell: C,
    span: &Span,
    pre: Strided<'_>,
    before: Gathered<'_>,
    out: Mat<'_>,
) {
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let operand = cell.between(s, at.slots::<S, C>(s, pre), at.before::<S, C>(s, before));
                s.store(out.at(at.row, at.unit), operand);
            }
        },
    );
}

/// Writes the gradient of the pre-activations, but for what [`backward_between`] adds, and what is carried.
///
/// # Safety
/// All reach to the span's last row and block, as far as the cell uses them. Except where [`Backward`] says so, nothing that
/// is written overlaps what is read.
pub(crate) unsafe fn backward<S: Ops, C: Equations>(s: S, cell: C, span: &Span, rows: &Backward<'_>) {
    let Backward { dh, carried, gates, .. } = *rows;
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let step = at.recorded::<S, C>(s, rows);
                let dh = s.load(dh.at(at.row, at.unit));
                let dc = match C::READS {
                    Reads::Cell => s.load(carried.at(at.row, at.unit)),
                    _ => dh,
                };
                let gradients = cell.backward(s, step, dh, dc);
                if C::READS != Reads::Nothing {
                    s.store(carried.at(at.row, at.unit), gradients.carried);
                }
                for gate in 0..C::GRADIENTS {
                    let is_later = C::BETWEEN_GRADIENT.is_some_and(|(later, takes_part)| later == gate && !takes_part);
                    if !is_later {
                        at.store_gate(s, gates, span.units, gate, gradients.gates[gate]);
                    }
                }
            }
        },
    );
}

/// From the gradient `d` of a second product's operand: completes the gradient of the pre-activations, and what is carried.
///
/// # Safety
/// As [`backward`]'s.
pub(crate) unsafe fn backward_between<S: Ops, C: SecondProduct>(
    s: S,
    cell: C,
    span: &Span,
    rows: &Backward<'_>,
    d: Mat<'_>,
) {
    let Backward { carried, gates, .. } = *rows;
    let (gate, takes_part) = C::BETWEEN_GRADIENT.expect("a cell with a second product");
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let step = at.recorded::<S, C>(s, rows);
                let d = s.load(d.at(at.row, at.unit));
                let part = if takes_part { at.load_gate(s, gates, span.units, gate) } else { d };
                let carried = carried.at(at.row, at.unit);
                let (gradient, next) = cell.backward_between(s, step, d, part, s.load(carried));
                s.store(carried, next);
                at.store_gate(s, gates, span.units, gate, gradient);
            }
        },
    );
}

/// Writes the gradient of the cell states in all, for its norm.
///
/// # Safety
/// As [`backward`]'s; `out` overlaps nothing.
pub(crate) unsafe fn cell_gradient<S: Ops, C: Equations>(
    s: S,
    cell: C,
    span: &Span,
    rows: &Backward<'_>,
    out: Mat<'_>,
) {
    assert!(C::READS == Reads::Cell);
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let (dh, dc) = (s.load(rows.dh.at(at.row, at.unit)), s.load(rows.carried.at(at.row, at.unit)));
                let dc = cell.cell_gradient(s, at.recorded::<S, C>(s, rows), dh, dc);
                s.store(out.at(at.row, at.unit), dc);
            }
        },
    );
}

/// Writes the hidden states before their projection.
///
/// # Safety
/// As [`backward`]'s; `out` overlaps nothing.
pub(crate) unsafe fn unprojected<S: Ops, C: Equations>(
    s: S,
    cell: C,
    span: &Span,
    rows: &Backward<'_>,
    out: Mat<'_>,
    flush: Flush,
) {
    assert!(C::HAS_PROJECTION);
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe { s.store(out.at(at.row, at.unit), cell.unprojected(s, at.recorded::<S, C>(s, rows), flush)) };
        },
    );
}

/// One block of units of one row.
#[derive(Clone, Copy)]
struct Cursor {
    row: usize,
    block: usize,
    /// The block's first unit.
    unit: usize,
    /// Units in the block that exist.
    count: usize,
}

impl Span {
    /// Calls `f`, an `#[inline(always)]` closure, for every block of units of every row, compiled for `S`.
    #[inline(always)]
    fn run<S: Ops>(&self, s: S, f: impl FnMut(Cursor)) {
        s.enter(
            #[inline(always)]
            || self.each::<S>(f),
        );
    }

    /// [`Span::run`] for a caller that is compiled for `S`.
    #[inline(always)]
    fn each<S: Ops>(&self, mut f: impl FnMut(Cursor)) {
        for row in 0..self.rows {
            for block in self.blocks.clone() {
                let unit = block * S::LANES;
                f(Cursor { row, block, unit, count: S::LANES.min(self.units - unit) });
            }
        }
    }
}

impl Cursor {
    /// Reads the pre-activations. What a cell does not use is not read.
    ///
    /// # Safety
    /// `pre` reaches to this row and block.
    #[inline(always)]
    unsafe fn slots<S: Ops, C: Equations>(self, s: S, pre: Strided<'_>) -> [S::f32s; MOST_SLOTS] {
        let mut slots = [s.splat(0.0); MOST_SLOTS];
        for (slot, v) in slots.iter_mut().take(C::SLOTS).enumerate() {
            // SAFETY: the caller's contract.
            *v = unsafe { s.load(pre.at(self.row, slot_vector(S::LANES, C::SLOTS, self.block, slot))) };
        }
        slots
    }

    /// Reads the previous state, if the cell does.
    ///
    /// # Safety
    /// `before` reaches to this row and block, if so.
    #[inline(always)]
    unsafe fn before<S: Ops, C: Equations>(self, s: S, before: Gathered<'_>) -> S::f32s {
        match C::READS {
            Reads::Nothing => s.splat(0.0),
            // SAFETY: the caller's contract.
            _ => unsafe { s.load(before.at(self.row, self.unit)) },
        }
    }

    /// Reads what forward left.
    ///
    /// # Safety
    /// The rows reach to this row and block, as far as the cell uses them.
    #[inline(always)]
    unsafe fn recorded<S: Ops, C: Equations>(self, s: S, rows: &Backward<'_>) -> Recorded<S> {
        // SAFETY: the caller's contract.
        unsafe {
            Recorded {
                slots: self.slots::<S, C>(s, rows.pre),
                before: self.before::<S, C>(s, rows.before),
                c: if C::READS == Reads::Cell { s.load(rows.c.at(self.row, self.unit)) } else { s.splat(0.0) },
            }
        }
    }

    /// Reads the gradient of gate `gate`: zero beyond the units that exist.
    ///
    /// # Safety
    /// `gates` reaches to this row and has `units` values per gate.
    #[inline(always)]
    unsafe fn load_gate<S: Ops>(self, s: S, gates: Mat<'_>, units: usize, gate: usize) -> S::f32s {
        // SAFETY: the caller's contract.
        unsafe {
            let source = gates.at(self.row, gate * units + self.unit);
            if self.count == S::LANES { s.load(source) } else { s.load_first(source, self.count) }
        }
    }

    /// Writes the gradient of gate `gate`: only units that exist.
    ///
    /// # Safety
    /// `gates` reaches to this row and has `units` values per gate.
    #[inline(always)]
    unsafe fn store_gate<S: Ops>(self, s: S, gates: Mat<'_>, units: usize, gate: usize, v: S::f32s) {
        // SAFETY: the caller's contract; a cut block writes `count` values only.
        unsafe {
            let target = gates.at(self.row, gate * units + self.unit);
            if self.count == S::LANES { s.store(target, v) } else { s.store_first(target, v, self.count) }
        }
    }
}
