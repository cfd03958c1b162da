//! Weight files in the safetensors format: 8 bytes of header length, a JSON header, then the tensors' bytes.
//!
//! Reading trusts nothing: every length and offset is checked before it is used, and a name that appears twice is
//! refused. Writing gives the same bytes for the same tensors, in the layout of the format's own library.

use super::atomic::write_atomic;
use super::convert::{bf16_to_f32, f16_to_f32};
use super::recognize::{self, Foreign, LOOK};
use super::{JsonFault, SaveOptions, io_error, json};
use crate::buffer::{try_copy, try_format, try_string, try_with_capacity};
use crate::error::{Error, Result, check_len, ensure, err, product};
use crate::shown::{Excerpt, Shown};
use safetensors::tensor::{Dtype, TensorInfo};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;

/// The longest header, in bytes, that the format allows.
const MAX_HEADER: usize = 100_000_000;
/// The header's key that holds text instead of a tensor.
const METADATA: &str = "__metadata__";
/// Bytes of a name that an error's text shows.
const SHOWN: usize = 80;

/// Whether a tensor may hold NaN and infinite values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finite {
    /// They are data as any other.
    Any,
    /// They are refused.
    Required,
}

/// A safetensors file in memory, its header checked.
pub struct TensorFile {
    /// The file's name in error texts.
    label: String,
    bytes: Vec<u8>,
    /// Where the tensors' bytes start.
    data: usize,
    metadata: BTreeMap<String, String>,
    /// Sorted by name.
    tensors: Vec<(String, TensorInfo)>,
}

impl TensorFile {
    /// Reads a file. Its header is read first and checked against the file's length: a file that is none costs no memory.
    ///
    /// # Errors
    /// `Io` if the file cannot be read, `OutOfMemory`, `InvalidData` if it is not a whole, consistent safetensors file; other
    /// programs' formats are named.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (mut file, file_length) = super::open::open(path)?;
        let label = try_format(format_args!("{}", Shown(path)))?;
        let named = |e: Error| e.context(format_args!("{label}"));
        let fail = |e: &io::Error| io_error(path, "read", e);
        let mut head = [0; LOOK];
        let head = &mut head[..file_length.min(LOOK as u64) as usize];
        file.read_exact(head).map_err(|e| fail(&e))?;
        let length = length_within(head, file_length).map_err(|e| named(e.or_foreign(head)))?;

        let mut text = try_with_capacity(length).map_err(named)?;
        text.extend_from_slice(&head[8..head.len().min(8 + length)]);
        let missing = (length - text.len()) as u64;
        (&mut file).take(missing).read_to_end(&mut text).map_err(|e| fail(&e))?;
        let header = Header::parse(&text).map_err(|e| named(e.or_foreign(head)))?;
        let left = file_length - 8 - length as u64;
        header.expect_data(left).map_err(named)?;
        drop(text);

