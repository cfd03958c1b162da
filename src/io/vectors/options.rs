//! How word vectors are read.

use crate::nn::vectors::Format;

/// The longest word, in bytes.
pub const MAX_WORD: usize = 1 << 16;
/// The most values in a vector.
pub const MAX_DIM: usize = 1 << 20;

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
    /// The first vector counts; the others are counted in [`WordVectors::duplicates`](crate::nn::vectors::WordVectors::duplicates).
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
    /// They are left out and counted in [`WordVectors::skipped_rows`](crate::nn::vectors::WordVectors::skipped_rows): in text lines without a word, with too few or too many
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
