//! Pretrained word vectors: Word2Vec, GloVe, fastText and Navec files into [`WordVectors`], and back.
//!
//! Files are read front to back through a small buffer: memory goes to the words that are kept, not to the file. The format
//! is recognized by content, never by name; gzip, xz and zip are unpacked on the way. Files are hostile: a count is believed
//! only if the file can hold it, words, lines and decompressed bytes have limits, numbers must be finite, and errors say at
//! which byte or line. On an error there is no table at all.

mod binary;
mod collect;
mod fasttext;
mod fasttext_model;
mod input;
mod lines;
mod navec;
mod options;
mod own;
mod packing;
mod quantized;
mod recognize;
mod tar;
#[cfg(test)]
mod tests;
mod text;
mod write;
mod xz;
mod zip;

use crate::buffer::{try_box, try_format, try_string};
use crate::error::{Result, ensure, err};
pub use crate::nn::vectors::Format;
use crate::nn::vectors::WordVectors;
use crate::shown::Shown;
use collect::{Collector, Wanted};
use input::{Input, Packing};
pub use options::{BadRows, Duplicates, InvalidUtf8, MAX_DIM, MAX_WORD, ReadOptions};
use recognize::{BOM, LOOK, MAX_HEADER};
use std::cell::Cell;
use std::io::Read;
use std::path::Path;

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
        let packing = packing::of(input.peek(8)?);
        if let Some(packing) = packing {
            input = packing::unpack(input, packing, options.max_decompressed, options.member.as_deref())?;
        }
        ensure!(
            options.member.is_none() || packing == Some(Packing::Zip),
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
            let Some((count, dim)) = lines::header(line.strip_prefix(BOM).unwrap_or(line)) else {
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
