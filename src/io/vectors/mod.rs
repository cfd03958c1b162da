//! Pretrained word vectors: Word2Vec, GloVe, fastText and Navec files into [`WordVectors`], and back.
//!
//! Files are read front to back through a small buffer: memory goes to the words that are kept, not to the file. The format
//! is recognized by content, never by name; gzip, xz and zip are unpacked on the way. Files are hostile: a count is believed
//! only if the file can hold it, words, lines and decompressed bytes have limits, numbers must be finite, and errors say at
//! which byte or line. On an error there is no table at all.

mod binary;
mod collect;
mod fasttext;
mod input;
mod navec;
mod own;
mod quantized;
mod recognize;
mod tar;
#[cfg(test)]
mod tests;
mod text;
mod write;
mod xz;
mod zip;

use super::Shown;
use crate::buffer::{try_box, try_format, try_string};
use crate::error::{Result, ensure, err};
use crate::nn::vectors::WordVectors;
use collect::{Collector, Wanted};
use input::Input;
use recognize::{BOM, LOOK, MAX_HEADER};
use std::cell::Cell;
use std::io::Read;
use std::path::Path;

/// The longest word, in bytes.
pub const MAX_WORD: usize = 1 << 16;
/// The most values in a vector.
pub const MAX_DIM: usize = 1 << 20;

/// A file format of word vectors.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Word2Vec's binary form: a line with two counts; then word, space, f32 values.
    Word2VecBinary = 1,
    /// Word2Vec's text form, which is fastText's `.vec` too: a line with two counts; then a word and its numbers a line.
    Word2VecText = 2,
    /// GloVe's text form: a word and its numbers a line, no counts.
    Glove = 3,
    /// A fastText model (`.bin`, quantized `.ftz`), with vectors of unknown words from their subwords.
    FastText = 4,
    /// Navec's archive of product-quantized vectors.
    Navec = 5,
    /// simdrnn's own form: a safetensors file.
    Safetensors = 6,
}

impl Format {
    /// All of them, in the order of their numbers.
    pub const ALL: [Format; 6] = [
        Format::Word2VecBinary,
        Format::Word2VecText,
        Format::Glove,
        Format::FastText,
        Format::Navec,
        Format::Safetensors,
    ];

    /// `word2vec-binary`, `word2vec-text`, `glove`, `fasttext`, `navec` or `safetensors`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Word2VecBinary => "word2vec-binary",
            Format::Word2VecText => "word2vec-text",
            Format::Glove => "glove",
            Format::FastText => "fasttext",
            Format::Navec => "navec",
            Format::Safetensors => "safetensors",
        }
    }

    /// The format with that number.
    pub fn from_number(number: i32) -> Result<Format> {
        Format::ALL
            .into_iter()
            .find(|&f| f as i32 == number)
            .ok_or_else(|| err!(InvalidArgument, "unknown format {number}, expected 1 to {}", Format::ALL.len()))
    }
}

/// What becomes of words that are not UTF-8.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidUtf8 {
    /// They keep their bytes.
    #[default]
    Keep = 0,
    /// What is invalid becomes U+FFFD.
    Replace = 1,
    /// They are errors.
    Refuse = 2,
}

/// What becomes of a word that comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The first vector counts; the others are counted in [`WordVectors::duplicates`].
    #[default]
    KeepFirst,
    /// It is an error; a restricted reading sees only the words that it keeps.
    Refuse,
}

/// What becomes of rows that cannot be used.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRows {
    /// They are errors.
    #[default]
    Refuse = 0,
    /// They are left out and counted in [`WordVectors::skipped_rows`]: in text lines without a word, with too few or too many
    /// numbers, or with something else than finite numbers; in all formats empty words and, with [`InvalidUtf8::Refuse`],
    /// those that are not UTF-8; in Word2Vec's binary and simdrnn's own form rows with values that are not finite. A
    /// restricted reading looks at the numbers of the words that it keeps only. A file without any row that can be used is
    /// an error.
    Skip = 1,
}

/// How a file is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The format; none: recognized by content.
    pub format: Option<Format>,
    /// The number of values that vectors must have; none: as the file says.
    pub dim: Option<usize>,
    /// Only the first words of the file; the rest of it is not read, and not checked, where that is possible.
    pub limit: Option<usize>,
    /// Words that are not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// Words that come again.
    pub duplicates: Duplicates,
    /// Whether a fastText model keeps its n-grams, for vectors of unknown words. A restricted reading always keeps those
    /// that its words need.
    pub subwords: bool,
    /// In a restricted reading, whether a wanted word may also be matched by a word of the file that equals it but for
    /// case: `paris` by `Paris`.
    pub fold_case: bool,
    /// The most bytes that packed data (gzip, xz, zip), and product-quantized data, may unpack to.
    pub max_decompressed: u64,
    /// Rows that cannot be used.
    pub bad_rows: BadRows,
    /// The name of the member of a zip archive that holds the vectors; none: there is only one, not counting directories and
    /// what macOS adds.
    pub member: Option<String>,
}

