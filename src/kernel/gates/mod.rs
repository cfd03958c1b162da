//! What happens between two products: the gates of each cell, forward and backward. A cell's equations stand once here
//! and once, in f64, in `reference/`.
//!
//! Rows of pre-activations are in packed order: for each block of LANES units, one vector per slot. States are plain
//! rows whose stride is a multiple of 16, so that whole vectors may be read and written beyond the last unit; there
//! the weights are zero and what is computed is finite. Gate gradients are rows of exactly gates times units values,
//! gate after gate as PyTorch orders them.

pub(crate) mod elman;
pub(crate) mod gru;
pub(crate) mod lstm;

use crate::simd::Ops;
use std::ops::Range;

/// States rows are padded to a multiple of this: the widest vector of any instruction set.
pub(crate) const STATE_PADDING: usize = 16;

/// The most slots of any cell.
pub(crate) const MOST_SLOTS: usize = 4;

/// What a cell does once its products are summed up: registers in, registers out, one vector of units at a time.
pub(crate) trait Cell: Copy + Send + Sync + 'static {
    /// Slots of a row of pre-activations.
    const SLOTS: usize;
    /// The gates of the input product, as (gate, slot).
    const INPUT: &[(usize, usize)];
    /// The gates of the first recurrent product.
    const RECURRENT: &[(usize, usize)];
    /// What `begin` takes as `before`.
    const READS: Reads;

    /// The first half of a step, from the complete pre-activations: what the second half needs, and the next `c` for a
    /// cell that has one. Loops run the second half of one block beside the first half of the next: the halves depend
    /// on each other, and an activation takes five times as long as the processor needs to begin another.
    fn begin<S: Ops>(self, s: S, slots: [S::f32s; MOST_SLOTS], before: S::f32s, flush: Flush) -> Half<S>;

    /// The second half: the next `h`.
    fn finish<S: Ops>(self, s: S, half: Half<S>, flush: Flush) -> S::f32s;
}

/// The previous state that a cell reads beside its products.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reads {
    Nothing,
    Hidden,
    Cell,
}

/// A cell's step half done; `c` counts where the cell reads it back.
#[derive(Clone, Copy)]
pub(crate) struct Half<S: Ops> {
    pub(crate) c: S::f32s,
    /// What else the second half takes.
    rest: [S::f32s; 4],
}

/// Turns states of small magnitude into zero, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Flush {
    below: Option<f32>,
}

impl Flush {
    /// States smaller than this become zero where the configuration asks for it. What an activation makes of larger ones is
    /// normal: their square from 2^-63 on, what roundings dropped of an Elman layer's tanh from 2^-52 on.
    const BELOW: f32 = 8.881_784e-16; // 2^-50

    pub(crate) fn new(small_states: bool) -> Self {
        Self { below: small_states.then_some(Self::BELOW) }
    }

    /// In all of `values`.
    pub(crate) fn apply_to(self, values: &mut [f32]) {
        if let Some(limit) = self.below {
            values.iter_mut().filter(|v| v.abs() < limit).for_each(|v| *v = 0.0);
        }
    }

    /// NaN stays.
    #[inline(always)]
    fn apply<S: Ops>(self, s: S, v: S::f32s) -> S::f32s {
        match self.below {
            Some(limit) => s.select(s.lt(s.abs(v), s.splat(limit)), s.splat(0.0), v),
            None => v,
        }
    }
}

