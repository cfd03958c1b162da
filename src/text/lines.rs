//! A text file line by line, in memory that one line needs.

use crate::buffer::try_format;
use crate::error::{Error, Result, ensure, err};
use crate::shown::{Excerpt, Reason};
use std::io::{self, BufRead};

/// The longest line, in bytes.
pub(super) const MAX_LINE: usize = 64 << 20;

/// Lines of UTF-8, checked; a byte order mark and line ends (LF or CR LF) are removed.
pub(super) struct Lines<R> {
    reader: R,
    /// The file's name in error texts.
    name: String,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, name: &str) -> Result<Self> {
        Ok(Self { reader, name: try_format(format_args!("{}", Excerpt(name, 160)))?, line: Vec::new(), number: 0 })
    }

    /// The last line's number, from 1; 0 before the first.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The error with the file's name and the last line's number before it.
    pub(super) fn locate(&self, error: &Error) -> Error {
        error.context(format_args!("{}:{}", self.name, self.number))
    }

    /// The error with the file's name before it.
    pub(super) fn name(&self, error: &Error) -> Error {
        error.context(format_args!("{}", self.name))
    }

    /// Reads the next line; `false` at the end of the file. Its text is [`Lines::text`].
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        match self.fill() {
            Ok(true) => {
                let wide = self.number == 1 && is_utf16(&self.line);
                ensure!(!wide, InvalidData, "{}:1: a byte order mark of UTF-16, expected UTF-8", self.name);
                Ok(true)
            }
            Ok(false) => {
                self.number -= 1;
                Ok(false)
            }
            Err(e) => Err(self.locate(&e)),
        }
    }

    /// The line that [`Lines::advance`] read; what is wrong with it is told without its place.
    pub(super) fn text(&self) -> Result<&str> {
        checked(self.bytes())
    }

    /// Whether there is nothing in it but spaces.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes().iter().all(|&b| b == b' ')
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        let mut line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.number == 1 {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        line
    }

    fn fill(&mut self) -> Result<bool> {
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(err!(Io, "cannot read: {}", Reason(&e))),
            };
            if available.is_empty() {
                return Ok(!self.line.is_empty());
            }
            let end = available.iter().position(|&b| b == b'\n');
            let used = end.map_or(available.len(), |i| i + 1);
            ensure!(self.line.len() + used <= MAX_LINE, InvalidData, "the line is longer than {MAX_LINE} bytes");
            self.line
                .try_reserve(used)
                .map_err(|_| err!(OutOfMemory, "no memory for a line of more than {} bytes", self.line.len()))?;
            self.line.extend_from_slice(&available[..used]);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

pub(super) fn is_utf16(start: &[u8]) -> bool {
    start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF")
}

/// Bytes of a file as text.
pub(super) fn checked(bytes: &[u8]) -> Result<&str> {
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return Err(err!(InvalidData, "byte {} is NUL, expected text", at + 1));
    }
    str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        err!(InvalidData, "byte {} (0x{:02X}) is not UTF-8", at + 1, bytes[at])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], capacity: usize) -> Result<Vec<String>> {
        let mut lines = Lines::new(io::BufReader::with_capacity(capacity, bytes), "f")?;
        let mut out = Vec::new();
        while lines.advance()? {
            out.push(lines.text().map_err(|e| lines.locate(&e))?.to_owned());
        }
        assert_eq!(lines.number(), out.len() as u64);
        Ok(out)
    }

    #[test]
    fn line_ends_and_marks() {
        for capacity in [1, 2, 3, 5, 100] {
            assert_eq!(lines(b"\xEF\xBB\xBFa\r\nb\n\nc\r", capacity).unwrap(), ["a", "b", "", "c"]);
            assert_eq!(lines(b"x\xEF\xBB\xBF\n", capacity).unwrap(), ["x\u{feff}"]);
            assert!(lines(b"", capacity).unwrap().is_empty());
        }
    }

    #[test]
    fn what_is_not_text() {
        for (bytes, text) in [
            (&b"a\nbc\xFFd\n"[..], "f:2: byte 3 (0xFF) is not UTF-8"),
            (b"a\nb\n\xD0", "f:3: byte 1 (0xD0) is not UTF-8"),
            (b"a\0b", "f:1: byte 2 is NUL, expected text"),
            (b"\xFF\xFEa\0", "f:1: a byte order mark of UTF-16, expected UTF-8"),
        ] {
            assert_eq!(lines(bytes, 4).unwrap_err().message(), text);
        }
    }

    #[test]
    fn lines_have_a_bound() {
        struct Endless;
        impl io::Read for Endless {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                out.fill(b'x');
                Ok(out.len())
            }
        }
        let mut lines = Lines::new(io::BufReader::with_capacity(1 << 20, Endless), "f").unwrap();
        assert_eq!(lines.advance().unwrap_err().message(), "f:1: the line is longer than 67108864 bytes");
    }
}
