//! An embedding table for a vocabulary, and the report of what was found.

use super::WordVectors;
use crate::buffer::{AlignedBuf, try_copy, try_with_capacity};
use crate::error::{Result, check_len, ensure, product};
use crate::nn::Embedding;
use crate::random::Random;
use crate::words::{Words, lower_case};

/// Keeps this use of a seed apart from others of the same seed.
const STREAM: u64 = 0x766e_6b6e_6f77_6e00;

/// The vector of a word that has none.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// Zeros.
    Zero = 0,
    /// The mean of the vectors found for the vocabulary.
    Mean = 1,
    /// Normal values as large as those found (their root mean square), from the seed and the word's place.
    #[default]
    Random = 2,
}

/// How a table is filled.
#[derive(Clone, Copy, Debug)]
pub struct FillOptions {
    /// Words without a vector.
    pub unknown: Unknown,
    /// Decides [`Unknown::Random`].
    pub seed: u64,
    /// Whether a word that neither itself nor its lower case is found takes the first that equals it but for case.
    pub fold_case: bool,
    /// The row that stays zero.
    pub padding: Option<usize>,
}

impl Default for FillOptions {
    /// Random vectors for unknown words, no folding, no padding.
    fn default() -> Self {
        Self { unknown: Unknown::Random, seed: 0, fold_case: false, padding: None }
    }
}

/// Where a word's vector comes from, in the order of trying.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The same word.
    Exact = 0,
    /// Its lower case.
    Lower = 1,
    /// A word that equals it but for case.
    Folded = 2,
    /// Its subwords.
    Subwords = 3,
    /// Nothing was found.
    Missing = 4,
    /// It is the padding row.
    Padding = 5,
}

/// What was found of a vocabulary.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    matches: Vec<Match>,
    counts: Option<Vec<u64>>,
    skipped_rows: u64,
}

impl Coverage {
    /// Every word's match.
    pub fn matches(&self) -> &[Match] {
        &self.matches
    }

    /// Words with that match.
    pub fn words(&self, kind: Match) -> usize {
        self.matches.iter().filter(|m| **m == kind).count()
    }

    /// Occurrences of words with that match; 0 where the counts were not given.
    pub fn tokens(&self, kind: Match) -> u64 {
        let counted = self.matches.iter().zip(self.counts.as_deref().unwrap_or_default());
        counted.filter(|(m, _)| **m == kind).map(|(_, n)| n).sum()
    }

    /// Words with a vector.
    pub fn words_found(&self) -> usize {
        self.matches.len() - self.words_missing() - self.words(Match::Padding)
    }

    /// Words without one.
    pub fn words_missing(&self) -> usize {
        self.words(Match::Missing)
    }

    /// Occurrences of words with a vector; 0 where the counts were not given.
    pub fn tokens_found(&self) -> u64 {
        let all: u64 = self.counts.iter().flatten().sum();
        all - self.tokens_missing() - self.tokens(Match::Padding)
    }

    /// Occurrences of words without one; 0 where the counts were not given.
    pub fn tokens_missing(&self) -> u64 {
        self.tokens(Match::Missing)
    }

    /// Rows of the file that were left out since they cannot be used: [`WordVectors::skipped_rows`].
    pub fn skipped_rows(&self) -> u64 {
        self.skipped_rows
    }

    /// The places of the words without a vector, the most frequent first, equally frequent ones in order.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn missing(&self) -> Result<Vec<usize>> {
        let mut places = try_with_capacity(self.words_missing())?;
        places.extend((0..self.matches.len()).filter(|&i| self.matches[i] == Match::Missing));
        if let Some(counts) = &self.counts {
            places.sort_unstable_by_key(|&i| (std::cmp::Reverse(counts[i]), i));
        }
        Ok(places)
    }
}

