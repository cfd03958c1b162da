//! Handles: heap memory that C holds by pointer.

use super::args::check;
use super::cancel::Uncancelled;
use super::infallible;
use crate::buffer::try_box;
use crate::error::Result;

/// Moves `value` to the heap, without aborting where memory is short.
pub(super) fn create<T>(value: T) -> Result<*mut T> {
    try_box(value).map(Box::into_raw)
}

/// Ends a handle; NULL is none.
///
/// # Safety
/// `handle` is NULL or came from [`create`], and is not used again.
pub(super) unsafe fn destroy<T>(handle: *mut T) {
    if !handle.is_null() {
        // The last handle of a pool waits for its threads' end.
        let _uncancelled = Uncancelled::new();
        // SAFETY: `create` made it as a `Box`.
        infallible((), || drop(unsafe { Box::from_raw(handle) }));
    }
}

/// A handle that the call only reads.
///
/// # Safety
/// `handle` is NULL or came from [`create`], and nothing changes it until the call returns.
pub(super) unsafe fn shared<'a, T>(name: &str, handle: *const T) -> Result<&'a T> {
    check(name, handle)?;
    // SAFETY: not NULL; the rest is the caller's promise.
    Ok(unsafe { &*handle })
}

/// [`shared`], or `None` for NULL.
///
/// # Safety
/// As for [`shared`].
pub(super) unsafe fn shared_optional<'a, T>(name: &str, handle: *const T) -> Result<Option<&'a T>> {
    // SAFETY: the caller's promise.
    if handle.is_null() { Ok(None) } else { unsafe { shared(name, handle) }.map(Some) }
}

/// A handle that the call changes.
///
/// # Safety
/// `handle` is NULL or came from [`create`], and nothing else uses it until the call returns.
pub(super) unsafe fn exclusive<'a, T>(name: &str, handle: *mut T) -> Result<&'a mut T> {
    check(name, handle)?;
    // SAFETY: not NULL; the rest is the caller's promise.
    Ok(unsafe { &mut *handle })
}

/// What `read` finds in a handle, or `absent` for NULL.
///
/// # Safety
/// As for [`shared`].
pub(super) unsafe fn get<T, R: Copy>(handle: *const T, absent: R, read: impl FnOnce(&T) -> R) -> R {
    // SAFETY: the caller's promise.
    infallible(absent, || unsafe { shared("the handle", handle) }.map_or(absent, read))
}

/// A handle that the call changes, or none.
///
/// # Safety
/// As for [`exclusive`].
pub(super) unsafe fn optional<'a, T>(name: &str, handle: *mut T) -> Result<Option<&'a mut T>> {
    if handle.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { exclusive(name, handle) }.map(Some)
}
