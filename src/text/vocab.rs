//! Words and their numbers.

use super::{Tokenizer, push};
use crate::buffer::{reserve_text, try_with_capacity};
use crate::error::{Result, ensure, err};
use crate::io::Excerpt;
use crate::words::Words;
use std::fmt;

/// The number that fills short texts of a batch.
pub const PAD: u32 = 0;
/// The number of every word that is not in the vocabulary.
pub const UNKNOWN: u32 = 1;
const SPECIAL: [&str; 2] = ["<pad>", "<unk>"];

/// How often each word was seen.
#[derive(Clone, Default)]
pub struct WordCounts {
    words: Words,
    counts: Vec<u64>,
}

impl WordCounts {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a text's tokens.
    ///
    /// # Errors
    /// `OutOfMemory`; the counts then hold some of the tokens.
    pub fn add_text(&mut self, tokenizer: &Tokenizer, text: &str) -> Result<()> {
        tokenizer.for_each(text, |token| self.add(token).map(drop))
    }

    /// Counts one word and gives its number: words are numbered from 0 in the order they came.
    pub(super) fn add(&mut self, word: &str) -> Result<u32> {
        let number = match self.words.find(word) {
            Some(number) => number,
            // The count first: a failure leaves as many of the ones as of the others.
            None => {
                push(&mut self.counts, 0)?;
                let new = self.words.intern(word);
                new.inspect_err(|_| self.counts.truncate(self.words.len()))?.0
            }
        };
        self.counts[number as usize] += 1;
        Ok(number)
    }

    /// Different words seen.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often that word was seen.
    pub fn count(&self, word: &str) -> u64 {
        self.words.find(word).map_or(0, |i| self.counts[i as usize])
    }

    /// The words in the order they came.
    pub(super) fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter()
    }
}

/// A fixed list of words: number [`PAD`] is `<pad>`, [`UNKNOWN`] is `<unk>`, the rest are words.
#[derive(Clone)]
pub struct Vocab {
    words: Words,
}

impl Vocab {
    /// The words seen at least `min_count` times, the most frequent first, equally frequent ones in byte order; of these
    /// the first that make at most `max_size` entries, the two special ones included.
    ///
    /// # Errors
    /// `InvalidArgument` if `max_size` is below 2; `OutOfMemory`.
    pub fn from_counts(counts: &WordCounts, min_count: u64, max_size: usize) -> Result<Self> {
        ensure!(max_size >= 2, InvalidArgument, "max_size is {max_size}, expected at least 2: <pad> and <unk>");
        let mut chosen: Vec<(u64, &str)> = try_with_capacity(counts.len())?;
        let seen = counts.counts.iter().copied().zip(counts.words.iter());
        chosen.extend(seen.filter(|(n, w)| *n >= min_count && !w.is_empty() && !SPECIAL.contains(w)));
        chosen.sort_unstable_by(|(n, a), (m, b)| m.cmp(n).then(a.cmp(b)));
        chosen.truncate(max_size - 2);
        Self::from_words(chosen.into_iter().map(|(_, word)| word))
    }

    /// These words, in this order, from number 2 on.
    ///
    /// # Errors
    /// `InvalidData` if a word is empty, comes twice, or is one of the special ones; `OutOfMemory`.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut vocab = Self { words: Words::default() };
        for word in SPECIAL.into_iter().chain(words) {
            vocab.append(word)?;
        }
        Ok(vocab)
    }

    /// [`Clone`], but short memory is an error.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { words: self.words.try_clone()? })
    }

    fn append(&mut self, word: &str) -> Result<()> {
        ensure!(!word.is_empty(), InvalidData, "word {} is empty", self.words.len());
        let (number, new) = self.words.intern(word)?;
        ensure!(
            new,
            InvalidData,
            "the word '{}' comes twice, as numbers {number} and {}",
            Excerpt(word, 80),
            self.words.len()
        );
        Ok(())
    }

    /// Entries, the two special ones included.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// The word's number, [`UNKNOWN`] if it has none.
    pub fn id(&self, word: &str) -> u32 {
        self.words.find(word).unwrap_or(UNKNOWN)
    }

    /// The word with that number.
    pub fn word(&self, id: u32) -> Option<&str> {
        self.words.get(id as usize)
    }

    /// Appends the numbers of the text's tokens to `out`.
    ///
    /// # Errors
    /// `OutOfMemory`; `out` is then as it was.
    pub fn encode(&self, text: &str, tokenizer: &Tokenizer, out: &mut Vec<u32>) -> Result<()> {
        let before = out.len();
        let result = tokenizer.for_each(text, |token| push(out, self.id(token)));
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// All entries as one text, one a line, for a file's metadata; `\`, line feed and carriage return in a word are
    /// written `\\`, `\n` and `\r`.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn to_text(&self) -> Result<String> {
        let bytes =
            self.words.iter().map(|w| 1 + w.bytes().map(|b| 1 + usize::from(escape(b).is_some())).sum::<usize>());
        let bytes = bytes.sum();
        let mut out = String::new();
        reserve_text(&mut out, bytes)?;
        for word in self.words.iter() {
            for c in word.chars() {
                match u8::try_from(c).ok().and_then(escape) {
                    Some(e) => out.extend(['\\', e]),
                    None => out.push(c),
                }
            }
            out.push('\n');
        }
        Ok(out)
    }

    /// Reads what [`Vocab::to_text`] wrote.
    ///
    /// # Errors
    /// `InvalidData` if the first two lines are not `<pad>` and `<unk>`, or a line is empty, comes twice, or has another
    /// escape; `OutOfMemory`.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        for (i, expected) in SPECIAL.into_iter().enumerate() {
            let found = lines.next().unwrap_or_default();
            ensure!(
                found == expected,
                InvalidData,
                "vocabulary: entry {i}: expected '{expected}', found '{}'",
                Excerpt(found, 80)
            );
        }
        let mut vocab = Self::from_words([])?;
        let mut word = String::new();
        for line in lines {
            unescape(line, &mut word)
                .and_then(|()| vocab.append(&word))
                .map_err(|e| e.context(format_args!("vocabulary: entry {}", vocab.len())))?;
        }
        Ok(vocab)
    }
}

