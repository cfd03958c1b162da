//! Bytes from a file or a decompressor: buffered, counted, with bounds on everything.

use super::options::MAX_WORD;
use crate::buffer::{try_format, try_grow, try_vec};
use crate::error::{Error, Result, ensure, err};
use crate::shown::{Excerpt, Reason};
use std::cell::Cell;
use std::io::{self, BufRead, Read};

/// Bytes read at once.
const BLOCK: usize = 1 << 17;
/// Data are believed to unpack to so many bytes for each byte of the file: deflate reaches 1032.
const MOST_UNPACKED: u64 = 2048;
/// And to so many more: the first bytes of a file may be few.
const FREE: u64 = 1 << 20;
/// What is believed of the smallest file.
const BELIEVED: u64 = 1 << 23;

/// What word vectors may be packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Xz,
    Zip,
}

impl Packing {
    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Xz => "xz",
            Packing::Zip => "zip",
        }
    }
}

/// A source of bytes that knows where it is.
pub(super) struct Input<'a> {
    source: Box<dyn Read + 'a>,
    /// Names the source in error texts.
    name: String,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Position of `buffer[start]`.
    position: u64,
    /// Lines taken so far.
    lines: u64,
    /// Bytes of the whole source, where that is known.
    length: Option<u64>,
    /// More bytes than these are refused.
    limit: u64,
    /// What they are packed in.
    packing: Option<Packing>,
    /// Whether `raw` counts these bytes elsewhere.
    is_part: bool,
    /// Bytes taken from the file, below all decompressors.
    raw: &'a Cell<u64>,
    ended: bool,
}

impl<'a> Input<'a> {
    /// Bytes of a file; `raw` counts them.
    pub(super) fn new(source: Box<dyn Read + 'a>, name: &str, length: Option<u64>, raw: &'a Cell<u64>) -> Result<Self> {
        Ok(Self {
            source,
            name: try_format(format_args!("{}", Excerpt(name, 160)))?,
            buffer: try_vec(BLOCK, 0)?,
            start: 0,
            end: 0,
            position: 0,
            lines: 0,
            length,
            limit: u64::MAX,
            packing: None,
            is_part: false,
            raw,
            ended: false,
        })
    }

    /// `length` bytes that are a part of a file, whose bytes `raw` counts already.
    pub(super) fn within(source: Box<dyn Read + 'a>, name: &str, length: u64, raw: &'a Cell<u64>) -> Result<Self> {
        Ok(Self { is_part: true, ..Self::new(source, name, Some(length), raw)? })
    }

    /// What `source` unpacks from the packed data of such an input, at most `limit` bytes.
    pub(super) fn unpacked(
        source: Box<dyn Read + 'a>,
        name: &str,
        raw: &'a Cell<u64>,
        packing: Packing,
        limit: u64,
    ) -> Result<Self> {
        Ok(Self { limit, packing: Some(packing), ..Self::new(source, name, None, raw)? })
    }

