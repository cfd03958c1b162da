//! What plain and quantized fastText models share: the dictionary's shape, and which n-grams a reading needs.

use super::collect::Collector;
use super::input::Input;
use crate::buffer::push;
use crate::error::{Result, ensure, err};
use crate::nn::vectors::NGrams;

/// A model's shape.
pub(super) struct Model {
    pub(super) dim: usize,
    pub(super) words: usize,
    pub(super) ngrams: NGrams,
    /// Buckets that pruning has left, ascending, and their rows after the words'; none: all.
    pub(super) pruned: Option<Vec<(u32, u32)>>,
}

impl Model {
    /// Checks the shape of the input matrix at byte `at`.
    pub(super) fn check_shape(&self, height: usize, width: usize, at: u64) -> Result<()> {
        let expected = match &self.pruned {
            Some(left) => self.words.checked_add(left.len()),
            None if self.ngrams.maxn > 0 => self.words.checked_add(self.ngrams.bucket as usize),
            None => None,
        };
        ensure!(
            width == self.dim && height >= self.words && expected.is_none_or(|n| n == height),
            InvalidData,
            "byte {at}: an input matrix of {height} x {width} values for {} words and {} buckets of {} values",
            self.words,
            self.pruned.as_ref().map_or(self.ngrams.bucket as usize, Vec::len),
            self.dim
        );
        Ok(())
    }
}

pub(super) fn int(input: &mut Input<'_>, what: &str) -> Result<i32> {
    input.array(what).map(i32::from_le_bytes)
}

pub(super) fn long(input: &mut Input<'_>, what: &str) -> Result<i64> {
    input.array(what).map(i64::from_le_bytes)
}

/// A count that must not be negative.
pub(super) fn size<T: TryInto<usize> + Copy + std::fmt::Display>(value: T, what: &str, at: u64) -> Result<usize> {
    value.try_into().map_err(|_| err!(InvalidData, "byte {at}: {what} is {value}"))
}

/// The buckets of all words kept and of the wanted words that are not in the dictionary, ascending.
pub(super) fn needed(model: &Model, rows: &Collector<'_>) -> Result<Vec<u32>> {
    let mut ids = Ids::default();
    let mut failed = Ok(());
    let mut add = |word: &[u8]| {
        model.ngrams.for_each(word, |id| {
            if failed.is_ok() {
                failed = ids.push(id);
            }
        });
    };
    rows.words.iter().filter(|w| *w != NGrams::END_OF_SENTENCE).for_each(&mut add);
    for word in rows.wanted.map_or(&[][..], |w| w.words) {
        if rows.words.find(word.as_bytes()).is_none() {
            add(word.as_bytes());
        }
    }
    failed?;
    Ok(ids.into_sorted())
}

/// Numbers, of which each is kept once; memory for about twice as many as there are different ones.
#[derive(Default)]
struct Ids {
    ids: Vec<u32>,
    /// Different ones when they were last counted.
    different: usize,
}

impl Ids {
    /// Fewer are not worth counting.
    const FEW: usize = 1 << 20;

    fn push(&mut self, id: u32) -> Result<()> {
        if self.ids.len() >= Self::FEW.max(2 * self.different) {
            self.ids.sort_unstable();
            self.ids.dedup();
            self.different = self.ids.len();
        }
        push(&mut self.ids, id)
    }

    fn into_sorted(mut self) -> Vec<u32> {
        self.ids.sort_unstable();
        self.ids.dedup();
        self.ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_come_again_take_no_memory() {
        let mut ids = Ids::default();
        for i in 0..3 * Ids::FEW as u32 {
            ids.push(i.wrapping_mul(7) % 1000).unwrap();
        }
        assert!(ids.ids.capacity() <= 2 * Ids::FEW);
        assert_eq!(ids.into_sorted(), (0..1000).collect::<Vec<u32>>());
    }
}
