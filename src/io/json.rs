//! JSON that is written without aborting where memory is short.

use crate::buffer::try_with_capacity;
use crate::error::{Result, err};
use serde::Serialize;
use std::io::{self, Write};

/// The text that `write` writes, in memory of its length: it is called twice, the first time to measure, and must write
/// the same each time.
pub(crate) fn to_text(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> Result<String> {
    let mut length = Length(0);
    write(&mut length).map_err(|e| err!(Internal, "JSON cannot be written: {e}"))?;
    let mut bytes = try_with_capacity(length.0)?;
    // Within its capacity a vector takes all.
    write(&mut bytes).map_err(|e| err!(Internal, "JSON cannot be written: {e}"))?;
    String::from_utf8(bytes).map_err(|_| err!(Internal, "JSON that is not UTF-8"))
}

/// Writes a value of JSON; one whose parts are only strings and numbers takes no memory.
pub(crate) fn value(out: &mut dyn Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    Ok(serde_json::to_writer(out, value)?)
}

/// Bytes written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