    /// The same bytes, with another limit on what they unpack to.
    pub(super) fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// The counter of the file's bytes.
    pub(super) fn raw(&self) -> &'a Cell<u64> {
        self.raw
    }

    /// More unpacked bytes than these are refused.
    pub(super) fn most_unpacked(&self) -> u64 {
        self.limit.min(FREE.saturating_add(self.raw.get().saturating_mul(MOST_UNPACKED)))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The position in bytes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The number of the line that [`Input::line`] gave last, from 1.
    pub(super) fn line_number(&self) -> u64 {
        self.lines
    }

    /// Bytes that are left, where that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        self.length.map(|l| l.saturating_sub(self.position))
    }

    /// Buffers at least `n` bytes, or all that are left.
    fn fill(&mut self, n: usize) -> Result<()> {
        if self.end - self.start >= n || self.ended {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < n {
            let more = n.next_multiple_of(BLOCK) - self.buffer.len();
            self.buffer.try_reserve_exact(more).map_err(|_| err!(OutOfMemory, "no memory for {n} bytes"))?;
            self.buffer.resize(n.next_multiple_of(BLOCK), 0);
        }
        while self.end < n {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(count) => {
                    self.end += count;
                    self.check_unpacked(count)?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(&e)),
            }
        }
        Ok(())
    }

    /// Counts bytes of the file, or refuses what packed data unpack to.
    fn check_unpacked(&self, count: usize) -> Result<()> {
        if self.packing.is_none() {
            self.raw.set(self.raw.get() + if self.is_part { 0 } else { count as u64 });
            return Ok(());
        }
        let (unpacked, raw) = (self.position + self.end as u64, self.raw.get());
        ensure!(
            unpacked <= self.limit,
            InvalidData,
            "decompresses to more than {} bytes; raise the limit if that is right",
            self.limit
        );
        ensure!(
            unpacked <= self.most_unpacked(),
            InvalidData,
            "decompresses to {unpacked} bytes from {raw}, more than {MOST_UNPACKED} times as many"
        );
        Ok(())
    }

    /// Refuses `what` where the file is too short for it: each of its bytes may stand for `ratio` of `size`.
    pub(super) fn believe(&self, size: u128, ratio: u64, what: &str) -> Result<()> {
        let raw = self.raw.get();
        ensure!(
            size <= u128::from(BELIEVED) + u128::from(raw) * u128::from(ratio),
            InvalidData,
            "{what} would be {size} from {raw} bytes of the file, more than {ratio} times as many"
        );
        Ok(())
    }

    fn failed(&self, e: &io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, OutOfMemory, UnexpectedEof};
        // The source is an `Input` too, below a decompressor.
        if let Some(e) = e.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
            return e.clone();
        }
        let at = self.position + (self.end - self.start) as u64;
        match e.kind() {
            OutOfMemory => err!(OutOfMemory, "memory is short"),
            // Only a decompressor says so.
            InvalidData | InvalidInput | UnexpectedEof => {
                let packing = self.packing.map_or("the", Packing::name);
                err!(InvalidData, "{packing} data are damaged or cut off after {at} decompressed bytes: {e}")
            }
            _ => err!(Io, "cannot read at byte {at}: {}", Reason(e)),
        }
    }

    /// The next bytes, `n` or all that are left, without taking them.
    pub(super) fn peek(&mut self, n: usize) -> Result<&[u8]> {
        self.fill(n)?;
        Ok(&self.buffer[self.start..self.end.min(self.start + n)])
    }

    fn advance(&mut self, n: usize) {
        self.start += n;
        self.position += n as u64;
    }

    fn truncated(&self, what: &str) -> Error {
        let end = self.position + (self.end - self.start) as u64;
        err!(InvalidData, "the file ends at byte {end}, within {what} that starts at byte {}", self.position)
    }

    /// Takes `n` bytes.
    pub(super) fn bytes(&mut self, n: usize, what: &str) -> Result<&[u8]> {
        self.fill(n)?;
        if self.end - self.start < n {
            return Err(self.truncated(what));
        }
        let start = self.start;
        self.advance(n);
        Ok(&self.buffer[start..start + n])
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N, what)?);
        Ok(out)
    }

    /// Takes `n` bytes, which need not be there: memory grows as they come.
    pub(super) fn take(&mut self, n: usize, what: &str) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < n {
            self.fill(1)?;
            let some = (self.end - self.start).min(n - out.len());
            if some == 0 {
                return Err(self.truncated(what));
            }
            out.try_reserve(some).map_err(|_| err!(OutOfMemory, "no memory after {} bytes", out.len()))?;
            out.extend_from_slice(&self.buffer[self.start..self.start + some]);
            self.advance(some);
        }
        Ok(out)
    }

    /// Takes `n` bytes and forgets them.
    pub(super) fn skip(&mut self, n: u64, what: &str) -> Result<()> {
        let mut left = n;
        while left > 0 {
            self.fill(1)?;
            let some = ((self.end - self.start) as u64).min(left) as usize;
            if some == 0 {
                return Err(self.truncated(what));
            }
            self.advance(some);
            left -= some as u64;
        }
        Ok(())
    }

    /// Takes little-endian f32 values; all must be finite.
    pub(super) fn floats(&mut self, out: &mut [f32], what: &str) -> Result<()> {
        self.values(out, what, f32::from_le_bytes)
    }

    /// Takes values of `N` bytes each, which `convert` makes f32; all must be finite then.
    pub(super) fn values<const N: usize>(
        &mut self,
        out: &mut [f32],
        what: &str,
        convert: impl Fn([u8; N]) -> f32,
    ) -> Result<()> {
        self.values_or(out, what, convert)?.map_or(Ok(()), Err)
    }

    /// As [`Input::values`], but takes them all and gives what is wrong with one that is not finite.
    pub(super) fn values_or<const N: usize>(
        &mut self,
        out: &mut [f32],
        what: &str,
        convert: impl Fn([u8; N]) -> f32,
    ) -> Result<Option<Error>> {
        let mut wrong = None;
        for part in out.chunks_mut(BLOCK / N) {
            let at = self.position;
            let bytes = self.bytes(N * part.len(), what)?.as_chunks::<N>().0;
            let mut finite = true;
            for (value, bytes) in part.iter_mut().zip(bytes) {
                *value = convert(*bytes);
                finite &= value.is_finite();
            }
            if !finite && let Some(i) = part.iter().position(|v| !v.is_finite()) {
                let at = at + (N * i) as u64;
                let found = part[i];
                wrong.get_or_insert_with(|| {
                    err!(InvalidData, "byte {at}, in {what}: {found}, expected a finite number")
                });
            }
        }
        Ok(wrong)
    }

    /// Takes `n` values as [`Input::floats`], which need not be there: memory grows as they come.
    pub(super) fn many_floats(&mut self, n: usize, what: &str) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        if self.remaining().is_some_and(|left| left / 4 >= n as u64) {
            out = try_vec(n, 0f32)?;
            self.floats(&mut out, what)?;
        }
        while out.len() < n {
            let done = out.len();
            try_grow(&mut out, (2 * done).max(BLOCK / 4).min(n), || 0f32)?;
            self.floats(&mut out[done..], what)?;
        }
        Ok(out)
    }

    /// Takes the bytes before the next `delimiter`, and the delimiter.
    pub(super) fn until(&mut self, delimiter: u8, most: usize, what: &str) -> Result<&[u8]> {
        let (mut seen, mut want) = (0, 256);
        loop {
            self.fill(want)?;
            let bytes = &self.buffer[self.start..self.end];
            let searched = bytes.len().min(most + 1);
            if let Some(i) = bytes[seen.min(searched)..searched].iter().position(|&b| b == delimiter) {
                let start = self.start;
                let len = seen + i;
                self.advance(len + 1);
                return Ok(&self.buffer[start..start + len]);
            }
            ensure!(searched <= most, InvalidData, "{what} at byte {} is longer than {most} bytes", self.position);
            if self.ended {
                return Err(self.truncated(what));
            }
            seen = searched;
            want = (2 * searched).max(want);
        }
    }

    /// The length of the next line, without its line feed; `None` at the end of the input.
    fn line_length(&mut self, most: usize) -> Result<Option<usize>> {
        let (mut seen, mut want) = (0, 1 << 12);
        let len = loop {
            self.fill(want)?;
            let bytes = &self.buffer[self.start..self.end];
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(i) = find(b'\n', &bytes[seen..]) {
                break seen + i;
            }
            if self.ended {
                break bytes.len();
            }
            seen = bytes.len();
            ensure!(seen <= most, InvalidData, "line {} is longer than {most} bytes", self.lines + 1);
            want = (2 * seen).max(want);
        };
        ensure!(len <= most, InvalidData, "line {} is longer than {most} bytes", self.lines + 1);
        Ok(Some(len))
    }

    /// Takes the next line, of at most `most` bytes, without its end (LF or CR LF); `None` at the end of the input.
    pub(super) fn line(&mut self, most: usize) -> Result<Option<&[u8]>> {
        let Some(len) = self.line_length(most)? else { return Ok(None) };
        let start = self.start;
        let after = (len + 1).min(self.end - start);
        self.advance(after);
        self.lines += 1;
        let line = &self.buffer[start..start + len];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// The next line, without taking it.
    pub(super) fn peek_line(&mut self, most: usize) -> Result<&[u8]> {
        let len = self.line_length(most)?.unwrap_or(0);
        let line = &self.buffer[self.start..self.start + len];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// A record's word: the bytes before a space.
    pub(super) fn word(&mut self) -> Result<&[u8]> {
        self.until(b' ', MAX_WORD, "a word")
    }

    /// An error unless nothing is left.
    pub(super) fn expect_end(&mut self, what: &str) -> Result<()> {
        let at = self.position;
        ensure!(self.peek(1)?.is_empty(), InvalidData, "bytes from {at} on, where {what} should be the end");
        Ok(())
    }
}

/// The place of a byte, eight at a time.
fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, _) = bytes.as_chunks::<8>();
    let start = words.iter().position(|word| {
        let x = u64::from_ne_bytes(*word) ^ (ONES * u64::from(byte));
        x.wrapping_sub(ONES) & !x & (ONES << 7) != 0
    });
    let start = start.unwrap_or(words.len()) * 8;
    bytes[start..].iter().position(|&b| b == byte).map(|i| start + i)
}