/// Writes the next states of a span: `h`, and `c` for a cell that has one. `previous` holds what the cell reads; `copies` are
/// written beside `h`.
///
/// # Safety
/// All reach to the span's last row and block, as far as the cell uses them, `copies` to the last unit that exists. `c` may be
/// where the previous `c` is; else nothing that is written overlaps what is read.
pub(crate) unsafe fn forward<S: Ops, C: Cell>(
    s: S,
    cell: C,
    span: Span,
    pre: Mat,
    previous: Previous<'_>,
    c: Mat,
    h: Mat,
    copies: Option<Copies<'_>>,
    flush: Flush,
) {
    s.enter(
        #[inline(always)]
        || {
            // Before the first block there is nothing to finish: that goes nowhere.
            let mut nowhere = [0f32; STATE_PADDING];
            let zero = s.splat(0.0);
            let mut half = Half { c: zero, rest: [zero; 4] };
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
                        let mut slots = [zero; MOST_SLOTS];
                        for (slot, v) in slots.iter_mut().take(C::SLOTS).enumerate() {
                            *v = at.load_slot(s, pre, C::SLOTS, slot);
                        }
                        let before = match C::READS {
                            Reads::Nothing => zero,
                            _ => s.load(previous.at(at.row, at.unit)),
                        };
                        let next = cell.begin(s, slots, before, flush);
                        if C::READS == Reads::Cell {
                            s.store(c.at(at.row, at.unit), next.c);
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

/// Rows of a buffer, a fixed stride apart, for reading and writing through a raw pointer.
#[derive(Clone, Copy)]
pub(crate) struct Mat {
    pub(crate) values: *mut f32,
    pub(crate) stride: usize,
}

// SAFETY: the kernels that go through a `Mat` are unsafe; their callers vouch that no two threads share a row.
unsafe impl Send for Mat {}
// SAFETY: as above.
unsafe impl Sync for Mat {}

impl Mat {
    pub(crate) fn new(values: &mut [f32], stride: usize) -> Self {
        Self { values: values.as_mut_ptr(), stride }
    }

    /// # Safety
    /// The buffer reaches to row `r`, value `i`.
    #[inline(always)]
    unsafe fn at(self, r: usize, i: usize) -> *mut f32 {
        // SAFETY: the caller's contract.
        unsafe { self.values.add(r * self.stride + i) }
    }

    /// Pointer to row `r`.
    ///
    /// # Safety
    /// The buffer reaches to row `r`.
    pub(crate) unsafe fn row(self, r: usize) -> *mut f32 {
        // SAFETY: the caller's contract.
        unsafe { self.at(r, 0) }
    }

    /// The rows from row `r` on.
    ///
    /// # Safety
    /// The buffer reaches to row `r`.
    pub(crate) unsafe fn starting_at(self, r: usize) -> Self {
        // SAFETY: the caller's contract.
        Self { values: unsafe { self.at(r, 0) }, ..self }
    }

    /// Every `apart`-th row.
    pub(crate) fn every(self, apart: usize) -> Self {
        Self { stride: self.stride * apart, ..self }
    }
}

/// Previous states: row `i` starts at `offsets[i]`.
#[derive(Clone, Copy)]
pub(crate) struct Previous<'a> {
    pub(crate) values: *const f32,
    pub(crate) offsets: &'a [usize],
}

impl Previous<'_> {
    /// # Safety
    /// The buffer reaches to value `i` of row `r`.
    #[inline(always)]
    unsafe fn at(self, r: usize, i: usize) -> *const f32 {
        // SAFETY: the caller's contract.
        unsafe { self.values.add(self.offsets[r] + i) }
    }
}

/// Rows that are written beside others, for whoever wants them elsewhere: row `i` starts at `offsets[i]`.
#[derive(Clone, Copy)]
pub(crate) struct Copies<'a> {
    pub(crate) values: *mut f32,
    pub(crate) offsets: &'a [usize],
}

impl Copies<'_> {
    /// # Safety
    /// The buffer reaches to value `i` of row `r`.
    #[inline(always)]
    unsafe fn at(self, r: usize, i: usize) -> *mut f32 {
        // SAFETY: the caller's contract.
        unsafe { self.values.add(self.offsets[r] + i) }
    }
}

/// The rows and units a gate kernel works on.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) rows: usize,
    /// Blocks of LANES units.
    pub(crate) blocks: Range<usize>,
    /// Units of the layer.
    pub(crate) units: usize,
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
    /// Reads slot `slot` of `slots` of the pre-activations.
    ///
    /// # Safety
    /// `pre` reaches to this row and block.
    #[inline(always)]
    unsafe fn load_slot<S: Ops>(self, s: S, pre: Mat, slots: usize, slot: usize) -> S::f32s {
        // SAFETY: the caller's contract.
        unsafe { s.load(pre.at(self.row, (self.block * slots + slot) * S::LANES)) }
    }

    /// Writes the gradient of gate `gate`: only units that exist.
    ///
    /// # Safety
    /// `gradient` reaches to this row and has `units` values per gate.
    #[inline(always)]
    unsafe fn store_gate<S: Ops>(self, s: S, gradient: Mat, units: usize, gate: usize, v: S::f32s) {
        // SAFETY: the caller's contract; a cut block writes `count` values only.
        unsafe {
            let target = gradient.at(self.row, gate * units + self.unit);
            if self.count == S::LANES { s.store(target, v) } else { s.store_first(target, v, self.count) }
        }
    }
}
