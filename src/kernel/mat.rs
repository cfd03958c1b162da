//! Matrices whose rows several threads use at the same time.

use crate::buffer::AlignedBuf;
use std::marker::PhantomData;

/// Rows of states are padded to a multiple of this: the widest vector of any instruction set.
pub(crate) const STATE_PADDING: usize = 16;

/// Rows of a borrowed buffer, a fixed stride apart, for reading and writing through a raw pointer. Copies of it are the same
/// rows: that no two threads touch the same values at once is the contract of whoever goes through one. Debug builds check
/// that values lie within the buffer.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    values: *mut f32,
    len: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: what goes through a `Mat` is unsafe; its callers vouch that no two threads share a value.
unsafe impl Send for Mat<'_> {}
// SAFETY: as above.
unsafe impl Sync for Mat<'_> {}

impl<'a> Mat<'a> {
    #[inline]
    pub(crate) fn new(values: &'a mut [f32], stride: usize) -> Self {
        // SAFETY: borrowed for as long.
        unsafe { Self::raw(values.as_mut_ptr(), values.len(), stride) }
    }

    /// # Safety
    /// `values` is valid for reading and writing `len` values for as long as `'a`.
    #[inline]
    pub(crate) unsafe fn raw(values: *mut f32, len: usize, stride: usize) -> Self {
        Self { values, len, stride, borrow: PhantomData }
    }

    /// The first `rows` rows of a buffer of which threads use different ones. Panics if it has fewer.
    pub(crate) fn shared(buffer: &'a AlignedBuf<f32>, rows: usize, stride: usize) -> Self {
        let len = rows * stride;
        assert!(len <= buffer.len(), "{rows} rows of {stride} values");
        // SAFETY: as asserted, and borrowed for as long.
        unsafe { Self::raw(buffer.shared(), len, stride) }
    }

    #[inline]
    pub(crate) fn values(self) -> *mut f32 {
        self.values
    }

    /// Values from the first row on.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn stride(self) -> usize {
        self.stride
    }

    /// Pointer to value `i` of row `r`.
    ///
    /// # Safety
    /// The buffer reaches to it.
    #[inline(always)]
    pub(crate) unsafe fn at(self, r: usize, i: usize) -> *mut f32 {
        debug_assert!(r * self.stride + i < self.len, "value {i} of row {r}");
        // SAFETY: the caller's contract.
        unsafe { self.values.add(r * self.stride + i) }
    }

    /// Pointer to row `r`.
    ///
    /// # Safety
    /// The buffer reaches to row `r`, or ends there.
    #[inline(always)]
    pub(crate) unsafe fn row(self, r: usize) -> *mut f32 {
        debug_assert!(r * self.stride <= self.len, "row {r}");
        // SAFETY: the caller's contract.
        unsafe { self.values.add(r * self.stride) }
    }

    /// The first `n` values of row `r`.
    ///
    /// # Safety
    /// The buffer reaches to them, and nobody writes them meanwhile.
    #[inline]
    pub(crate) unsafe fn slice(self, r: usize, n: usize) -> &'a [f32] {
        debug_assert!(r * self.stride + n <= self.len, "{n} values of row {r}");
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts(self.values.add(r * self.stride), n) }
    }

    /// As [`Mat::slice`], for writing.
    ///
    /// # Safety
    /// The buffer reaches to them, and nobody else touches them meanwhile.
    #[inline]
    pub(crate) unsafe fn slice_mut(self, r: usize, n: usize) -> &'a mut [f32] {
        debug_assert!(r * self.stride + n <= self.len, "{n} values of row {r}");
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(r * self.stride), n) }
    }

    /// The rows from row `r` on.
    ///
    /// # Safety
    /// The buffer reaches to row `r`.
    #[inline]
    pub(crate) unsafe fn starting_at(self, r: usize) -> Self {
        let first = r * self.stride;
        debug_assert!(first <= self.len, "row {r}");
        // SAFETY: the caller's contract.
        Self { values: unsafe { self.values.add(first) }, len: self.len - first, ..self }
    }

    /// Every `n`-th row.
    #[inline]
    pub(crate) fn every(self, n: usize) -> Self {
        Self { stride: self.stride * n, ..self }
    }

    /// The buffer's rows that start at `offsets`, for writing.
    #[inline]
    pub(crate) fn scattered(self, offsets: &'a [usize]) -> Scattered<'a> {
        Scattered { rows: self, offsets }
    }

    /// The same rows, for reading.
    #[inline]
    pub(crate) fn read(self) -> Strided<'a> {
        Strided { values: self.values, len: self.len, stride: self.stride, borrow: PhantomData }
    }
}

