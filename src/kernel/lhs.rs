//! The left-hand side of a product: rows of a matrix that lie in memory at a fixed distance or wherever an index says.

use std::marker::PhantomData;
use std::ops::Range;

/// A left-hand side: where each of its rows starts, and how far apart a row's values are.
pub(crate) trait Lhs: Copy {
    /// Distance between consecutive values of a row.
    const STEP: usize;

    fn count(&self) -> usize;
    /// Values per row.
    fn width(&self) -> usize;
    /// Pointer to row `i`, valid for reading `width` values `STEP` apart. Panics if there is no such row.
    fn pointer(&self, i: usize) -> *const f32;
}

/// A borrowed matrix seen as rows of consecutive values: row `i` starts at `offsets[i]`, or at `i * stride`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    values: *const f32,
    offsets: Option<&'a [usize]>,
    stride: usize,
    count: usize,
    width: usize,
    borrow: PhantomData<&'a [f32]>,
}

// SAFETY: rows are read only, as through `&[f32]`; whoever makes them of a raw pointer vouches for its life.
unsafe impl Send for Rows<'_> {}
// SAFETY: as above.
unsafe impl Sync for Rows<'_> {}

impl<'a> Rows<'a> {
    /// `count` rows of `width` values, `stride` apart.
    pub(crate) fn strided(values: &'a [f32], count: usize, stride: usize, width: usize) -> Self {
        assert!(count == 0 || (count - 1) * stride + width <= values.len(), "rows lie within their buffer");
        Self { values: values.as_ptr(), offsets: None, stride, count, width, borrow: PhantomData }
    }

    /// Rows of `width` values that start at `offsets`.
    pub(crate) fn at(values: &'a [f32], offsets: &'a [usize], width: usize) -> Self {
        // SAFETY: a slice is valid for its own length.
        unsafe { Self::at_raw(values.as_ptr(), values.len(), offsets, width) }
    }

    /// As [`Rows::at`], for a buffer of which other rows are written meanwhile.
    ///
    /// # Safety
    /// `values` is valid for reading `len` values, and nothing writes the rows while they are read through this.
    pub(crate) unsafe fn at_raw(values: *const f32, len: usize, offsets: &'a [usize], width: usize) -> Self {
        let fits = offsets.iter().all(|&o| o <= len && width <= len - o);
        assert!(fits, "rows lie within their buffer");
        Self { values, offsets: Some(offsets), stride: 0, count: offsets.len(), width, borrow: PhantomData }
    }

    /// The same rows, starting `first` values later and `width` long.
    pub(crate) fn columns(self, first: usize, width: usize) -> Self {
        assert!(first + width <= self.width);
        // SAFETY: each row has `first + width` values.
        Self { values: unsafe { self.values.add(first) }, width, ..self }
    }

    /// The rows in `range`.
    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.count);
        match self.offsets {
            Some(offsets) => Self { offsets: Some(&offsets[range.clone()]), count: range.len(), ..self },
            None if range.is_empty() => Self { count: 0, ..self },
            None => {
                // SAFETY: row `range.start` starts within the buffer.
                let values = unsafe { self.values.add(range.start * self.stride) };
                Self { values, count: range.len(), ..self }
            }
        }
    }

    /// Row `i` as a slice.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &'a [f32] {
        // SAFETY: `pointer` is valid for `width` values for the borrow's life.
        unsafe { std::slice::from_raw_parts(self.pointer(i), self.width) }
    }
}

impl Lhs for Rows<'_> {
    const STEP: usize = 1;

    #[inline(always)]
    fn count(&self) -> usize {
        self.count
    }
    #[inline(always)]
    fn width(&self) -> usize {
        self.width
    }
    #[inline(always)]
    fn pointer(&self, i: usize) -> *const f32 {
        assert!(i < self.count);
        let offset = match self.offsets {
            Some(offsets) => offsets[i],
            None => i * self.stride,
        };
        // SAFETY: the constructors checked that row `i` lies within the buffer.
        unsafe { self.values.add(offset) }
    }
}