        let mut bytes = try_with_capacity(header.data).map_err(named)?;
        bytes.extend_from_slice(&head[head.len().min(8 + length)..]);
        let missing = (header.data - bytes.len()) as u64;
        file.take(missing).read_to_end(&mut bytes).map_err(|e| fail(&e))?;
        // It may have become shorter meanwhile.
        header.expect_data(bytes.len() as u64).map_err(named)?;
        Ok(Self { label, bytes, data: 0, metadata: header.metadata, tensors: header.tensors })
    }

    /// Takes a file's bytes; `label` names them in error texts.
    ///
    /// # Errors
    /// `InvalidData` if they are not a whole, consistent safetensors file; `OutOfMemory`.
    pub fn from_bytes(bytes: Vec<u8>, label: &str) -> Result<Self> {
        let label = try_format(format_args!("{}", Excerpt(label, 160)))?;
        let (data, header) = parse(&bytes).map_err(|e| e.context(format_args!("{label}")))?;
        Ok(Self { label, bytes, data, metadata: header.metadata, tensors: header.tensors })
    }

    /// The error with the file's name before it, if it is not there yet.
    pub(crate) fn named(&self, error: &Error) -> Error {
        match error.message().starts_with(&self.label) {
            true => error.clone(),
            false => error.context(format_args!("{}", self.label)),
        }
    }

    /// The file's name in error texts.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The header's text under `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The tensors' names, in byte order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.info(name).is_ok()
    }

    /// The tensor's shape, outermost dimension first.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.info(name)?.shape)
    }

    /// Reads a tensor of type F32, F64, F16 or BF16 as f32, row-major; F64 is rounded to nearest. On failure `out` is as
    /// it was.
    ///
    /// # Errors
    /// `NotFound`; `ShapeMismatch` if the shape is not `expected_shape` or `out` has another number of values;
    /// `InvalidData` for other types, an F64 beyond the range of f32, and, with [`Finite::Required`], NaN and infinity.
    pub fn read_f32(&self, name: &str, expected_shape: &[usize], finite: Finite, out: &mut [f32]) -> Result<()> {
        let (dtype, data) = self.find(name, expected_shape, out.len())?;
        let narrow = |bytes| f64::from_le_bytes(bytes) as f32;
        match dtype {
            Dtype::F64 => {
                let values = data.as_chunks().0;
                for (i, &bytes) in values.iter().enumerate() {
                    let value = f64::from_le_bytes(bytes);
                    ensure!(
                        !value.is_finite() || (value as f32).is_finite(),
                        InvalidData,
                        "{}: tensor '{}': value {i} is {value:e}, beyond the range of f32",
                        self.label,
                        Excerpt(name, SHOWN)
                    );
                }
                self.copy(name, values, finite, narrow, out)
            }
            Dtype::F32 => self.copy(name, data.as_chunks().0, finite, f32::from_le_bytes, out),
            Dtype::F16 => self.copy(name, data.as_chunks().0, finite, |b| f16_to_f32(u16::from_le_bytes(b)), out),
            Dtype::BF16 => self.copy(name, data.as_chunks().0, finite, |b| bf16_to_f32(u16::from_le_bytes(b)), out),
            _ => Err(self.wrong_type(name, dtype, "F32, F64, F16 or BF16")),
        }
    }

    /// Reads a tensor of an integer type as i64, row-major. On failure `out` is as it was.
    ///
    /// # Errors
    /// `NotFound`; `ShapeMismatch` if the shape is not `expected_shape` or `out` has another number of values;
    /// `InvalidData` for other types and for a U64 above the range of i64.
    pub fn read_i64(&self, name: &str, expected_shape: &[usize], out: &mut [i64]) -> Result<()> {
        fn fill<const N: usize>(data: &[u8], out: &mut [i64], value: impl Fn([u8; N]) -> i64) {
            for (o, &bytes) in out.iter_mut().zip(data.as_chunks().0) {
                *o = value(bytes);
            }
        }
        let (dtype, data) = self.find(name, expected_shape, out.len())?;
        match dtype {
            Dtype::I64 => fill(data, out, i64::from_le_bytes),
            Dtype::I32 => fill(data, out, |b| i32::from_le_bytes(b).into()),
            Dtype::I16 => fill(data, out, |b| i16::from_le_bytes(b).into()),
            Dtype::I8 => fill(data, out, |b| i8::from_le_bytes(b).into()),
            Dtype::U32 => fill(data, out, |b| u32::from_le_bytes(b).into()),
            Dtype::U16 => fill(data, out, |b| u16::from_le_bytes(b).into()),
            Dtype::U8 => fill(data, out, |b| u8::from_le_bytes(b).into()),
            Dtype::U64 => {
                let values = data.as_chunks().0;
                if let Some(i) = values.iter().position(|&b| i64::try_from(u64::from_le_bytes(b)).is_err()) {
                    let (found, name) = (u64::from_le_bytes(values[i]), Excerpt(name, SHOWN));
                    return Err(err!(
                        InvalidData,
                        "{}: tensor '{name}': value {i} is {found}, beyond the range of i64",
                        self.label
                    ));
                }
                fill(data, out, |b| u64::from_le_bytes(b) as i64);
            }
            _ => return Err(self.wrong_type(name, dtype, "an integer type")),
        }
        Ok(())
    }

    fn copy<const N: usize>(
        &self,
        name: &str,
        values: &[[u8; N]],
        finite: Finite,
        convert: impl Fn([u8; N]) -> f32,
        out: &mut [f32],
    ) -> Result<()> {
        if finite == Finite::Required
            && let Some(i) = values.iter().position(|&b| !convert(b).is_finite())
        {
            let (found, name) = (convert(values[i]), Excerpt(name, SHOWN));
            return Err(err!(
                InvalidData,
                "{}: tensor '{name}': value {i} is {found}, expected a finite number; the option allow_non_finite takes it",
                self.label
            ));
        }
        for (o, &bytes) in out.iter_mut().zip(values) {
            *o = convert(bytes);
        }
        Ok(())
    }

    /// Names and shapes of the tensors whose names start with `prefix`; names without it.
    pub(crate) fn under(&self, prefix: &str) -> impl Iterator<Item = (&str, &[usize])> {
        let start = self.tensors.partition_point(|(name, _)| name.as_str() < prefix);
        let rest = self.tensors[start..].iter().map_while(move |(name, info)| Some((name.strip_prefix(prefix)?, info)));
        rest.map(|(name, info)| (name, &info.shape[..]))
    }

    /// An error unless there is a tensor of that name and shape.
    pub(crate) fn expect_shape(&self, name: &str, expected: &[usize]) -> Result<()> {
        let found = &self.info(name)?.shape;
        let (label, name) = (&self.label, Excerpt(name, SHOWN));
        ensure!(
            found == expected,
            ShapeMismatch,
            "{label}: tensor '{name}': expected shape {expected:?}, found {found:?}"
        );
        Ok(())
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        if let Ok(i) = self.tensors.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            return Ok(&self.tensors[i].1);
        }
        let mut e =
            err!(NotFound, "{}: no tensor '{}' among its {}", self.label, Excerpt(name, SHOWN), self.tensors.len());
        for (i, (name, _)) in self.tensors.iter().take(4).enumerate() {
            // Writing into an error cannot fail.
            let _ = fmt::Write::write_fmt(
                &mut e,
                format_args!("{} '{}'", if i == 0 { ", such as" } else { "," }, Excerpt(name, 40)),
            );
        }
        Err(e)
    }

    /// Type and bytes of the tensor if it has that shape and `out_len` is its number of values.
    fn find(&self, name: &str, expected: &[usize], out_len: usize) -> Result<(Dtype, &[u8])> {
        self.expect_shape(name, expected)?;
        let info = self.info(name)?;
        check_len("out", out_len, product(name, expected)?)
            .map_err(|e| e.context(format_args!("tensor '{}'", Excerpt(name, SHOWN))))?;
        let (begin, end) = info.data_offsets;
        Ok((info.dtype, &self.bytes[self.data + begin..self.data + end]))
    }

    fn wrong_type(&self, name: &str, found: Dtype, expected: &str) -> Error {
        err!(InvalidData, "{}: tensor '{}': type {found}, expected {expected}", self.label, Excerpt(name, SHOWN))
    }
}

