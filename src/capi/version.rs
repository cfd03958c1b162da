//! # Version

use super::infallible;
use std::ffi::{CStr, c_char};

/// First part of the version: changes with incompatible changes, once it is above 0.
pub const SRNN_VERSION_MAJOR: u32 = 0;
/// Second part; while the first is 0, it changes with incompatible changes.
pub const SRNN_VERSION_MINOR: u32 = 1;
/// Third part of the version.
pub const SRNN_VERSION_PATCH: u32 = 0;
/// The version as one number, 1000000 * major + 1000 * minor + patch.
pub const SRNN_VERSION_NUMBER: u32 = 1000;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no NUL"),
};

/// The version of the loaded library, such as "0.1.0"; a static text.
#[unsafe(no_mangle)]
pub extern "C" fn srnn_version() -> *const c_char {
    infallible(c"".as_ptr(), || VERSION.as_ptr())
}

/// The version of the loaded library as one number. A program that was compiled with this header can compare it with
/// SRNN_VERSION_NUMBER.
#[unsafe(no_mangle)]
pub extern "C" fn srnn_version_number() -> u32 {
    infallible(0, || SRNN_VERSION_NUMBER)
}

const fn number(text: &str) -> u32 {
    let (bytes, mut i, mut value) = (text.as_bytes(), 0, 0);
    while i < bytes.len() {
        value = 10 * value + (bytes[i] - b'0') as u32;
        i += 1;
    }
    value
}

// The header's numbers are the package's.
const _: () = {
    assert!(SRNN_VERSION_MAJOR == number(env!("CARGO_PKG_VERSION_MAJOR")));
    assert!(SRNN_VERSION_MINOR == number(env!("CARGO_PKG_VERSION_MINOR")));
    assert!(SRNN_VERSION_PATCH == number(env!("CARGO_PKG_VERSION_PATCH")));
    let sum = 1_000_000 * SRNN_VERSION_MAJOR + 1000 * SRNN_VERSION_MINOR + SRNN_VERSION_PATCH;
    assert!(SRNN_VERSION_NUMBER == sum);
};