/// An error on its way through a decompressor; [`Input`] takes it out again.
pub(super) fn to_io(e: Error) -> io::Error {
    match e.kind() {
        crate::ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory.into(),
        _ => io::Error::other(e),
    }
}

impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = out.len().min(bytes.len());
        out[..n].copy_from_slice(&bytes[..n]);
        self.advance(n);
        Ok(n)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill(1).map_err(to_io)?;
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.advance(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::vectors::packing::unpack;

    #[test]
    fn bytes_are_found() {
        for len in 0..40 {
            for at in 0..len {
                let mut bytes = vec![b'x'; len];
                bytes[at] = b'\n';
                bytes[len - 1] = b'\n';
                assert_eq!(find(b'\n', &bytes), Some(at));
            }
            assert_eq!(find(b'\n', &vec![b'\x0b'; len]), None);
        }
    }

    #[test]
    fn lines_and_words_of_any_length() {
        let long = "w".repeat(300_000);
        let (text, raw) = (format!("a\r\n\n{long}\nend"), Cell::new(0));
        let mut input = Input::new(Box::new(text.as_bytes()), "f", None, &raw).unwrap();
        assert_eq!(input.line(9).unwrap(), Some(&b"a"[..]));
        assert_eq!(input.line(9).unwrap(), Some(&b""[..]));
        assert_eq!(input.line(9).unwrap_err().message(), "line 3 is longer than 9 bytes");
        assert_eq!(input.line(300_000).unwrap().map(<[u8]>::len), Some(300_000));
        assert_eq!(input.line(9).unwrap(), Some(&b"end"[..]));
        assert_eq!(input.line(9).unwrap(), None);
        assert_eq!((input.position(), input.line_number()), (text.len() as u64, 4));

        let mut input = Input::new(Box::new(text.as_bytes()), "f", None, &raw).unwrap();
        assert_eq!(input.until(b'\n', 9, "x").unwrap(), b"a\r");
        assert_eq!(input.until(b'\n', 9, "x").unwrap(), b"");
        assert_eq!(input.until(b'\n', 299_999, "x").unwrap_err().message(), "x at byte 4 is longer than 299999 bytes");
        assert_eq!(input.until(b'\n', 300_000, "x").unwrap().len(), 300_000);
        let e = input.until(b'\n', 9, "x").unwrap_err();
        assert_eq!(e.message(), "the file ends at byte 300008, within x that starts at byte 300005");
    }

    /// Fails with that kind.
    struct Failing(io::ErrorKind);

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }

    #[test]
    fn an_error_is_the_same_through_inputs_in_inputs() {
        use crate::ErrorKind;
        let raw = Cell::new(0);
        let through = |inner: Input<'_>| Input::new(Box::new(inner), "f", None, &raw).unwrap().peek(1).unwrap_err();
        let new = |source| Input::new(source, "f", None, &raw).unwrap();
        let inner = Input { limit: 3, packing: Some(Packing::Gzip), ..new(Box::new(&b"more"[..])) };
        let e = through(inner);
        assert_eq!((e.kind(), e.message().contains("more than 3 bytes")), (ErrorKind::InvalidData, true), "{e}");
        for (from, to) in [
            (io::ErrorKind::OutOfMemory, ErrorKind::OutOfMemory),
            (io::ErrorKind::PermissionDenied, ErrorKind::Io),
            (io::ErrorKind::InvalidData, ErrorKind::InvalidData),
        ] {
            for packing in [Packing::Gzip, Packing::Xz] {
                let inner = unpack(new(Box::new(Failing(from))), packing, 9, None).unwrap();
                assert_eq!(through(inner).kind(), to, "{from:?}");
            }
            let zip = unpack(new(Box::new(Failing(from))), Packing::Zip, 9, None);
            assert_eq!(zip.err().unwrap().kind(), to, "{from:?}");
        }
    }
}