/// Where the data starts, and the header, consistent with itself and with the number of bytes.
fn parse(bytes: &[u8]) -> Result<(usize, Header)> {
    let head = &bytes[..bytes.len().min(LOOK)];
    let length = length_within(head, bytes.len() as u64).map_err(|e| e.or_foreign(head))?;
    let header = Header::parse(&bytes[8..8 + length]).map_err(|e| e.or_foreign(head))?;
    header.expect_data((bytes.len() - 8 - length) as u64)?;
    Ok((8 + length, header))
}

/// The header's length, which a file of `file_length` bytes that starts with `head` can hold.
fn length_within(head: &[u8], file_length: u64) -> Result<usize> {
    let Some((&length, rest)) = head.split_first_chunk::<8>() else {
        return Err(err!(InvalidData, "header length: expected 8 bytes, the file has {file_length}"));
    };
    let length = header_length(length)?;
    let left = file_length - 8;
    ensure!(length as u64 <= left, InvalidData, "header: expected {length} bytes, the file has {left} of them");
    if let Some(&first) = rest.first().filter(|_| length > 0) {
        let may_start = first == b'{' || first.is_ascii_whitespace();
        ensure!(
            may_start,
            InvalidData,
            "header: it starts with 0x{first:02X}, expected an object with a tensor under each name"
        );
    }
    Ok(length)
}

impl Error {
    /// The error, or a better one, if what starts with `head` is some other program's file.
    fn or_foreign(self, head: &[u8]) -> Self {
        // A header starts with this, a damaged file's too.
        match recognize::foreign(head).filter(|_| head.get(8) != Some(&b'{')) {
            Some(Foreign { what, hint }) => err!(InvalidData, "{what}, expected a safetensors file: {hint}"),
            None => self,
        }
    }
}

/// The header's bytes, as the first eight of a file say.
pub(crate) fn header_length(length: [u8; 8]) -> Result<usize> {
    let length = u64::from_le_bytes(length);
    ensure!(
        length <= MAX_HEADER as u64,
        InvalidData,
        "header length: {length} bytes, expected at most {MAX_HEADER}: not a safetensors file"
    );
    Ok(length as usize)
}

/// The JSON header, consistent with itself.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, String>,
    /// Sorted by name.
    pub(crate) tensors: Vec<(String, TensorInfo)>,
    /// Bytes of all tensors.
    pub(crate) data: usize,
}

