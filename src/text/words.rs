//! A list of distinct words, compact in memory, with a way back from a word to its number.

use super::push;
use crate::buffer::try_vec;
use crate::error::{Result, ensure, err};
use std::hash::{BuildHasher, RandomState};

const FREE: u32 = u32::MAX;

/// Distinct words, numbered from 0 in the order they came.
#[derive(Clone, Default)]
pub(super) struct Words {
    /// All words, end to end.
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<usize>,
    /// Open addressing, at most half full, a power of two long: numbers of words. The hash is keyed at random against
    /// chosen words; no result depends on it.
    table: Vec<u32>,
    hasher: RandomState,
}

impl Words {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)?;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        Some(&self.text[start..end])
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i).unwrap_or_default())
    }

    pub(super) fn find(&self, word: &str) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let number = self.table[self.slot(word)];
        (number != FREE).then_some(number)
    }

    /// The word's number, and whether it is new.
    pub(super) fn intern(&mut self, word: &str) -> Result<(u32, bool)> {
        if self.table.len() < 2 * (self.len() + 1) {
            self.grow()?;
        }
        let slot = self.slot(word);
        if self.table[slot] != FREE {
            return Ok((self.table[slot], false));
        }
        let number = self.len();
        ensure!(number < FREE as usize, SizeOverflow, "more than {FREE} distinct words");
        self.text
            .try_reserve(word.len())
            .map_err(|_| err!(OutOfMemory, "could not grow a list of {} words", self.ends.len()))?;
        push(&mut self.ends, self.text.len() + word.len())?;
        self.text.push_str(word);
        self.table[slot] = number as u32;
        Ok((number as u32, true))
    }

    /// The slot that holds the word, or the free one where it belongs.
    fn slot(&self, word: &str) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = self.hasher.hash_one(word) as usize & mask;
        loop {
            match self.table[slot] {
                FREE => return slot,
                number if self.get(number as usize) == Some(word) => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn grow(&mut self) -> Result<()> {
        self.table = try_vec((2 * self.table.len()).max(16), FREE)?;
        for number in 0..self.len() {
            let slot = self.slot(self.get(number).unwrap_or_default());
            self.table[slot] = number as u32;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_words_are_found_again() {
        let mut words = Words::default();
        assert_eq!(words.find("x"), None);
        for round in 0..2 {
            for i in 0..20_000u32 {
                assert_eq!(words.intern(&format!("w{i}")).unwrap(), (i, round == 0));
            }
        }
        assert_eq!(words.len(), 20_000);
        assert_eq!((words.find("w19999"), words.find("w20000"), words.find("")), (Some(19_999), None, None));
        assert_eq!(words.get(7), Some("w7"));
        assert_eq!(words.get(20_000), None);
        assert_eq!(words.iter().nth(11), Some("w11"));
        assert_eq!(words.intern("").unwrap(), (20_000, true));
        assert_eq!(words.get(20_000), Some(""));
    }
}
