//! Buffers between files and their readers and writers. The standard library's end the process where memory is short.

use crate::buffer::{try_vec, try_with_capacity};
use crate::error::Result;
use std::io::{self, BufRead, Read, Write};

/// Reads a source in blocks.
pub(crate) struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    /// What was read and not consumed yet.
    start: usize,
    end: usize,
}

impl<R: Read> Reader<R> {
    /// Reads `capacity` bytes at once.
    pub(crate) fn new(source: R, capacity: usize) -> Result<Self> {
        Ok(Self { source, buffer: try_vec(capacity, 0)?, start: 0, end: 0 })
    }
}

impl<R: Read> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            // Nothing is left of the old block, also if no new one comes.
            (self.start, self.end) = (0, 0);
            self.end = loop {
                match self.source.read(&mut self.buffer) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    done => break done?,
                }
            };
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Writes to a target in blocks. What was not flushed is lost when it is dropped.
pub(crate) struct Writer<W> {
    target: W,
    /// Never grows.
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes about `capacity` bytes at once.
    pub(crate) fn new(target: W, capacity: usize) -> Result<Self> {
        Ok(Self { target, buffer: try_with_capacity(capacity)? })
    }

    /// Writes what is left and gives the target back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.target)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.buffer.capacity();
        if bytes.len() > room - self.buffer.len() {
            self.flush()?;
        }
        if bytes.len() > room {
            return self.target.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// After an error it is not known how much of the block was written.
    fn flush(&mut self) -> io::Result<()> {
        let written = self.target.write_all(&self.buffer);
        self.buffer.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_unchanged() {
        let bytes: Vec<u8> = (0..1000).map(|i| (i % 251) as u8).collect();
        for (capacity, piece) in [(1, 1), (1, 7), (7, 1), (7, 3), (7, 7), (7, 8), (16, 100), (2000, 9)] {
            let mut writer = Writer::new(Vec::new(), capacity).unwrap();
            bytes.chunks(piece).for_each(|chunk| writer.write_all(chunk).unwrap());
            assert_eq!(writer.finish().unwrap(), bytes, "{capacity} {piece}");

            let mut reader = Reader::new(&bytes[..], capacity).unwrap();
            let mut read = Vec::new();
            for chunk in bytes.chunks(piece) {
                let mut out = vec![0; chunk.len()];
                reader.read_exact(&mut out).unwrap();
                read.extend(out);
            }
            assert_eq!(read, bytes, "{capacity} {piece}");
            assert!(reader.fill_buf().unwrap().is_empty());
        }
    }

    #[test]
    fn a_block_that_cannot_be_written_is_an_error() {
        let mut small = [0; 5];
        let mut writer = Writer::new(&mut small[..], 4).unwrap();
        writer.write_all(&[1; 4]).unwrap();
        writer.write_all(&[2; 4]).unwrap();
        assert_eq!(writer.finish().err().map(|e| e.kind()), Some(io::ErrorKind::WriteZero));
        assert_eq!(small, [1, 1, 1, 1, 2]);
    }
}
