//! A list of distinct words, compact in memory, with a way back from a word to its number.

use crate::buffer::{push, reserve_text, try_copy, try_vec};
use crate::error::{Result, ensure, err};
use std::hash::{BuildHasher, RandomState};

const FREE: u32 = u32::MAX;

/// Distinct words of any bytes, numbered from 0 in the order they came.
#[derive(Clone, Default)]
pub(crate) struct ByteWords {
    /// All words, end to end.
    text: Vec<u8>,
    /// Where each word ends in `text`.
    ends: Vec<usize>,
    /// Open addressing, at most half full, a power of two long: numbers of words. The hash is keyed at random against
    /// chosen words; no result depends on it.
    table: Vec<u32>,
    hasher: RandomState,
}

impl ByteWords {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// [`Clone`], but short memory is an error.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let (text, ends, table) = (try_copy(&self.text)?, try_copy(&self.ends)?, try_copy(&self.table)?);
        Ok(Self { text, ends, table, hasher: self.hasher.clone() })
    }

    pub(crate) fn get(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        Some(&self.text[start..end])
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i).unwrap_or_default())
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + size_of::<usize>() * self.ends.len() + 4 * self.table.len()
    }

    pub(crate) fn find(&self, word: &[u8]) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let number = self.table[self.slot(word)];
        (number != FREE).then_some(number)
    }

    /// The word's number, and whether it is new.
    pub(crate) fn intern(&mut self, word: &[u8]) -> Result<(u32, bool)> {
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
        self.text.extend_from_slice(word);
        self.table[slot] = number as u32;
        Ok((number as u32, true))
    }

    /// Takes the last word away.
    pub(crate) fn pop(&mut self) {
        let Some(last) = self.len().checked_sub(1) else { return };
        // No word that came before it looked past its slot.
        let slot = self.slot(self.get(last).unwrap_or_default());
        self.table[slot] = FREE;
        self.ends.pop();
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// The slot that holds the word, or the free one where it belongs.
    fn slot(&self, word: &[u8]) -> usize {
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

/// Distinct words in UTF-8, numbered from 0 in the order they came.
#[derive(Clone, Default)]
pub(crate) struct Words(ByteWords);

impl Words {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// [`Clone`], but short memory is an error.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(crate) fn get(&self, number: usize) -> Option<&str> {
        // SAFETY: only whole texts come in, and each comes back as it was.
        self.0.get(number).map(|word| unsafe { str::from_utf8_unchecked(word) })
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i).unwrap_or_default())
    }

    pub(crate) fn find(&self, word: &str) -> Option<u32> {
        self.0.find(word.as_bytes())
    }

    /// The word's number, and whether it is new.
    pub(crate) fn intern(&mut self, word: &str) -> Result<(u32, bool)> {
        self.0.intern(word.as_bytes())
    }
}

/// Makes `lower` the word in lower case, as `str::to_lowercase` does, but short memory is an error. Only for a word with
/// a capital sigma, whose lower case depends on the letters around it, is the standard library asked, which aborts then.
pub(crate) fn lower_case(word: &str, lower: &mut String) -> Result<()> {
    lower.clear();
    if word.contains('Σ') {
        lower.push_str(&word.to_lowercase());
        return Ok(());
    }
    reserve_text(lower, word.chars().flat_map(char::to_lowercase).map(char::len_utf8).sum())?;
    lower.extend(word.chars().flat_map(char::to_lowercase));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_case_is_that_of_the_standard_library() {
        let mut lower = String::new();
        for c in '\0'..=char::MAX {
            let word = format!("X{c}y");
            lower_case(&word, &mut lower).unwrap();
            assert_eq!(lower, word.to_lowercase());
        }
        for word in ["", "ΟΔΥΣΣΕΥΣ", "İstanbul", "ЖАР-птица", "Σ"] {
            lower_case(word, &mut lower).unwrap();
            assert_eq!(lower, word.to_lowercase());
        }
    }

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
