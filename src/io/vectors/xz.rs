//! The xz container (tukaani.org/xz/xz-file-format.txt), as much as `xz` writes by default: LZMA2 alone, checked by nothing,
//! CRC32 or CRC64. The data themselves are unpacked by `lzma-rust2`, whose window grows with what comes out of it.

use super::input::{Input, to_io};
use crate::buffer::push;
use crate::error::{Error, Result, ensure, err};
use flate2::Crc;
use lzma_rust2::Lzma2Reader;
use std::io::{self, Read};

const MAGIC: [u8; 6] = *b"\xFD7zXZ\0";
const LZMA2: u64 = 0x21;

/// What the streams of `input` hold, one after another.
pub(super) struct Xz<'a> {
    /// Between blocks.
    input: Option<Input<'a>>,
    block: Option<Block<'a>>,
    /// The kind of check of the stream's blocks; none between streams.
    check: Option<u8>,
    /// Bytes of each block, packed and unpacked, of this stream.
    blocks: Vec<(u64, u64)>,
    /// Whether a stream has been read.
    some: bool,
}

struct Block<'a> {
    reader: Lzma2Reader<Counted<'a>>,
    header: u64,
    /// Packed and unpacked bytes as the header says.
    claimed: [Option<u64>; 2],
    unpacked: u64,
    crc32: Crc,
    crc64: u64,
}

/// Counts what is taken.
struct Counted<'a> {
    input: Input<'a>,
    count: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(out)?;
        self.count += n as u64;
        Ok(n)
    }
}

fn damaged(what: &str) -> Error {
    err!(InvalidData, "xz data are damaged: {what}")
}

/// A field of a header that has been checked.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Result<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = bytes.next().ok_or_else(|| damaged("a number is cut off"))?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number is too long"))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

