//! Pointers that come in: NULL, alignment, extent and overlap are checked before a slice is made.

use crate::buffer::try_with_capacity;
use crate::error::{Error, Result, Size, ensure, err};
use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::path::Path;

/// The most of them that one call takes.
const MOST: usize = 12;

/// The arrays, texts and places of one call. Each is checked as it comes in, also against those before it: memory that the
/// call writes must not overlap any other.
pub(super) struct Arrays {
    /// The first `count` are there.
    spans: [MaybeUninit<Span>; MOST],
    count: usize,
}

#[derive(Clone, Copy)]
struct Span {
    name: &'static str,
    start: usize,
    end: usize,
    written: bool,
}

impl Arrays {
    pub(super) fn new() -> Self {
        Self { spans: [const { MaybeUninit::uninit() }; MOST], count: 0 }
    }

    /// An array that the call reads; NULL with length 0 is an empty one.
    ///
    /// # Safety
    /// `ptr` is NULL or points to `len` values that live and do not change until the call returns.
    #[inline]
    pub(super) unsafe fn read<'a, T>(&mut self, name: &'static str, ptr: *const T, len: usize) -> Result<&'a [T]> {
        if len == 0 {
            return Ok(&[]);
        }
        self.add(name, ptr, len, false)?;
        // SAFETY: checked for NULL, alignment and extent; the rest is the caller's promise.
        Ok(unsafe { std::slice::from_raw_parts(ptr, len) })
    }

    /// As [`Arrays::read`]; NULL with length 0 is none.
    ///
    /// # Safety
    /// As for [`Arrays::read`].
    #[inline]
    pub(super) unsafe fn read_optional<'a, T>(
        &mut self,
        name: &'static str,
        ptr: *const T,
        len: usize,
    ) -> Result<Option<&'a [T]>> {
        if ptr.is_null() && len == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        unsafe { self.read(name, ptr, len) }.map(Some)
    }

    /// An array that the call writes; NULL with length 0 is an empty one.
    ///
    /// # Safety
    /// `ptr` is NULL or points to `len` initialized values that nothing else uses until the call returns.
    #[inline]
    pub(super) unsafe fn write<'a, T>(&mut self, name: &'static str, ptr: *mut T, len: usize) -> Result<&'a mut [T]> {
        if len == 0 {
            return Ok(&mut []);
        }
        self.add(name, ptr, len, true)?;
        // SAFETY: checked for NULL, alignment, extent and overlap; the rest is the caller's promise. Memory that C has
        // not initialized is written and never read.
        Ok(unsafe { std::slice::from_raw_parts_mut(ptr, len) })
    }

    /// As [`Arrays::write`]; NULL with length 0 is none.
    ///
    /// # Safety
    /// As for [`Arrays::write`].
    #[inline]
    pub(super) unsafe fn write_optional<'a, T>(
        &mut self,
        name: &'static str,
        ptr: *mut T,
        len: usize,
    ) -> Result<Option<&'a mut [T]>> {
        if ptr.is_null() && len == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        unsafe { self.write(name, ptr, len) }.map(Some)
    }

    /// [`Arrays::read`] and then [`Arrays::write`] of arrays of the same type, quickly if nothing is wrong: for calls that take
    /// less time than both.
    ///
    /// # Safety
    /// As for both.
    #[inline]
    pub(super) unsafe fn read_and_write<'a, T>(
        mut self,
        (x_name, x, x_len): (&'static str, *const T, usize),
        (y_name, y, y_len): (&'static str, *mut T, usize),
    ) -> Result<(&'a [T], &'a mut [T])> {
        debug_assert!(self.count == 0);
        let usable = |p: *const T| !p.is_null() && p.is_aligned();
        if usable(x)
            && usable(y)
            && x_len > 0
            && y_len > 0
            && let (Some(x_span), Some(y_span)) = (extent(x, x_len), extent(y, y_len))
            && (x_span.0 >= y_span.1 || y_span.0 >= x_span.1)
        {
            // SAFETY: checked as `read` and `write` do; the rest is the caller's promise.
            return Ok(unsafe { (std::slice::from_raw_parts(x, x_len), std::slice::from_raw_parts_mut(y, y_len)) });
        }
        // SAFETY: the caller's promise.
        unsafe { Ok((self.read(x_name, x, x_len)?, self.write(y_name, y, y_len)?)) }
    }

    /// The place of a result; whatever is there is not read.
    ///
    /// # Safety
    /// `ptr` is NULL or points to room for a `T` that nothing else uses until the call returns.
    #[inline]
    pub(super) unsafe fn out<'a, T>(&mut self, name: &'static str, ptr: *mut T) -> Result<&'a mut MaybeUninit<T>> {
        self.add(name, ptr, 1, true)?;
        // SAFETY: checked for NULL, alignment, extent and overlap; the rest is the caller's promise.
        Ok(unsafe { &mut *ptr.cast::<MaybeUninit<T>>() })
    }

    /// As [`Arrays::out`]; NULL is none.
    ///
    /// # Safety
    /// As for [`Arrays::out`].
    pub(super) unsafe fn out_optional<'a, T>(
        &mut self,
        name: &'static str,
        ptr: *mut T,
    ) -> Result<Option<&'a mut MaybeUninit<T>>> {
        // SAFETY: the caller's promise.
        if ptr.is_null() { Ok(None) } else { unsafe { self.out(name, ptr) }.map(Some) }
    }

    /// Memory of one of the call's handles that C knows the address of: no array may lie in it. Comes before the handle is
    /// used.
    pub(super) fn owned<T>(&mut self, name: &'static str, memory: &[T]) -> Result<()> {
        if memory.is_empty() { Ok(()) } else { self.add(name, memory.as_ptr(), memory.len(), true) }
    }

    /// A NUL-terminated UTF-8 text.
    ///
    /// # Safety
    /// `ptr` is NULL or points to a NUL-terminated text that lives and does not change until the call returns.
    pub(super) unsafe fn text<'a>(&mut self, name: &'static str, ptr: *const c_char) -> Result<&'a str> {
        // SAFETY: the caller's promise.
        utf8(name, unsafe { self.bytes(name, ptr) }?)
    }

    /// A file's path: any bytes where the system allows that, else UTF-8.
    ///
    /// # Safety
    /// As for [`Arrays::text`].
    pub(super) unsafe fn path<'a>(&mut self, name: &'static str, ptr: *const c_char) -> Result<&'a Path> {
        #[cfg(unix)]
        {
            // SAFETY: the caller's promise.
            let bytes = unsafe { self.bytes(name, ptr) }?;
            Ok(Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes)))
        }
        #[cfg(not(unix))]
        // SAFETY: the caller's promise.
        unsafe { self.text(name, ptr) }.map(Path::new)
    }

    /// A NUL-terminated text of any bytes.
    ///
    /// # Safety
    /// As for [`Arrays::text`].
    pub(super) unsafe fn bytes<'a>(&mut self, name: &'static str, ptr: *const c_char) -> Result<&'a [u8]> {
        check(name, ptr)?;
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(ptr) }.to_bytes_with_nul();
        self.add(name, text.as_ptr(), text.len(), false)?;
        Ok(&text[..text.len() - 1])
    }

    /// Several arrays that the call reads; they come last.
    ///
    /// # Safety
    /// As for [`Arrays::read`], each.
    pub(super) unsafe fn read_all<'a, T>(
        self,
        name: &'static str,
        pointers: &[*const T],
        lengths: &[usize],
    ) -> Result<Vec<&'a [T]>> {
        let mut slices = try_with_capacity(pointers.len())?;
        for (&ptr, &len) in pointers.iter().zip(lengths) {
            if len == 0 {
                slices.push(&[][..]);
                continue;
            }
            self.separate(&Span::new(name, ptr, len, false)?)?;
            // SAFETY: checked for NULL, alignment, extent and overlap; the rest is the caller's promise.
            slices.push(unsafe { std::slice::from_raw_parts(ptr, len) });
        }
        Ok(slices)
    }

    /// Several arrays that the call writes, none overlapping another; they come last.
    ///
    /// # Safety
    /// As for [`Arrays::write`], each.
    pub(super) unsafe fn write_all<'a, T>(
        self,
        name: &'static str,
        pointers: &[*mut T],
        lengths: &[usize],
    ) -> Result<Vec<&'a mut [T]>> {
        let mut spans: Vec<(usize, usize)> = try_with_capacity(pointers.len())?;
        for (&ptr, &len) in pointers.iter().zip(lengths).filter(|(_, len)| **len > 0) {
            let span = Span::new(name, ptr, len, true)?;
            self.separate(&span)?;
            spans.push((span.start, span.end));
        }
        spans.sort_unstable();
        if spans.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(overlap(name, "another"));
        }
        let mut slices = try_with_capacity(pointers.len())?;
        for (&ptr, &len) in pointers.iter().zip(lengths) {
            // SAFETY: checked for NULL, alignment, extent and overlap; the rest is the caller's promise.
            slices.push(if len == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(ptr, len) } });
        }
        Ok(slices)
    }

    /// Several NUL-terminated UTF-8 texts; they come last.
    ///
    /// # Safety
    /// As for [`Arrays::text`], each.
    pub(super) unsafe fn texts<'a>(self, name: &'static str, pointers: &[*const c_char]) -> Result<Vec<&'a str>> {
        let mut texts = try_with_capacity(pointers.len())?;
        for &ptr in pointers {
            check(name, ptr)?;
            // SAFETY: the caller's promise.
            let text = unsafe { CStr::from_ptr(ptr) };
            self.separate(&Span::new(name, ptr, text.count_bytes() + 1, false)?)?;
            texts.push(utf8(name, text.to_bytes())?);
        }
        Ok(texts)
    }

    /// Copies a text and a closing NUL to the caller's `room`, if there is any, and its length to `length`.
    ///
    /// # Safety
    /// As for [`Arrays::copy_bytes`].
    pub(super) unsafe fn copy_text(self, text: &str, room: *mut c_char, size: usize, length: *mut usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.copy_bytes(text.as_bytes(), room, size, length) }
    }

    /// As [`Arrays::copy_text`], for texts of any bytes.
    ///
    /// # Safety
    /// `room` is NULL or has room for `size` bytes, `length` for a size.
    pub(super) unsafe fn copy_bytes(
        mut self,
        text: &[u8],
        room: *mut c_char,
        size: usize,
        length: *mut usize,
    ) -> Result<()> {
        // SAFETY: the caller's promise; `u8` and `c_char` have the same size and alignment.
        let (room, length) = unsafe { (self.write("text", room.cast::<u8>(), size)?, self.out("text_len", length)?) };
        if !room.is_empty() {
            ensure!(
                text.len() < room.len(),
                ShapeMismatch,
                "text has room for {} bytes, expected {}",
                room.len(),
                text.len() + 1
            );
            room[..text.len()].copy_from_slice(text);
            room[text.len()] = 0;
        }
        length.write(text.len());
        Ok(())
    }

    #[inline]
    fn add<T>(&mut self, name: &'static str, ptr: *const T, len: usize, written: bool) -> Result<()> {
        let span = Span::new(name, ptr, len, written)?;
        self.separate(&span)?;
        self.spans[self.count] = MaybeUninit::new(span);
        self.count += 1;
        Ok(())
    }

    /// An error if one of two arrays that overlap is written.
    #[inline]
    fn separate(&self, span: &Span) -> Result<()> {
        for other in &self.spans[..self.count] {
            // SAFETY: one of the first `count`.
            let other = unsafe { other.assume_init_ref() };
            if (span.written || other.written) && span.start < other.end && other.start < span.end {
                return Err(overlap(span.name, other.name));
            }
        }
        Ok(())
    }
}

