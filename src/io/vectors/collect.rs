//! Where readers put what they read: the words kept and their vectors.

use super::options::{BadRows, Duplicates, InvalidUtf8, MAX_DIM, ReadOptions};
use crate::buffer::reserve_text;
use crate::error::{Error, Result, ensure, err};
use crate::nn::vectors::{Format, Subwords, WordVectors};
use crate::shown::{Excerpt, lossy};
use crate::words::{ByteWords, Words, lower_case};
use std::fmt;

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
    /// Words of the file so far, without those of bad rows.
    offered: u64,
    duplicates: u64,
    skipped: u64,
    /// What is wrong with the first row that was skipped.
    first_skipped: Option<Error>,
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
            skipped: 0,
            first_skipped: None,
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

    /// A row that cannot be used: an error, or counted.
    pub(super) fn bad(&mut self, e: Error) -> Result<()> {
        if self.options.bad_rows == BadRows::Refuse {
            return Err(e);
        }
        self.skipped += 1;
        self.first_skipped.get_or_insert(e);
        Ok(())
    }

    /// What is wrong with a word.
    fn wrong(&self, word: &[u8]) -> Option<Error> {
        if word.is_empty() {
            return Some(err!(InvalidData, "the word is empty"));
        }
        let e = str::from_utf8(word).err().filter(|_| self.options.invalid_utf8 == InvalidUtf8::Refuse)?;
        Some(err!(InvalidData, "the word's byte {} is not UTF-8", e.valid_up_to() + 1))
    }

    /// A word of the file, at a place that errors name: its number among those kept, if it is kept.
    pub(super) fn offer_word(&mut self, word: &[u8], place: fmt::Arguments<'_>) -> Result<Option<usize>> {
        if let Some(e) = self.wrong(word) {
            return self.bad(e.context(place)).map(|()| None);
        }
        self.offered += 1;
        let word = if self.options.invalid_utf8 == InvalidUtf8::Replace && str::from_utf8(word).is_err() {
            self.replaced.clear();
            reserve_text(&mut self.replaced, char::REPLACEMENT_CHARACTER.len_utf8() * word.len())?;
            self.replaced.extend(lossy(word));
            self.replaced.as_bytes()
        } else {
            word
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
        if self.options.duplicates == Duplicates::Refuse {
            return Err(err!(InvalidData, "the word '{}' comes twice", Excerpt(word, 80)).context(place));
        }
        self.duplicates += 1;
        Ok(None)
    }

    /// A word of the file, as [`Collector::offer_word`]; the room for its vector, if it is kept.
    pub(super) fn offer(&mut self, word: &[u8], place: fmt::Arguments<'_>) -> Result<Option<&mut [f32]>> {
        if self.offer_word(word, place)?.is_none() {
            return Ok(None);
        }
        self.push_row().map(Some)
    }

    /// The values of the word that was kept last are bad: it is taken back.
    pub(super) fn take_back(&mut self, e: Error) -> Result<()> {
        self.bad(e)?;
        self.offered -= 1;
        self.words.pop();
        self.values.truncate(self.values.len() - self.dim);
        Ok(())
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

    /// What was read.
    pub(super) fn finish(self, subwords: Option<Subwords>) -> Result<WordVectors> {
        if let Some(e) = self.first_skipped.filter(|_| self.offered == 0) {
            return Err(e.context(format_args!("no row can be used")));
        }
        let mut vectors = WordVectors::from_parts(self.format, self.dim, self.words, self.values, subwords)?;
        (vectors.duplicates, vectors.skipped_rows) = (self.duplicates, self.skipped);
        Ok(vectors)
    }
}
