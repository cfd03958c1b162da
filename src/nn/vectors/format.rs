//! Where word vectors come from.

use crate::error::{Result, err};

/// A file format of word vectors.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
