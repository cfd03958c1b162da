//! Zip archives, front to back: members stored or deflated, one of them the word vectors. What is read is checked against
//! its checksum, and the directory at the end must have as many members as there are.

use super::input::{Input, to_io};
use crate::buffer::{reserve_text, try_copy};
use crate::error::{Result, ensure, err};
use crate::shown::Excerpt;
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::fmt::Write;
use std::io::{self, BufRead, Read};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const END: [u8; 4] = *b"PK\x05\x06";
/// Names that an error lists.
const LISTED: usize = 8;

/// A member, as the header before it says.
struct Entry {
    name: Vec<u8>,
    is_deflated: bool,
    /// Checksum and sizes come behind the data.
    is_open: bool,
    /// Sizes behind the data have eight bytes.
    is_64: bool,
    crc: u32,
    packed: u64,
    size: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The next member's header; `None` at the directory.
fn next(input: &mut Input<'_>) -> Result<Option<Entry>> {
    let at = input.position();
    let head = input.peek(4)?;
    if [CENTRAL, END_64, END].iter().any(|magic| head == magic) {
        return Ok(None);
    }
    ensure!(head == LOCAL, InvalidData, "zip data are damaged at byte {at}: no member and no directory");
    let header = input.array::<30>("a zip member's header")?;
    let (flags, method) = (u16_at(&header, 6), u16_at(&header, 8));
    let (crc, mut packed, mut size) =
        (u32_at(&header, 14), u64::from(u32_at(&header, 18)), u64::from(u32_at(&header, 22)));
    let name = try_copy(input.bytes(u16_at(&header, 26).into(), "a zip member's name")?)?;
    let mut extra = input.bytes(u16_at(&header, 28).into(), "a zip member's header")?;
    let mut is_64 = false;
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + length) else { break };
        if id == 1 {
            is_64 = true;
            let mut values = field.as_chunks::<8>().0.iter().map(|v| u64::from_le_bytes(*v));
            for value in [&mut size, &mut packed] {
                if *value == u64::from(u32::MAX) {
                    *value = values.next().ok_or_else(|| err!(InvalidData, "zip data are damaged: no size"))?;
                }
            }
        }
        extra = &extra[4 + length..];
    }
    let shown = Excerpt(&name, 80);
    ensure!(flags & 1 == 0, Unsupported, "the zip archive's member '{shown}' is encrypted");
    ensure!(
        matches!(method, 0 | 8),
        Unsupported,
        "the zip archive's member '{shown}' is packed by method {method}, expected 0 (stored) or 8 (deflated)"
    );
    let is_open = flags & 8 != 0;
    // Some directories have a size behind nothing.
    let is_sized = !is_open || method == 8 || name.ends_with(b"/");
    ensure!(is_sized, Unsupported, "the zip archive's member '{shown}' is stored without a size");
    Ok(Some(Entry { name, is_deflated: method == 8, is_open, is_64, crc, packed, size }))
}

/// Whether it could be meant: no directory, and nothing that macOS adds.
fn is_candidate(name: &[u8]) -> bool {
    let base = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
    !base.is_empty() && base[0] != b'.' && !name.starts_with(b"__MACOSX/")
}

/// The data of a member that come next in `input`.
struct Packed<'a> {
    input: Input<'a>,
    left: u64,
}

impl Read for Packed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.input.read(&mut out[..n])?;
        self.left -= n as u64;
        Ok(n)
    }
}

impl BufRead for Packed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.input.fill_buf()?;
        Ok(&bytes[..bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, n: usize) {
        self.left -= n as u64;
        self.input.consume(n);
    }
}

enum Body<'a> {
    Stored(Packed<'a>),
    Deflated(DeflateDecoder<Packed<'a>>),
}

impl<'a> Body<'a> {
    fn new(input: Input<'a>, entry: &Entry) -> Self {
        let left = if entry.is_open && entry.is_deflated { u64::MAX } else { entry.packed };
        let packed = Packed { input, left };
        if entry.is_deflated { Body::Deflated(DeflateDecoder::new(packed)) } else { Body::Stored(packed) }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Body::Stored(packed) => packed.read(out),
            Body::Deflated(decoder) => decoder.read(out),
        }
    }

    fn into_packed(self) -> Packed<'a> {
        match self {
            Body::Stored(packed) => packed,
            Body::Deflated(decoder) => decoder.into_inner(),
        }
    }
}

/// A member that is being unpacked.
struct Unpacking<'a> {
    body: Body<'a>,
    entry: Entry,
    crc: Crc,
    size: u64,
}

impl<'a> Unpacking<'a> {
    fn new(input: Input<'a>, entry: Entry) -> Self {
        Self { body: Body::new(input, &entry), entry, crc: Crc::new(), size: 0 }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.body.read(out)?;
        self.crc.update(&out[..n]);
        self.size += n as u64;
        Ok(n)
    }

