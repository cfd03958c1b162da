//! # Status and errors
//!
//! Every call that can fail returns a status and takes, as its last argument, an optional srnn_error that tells more.

use crate::error::{ErrorKind, MESSAGE_CAPACITY};
use std::ffi::{CStr, c_char};

/// What a call returns: SRNN_OK or one of the SRNN_ERROR_ numbers. Later versions may add numbers.
pub type srnn_status = i32;

/// The numbers of srnn_status.
#[repr(C)]
pub enum srnn_status_code {
    /// The call did what it says.
    SRNN_OK = 0,
    /// An argument has a value that the call does not accept; arrays that overlap where one of them is written.
    SRNN_ERROR_INVALID_ARGUMENT = 1,
    /// A pointer is NULL where the call needs data.
    SRNN_ERROR_NULL_POINTER = 2,
    /// An array's length or a tensor's shape is not the expected one.
    SRNN_ERROR_SHAPE_MISMATCH = 3,
    /// A product of sizes is more than memory can hold.
    SRNN_ERROR_SIZE_OVERFLOW = 4,
    /// Memory could not be allocated.
    SRNN_ERROR_OUT_OF_MEMORY = 5,
    /// The call came at a time when the handle cannot serve it, such as backward before forward.
    SRNN_ERROR_INVALID_STATE = 6,
    /// A file could not be read or written.
    SRNN_ERROR_IO = 7,
    /// A file's or a text's content is not what the format asks for.
    SRNN_ERROR_INVALID_DATA = 8,
    /// A named thing (parameter, word, tensor) does not exist.
    SRNN_ERROR_NOT_FOUND = 9,
    /// The request is well-formed, but this build or machine cannot serve it.
    SRNN_ERROR_UNSUPPORTED = 10,
    /// A bug in the library. Destroy the handles that the call could change: their contents are not known.
    SRNN_ERROR_INTERNAL = 11,
    /// A loss or a gradient is NaN or infinite.
    SRNN_ERROR_NON_FINITE = 12,
}

/// A status' name by its number; numbers and names are those of `ErrorKind`.
macro_rules! names {
    ($($kind:ident = $code:ident),*) => {
        $(const _: () = assert!(ErrorKind::$kind as i32 == srnn_status_code::$code as i32);)*

        fn name(status: srnn_status) -> &'static CStr {
            $(if status == srnn_status_code::$code as i32 {
                const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($code), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name has no NUL"),
                };
                return NAME;
            })*
            if status == srnn_status_code::SRNN_OK as i32 { c"SRNN_OK" } else { c"unknown status" }
        }
    };
}

names!(
    InvalidArgument = SRNN_ERROR_INVALID_ARGUMENT,
    NullPointer = SRNN_ERROR_NULL_POINTER,
    ShapeMismatch = SRNN_ERROR_SHAPE_MISMATCH,
    SizeOverflow = SRNN_ERROR_SIZE_OVERFLOW,
    OutOfMemory = SRNN_ERROR_OUT_OF_MEMORY,
    InvalidState = SRNN_ERROR_INVALID_STATE,
    Io = SRNN_ERROR_IO,
    InvalidData = SRNN_ERROR_INVALID_DATA,
    NotFound = SRNN_ERROR_NOT_FOUND,
    Unsupported = SRNN_ERROR_UNSUPPORTED,
    Internal = SRNN_ERROR_INTERNAL,
    NonFinite = SRNN_ERROR_NON_FINITE
);

/// Bytes of an error's message, its closing NUL included.
pub const SRNN_MESSAGE_SIZE: usize = 512;
const _: () = assert!(SRNN_MESSAGE_SIZE == MESSAGE_CAPACITY);

/// What a call tells about its failure: memory of the caller, filled in by every call it is passed to. After a success
/// `status` is SRNN_OK and `message` is empty.
#[repr(C)]
pub struct srnn_error {
    /// What the call returned.
    pub status: i32,
    /// A NUL-terminated English text in UTF-8 that names what was found and what was expected.
    pub message: [c_char; SRNN_MESSAGE_SIZE],
}

/// The name of a status, such as "SRNN_ERROR_IO", or "unknown status"; a static text.
#[unsafe(no_mangle)]
pub extern "C" fn srnn_status_string(status: srnn_status) -> *const c_char {
    name(status).as_ptr()
}

/// Writes the outcome to `error`, byte by byte: it may have any alignment.
///
/// # Safety
/// `error` is NULL or has room for an `srnn_error`.
#[inline]
pub(super) unsafe fn report(error: *mut srnn_error, status: srnn_status, message: &str) -> srnn_status {
    if !error.is_null() {
        let length = message.len().min(SRNN_MESSAGE_SIZE - 1);
        // SAFETY: all within the struct; a message of `Error` is shorter than its room.
        unsafe {
            (&raw mut (*error).status).write_unaligned(status);
            let to = (&raw mut (*error).message).cast::<u8>();
            message.as_ptr().copy_to_nonoverlapping(to, length);
            to.add(length).write(0);
        }
    }
    status
}
