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
    fn run<S: Ops>(&self, s: S, mut f: impl FnMut(Cursor)) {
        s.enter(
            #[inline(always)]
            || {
                for row in 0..self.rows {
                    for block in self.blocks.clone() {
                        let unit = block * S::LANES;
                        f(Cursor { row, block, unit, count: S::LANES.min(self.units - unit) });
                    }
                }
            },
        );
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

/// Zero where the magnitude is below `limit`; with a limit of zero nothing changes. NaN stays.
#[inline(always)]
fn flush<S: Ops>(s: S, v: S::f32s, limit: f32) -> S::f32s {
    s.select(s.lt(s.abs(v), s.splat(limit)), s.splat(0.0), v)
}
