//! The environment variable `SIMDRNN_ISA`, which lowers the instruction set.

use super::Isa;
use crate::error::{Error, Result, err};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What the first look found: the rank it allows, or one of the two below. The host may change its environment later, which
/// would end badly if it were read at the same time; no lock, which a fork could leave closed in the child.
static FOUND: AtomicU8 = AtomicU8::new(UNREAD);
const UNREAD: u8 = 0xf0;
const UNKNOWN: u8 = 0xf1;
/// And above, the number of the instruction set, which belongs to another architecture.
const FOREIGN: u8 = 0xf2;
const UNLIMITED: u8 = 0xff;

/// The first bytes of an unknown value, for the error.
static START: AtomicU64 = AtomicU64::new(0);

/// The highest rank that the variable allows.
pub(super) fn limit() -> Result<u8> {
    let mut found = FOUND.load(Ordering::Acquire);
    if found == UNREAD {
        found = read(variable());
        // Whoever was first decides for all.
        if let Err(first) = FOUND.compare_exchange(UNREAD, found, Ordering::AcqRel, Ordering::Acquire) {
            found = first;
        }
    }
    meaning(found)
}

#[cfg(unix)]
fn variable() -> Option<&'static CStr> {
    // SAFETY: a name with its NUL. It locks and allocates nothing; as for any reader of the environment, nobody may be changing
    // it at this moment. The text is looked at at once.
    unsafe {
        let value = libc::getenv(c"SIMDRNN_ISA".as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
}

#[cfg(not(unix))]
fn variable() -> Option<std::ffi::CString> {
    std::ffi::CString::new(std::env::var_os("SIMDRNN_ISA")?.into_encoded_bytes()).ok()
}

fn read(value: Option<impl AsRef<CStr>>) -> u8 {
    let Some(value) = value.as_ref().map(|v| v.as_ref().to_bytes()).filter(|v| !v.is_empty()) else { return UNLIMITED };
    match Isa::ALL.into_iter().find(|isa| isa.name().as_bytes() == value) {
        Some(isa) if isa.check_architecture().is_ok() => isa.rank(),
        Some(isa) => FOREIGN + isa as u8,
        None => {
            let mut start = [0; 8];
            start.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
            START.store(u64::from_ne_bytes(start), Ordering::Relaxed);
            UNKNOWN
        }
    }
}

fn meaning(found: u8) -> Result<u8> {
    let context = |e: Error| e.context(format_args!("SIMDRNN_ISA"));
    match found {
        UNKNOWN => {
            let start = START.load(Ordering::Relaxed).to_ne_bytes();
            let len = start.iter().position(|&b| b == 0).unwrap_or(start.len());
            let more = if len == start.len() { "..." } else { "" };
            Err(context(err!(
                InvalidArgument,
                "unknown instruction set '{}{more}', expected scalar, avx2, avx512 or neon",
                start[..len].escape_ascii()
            )))
        }
        UNLIMITED => Ok(UNLIMITED),
        FOREIGN.. => {
            let isa = Isa::from_number(i32::from(found - FOREIGN))?;
            isa.check_architecture().map_err(context)?;
            Ok(UNLIMITED)
        }
        rank => Ok(rank),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_the_variable_says() {
        let found = |value: &CStr| meaning(read(Some(value)));
        assert_eq!(meaning(read(None::<&CStr>)).unwrap(), UNLIMITED);
        assert_eq!(found(c"").unwrap(), UNLIMITED);
        for isa in Isa::ALL {
            let name = std::ffi::CString::new(isa.name()).unwrap();
            match isa.check_architecture() {
                Ok(()) => assert_eq!(found(&name).unwrap(), isa.rank()),
                Err(_) => {
                    let error = found(&name).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Unsupported);
                    assert!(error.message().contains("SIMDRNN_ISA") && error.message().contains(isa.name()), "{error}");
                }
            }
        }
        let wrong = [(c"foo", "'foo'"), (c"AVX2", "'AVX2'"), (c"avx2 ", "'avx2 '"), (c"\xff", "'\\xff'")];
        for (value, text) in wrong.into_iter().chain([(c"avx512-and-more", "'avx512-a...'")]) {
            let error = found(value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains("SIMDRNN_ISA") && error.message().contains(text), "{error}");
        }
    }
}
