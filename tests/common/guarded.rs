//! Arrays between two pages that may not be touched: one step outside ends the process.

use std::ops::{Deref, DerefMut};
use std::ptr::null_mut;

/// `f32` values that end at the page behind them, or start at the page before them.
pub struct Guarded {
    map: *mut libc::c_void,
    bytes: usize,
    values: *mut f32,
    len: usize,
}

/// The side on which the values touch a page that is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Before,
    Behind,
}

impl Guarded {
    pub fn new(values: &[f32], side: Side) -> Self {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let room = size_of_val(values).next_multiple_of(page).max(page);
        let bytes = room + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which nothing else knows.
        let map = unsafe { libc::mmap(null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        let offset = if side == Side::Before { page } else { page + room - size_of_val(values) };
        // SAFETY: the pages between the first and the last lie in the mapping, and so do the values.
        let start = unsafe {
            assert_eq!(libc::mprotect(map.byte_add(page), room, libc::PROT_READ | libc::PROT_WRITE), 0);
            map.byte_add(offset).cast::<f32>()
        };
        let mut guarded = Self { map, bytes, values: start, len: values.len() };
        guarded.copy_from_slice(values);
        guarded
    }
}

impl Deref for Guarded {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` values of this mapping, zero or written.
        unsafe { std::slice::from_raw_parts(self.values, self.len) }
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.values, self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping of `new`.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}