impl Span {
    /// Where an array of at least one value starts and ends.
    #[inline]
    fn new<T>(name: &'static str, ptr: *const T, len: usize, written: bool) -> Result<Self> {
        check(name, ptr)?;
        let Some((start, end)) = extent(ptr, len) else { return Err(too_large(name, len)) };
        Ok(Self { name, start, end, written })
    }
}

/// Where an array starts and ends, if it fits in memory.
#[inline]
fn extent<T>(ptr: *const T, len: usize) -> Option<(usize, usize)> {
    let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize)?;
    Some((ptr.addr(), ptr.addr().checked_add(bytes)?))
}

/// An error unless `ptr` may point to a `T`.
#[inline]
pub(super) fn check<T>(name: &str, ptr: *const T) -> Result<()> {
    if ptr.is_null() || !ptr.is_aligned() {
        return Err(unusable(name, ptr.is_null(), align_of::<T>()));
    }
    Ok(())
}

// Texts are made out of the way: the checks themselves are a few instructions, and stay that.

fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| err!(InvalidArgument, "{name} is not UTF-8"))
}

#[cold]
#[inline(never)]
fn overlap(name: &str, other: &str) -> Error {
    err!(InvalidArgument, "{name} overlaps {other}, expected separate memory")
}

#[cold]
#[inline(never)]
fn too_large(name: &str, len: usize) -> Error {
    err!(SizeOverflow, "{name} has {} values, more than memory can hold", Size(len))
}