impl fmt::Debug for Vocab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocab of {} entries", self.len())
    }
}

/// The letter that stands for a byte after a backslash.
fn escape(byte: u8) -> Option<char> {
    match byte {
        b'\\' => Some('\\'),
        b'\n' => Some('n'),
        b'\r' => Some('r'),
        _ => None,
    }
}

fn unescape(line: &str, word: &mut String) -> Result<()> {
    word.clear();
    reserve_text(word, line.len())?;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        word.push(match c {
            '\\' => match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('r') => '\r',
                _ => return Err(err!(InvalidData, "'{}' has an unknown escape", Excerpt(line, 80))),
            },
            c => c,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn counted(text: &str) -> WordCounts {
        let mut counts = WordCounts::new();
        counts.add_text(&Tokenizer { lowercase: true }, text).unwrap();
        counts
    }

    fn listed(v: &Vocab) -> Vec<&str> {
        (0..v.len() as u32).map(|i| v.word(i).unwrap()).collect()
    }

    #[test]
    fn order_is_count_then_bytes() {
        let counts = counted("b a c A b, z ж b a z");
        assert_eq!((counts.count("a"), counts.count("b"), counts.count("q"), counts.len()), (3, 3, 0, 6));
        let v = Vocab::from_counts(&counts, 1, usize::MAX).unwrap();
        assert_eq!(listed(&v), ["<pad>", "<unk>", "a", "b", "z", ",", "c", "ж"]);
        assert_eq!(listed(&Vocab::from_counts(&counts, 2, usize::MAX).unwrap()), ["<pad>", "<unk>", "a", "b", "z"]);
        assert_eq!(listed(&Vocab::from_counts(&counts, 0, 4).unwrap()), ["<pad>", "<unk>", "a", "b"]);
        assert_eq!(Vocab::from_counts(&counts, 9, 2).unwrap().len(), 2);
        let e = Vocab::from_counts(&counts, 1, 1).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn numbers_and_texts() {
        let v = Vocab::from_words(["good", "bad", "!"]).unwrap();
        assert_eq!((v.id("good"), v.id("!"), v.id("ugly"), v.id("<pad>")), (2, 4, UNKNOWN, PAD));
        assert_eq!((v.word(3), v.word(5)), (Some("bad"), None));
        let mut out = vec![9];
        v.encode("Good, BAD!", &Tokenizer { lowercase: true }, &mut out).unwrap();
        assert_eq!(out, [9, 2, UNKNOWN, 3, 4]);
        v.encode("Good", &Tokenizer::default(), &mut out).unwrap();
        assert_eq!(out[5..], [UNKNOWN]);
        // A special entry's spelling in a text is punctuation and a word.
        out.clear();
        v.encode("<pad>", &Tokenizer::default(), &mut out).unwrap();
        assert_eq!(out, [UNKNOWN; 3]);
    }

    #[test]
    fn text_round_trip() {
        let words = ["plain", "two words", "tab\t", "line\nfeed", "\r", "\\n", "\\", "🙂", "\u{2028}"];
        let v = Vocab::from_words(words).unwrap();
        let text = v.to_text().unwrap();
        assert_eq!(text.lines().count(), v.len());
        let back = Vocab::from_text(&text).unwrap();
        assert_eq!(listed(&back), listed(&v));
        assert_eq!(back.id("line\nfeed"), 5);
        assert_eq!(Vocab::from_text(text.trim_end_matches('\n')).unwrap().len(), v.len());
    }

    #[test]
    fn broken_texts() {
        for (text, part) in [
            ("", "entry 0: expected '<pad>', found ''"),
            ("<pad>\n", "entry 1: expected '<unk>'"),
            ("<unk>\n<pad>\n", "entry 0: expected '<pad>', found '<unk>'"),
            ("<pad>\r\n<unk>\r\n", "entry 0: expected '<pad>', found '<pad>\\r'"),
            ("<pad>\n<unk>\na\nb\na\n", "entry 4: the word 'a' comes twice, as numbers 2 and 4"),
            ("<pad>\n<unk>\n<pad>\n", "entry 2: the word '<pad>' comes twice"),
            ("<pad>\n<unk>\n\nb\n", "entry 2: word 2 is empty"),
            ("<pad>\n<unk>\na\\x\n", "entry 2: 'a\\x' has an unknown escape"),
            ("<pad>\n<unk>\na\\", "has an unknown escape"),
        ] {
            let e = Vocab::from_text(text).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidData);
            assert!(e.message().contains(part), "{text:?}: {e}");
        }
        assert!(Vocab::from_words(["a", "<unk>"]).is_err());
    }
}
