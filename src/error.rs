//! The one error type of the crate. Its text lives inline, so reporting a failed allocation never allocates.

use std::fmt::{self, Write};

/// What kind of failure happened. The numbers are those of `srnn_status` in the C header.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument has a value that the call does not accept.
    InvalidArgument = 1,
    /// A pointer is NULL where the call needs data.
    NullPointer = 2,
    /// A buffer's length or a tensor's shape is not the expected one.
    ShapeMismatch = 3,
    /// A product of sizes does not fit in memory's address range.
    SizeOverflow = 4,
    /// Memory could not be allocated.
    OutOfMemory = 5,
    /// The call came at a time when the handle cannot serve it, such as backward before forward.
    InvalidState = 6,
    /// A file could not be read or written.
    Io = 7,
    /// A file's or a text's content is not what the format asks for.
    InvalidData = 8,
    /// A named thing (parameter, word, tensor) does not exist.
    NotFound = 9,
    /// The request is well-formed but this build or machine cannot serve it.
    Unsupported = 10,
    /// A bug in the library: a panic was caught at the C boundary.
    Internal = 11,
    /// A loss or a gradient is NaN or infinite.
    NonFinite = 12,
}

/// The bytes an error's text may take, including C's closing NUL.
pub const MESSAGE_CAPACITY: usize = 512;

/// An error: its kind and a text that names what was found and what was expected.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    len: u16,
    text: [u8; MESSAGE_CAPACITY],
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Builds an error from format arguments; text beyond the capacity is cut at a character boundary.
    #[cold]
    #[inline(never)]
    pub fn new(kind: ErrorKind, args: fmt::Arguments<'_>) -> Self {
        let mut error = Self { kind, len: 0, text: [0; MESSAGE_CAPACITY] };
        // Writing into `Error` cannot fail; a failing Display of an argument only shortens the text.
        let _ = error.write_fmt(args);
        error
    }

    /// The failure's kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text, without a closing NUL.
    pub fn message(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or("")
    }

    /// Adds a character, if it fits.
    fn push(&mut self, c: char) -> bool {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        let start = usize::from(self.len);
        let Some(room) = self.text[..MESSAGE_CAPACITY - 1].get_mut(start..start + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.len += bytes.len() as u16;
        true
    }

    /// Adds an escape, all of it or nothing.
    fn escape(&mut self, c: char) -> bool {
        let before = self.len;
        let whole = c.escape_default().all(|c| self.push(c));
        if !whole {
            self.len = before;
        }
        whole
    }

    /// The same error with `context` and a colon put before its text.
    pub fn context(&self, context: fmt::Arguments<'_>) -> Self {
        Self::new(self.kind, format_args!("{context}: {}", self.message()))
    }
}

impl Write for Error {
    /// Characters that a terminal or a reader of lines would obey, as a hostile file may hold them, are escaped.
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            let added = match is_obeyed(c) {
                true => self.escape(c),
                false => self.push(c),
            };
            if !added {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a character changes how what stands around it is shown: control characters, line and paragraph separators, and
/// those that turn the direction of writing.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message())
    }
}

impl std::error::Error for Error {}

/// `err!(ShapeMismatch, "x has {} values, expected {}", a, b)` builds an [`Error`].
macro_rules! err {
    ($kind:ident, $($arg:tt)*) => {
        $crate::error::Error::new($crate::error::ErrorKind::$kind, format_args!($($arg)*))
    };
}

/// Returns early with [`err!`] unless the condition holds.
macro_rules! ensure {
    ($cond:expr, $kind:ident, $($arg:tt)*) => {
        // Not `!$cond`: a comparison with NaN is false and has to fail.
        if $cond {
        } else {
            return Err($crate::error::err!($kind, $($arg)*));
        }
    };
}

pub(crate) use {ensure, err};

/// A size in an error's text. One above half of all is what a language with signed sizes makes of a negative number.
pub(crate) struct Size(pub(crate) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match isize::try_from(self.0) {
            Ok(size) => write!(f, "{size}"),
            Err(_) => write!(f, "{} (a negative number)", self.0 as isize),
        }
    }
}

/// Sizes between brackets.
struct Sizes<'a>(&'a [usize]);