impl<'a> Xz<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        Self { input: Some(input), block: None, check: None, blocks: Vec::new(), some: false }
    }

    fn input(&mut self) -> Result<&mut Input<'a>> {
        self.input.as_mut().ok_or_else(|| damaged("it failed before"))
    }

    /// Goes on to the next block; `false` at the end.
    fn next_block(&mut self) -> Result<bool> {
        loop {
            if self.check.is_none() && !self.start_stream()? {
                return Ok(false);
            }
            let [size] = self.input()?.array("an xz block's header")?;
            if size != 0 {
                self.start_block(size)?;
                return Ok(true);
            }
            self.end_stream()?;
        }
    }

    fn start_stream(&mut self) -> Result<bool> {
        let some = self.some;
        let input = self.input()?;
        // Streams are padded by multiples of four zeros.
        while some && input.peek(4)? == [0; 4] {
            input.skip(4, "padding")?;
        }
        if some && input.peek(1)?.is_empty() {
            return Ok(false);
        }
        let head = input.array::<12>("an xz stream's header")?;
        ensure!(head[..6] == MAGIC, InvalidData, "xz data are damaged: no stream where one should start");
        let sum = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        ensure!(crc32(&head[6..8]) == sum, InvalidData, "xz data are damaged: a stream's header has another checksum");
        let check = head[7];
        ensure!(
            head[6] == 0 && matches!(check, 0 | 1 | 4),
            Unsupported,
            "xz data with a check of type {check}, expected none, CRC32 or CRC64"
        );
        (self.check, self.some) = (Some(check), true);
        self.blocks.clear();
        Ok(true)
    }

    fn start_block(&mut self, size: u8) -> Result<()> {
        let length = 4 * (usize::from(size) + 1);
        let mut header = [0u8; 1024];
        header[0] = size;
        header[1..length].copy_from_slice(self.input()?.bytes(length - 1, "an xz block's header")?);
        let (fields, sum) = header[..length].split_at(length - 4);
        ensure!(
            crc32(fields).to_le_bytes() == *sum,
            InvalidData,
            "xz data are damaged: a block's header has another checksum"
        );
        let flags = fields[1];
        let mut bytes = fields[2..].iter().copied();
        let mut claimed = [None; 2];
        for (claimed, flag) in claimed.iter_mut().zip([0x40, 0x80]) {
            if flags & flag != 0 {
                *claimed = Some(number(&mut bytes)?);
            }
        }
        let (filter, properties) = (number(&mut bytes)?, number(&mut bytes)?);
        ensure!(
            flags & 0x3F == 0 && filter == LZMA2 && properties == 1,
            Unsupported,
            "xz data with filters before LZMA2, expected LZMA2 alone"
        );
        let window = bytes.next().unwrap_or(u8::MAX);
        ensure!(window <= 40 && bytes.all(|b| b == 0), InvalidData, "xz data are damaged: a block's header");
        let window = if window == 40 { u32::MAX } else { (2 | u32::from(window & 1)) << (window / 2 + 11) };
        let input = self.input.take().ok_or_else(|| damaged("it failed before"))?;
        let reader = Lzma2Reader::new(Counted { input, count: 0 }, window, None);
        let header = length as u64;
        self.block = Some(Block { reader, header, claimed, unpacked: 0, crc32: Crc::new(), crc64: !0 });
        Ok(())
    }

    /// Checks a block that has ended, and what is said about it.
    fn end_block(&mut self) -> Result<()> {
        let Some(block) = self.block.take() else { return Ok(()) };
        let Counted { mut input, count: packed } = block.reader.into_inner();
        for (claimed, found) in block.claimed.into_iter().zip([packed, block.unpacked]) {
            ensure!(
                claimed.is_none_or(|claimed| claimed == found),
                InvalidData,
                "xz data are damaged: a block has {found} bytes, its header says {}",
                claimed.unwrap_or(0)
            );
        }
        for _ in 0..packed.wrapping_neg() % 4 {
            ensure!(input.array("padding")? == [0], InvalidData, "xz data are damaged: the padding of a block");
        }
        let (right, check) = match self.check {
            Some(1) => (input.array("a checksum")? == block.crc32.sum().to_le_bytes(), 4),
            Some(4) => (input.array("a checksum")? == (!block.crc64).to_le_bytes(), 8),
            _ => (true, 0),
        };
        ensure!(right, InvalidData, "xz data are damaged: a block has another checksum");
        self.input = Some(input);
        push(&mut self.blocks, (block.header + packed + check, block.unpacked))
    }

    /// Checks the list of blocks at a stream's end, whose first byte has been taken.
    fn end_stream(&mut self) -> Result<()> {
        let blocks = std::mem::take(&mut self.blocks);
        let check = self.check.take();
        let mut index = Index { input: self.input()?, crc: Crc::new(), length: 0 };
        index.crc.update(&[0]);
        index.length += 1;
        let mut same = index.number()? == blocks.len() as u64;
        for (packed, unpacked) in blocks {
            same = same && index.number()? == packed && index.number()? == unpacked;
        }
        ensure!(same, InvalidData, "xz data are damaged: the list of blocks is that of others");
        while !index.length.is_multiple_of(4) {
            ensure!(index.byte()? == 0, InvalidData, "xz data are damaged: the padding of the list of blocks");
        }
        let Index { input, crc, length } = index;
        let sum: [u8; 4] = input.array("a checksum")?;
        let footer: [u8; 12] = input.array("an xz stream's end")?;
        let size = u32::from_le_bytes([footer[4], footer[5], footer[6], footer[7]]);
        ensure!(
            sum == crc.sum().to_le_bytes()
                && footer[..4] == crc32(&footer[4..10]).to_le_bytes()
                && 4 * (u64::from(size) + 1) == length + 4
                && (footer[8], Some(footer[9])) == (0, check)
                && footer[10..] == *b"YZ",
            InvalidData,
            "xz data are damaged: the end of a stream"
        );
        Ok(())
    }
}

/// The list of blocks.
struct Index<'i, 'a> {
    input: &'i mut Input<'a>,
    crc: Crc,
    length: u64,
}

impl Index<'_, '_> {
    fn byte(&mut self) -> Result<u8> {
        let [byte] = self.input.array("the list of blocks")?;
        self.crc.update(&[byte]);
        self.length += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64> {
        let mut failed = None;
        let mut bytes = std::iter::from_fn(|| self.byte().map_err(|e| failed = Some(e)).ok());
        let number = number(&mut bytes);
        failed.map_or(number, Err)
    }
}

impl Read for Xz<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(block) = &mut self.block {
                let n = block.reader.read(out)?;
                if n > 0 {
                    block.unpacked += n as u64;
                    match self.check {
                        Some(1) => block.crc32.update(&out[..n]),
                        Some(4) => block.crc64 = crc64(block.crc64, &out[..n]),
                        _ => {}
                    }
                    return Ok(n);
                }
                if out.is_empty() {
                    return Ok(0);
                }
                self.end_block().map_err(to_io)?;
            }
            if !self.next_block().map_err(to_io)? {
                return Ok(0);
            }
        }
    }
}

/// CRC64 of ECMA-182, bits reflected.
fn crc64(start: u64, bytes: &[u8]) -> u64 {
    const TABLE: [u64; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut value, mut bit) = (i as u64, 0);
            while bit < 8 {
                value = (value >> 1) ^ (0xC96C_5795_D787_0F42 * (value & 1));
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    bytes.iter().fold(start, |crc, &b| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ b)])
}
