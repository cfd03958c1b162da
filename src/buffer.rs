//! 64-byte aligned, fallible buffers of plain numbers; large ones ask the kernel for huge pages. And lists and texts whose
//! growth fails as an error where memory is short.

use crate::error::{Result, err};
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::fmt::{self, Write};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer: a cache line, and the widest vector.
pub(crate) const ALIGN: usize = 64;
/// From this size on a buffer is aligned to huge pages and advised to use them.
const HUGE: usize = 2 << 20;

/// Number types for which all-zero bytes are a value.
pub(crate) trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for f64 {}
impl Plain for u32 {}
impl Plain for usize {}

/// An owned, zero-initialized, aligned array. Growing keeps the old buffer until the new one exists.
pub(crate) struct AlignedBuf<T: Plain> {
    ptr: NonNull<T>,
    len: usize,
    /// Values the allocation can hold; `len` never exceeds it.
    capacity: usize,
}

// SAFETY: the buffer owns its memory, and plain numbers may move to and be shared with any thread.
unsafe impl<T: Plain> Send for AlignedBuf<T> {}
// SAFETY: as above; shared access is read-only.
unsafe impl<T: Plain> Sync for AlignedBuf<T> {}

impl<T: Plain> AlignedBuf<T> {
    pub(crate) const fn new() -> Self {
        Self { ptr: NonNull::dangling(), len: 0, capacity: 0 }
    }

    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Self::new());
        }
        let layout = Self::layout(len)?;
        // SAFETY: `layout` has a size above zero.
        let ptr = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(ptr.cast::<T>()) else {
            return Err(err!(OutOfMemory, "could not allocate {} bytes", layout.size()));
        };
        advise_huge(ptr.as_ptr().cast(), layout.size());
        Ok(Self { ptr, len, capacity: len })
    }

    /// Makes the length `len`, reusing the allocation where it is large enough. Old contents are kept only then.
    pub(crate) fn resize(&mut self, len: usize) -> Result<()> {
        if len > self.capacity {
            *self = Self::zeroed(len)?;
        }
        self.len = len;
        Ok(())
    }

    /// Whether [`AlignedBuf::resize`] to `len` succeeds without an allocation.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        len <= self.capacity
    }

    /// What [`AlignedBuf::adopt`] needs for `len` values: a new buffer, unless there is room. Who changes several buffers or
    /// none takes this for all of them first.
    pub(crate) fn grown(&self, len: usize) -> Result<Option<Self>> {
        if self.has_room(len) { Ok(None) } else { Self::zeroed(len).map(Some) }
    }

    /// Makes the length `len` with what [`AlignedBuf::grown`] made for it.
    pub(crate) fn adopt(&mut self, grown: Option<Self>, len: usize) {
        if let Some(grown) = grown {
            *self = grown;
        }
        assert!(self.has_room(len));
        self.len = len;
    }

    /// Bytes held, also those beyond the length.
    pub(crate) fn bytes(&self) -> usize {
        self.capacity * size_of::<T>()
    }

    /// Pointer to the values, valid for writing too: threads that share a buffer see to it that none writes what another uses.
    pub(crate) fn shared(&self) -> *mut T {
        self.ptr.as_ptr()
    }

    fn layout(len: usize) -> Result<Layout> {
        let bytes = len.checked_mul(size_of::<T>());
        let align = if bytes.is_some_and(|b| b >= HUGE) { HUGE } else { ALIGN };
        bytes
            .and_then(|b| Layout::from_size_align(b, align).ok())
            .ok_or_else(|| err!(SizeOverflow, "a buffer of {len} values is too large"))
    }
}

impl<T: Plain> Default for AlignedBuf<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Plain> Drop for AlignedBuf<T> {
    fn drop(&mut self) {
        if self.capacity > 0
            && let Ok(layout) = Self::layout(self.capacity)
        {
            // SAFETY: the pointer came from `alloc_zeroed` with this very layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout) }
        }
    }
}