#[cold]
#[inline(never)]
fn unusable(name: &str, null: bool, align: usize) -> Error {
    if null {
        err!(NullPointer, "{name} is NULL")
    } else {
        err!(InvalidArgument, "{name} is not aligned to {align} bytes")
    }
}

/// A C truth value: 0 or 1.
pub(super) fn flag(name: &str, value: i32) -> Result<bool> {
    ensure!(value == 0 || value == 1, InvalidArgument, "{name} is {value}, expected 0 or 1");
    Ok(value == 1)
}

/// A size of a config struct.
pub(super) fn size(name: &str, value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| err!(SizeOverflow, "{name} is {value}, more than memory can hold"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn arrays_are_checked() {
        let mut values = [0f32; 8];
        let p = values.as_mut_ptr();
        let kind = |result: Result<&mut [f32]>| result.err().map(|e| e.kind());
        // SAFETY: wherever a slice is made, it lies within `values`, and no two of them are used.
        unsafe {
            let mut a = Arrays::new();
            assert_eq!(a.read("x", p, 4).unwrap().len(), 4);
            assert_eq!(a.read("again", p, 8).unwrap().len(), 8);
            assert_eq!(kind(a.write("y", p.add(7), 1)), Some(ErrorKind::InvalidArgument));
            let mut a = Arrays::new();
            assert_eq!(a.read("x", p, 4).unwrap().len(), 4);
            assert_eq!(kind(a.write("y", p.add(3), 2)), Some(ErrorKind::InvalidArgument));
            assert_eq!(kind(a.write("y", p.add(4), 2)), None);
            assert!(a.read("z", p.add(5), 1).is_err());
            assert_eq!(kind(a.write("y", p.byte_add(1), 1)), Some(ErrorKind::InvalidArgument));
            assert_eq!(kind(a.write("y", std::ptr::null_mut(), 1)), Some(ErrorKind::NullPointer));
            assert_eq!(kind(a.write("y", p, usize::MAX / 2)), Some(ErrorKind::SizeOverflow));
            assert_eq!(kind(a.write("y", std::ptr::null_mut(), 0)), None);
            assert!(a.read_optional("h0", std::ptr::null::<f32>(), 0).unwrap().is_none());
            assert!(a.read_optional("h0", p, 0).unwrap().is_some());
        }
    }

    /// Against the definition: two arrays overlap if there is a byte of both.
    #[test]
    fn all_positions_of_two_arrays() {
        let mut values = [0f32; 8];
        let p = values.as_mut_ptr();
        let parts = || (0..8).flat_map(|start| (1..=8 - start).map(move |len| (start, len)));
        for (x, x_len) in parts() {
            for (y, y_len) in parts() {
                let common = (x..x + x_len).any(|i| (y..y + y_len).contains(&i));
                // SAFETY: all lies within `values`, and no slice is used.
                unsafe {
                    let (px, py) = (p.add(x), p.add(y));
                    let mut a = Arrays::new();
                    a.read("x", px, x_len).unwrap();
                    assert_eq!(a.write("y", py, y_len).is_err(), common, "{x} {x_len} {y} {y_len}");
                    let mut a = Arrays::new();
                    a.write("x", px, x_len).unwrap();
                    assert_eq!(a.read("y", py, y_len).is_err(), common);
                    let quick = Arrays::new().read_and_write(("x", px.cast_const(), x_len), ("y", py, y_len));
                    assert_eq!(quick.is_err(), common);
                    assert_eq!(Arrays::new().write_all("z", &[px, py], &[x_len, y_len]).is_err(), common);
                    let mut a = Arrays::new();
                    a.out("x", px.cast::<[f32; 1]>()).unwrap();
                    let first = (y..y + y_len).contains(&x);
                    assert_eq!(a.read_all("z", &[py.cast_const()], &[y_len]).is_err(), first);
                }
            }
        }
    }

    #[test]
    fn texts_and_memory_of_handles_take_part() {
        let text = *b"word\0";
        let word = text.as_ptr().cast::<c_char>();
        let kind = |result: Result<()>| result.unwrap_err().kind();
        // SAFETY: the text ends; no place is written.
        unsafe {
            for place in [0, 4] {
                let place = text.as_ptr().add(place).cast_mut();
                let mut a = Arrays::new();
                assert_eq!(a.text("name", word).unwrap(), "word");
                let error = a.out("place", place).unwrap_err();
                assert_eq!(error.message(), "place overlaps name, expected separate memory");
                let mut a = Arrays::new();
                a.out("place", place).unwrap();
                assert_eq!(kind(a.texts("a word", &[word]).map(drop)), ErrorKind::InvalidArgument);
                let mut a = Arrays::new();
                a.owned("grads", &text).unwrap();
                assert_eq!(kind(a.read("x", place, 1).map(drop)), ErrorKind::InvalidArgument);
            }
            let mut a = Arrays::new();
            a.text("name", word).unwrap();
            a.text("again", word).unwrap();
            a.owned::<u8>("grads", &[]).unwrap();
            assert!(a.out_optional("none", std::ptr::null_mut::<f32>()).unwrap().is_none());
            assert_eq!(kind(a.out("none", std::ptr::null_mut::<f32>()).map(drop)), ErrorKind::NullPointer);
        }
    }
}
