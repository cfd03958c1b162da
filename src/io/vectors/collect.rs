//! Where readers put what they read: the words kept and their vectors.

use super::{Duplicates, Format, InvalidUtf8, MAX_DIM, ReadOptions};
use crate::buffer::reserve_text;
use crate::error::{Result, ensure, err};
use crate::io::{Excerpt, lossy};
use crate::words::{ByteWords, Words, lower_case};

/// The words that a restricted reading keeps: their own spelling and their lower case.
pub(super) struct Wanted<'w> {
    pub(super) words: &'w [&'w str],
    exact: Words,
    lower: Words,
    fold: bool,
}

impl<'w> Wanted<'w> {
    pub(super) fn new(words: &'w [&'w str], fold: bool) -> Result<Self> {
        let (mut exact, mut lower, mut folded) = (Words::default(), Words::default(), String::new());
        for word in words {
            exact.intern(word)?;
            lower_case(word, &mut folded)?;
            lower.intern(&folded)?;
        }
        Ok(Self { words, exact, lower, fold })
    }

    fn has(&self, word: &[u8], folded: &mut String) -> Result<bool> {
        let Ok(word) = str::from_utf8(word) else { return Ok(false) };
        let is_known = self.exact.find(word).or_else(|| self.lower.find(word)).is_some();
        if is_known || !self.fold {
            return Ok(is_known);
        }
        lower_case(word, folded)?;
        Ok(self.lower.find(folded).is_some())
    }
}

/// Words and vectors as they come in.
pub(super) struct Collector<'a> {
    options: &'a ReadOptions,
    pub(super) wanted: Option<&'a Wanted<'a>>,
    format: Format,
    dim: usize,
    pub(super) words: ByteWords,
    pub(super) values: Vec<f32>,
    /// Words of the file so far.
    offered: u64,
    pub(super) duplicates: u64,
    /// The last word in lower case, and made UTF-8.
    folded: String,
    replaced: String,
}

impl<'a> Collector<'a> {
    pub(super) fn new(options: &'a ReadOptions, wanted: Option<&'a Wanted<'a>>) -> Self {
        Self {
            options,
            wanted,
            format: Format::Glove,
            dim: 0,
            words: ByteWords::default(),
            values: Vec::new(),
            offered: 0,
            duplicates: 0,
            folded: String::new(),
            replaced: String::new(),
        }
    }

    /// Says what will come: vectors of `dim` values that take at least `bytes` bytes each, `count` of them where the file
    /// tells, which has `remaining` bytes where that is known. A count that cannot be true is refused before memory is
    /// taken for it.
    pub(super) fn start(
        &mut self,
        format: Format,
        dim: usize,
        count: Option<u64>,
        bytes: u64,
        remaining: Option<u64>,
    ) -> Result<()> {
        ensure!(dim > 0 && dim <= MAX_DIM, InvalidData, "vectors of {dim} values, expected 1 to {MAX_DIM}");
        if let Some(expected) = self.options.dim {
            ensure!(dim == expected, ShapeMismatch, "vectors have {dim} values, expected {expected}");
        }
        (self.format, self.dim) = (format, dim);
        let Some(count) = count else { return Ok(()) };
        ensure!(count < u64::from(u32::MAX), InvalidData, "{count} words, expected less than {}", u32::MAX);
        let Some(remaining) = remaining else { return Ok(()) };
        let least = u128::from(count) * (dim as u128 * u128::from(bytes));
        ensure!(
            least <= u128::from(remaining) + 1,
            InvalidData,
            "{count} words of {dim} values need {least} bytes at least, the file has {remaining} left"
        );
        if self.wanted.is_none() {
            self.reserve(self.options.limit.map_or(count, |l| count.min(l as u64)) as usize)?;
        }
        Ok(())
    }

    /// Takes memory for `count` more vectors; a count that has been checked.
    pub(super) fn reserve(&mut self, count: usize) -> Result<()> {
        let more = count.checked_mul(self.dim);
        let reserved = more.is_some_and(|n| self.values.try_reserve_exact(n).is_ok());
        ensure!(reserved, OutOfMemory, "could not allocate {count} vectors of {} values", self.dim);
        crate::buffer::advise_huge(self.values.as_mut_ptr().cast(), 4 * self.values.capacity());
        Ok(())
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn options(&self) -> &ReadOptions {
        self.options
    }

    /// Values of a vector; 0 before [`Collector::start`].
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Whether as many words have come as the caller wants to see.
    pub(super) fn is_full(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.offered >= limit as u64)
    }

    /// A word of the file: its number among those kept, if it is kept.
    pub(super) fn offer_word(&mut self, word: &[u8]) -> Result<Option<usize>> {
        self.offered += 1;
        ensure!(!word.is_empty(), InvalidData, "the word is empty");
        let word = match (self.options.invalid_utf8, str::from_utf8(word)) {
            (InvalidUtf8::Keep, _) | (_, Ok(_)) => word,
            (InvalidUtf8::Replace, Err(_)) => {
                self.replaced.clear();
                reserve_text(&mut self.replaced, char::REPLACEMENT_CHARACTER.len_utf8() * word.len())?;
                self.replaced.extend(lossy(word));
                self.replaced.as_bytes()
            }
            (InvalidUtf8::Refuse, Err(e)) => {
                return Err(err!(InvalidData, "the word's byte {} is not UTF-8", e.valid_up_to() + 1));
            }
        };
        if let Some(wanted) = self.wanted
            && !wanted.has(word, &mut self.folded)?
        {
            return Ok(None);
        }
        let (number, new) = self.words.intern(word)?;
        if new {
            return Ok(Some(number as usize));
        }
        ensure!(
            self.options.duplicates == Duplicates::KeepFirst,
            InvalidData,
            "the word '{}' comes twice",
            Excerpt(word, 80)
        );
        self.duplicates += 1;
        Ok(None)
    }

    /// A word of the file; the room for its vector, if it is kept.
    pub(super) fn offer(&mut self, word: &[u8]) -> Result<Option<&mut [f32]>> {
        if self.offer_word(word)?.is_none() {
            return Ok(None);
        }
        self.push_row().map(Some)
    }

    /// Room for one more vector.
    pub(super) fn push_row(&mut self) -> Result<&mut [f32]> {
        let start = self.values.len();
        let before = self.values.capacity();
        let reserved = self.values.try_reserve(self.dim).is_ok();
        ensure!(reserved, OutOfMemory, "could not grow a table of {} vectors", start / self.dim);
        if self.values.capacity() != before {
            crate::buffer::advise_huge(self.values.as_mut_ptr().cast(), 4 * self.values.capacity());
        }
        self.values.resize(start + self.dim, 0.0);
        Ok(&mut self.values[start..])
    }
}