impl<T: Plain> Deref for AlignedBuf<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `ptr` holds `capacity >= len` initialized values, or is dangling with `len` 0.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for AlignedBuf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// An error if memory for `bytes` more cannot be had at once, before any of it is taken and filled: what is much too large is
/// refused quickly.
pub(crate) fn probe(bytes: usize) -> Result<()> {
    const WORTH_IT: usize = 16 << 20;
    if bytes < WORTH_IT {
        return Ok(());
    }
    let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| err!(SizeOverflow, "{bytes} bytes are too many"))?;
    // SAFETY: the size is above zero; nobody reads or writes the memory, which is given back as it was taken.
    unsafe {
        let ptr = alloc(layout);
        if ptr.is_null() {
            return Err(err!(OutOfMemory, "could not allocate {bytes} bytes"));
        }
        dealloc(std::hint::black_box(ptr), layout);
    }
    Ok(())
}

/// Tells the kernel that a large buffer is worth huge pages. Only advice: a failure changes nothing.
pub(crate) fn advise_huge(ptr: *mut u8, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // Other allocations than this file's start anywhere.
        let skipped = ptr.align_offset(HUGE);
        if bytes >= skipped.saturating_add(HUGE) {
            // SAFETY: the range was just allocated, and MADV_HUGEPAGE alters no contents.
            unsafe { libc::madvise(ptr.add(skipped).cast(), (bytes - skipped) & !(HUGE - 1), libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (ptr, bytes);
}

/// A `Vec` of `len` copies of `value`, or an error where memory is short.
pub(crate) fn try_vec<T: Clone>(len: usize, value: T) -> Result<Vec<T>> {
    let mut v = try_with_capacity(len)?;
    v.resize(len, value);
    Ok(v)
}

/// Makes `values` at least `len` long with what `make` makes, or fails where memory is short.
pub(crate) fn try_grow<T>(values: &mut Vec<T>, len: usize, make: impl FnMut() -> T) -> Result<()> {
    let missing = len.saturating_sub(values.len());
    values
        .try_reserve_exact(missing)
        .map_err(|_| err!(OutOfMemory, "could not allocate {missing} entries of {} bytes", size_of::<T>()))?;
    values.resize_with(values.len() + missing, make);
    Ok(())
}

/// Appends a value, or fails where memory is short.
pub(crate) fn push<T>(values: &mut Vec<T>, value: T) -> Result<()> {
    values.try_reserve(1).map_err(|_| {
        err!(OutOfMemory, "could not grow a list of {} entries of {} bytes", values.len(), size_of::<T>())
    })?;
    values.push(value);
    Ok(())
}

/// An empty `Vec` with room for `capacity` values, or an error where memory is short.
pub(crate) fn try_with_capacity<T>(capacity: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    v.try_reserve_exact(capacity)
        .map_err(|_| err!(OutOfMemory, "could not allocate {capacity} entries of {} bytes", size_of::<T>()))?;
    Ok(v)
}

/// Gives memory beyond the values back, where that succeeds.
pub(crate) fn try_shrink<T: Plain>(values: Vec<T>) -> Vec<T> {
    let (len, capacity) = (values.len(), values.capacity());
    let Ok(layout) = Layout::array::<T>(capacity) else { return values };
    if len == 0 || len == capacity {
        return values;
    }
    let mut values = ManuallyDrop::new(values);
    // SAFETY: a vector with a capacity allocates it with this layout, and the new size is above zero and smaller. Where
    // that fails, the old allocation stays.
    unsafe {
        let shrunk = realloc(values.as_mut_ptr().cast(), layout, len * size_of::<T>()).cast::<T>();
        match shrunk.is_null() {
            true => Vec::from_raw_parts(values.as_mut_ptr(), len, capacity),
            false => Vec::from_raw_parts(shrunk, len, len),
        }
    }
}

/// `value` on the heap, or an error where memory is short.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>> {
    const { assert!(size_of::<T>() > 0) }
    // SAFETY: the layout has a size above zero.
    let place = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    if place.is_null() {
        return Err(err!(OutOfMemory, "could not allocate a value of {} bytes", size_of::<T>()));
    }
    // SAFETY: freshly allocated for a `T` as `Box` does.
    unsafe {
        place.write(value);
        Ok(Box::from_raw(place))
    }
}

/// A copy of `values`, or an error where memory is short.
pub(crate) fn try_copy<T: Copy>(values: &[T]) -> Result<Vec<T>> {
    let mut copy = try_with_capacity(values.len())?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// A copy of `text`, or an error where memory is short.
pub(crate) fn try_string(text: &str) -> Result<String> {
    let mut copy = String::new();
    reserve_text(&mut copy, text.len())?;
    copy.push_str(text);
    Ok(copy)
}

/// A copy of `texts`, or an error where memory is short.
pub(crate) fn try_strings(texts: &[String]) -> Result<Vec<String>> {
    let mut copies = try_with_capacity(texts.len())?;
    for text in texts {
        copies.push(try_string(text)?);
    }
    Ok(copies)
}

/// Makes room for `bytes` more, or fails where memory is short.
pub(crate) fn reserve_text(text: &mut String, bytes: usize) -> Result<()> {
    text.try_reserve(bytes).map_err(|_| err!(OutOfMemory, "could not grow a text of {} bytes by {bytes}", text.len()))
}

/// `format!` that fails where memory is short.
pub(crate) fn try_format(args: fmt::Arguments<'_>) -> Result<String> {
    let mut text = Growing(String::new());
    text.write_fmt(args).map_err(|_| err!(OutOfMemory, "could not grow a text of {} bytes", text.0.len()))?;
    Ok(text.0)
}

/// A text that a formatter may write to: short memory is an error, not the end of the process.
pub(crate) struct Growing(pub(crate) String);

impl Write for Growing {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        reserve_text(&mut self.0, s.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn buffers_are_aligned_zeroed_and_reused() {
        for len in [1, 7, 1000, HUGE / 4 + 5] {
            let mut b = AlignedBuf::<f32>::zeroed(len).unwrap();
            assert_eq!(b.as_ptr() as usize % ALIGN, 0);
            assert!(b.iter().all(|&v| v == 0.0));
            b[len - 1] = 1.0;
            let p = b.as_ptr();
            b.resize(len / 2).unwrap();
            b.resize(len).unwrap();
            assert_eq!(b.as_ptr(), p);
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert_eq!(AlignedBuf::<f32>::zeroed(usize::MAX).err().unwrap().kind(), ErrorKind::SizeOverflow);
        // Products that would wrap to a few bytes.
        assert_eq!(AlignedBuf::<f32>::zeroed((1 << 62) + 1).err().unwrap().kind(), ErrorKind::SizeOverflow);
        assert_eq!(AlignedBuf::<f64>::zeroed((1 << 61) + 9).err().unwrap().kind(), ErrorKind::SizeOverflow);
        let mut buffer = AlignedBuf::<u32>::zeroed(4).unwrap();
        for _ in 0..2 {
            assert_eq!(buffer.resize((1 << 62) + 2).err().unwrap().kind(), ErrorKind::SizeOverflow);
            assert_eq!((buffer.len(), buffer.bytes()), (4, 16));
        }
        assert_eq!(AlignedBuf::<f32>::zeroed(1 << 56).err().unwrap().kind(), ErrorKind::OutOfMemory);
        assert!(try_vec(1 << 58, 0u64).is_err());
    }

    #[test]
    fn shrunk_vectors_keep_their_values() {
        let mut values = try_with_capacity(100_000).unwrap();
        values.extend([1.0f32, 2.0]);
        let values = try_shrink(values);
        assert_eq!((values.capacity(), &values[..]), (2, &[1.0, 2.0][..]));
        assert!(try_shrink(Vec::<f32>::with_capacity(5)).is_empty());
    }
}