/// As [`Mat`], for reading alone.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    values: *const f32,
    len: usize,
    stride: usize,
    borrow: PhantomData<&'a [f32]>,
}

impl<'a> Strided<'a> {
    #[inline]
    pub(crate) fn new(values: &'a [f32], stride: usize) -> Self {
        Self { values: values.as_ptr(), len: values.len(), stride, borrow: PhantomData }
    }

    /// The buffer's rows that start at `offsets`.
    #[inline]
    pub(crate) fn gathered(self, offsets: &'a [usize]) -> Gathered<'a> {
        Gathered { rows: self, offsets }
    }

    /// Pointer to value `i` of row `r`.
    ///
    /// # Safety
    /// The buffer reaches to it.
    #[inline(always)]
    pub(crate) unsafe fn at(self, r: usize, i: usize) -> *const f32 {
        debug_assert!(r * self.stride + i < self.len, "value {i} of row {r}");
        // SAFETY: the caller's contract.
        unsafe { self.values.add(r * self.stride + i) }
    }

    /// The rows from row `r` on. Panics if the buffer does not reach to it.
    #[inline]
    pub(crate) fn starting_at(self, r: usize) -> Self {
        let first = r * self.stride;
        assert!(first <= self.len, "row {r} of a matrix");
        // SAFETY: as asserted.
        Self { values: unsafe { self.values.add(first) }, len: self.len - first, ..self }
    }
}

/// Rows for reading that lie anywhere in a buffer: row `i` starts at `offsets[i]`.
#[derive(Clone, Copy)]
pub(crate) struct Gathered<'a> {
    rows: Strided<'a>,
    offsets: &'a [usize],
}

impl Gathered<'_> {
    /// Pointer to value `i` of row `r`.
    ///
    /// # Safety
    /// The buffer reaches to it.
    #[inline(always)]
    pub(crate) unsafe fn at(self, r: usize, i: usize) -> *const f32 {
        let place = self.offsets[r] + i;
        debug_assert!(place < self.rows.len, "value {i} of row {r}");
        // SAFETY: the caller's contract.
        unsafe { self.rows.values.add(place) }
    }
}

/// As [`Gathered`], for writing.
#[derive(Clone, Copy)]
pub(crate) struct Scattered<'a> {
    rows: Mat<'a>,
    offsets: &'a [usize],
}

impl Scattered<'_> {
    /// Pointer to value `i` of row `r`.
    ///
    /// # Safety
    /// The buffer reaches to it.
    #[inline(always)]
    pub(crate) unsafe fn at(self, r: usize, i: usize) -> *mut f32 {
        let place = self.offsets[r] + i;
        debug_assert!(place < self.rows.len, "value {i} of row {r}");
        // SAFETY: the caller's contract.
        unsafe { self.rows.values.add(place) }
    }
}

/// Rows of a buffer that are visited one after another, `step` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Series<T> {
    pub(crate) first: T,
    pub(crate) step: isize,
}

impl Series<*const f32> {
    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> *const f32 {
        self.first.wrapping_offset(i as isize * self.step)
    }
}

impl Series<*mut f32> {
    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> *mut f32 {
        self.first.wrapping_offset(i as isize * self.step)
    }

    /// The same rows, for reading.
    pub(crate) fn read(self) -> Series<*const f32> {
        Series { first: self.first, step: self.step }
    }
}