impl WordVectors {
    /// A table with a row for each of `words`, and where each row comes from: the word itself, else its lower case, else
    /// (if asked) a word that equals it but for case, else its subwords, else as `options.unknown` says. `counts` are the
    /// words' occurrences, for the report. The table is the same whether the file was read as a whole or for these words.
    ///
    /// # Errors
    /// `ShapeMismatch` if there are not as many counts; `InvalidArgument` if the padding is no row, or none of 2^32 - 2;
    /// `InvalidState` if vectors have no values; `OutOfMemory`.
    pub fn embedding(
        &self,
        words: &[&str],
        counts: Option<&[u64]>,
        options: &FillOptions,
    ) -> Result<(Embedding, Coverage)> {
        let dim = self.dim();
        if let Some(counts) = counts {
            check_len("counts", counts.len(), words.len())?;
        }
        ensure!(dim > 0, InvalidState, "the vectors have no values");
        let mut embedding = Embedding::new(words.len(), dim, options.padding)?;
        let mut matches = try_with_capacity(words.len())?;
        let mut lower = String::new();
        let folded = if options.fold_case { Some(self.folded()?) } else { None };
        for (i, (word, row)) in words.iter().zip(embedding.table_mut().chunks_exact_mut(dim)).enumerate() {
            let found =
                if options.padding == Some(i) { Match::Padding } else { self.look_up(word, &folded, &mut lower, row)? };
            matches.push(found);
        }
        fill_missing(embedding.table_mut(), dim, &matches, options)?;
        let counts = match counts {
            None => None,
            Some(counts) => Some(try_copy(counts)?),
        };
        Ok((embedding, Coverage { matches, counts, skipped_rows: self.skipped_rows }))
    }

    fn look_up(
        &self,
        word: &str,
        folded: &Option<(Words, Vec<u32>)>,
        lower: &mut String,
        row: &mut [f32],
    ) -> Result<Match> {
        let mut take = |index: usize| self.vector(index).map(|v| row.copy_from_slice(v)).is_some();
        if self.find(word).is_some_and(&mut take) {
            return Ok(Match::Exact);
        }
        lower_case(word, lower)?;
        if self.find(lower.as_str()).is_some_and(&mut take) {
            return Ok(Match::Lower);
        }
        if let Some((words, first)) = folded
            && words.find(lower).is_some_and(|i| take(first[i as usize] as usize))
        {
            return Ok(Match::Folded);
        }
        Ok(if self.vector_of(word, row)? { Match::Subwords } else { Match::Missing })
    }

    /// The words in lower case, and the first word with each.
    fn folded(&self) -> Result<(Words, Vec<u32>)> {
        let (mut words, mut first, mut lower) = (Words::default(), Vec::new(), String::new());
        for (i, (word, _)) in self.iter().enumerate() {
            if let Ok(word) = str::from_utf8(word) {
                lower_case(word, &mut lower)?;
                if words.intern(&lower)?.1 {
                    crate::buffer::push(&mut first, i as u32)?;
                }
            }
        }
        Ok((words, first))
    }
}

/// Gives the missing rows their values. Sums run over the rows in order, in f64.
fn fill_missing(table: &mut [f32], dim: usize, matches: &[Match], options: &FillOptions) -> Result<()> {
    let is_found = |m: &Match| !matches!(m, Match::Missing | Match::Padding);
    let found = matches.iter().filter(|m| is_found(m)).count();
    if found == 0 && options.unknown == Unknown::Mean {
        return Ok(());
    }
    let mut sums = AlignedBuf::<f64>::zeroed(dim)?;
    let mut squares = 0.0;
    for (row, _) in table.chunks_exact(dim).zip(matches).filter(|(_, m)| is_found(m)) {
        for (sum, &v) in sums.iter_mut().zip(row) {
            *sum += f64::from(v);
            squares += f64::from(v) * f64::from(v);
        }
    }
    let size = if found == 0 { 1.0 } else { (squares / product("values", &[found, dim])? as f64).sqrt() };
    for (i, (row, kind)) in table.chunks_exact_mut(dim).zip(matches).enumerate() {
        match (kind, options.unknown) {
            (Match::Missing, Unknown::Mean) => {
                row.iter_mut().zip(sums.iter()).for_each(|(v, sum)| *v = (sum / found as f64) as f32);
            }
            (Match::Missing, Unknown::Random) => {
                let mut random = Random::new(options.seed, STREAM ^ (i as u64) << 8);
                row.fill_with(|| (random.normal() * size) as f32);
            }
            _ => {}
        }
    }
    Ok(())
}