impl fmt::Display for Sizes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &size) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "[" } else { ", " }, Size(size))?;
        }
        f.write_str("]")
    }
}

/// The product of sizes, or a `SizeOverflow` error that names `what`.
pub(crate) fn product(what: &str, factors: &[usize]) -> Result<usize> {
    let mut total = 1usize;
    for &factor in factors {
        total = match total.checked_mul(factor) {
            Some(t) if t <= isize::MAX as usize / size_of::<f64>() => t,
            _ => return Err(err!(SizeOverflow, "{what}: the product of {} is too large", Sizes(factors))),
        };
    }
    Ok(total)
}

/// Checks a buffer's length against the expected number of values.
#[inline]
pub(crate) fn check_len(what: &str, found: usize, expected: usize) -> Result<()> {
    #[cold]
    #[inline(never)]
    fn mismatch(what: &str, found: usize, expected: usize) -> Error {
        err!(ShapeMismatch, "{what} has {} values, expected {expected}", Size(found))
    }
    if found == expected { Ok(()) } else { Err(mismatch(what, found, expected)) }
}

/// An array's extents by their names, outermost first.
pub(crate) type Shape<'a> = [(&'a str, usize)];

/// Checks a buffer's length against the values of an array of a shape, which the error names.
#[inline]
pub(crate) fn check_shape(what: &str, found: usize, shape: &Shape<'_>) -> Result<()> {
    #[cold]
    #[inline(never)]
    fn mismatch(what: &str, found: usize, expected: usize, shape: &Shape<'_>) -> Error {
        err!(ShapeMismatch, "{what} has {} values, expected {expected}: {}", Size(found), Extents(shape))
    }
    let mut expected = 1;
    for (_, extent) in shape {
        expected = product(what, &[expected, *extent])?;
    }
    if found == expected { Ok(()) } else { Err(mismatch(what, found, expected, shape)) }
}

struct Extents<'a>(&'a Shape<'a>);

impl fmt::Display for Extents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, extent)) in self.0.iter().enumerate() {
            write!(f, "{}{name} {extent}", if i == 0 { "(" } else { ", " })?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "ж".repeat(MESSAGE_CAPACITY);
        let e = err!(Io, "{long}");
        assert_eq!(e.message().len(), MESSAGE_CAPACITY - 2);
        assert!(e.message().chars().all(|c| c == 'ж'));
    }

    #[test]
    fn no_text_steers_a_terminal_or_forges_a_line() {
        let e = err!(Io, "{}", "a\x1b[2J\r\nb\u{9b}31m\u{202e}c\u{2028}ж\\n");
        assert_eq!(e.message(), "a\\u{1b}[2J\\r\\nb\\u{9b}31m\\u{202e}c\\u{2028}ж\\n");
        assert_eq!(e.context(format_args!("x\ty")).message(), format!("x\\ty: {}", e.message()));
        let e = err!(Io, "{}{}", "n".repeat(MESSAGE_CAPACITY - 5), "\x1b");
        assert!(e.message().ends_with('n'), "an escape is cut: {e}");
    }

    #[test]
    fn products_are_checked() {
        assert_eq!(product("n", &[3, 4, 5]).unwrap(), 60);
        assert_eq!(product("n", &[usize::MAX, 2]).unwrap_err().kind(), ErrorKind::SizeOverflow);
        assert_eq!(product("n", &[0, usize::MAX]).unwrap(), 0);
        let text = product("n", &[4, usize::MAX]).unwrap_err();
        assert_eq!(text.message(), "n: the product of [4, -1 (a negative number)] is too large");
    }

    #[test]
    fn shapes_are_named() {
        let shape = [("seq_len", 6), ("batch", 4), ("input_size", 3)];
        assert!(check_shape("x", 72, &shape).is_ok());
        let e = check_shape("x", 71, &shape).unwrap_err();
        assert_eq!(e.message(), "x has 71 values, expected 72: (seq_len 6, batch 4, input_size 3)");
        assert_eq!(
            check_shape("x", 0, &[("seq_len", usize::MAX), ("batch", 2)]).unwrap_err().kind(),
            ErrorKind::SizeOverflow
        );
    }
}
