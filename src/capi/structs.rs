//! Plain structs that can grow: the size that the caller knew comes first.

use super::args::check;
use crate::error::{Result, ensure};

/// A struct that C fills in.
///
/// # Safety
/// `repr(C)` without padding bytes, starting with the `u32` `struct_size`; every bit pattern is a value.
pub(super) unsafe trait Growing: Copy {
    /// Its C name.
    const NAME: &'static str;

    /// What an older caller's missing fields mean.
    fn defaults() -> Self;

    /// Whether the fields without a meaning yet are all zero.
    fn reserved_is_zero(&self) -> bool;
}

/// No caller's struct is larger: a size beyond is a forgotten init call.
const LARGEST: usize = 4096;

/// Copies what the caller filled in. A shorter struct, of an older caller, leaves defaults; a longer one is accepted if
/// what this version does not know is zero.
///
/// # Safety
/// `ptr` is NULL or points to a `u32` and to as many readable bytes as that says.
pub(super) unsafe fn read<T: Growing>(ptr: *const T) -> Result<T> {
    check(T::NAME, ptr)?;
    // SAFETY: not NULL and aligned; the size comes first.
    let size = unsafe { ptr.cast::<u32>().read() } as usize;
    ensure!(
        size >= align_of::<T>() && size <= LARGEST && size.is_multiple_of(align_of::<T>()),
        InvalidArgument,
        "{}.struct_size is {size}, expected {} as {}_init sets it",
        T::NAME,
        size_of::<T>(),
        T::NAME
    );
    let mut value = T::defaults();
    // SAFETY: `size` bytes are readable, and any bytes make a `T`.
    unsafe { ptr.cast::<u8>().copy_to_nonoverlapping((&raw mut value).cast(), size.min(size_of::<T>())) };
    for i in size_of::<T>()..size {
        // SAFETY: within the `size` readable bytes.
        let byte = unsafe { ptr.cast::<u8>().add(i).read() };
        ensure!(byte == 0, InvalidArgument, "{} has a field that this version does not know at byte {i}", T::NAME);
    }
    ensure!(value.reserved_is_zero(), InvalidArgument, "{} has a reserved field that is not zero", T::NAME);
    Ok(value)
}

/// As [`read`], with NULL for the defaults.
///
/// # Safety
/// As for [`read`].
pub(super) unsafe fn read_optional<T: Growing>(ptr: *const T) -> Result<T> {
    // SAFETY: the caller's promise.
    if ptr.is_null() { Ok(T::defaults()) } else { unsafe { read(ptr) } }
}

/// Fills in a struct of the caller; NULL is ignored, as the call that uses the struct will refuse it. The size never
/// grows within one ABI: fields are taken from the reserved ones.
///
/// # Safety
/// `ptr` is NULL or points to room for a `T`.
pub(super) unsafe fn init<T: Growing>(ptr: *mut T, value: T) {
    if check(T::NAME, ptr).is_ok() {
        // SAFETY: not NULL and aligned; the rest is the caller's promise.
        unsafe { ptr.write(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Example {
        struct_size: u32,
        a: u32,
        b: u32,
        reserved: u32,
    }

    // SAFETY: four u32.
    unsafe impl Growing for Example {
        const NAME: &'static str = "example";
        fn defaults() -> Self {
            Self { struct_size: 16, a: 10, b: 20, reserved: 0 }
        }
        fn reserved_is_zero(&self) -> bool {
            self.reserved == 0
        }
    }

    #[test]
    fn sizes_of_other_versions() {
        let read = |words: [u32; 6]| {
            // SAFETY: 24 bytes are there, and no size below says more than that without being refused.
            unsafe { super::read(words.as_ptr().cast::<Example>()) }
        };
        assert_eq!(read([8, 1, 2, 9, 9, 9]).unwrap(), Example { struct_size: 8, a: 1, ..Example::defaults() });
        assert_eq!(read([16, 1, 2, 0, 9, 9]).unwrap().b, 2);
        assert_eq!(read([24, 1, 2, 0, 0, 0]).unwrap().b, 2);
        for bad in [[24, 1, 2, 0, 0, 1], [16, 1, 2, 1, 0, 0], [0; 6], [7, 0, 0, 0, 0, 0], [u32::MAX, 0, 0, 0, 0, 0]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