impl Default for ReadOptions {
    /// Everything, as it is; packed data up to 16 GiB.
    fn default() -> Self {
        Self {
            format: None,
            dim: None,
            limit: None,
            invalid_utf8: InvalidUtf8::Keep,
            duplicates: Duplicates::KeepFirst,
            subwords: true,
            fold_case: false,
            max_decompressed: 16 << 30,
            bad_rows: BadRows::Refuse,
            member: None,
        }
    }
}

impl WordVectors {
    /// Reads all vectors of a file.
    ///
    /// # Errors
    /// `Io`; `InvalidData`, with the byte or line, for a damaged file; `Unsupported` for
    /// contents of these formats that are not read, and for other files that are known; `ShapeMismatch` where `options.dim` is
    /// another; `InvalidArgument` for a zip archive of several members where `options.member` names none, `NotFound` where it
    /// has none of that name; `OutOfMemory`.
    pub fn open(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        open(path.as_ref(), None, options)
    }

    /// Reads the vectors that `words` need: of words spelled the same, of their lower case, with
    /// [`fold_case`](ReadOptions::fold_case) of any case; from a fastText model also the n-grams of those that it does not
    /// have.
    ///
    /// # Errors
    /// As [`WordVectors::open`].
    pub fn open_for(path: impl AsRef<Path>, words: &[&str], options: &ReadOptions) -> Result<Self> {
        open(path.as_ref(), Some(words), options)
    }

    /// [`WordVectors::open`], or with `words` [`WordVectors::open_for`], from any source of bytes; `name` is for error
    /// texts.
    ///
    /// # Errors
    /// As [`WordVectors::open`].
    pub fn read(source: impl Read, name: &str, words: Option<&[&str]>, options: &ReadOptions) -> Result<Self> {
        read(try_box(source)?, name, None, words, options)
    }
}

fn open(path: &Path, words: Option<&[&str]>, options: &ReadOptions) -> Result<WordVectors> {
    let (file, length) = super::open::open(path)?;
    let name = try_format(format_args!("{}", Shown(path)))?;
    read(try_box(file)?, &name, Some(length), words, options)
}

fn read(
    source: Box<dyn Read + '_>,
    name: &str,
    length: Option<u64>,
    words: Option<&[&str]>,
    options: &ReadOptions,
) -> Result<WordVectors> {
    let raw = Cell::new(0);
    let mut input = Input::new(source, name, length, &raw)?;
    let name = try_string(input.name())?;
    let result = (|| {
        let packing = recognize::packing(input.peek(8)?);
        if let Some(packing) = packing {
            input = input.unpack(packing, options.max_decompressed, options.member.as_deref())?;
        }
        ensure!(
            options.member.is_none() || packing == Some(recognize::Packing::Zip),
            InvalidArgument,
            "the option `member` names a part of a zip archive, which the file is not"
        );
        let wanted = words.map(|words| Wanted::new(words, options.fold_case)).transpose()?;
        read_plain(&mut input, wanted.as_ref(), options)
    })();
    result.map_err(|e| e.context(format_args!("{name}")))
}

fn read_plain(input: &mut Input<'_>, wanted: Option<&Wanted<'_>>, options: &ReadOptions) -> Result<WordVectors> {
    let format = match options.format {
        Some(format) => format,
        None => recognize::format(input.peek(LOOK)?)?,
    };
    let mut rows = Collector::new(options, wanted);
    let mut subwords = None;
    match format {
        Format::Word2VecBinary | Format::Word2VecText => {
            let line = input.line(MAX_HEADER)?.unwrap_or_default();
            let Some((count, dim)) = text::header(line.strip_prefix(BOM).unwrap_or(line)) else {
                return Err(err!(InvalidData, "line 1: expected the number of words and of values"));
            };
            if format == Format::Word2VecText {
                text::read(input, Some((count, dim)), &mut rows)?;
            } else {
                binary::read(input, count, dim, &mut rows)?;
            }
        }
        Format::Glove => {
            if input.peek(3)? == BOM {
                input.skip(3, "a byte order mark")?;
            }
            text::read(input, None, &mut rows)?;
        }
        Format::FastText => {
            let magic = input.array::<4>("the magic number")?;
            ensure!(magic == fasttext::MAGIC, InvalidData, "not a fastText model: it starts with {magic:02X?}");
            subwords = fasttext::read(input, &mut rows)?;
        }
        Format::Navec => navec::read(input, &mut rows)?,
        Format::Safetensors => own::read(input, &mut rows)?,
    }
    rows.finish(subwords)
}