    /// Checks what has been read to its end; what follows it.
    fn end(self) -> Result<(Input<'a>, Vec<u8>)> {
        let Packed { mut input, left } = self.body.into_packed();
        let Entry { name, is_deflated, is_open, is_64, mut crc, mut packed, mut size } = self.entry;
        let used = if is_open && is_deflated { u64::MAX } else { packed } - left;
        if is_open {
            if input.peek(4)? == DESCRIPTOR {
                input.skip(4, "a zip member's sizes")?;
            }
            crc = u32::from_le_bytes(input.array("a zip member's checksum")?);
            let mut number = || -> Result<u64> {
                Ok(if is_64 {
                    u64::from_le_bytes(input.array("a zip member's sizes")?)
                } else {
                    u32::from_le_bytes(input.array("a zip member's sizes")?).into()
                })
            };
            (packed, size) = (number()?, number()?);
        }
        let (found, unpacked) = (self.crc.sum(), self.size);
        ensure!(
            (found, unpacked, used) == (crc, size, packed),
            InvalidData,
            "zip data are damaged: '{}' has checksum {found:08x} and {unpacked} bytes from {used}, expected {crc:08x} \
             and {size} from {packed}",
            Excerpt(&name, 80)
        );
        Ok((input, name))
    }
}

/// Takes a member and forgets it. A size that is not known is found by unpacking.
fn pass<'a>(mut input: Input<'a>, entry: Entry) -> Result<Input<'a>> {
    if !entry.is_open {
        input.skip(entry.packed, "a zip member")?;
        return Ok(input);
    }
    let limit = input.most_unpacked();
    let (mut unpacking, mut scratch) = (Unpacking::new(input, entry), [0; 4096]);
    loop {
        let n = unpacking.read(&mut scratch).map_err(|e| err!(InvalidData, "zip data are damaged: {e}"))?;
        if n == 0 {
            return Ok(unpacking.end()?.0);
        }
        ensure!(unpacking.size <= limit, InvalidData, "a zip member unpacks to more than {limit} bytes");
    }
}

/// The member of an archive that was asked for, or the only one.
pub(super) struct Member<'a> {
    unpacking: Option<Unpacking<'a>>,
    is_named: bool,
    /// Members before it.
    before: u64,
}

impl<'a> Member<'a> {
    /// Goes to the member.
    pub(super) fn open(mut input: Input<'a>, name: Option<&str>) -> Result<Self> {
        let (mut before, mut names) = (0, Names::default());
        while let Some(entry) = next(&mut input)? {
            let is_it = name.map_or(is_candidate(&entry.name), |name| name.as_bytes() == entry.name);
            if is_it {
                let unpacking = Some(Unpacking::new(input, entry));
                return Ok(Self { unpacking, is_named: name.is_some(), before });
            }
            names.add(&entry.name)?;
            (input, before) = (pass(input, entry)?, before + 1);
        }
        let what = Excerpt(name.unwrap_or("of vectors"), 80);
        Err(err!(NotFound, "the zip archive has no member '{what}'; it has {} others: {}", names.1, names.0))
    }

    /// Looks at what follows the member.
    fn end(&mut self) -> Result<()> {
        let Some(unpacking) = self.unpacking.take() else { return Ok(()) };
        let (mut input, name) = unpacking.end()?;
        let (mut count, mut names) = (self.before + 1, Names::default());
        names.add(&name)?;
        while let Some(entry) = next(&mut input)? {
            ensure!(entry.name != name, InvalidData, "the zip archive's member '{}' comes twice", Excerpt(&name, 80));
            if is_candidate(&entry.name) {
                names.add(&entry.name)?;
            }
            (input, count) = (pass(input, entry)?, count + 1);
        }
        ensure!(
            self.is_named || names.1 == 1,
            InvalidArgument,
            "the zip archive has several members, and the option `member` names none: {}",
            names.0
        );
        directory(&mut input, count)
    }
}

/// Checks that the directory has `count` members and the archive an end.
fn directory(input: &mut Input<'_>, count: u64) -> Result<()> {
    let mut found = 0;
    loop {
        let magic = input.array::<4>("a zip archive's directory")?;
        match magic {
            CENTRAL => {
                let header = input.array::<42>("a zip archive's directory")?;
                let lengths = [24, 26, 28].map(|at| u64::from(u16_at(&header, at)));
                input.skip(lengths.iter().sum(), "a zip archive's directory")?;
                found += 1;
            }
            END_64 => {
                let size = u64::from_le_bytes(input.array("a zip archive's end")?);
                input.skip(size, "a zip archive's end")?;
            }
            LOCATOR_64 => input.skip(16, "a zip archive's end")?,
            END => {
                let end = input.array::<18>("a zip archive's end")?;
                input.skip(u16_at(&end, 16).into(), "a zip archive's end")?;
                break;
            }
            _ => return Err(err!(InvalidData, "zip data are damaged: the directory")),
        }
    }
    ensure!(
        found == count,
        InvalidData,
        "the zip archive's directory has {found} members, but there are {count} in the archive"
    );
    input.expect_end("the zip archive's end")
}

/// A list for an error's text, and its length.
#[derive(Default)]
struct Names(String, usize);

impl Names {
    fn add(&mut self, name: &[u8]) -> Result<()> {
        if self.1 < LISTED {
            // Each byte may become an escape.
            reserve_text(&mut self.0, 2 + 10 * 40)?;
            let _ = write!(self.0, "{}'{}'", if self.1 == 0 { "" } else { ", " }, Excerpt(name, 40));
        }
        self.1 += 1;
        Ok(())
    }
}

impl Read for Member<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(unpacking) = &mut self.unpacking else { return Ok(0) };
        let n = unpacking.read(out)?;
        if n == 0 && !out.is_empty() {
            self.end().map_err(to_io)?;
        }
        Ok(n)
    }
}