impl Header {
    /// An error unless as many bytes follow as the tensors need.
    fn expect_data(&self, found: u64) -> Result<()> {
        let expected = self.data;
        ensure!(
            expected as u64 == found,
            InvalidData,
            "data: the header describes {expected} bytes, the file has {found} of them"
        );
        Ok(())
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let text = str::from_utf8(text)
            .map_err(|e| err!(InvalidData, "header: expected UTF-8, byte {} is not", e.valid_up_to()))?;
        let mut header: Header =
            serde_json::from_str(text).map_err(|e| err!(InvalidData, "header: {}", JsonFault(&e)))?;

        header.tensors.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        for (name, info) in &header.tensors {
            let name = Excerpt(name, SHOWN);
            let (from, to) = info.data_offsets;
            ensure!(
                from == end && to >= from,
                InvalidData,
                "tensor '{name}': data_offsets: expected a start of {end}, found [{from}, {to}]"
            );
            let bits = info.shape.iter().chain([&info.dtype.bitsize()]).try_fold(1usize, |n, &d| n.checked_mul(d));
            ensure!(
                bits.is_some_and(|b| b % 8 == 0 && b / 8 == to - from),
                InvalidData,
                "tensor '{name}': data_offsets: {} bytes do not hold {} values of shape {:?}",
                to - from,
                info.dtype,
                info.shape
            );
            end = to;
        }
        header.data = end;

        header.tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(pair) = header.tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(err!(InvalidData, "tensor '{}': the name appears twice", Excerpt(&pair[0].0, SHOWN)));
        }
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a tensor under each name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut seen = false;
                while let Some(name) = map.next_key::<String>()? {
                    let within = |e: A::Error| de::Error::custom(format_args!("'{}': {e}", Excerpt(&name, SHOWN)));
                    if name != METADATA {
                        let info = map.next_value().map_err(within)?;
                        header.tensors.push((name, info));
                    } else if std::mem::replace(&mut seen, true) {
                        return Err(within(de::Error::custom("appears twice")));
                    } else {
                        let texts: Option<Texts> = map.next_value().map_err(within)?;
                        header.metadata = texts.unwrap_or_default().0;
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// A map of texts without repeated keys.
#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a string under each key")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = Texts::default();
                while let Some(key) = map.next_key::<String>()? {
                    match texts.0.entry(key) {
                        Entry::Vacant(slot) => slot.insert(map.next_value()?),
                        Entry::Occupied(slot) => {
                            let key = Excerpt(slot.key(), SHOWN);
                            return Err(de::Error::custom(format_args!("the key '{key}' appears twice")));
                        }
                    };
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_map(TextsVisitor)
    }
}

/// Collects borrowed tensors and texts for one file.
///
/// ```
/// use simdrnn::io::safetensors::{Finite, TensorFile, TensorWriter};
///
/// let path = std::env::temp_dir().join(format!("simdrnn-doc-{}.safetensors", std::process::id()));
/// let mut writer = TensorWriter::new();
/// writer.tensor("scale", &[1, 2], &[0.5, 2.0])?;
/// writer.metadata("made-by", "an example")?;
/// writer.save(&path)?;
///
/// let file = TensorFile::open(&path)?;
/// let mut scale = [0.0; 2];
/// file.read_f32("scale", &[1, 2], Finite::Required, &mut scale)?;
/// assert_eq!((scale, file.metadata("made-by")), ([0.5, 2.0], Some("an example")));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Default)]
pub struct TensorWriter<'a> {
    options: SaveOptions,
    metadata: Sorted<String>,
    tensors: Sorted<(Vec<usize>, &'a [f32])>,
}

/// Values under names, in the names' byte order.
struct Sorted<T>(Vec<(String, T)>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Sorted<T> {
    /// Where a new name belongs; none if it is taken.
    fn place(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|(n, _)| n.as_str().cmp(name)).err()
    }

    fn insert(&mut self, place: usize, name: &str, value: T) -> Result<()> {
        let name = try_string(name)?;
        self.0.try_reserve(1).map_err(|_| err!(OutOfMemory, "could not grow a list of {} entries", self.0.len()))?;
        self.0.insert(place, (name, value));
        Ok(())
    }
}

impl<'a> TensorWriter<'a> {
    /// Nothing to write yet; NaN and infinite values will be refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing to write yet.
    pub fn with_options(options: SaveOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Adds a row-major tensor of that shape; the values are read when saving.
    ///
    /// # Errors
    /// `InvalidArgument` if the name is taken or is `__metadata__`; `ShapeMismatch` if the shape's product is not the
    /// number of values; `OutOfMemory`.
    pub fn tensor(&mut self, name: &str, shape: &[usize], values: &'a [f32]) -> Result<()> {
        check_len(name, values.len(), product(name, shape)?)?;
        ensure!(name != METADATA, InvalidArgument, "a tensor cannot have the name {METADATA}");
        let place = self.tensors.place(name);
        let place =
            place.ok_or_else(|| err!(InvalidArgument, "two tensors have the name '{}'", Excerpt(name, SHOWN)))?;
        self.tensors.insert(place, name, (try_copy(shape)?, values))
    }

    /// Adds a text.
    ///
    /// # Errors
    /// `InvalidArgument` if the key is taken; `OutOfMemory`.
    pub fn metadata(&mut self, key: &str, text: &str) -> Result<()> {
        let place = self.metadata.place(key);
        let place = place.ok_or_else(|| err!(InvalidArgument, "two texts have the key '{}'", Excerpt(key, SHOWN)))?;
        self.metadata.insert(place, key, try_string(text)?)
    }

    /// Writes the file under a temporary name beside `path`, flushes it to the disk and renames it. On failure `path` is
    /// as it was. Equal content gives equal bytes, in whatever order it was added.
    ///
    /// # Errors
    /// `Io`; `InvalidArgument` if `path` is not a regular file's; `InvalidData` if names and texts exceed the format's
    /// 100 MB, and for values that are not finite, unless the options allow them; `OutOfMemory`.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if !self.options.allow_non_finite {
            self.check_finite().map_err(|e| e.context(format_args!("{}", Shown(path))))?;
        }
        let header = json::to_text(|out| self.header(out)).map_err(|e| e.context(format_args!("{}", Shown(path))))?;
        ensure!(
            header.len() <= MAX_HEADER,
            InvalidData,
            "{}: names and texts take {} bytes, the format allows {MAX_HEADER}",
            Shown(path),
            header.len()
        );
        // Spaces up to a multiple of 8, as the limit is one, keep the tensors aligned for readers that map the file.
        let spaces = &b"       "[..header.len().next_multiple_of(8) - header.len()];
        write_atomic(path, |file| {
            file.write_all(&((header.len() + spaces.len()) as u64).to_le_bytes())?;
            file.write_all(header.as_bytes())?;
            file.write_all(spaces)?;
            self.tensors.0.iter().try_for_each(|(_, (_, values))| write_values(file, values))
        })
    }

    /// Name, shape and values of each tensor.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &'a [f32])> {
        self.tensors.0.iter().map(|(name, (shape, values))| (name.as_str(), &shape[..], *values))
    }

    /// The metadata.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.0.iter().map(|(key, text)| (key.as_str(), text.as_str()))
    }

    /// Names the first value that loading would refuse.
    fn check_finite(&self) -> Result<()> {
        for (name, (_, values)) in &self.tensors.0 {
            if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                let (value, name) = (values[i], Excerpt(name, SHOWN));
                return Err(err!(
                    InvalidData,
                    "cannot save tensor '{name}': value {i} is {value}, expected a finite number, as loading refuses it; \
                     the option allow_non_finite writes it"
                ));
            }
        }
        Ok(())
    }

    fn header(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut separator = "{";
        if !self.metadata.0.is_empty() {
            write!(out, "{{\"{METADATA}\":")?;
            for (i, (key, text)) in self.metadata.0.iter().enumerate() {
                out.write_all(if i == 0 { b"{" } else { b"," })?;
                json::value(out, key)?;
                out.write_all(b":")?;
                json::value(out, text)?;
            }
            out.write_all(b"}")?;
            separator = ",";
        }
        let mut offset = 0;
        for (name, (shape, values)) in &self.tensors.0 {
            out.write_all(separator.as_bytes())?;
            json::value(out, name)?;
            out.write_all(b":{\"dtype\":\"F32\",\"shape\":")?;
            json::value(out, shape)?;
            let end = offset + size_of_val(*values);
            write!(out, ",\"data_offsets\":[{offset},{end}]}}")?;
            (separator, offset) = (",", end);
        }
        out.write_all(if separator == "{" { b"{}" } else { b"}" })
    }
}

fn write_values(file: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    let mut bytes = [0; 1 << 14];
    for chunk in values.chunks(bytes.len() / 4) {
        for (b, v) in bytes.as_chunks_mut().0.iter_mut().zip(chunk) {
            *b = v.to_le_bytes();
        }
        file.write_all(&bytes[..4 * chunk.len()])?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
