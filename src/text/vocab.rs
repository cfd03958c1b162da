//! Words and their numbers.

use super::{Tokenizer, push};
use crate::buffer::{reserve_text, try_format, try_with_capacity};
use crate::error::{Result, ensure, err};
use crate::shown::Excerpt;
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
    tokenizer: Tokenizer,
    words: Words,
    counts: Vec<u64>,
}

impl WordCounts {
    /// Nothing seen yet; texts will be cut by `tokenizer`.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self { tokenizer: *tokenizer, ..Self::default() }
    }

    /// How texts are cut.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Counts a text's tokens.
    ///
    /// # Errors
    /// `OutOfMemory`; the counts then hold some of the tokens.
    pub fn add_text(&mut self, text: &str) -> Result<()> {
        let tokenizer = self.tokenizer;
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

/// How a vocabulary is made of the texts of a training file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VocabOptions {
    /// How texts are cut and normalized, from now on and for ever: the vocabulary keeps it.
    pub tokenizer: Tokenizer,
    /// Words seen less often are unknown ones.
    pub min_count: u64,
    /// The most entries, the two special ones included.
    pub max_size: usize,
}

impl Default for VocabOptions {
    /// Every word, in lower case.
    fn default() -> Self {
        Self { tokenizer: Tokenizer { lowercase: true, nfc: false }, min_count: 1, max_size: usize::MAX }
    }
}

/// A fixed list of words, and how texts are cut into them: number [`PAD`] is `<pad>`, [`UNKNOWN`] is `<unk>`, the rest are
/// words.
///
/// ```
/// use simdrnn::text::{Tokenizer, Vocab};
///
/// let vocab = Vocab::from_words(["good", "film"], &Tokenizer { lowercase: true, nfc: false })?;
/// let mut ids = Vec::new();
/// vocab.encode("A GOOD film!", &mut ids)?;
/// assert_eq!(ids, [1, 2, 3, 1]); // "a" and "!" are unknown
/// assert_eq!(vocab.word(2), Some("good"));
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Clone)]
pub struct Vocab {
    tokenizer: Tokenizer,
    words: Words,
    mark: u64,
}

/// An error unless the special entries have room.
pub(super) fn check_size(max_size: usize) -> Result<()> {
    ensure!(max_size >= 2, InvalidArgument, "max_size is {max_size}, expected at least 2: <pad> and <unk>");
    Ok(())
}

/// Which vocabulary numbers belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VocabId {
    tokenizer: Tokenizer,
    len: usize,
    mark: u64,
}

impl VocabId {
    /// An error unless the texts' numbers are those of `vocab`.
    pub(super) fn check(&self, vocab: &Vocab) -> Result<()> {
        let (theirs, own) = (self, vocab.identity());
        ensure!(
            theirs.tokenizer == own.tokenizer,
            InvalidArgument,
            "the data were read with {}, expected {} as the vocabulary says",
            Said(&theirs.tokenizer),
            Said(&own.tokenizer)
        );
        ensure!(
            *theirs == own,
            InvalidArgument,
            "the data have the numbers of another vocabulary, of {} entries, expected this one's, of {}",
            theirs.len,
            own.len
        );
        Ok(())
    }
}

/// A tokenizer as error texts and vocabularies' first lines have it.
struct Said<'a>(&'a Tokenizer);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lowercase={} nfc={}", self.0.lowercase, self.0.nfc)
    }
}

impl Vocab {
    /// The words seen at least `min_count` times, the most frequent first, equally frequent ones in byte order; of these
    /// the first that make at most `max_size` entries, the two special ones included.
    ///
    /// # Errors
    /// `InvalidArgument` if `max_size` is below 2; `OutOfMemory`.
    pub fn from_counts(counts: &WordCounts, min_count: u64, max_size: usize) -> Result<Self> {
        check_size(max_size)?;
        let mut chosen: Vec<(u64, &str)> = try_with_capacity(counts.len())?;
        let seen = counts.counts.iter().copied().zip(counts.words.iter());
        chosen.extend(seen.filter(|(n, w)| *n >= min_count && !w.is_empty() && !SPECIAL.contains(w)));
        chosen.sort_unstable_by(|(n, a), (m, b)| m.cmp(n).then(a.cmp(b)));
        chosen.truncate(max_size - 2);
        Self::from_words(chosen.into_iter().map(|(_, word)| word), &counts.tokenizer)
    }

    /// These words, in this order, from number 2 on; texts are cut by `tokenizer`.
    ///
    /// # Errors
    /// `InvalidData` if a word is empty, comes twice, is one of the special ones, or is one that `tokenizer` never gives
    /// since it would change it (capital letters with `lowercase`); `OutOfMemory`.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>, tokenizer: &Tokenizer) -> Result<Self> {
        let mut vocab = Self { tokenizer: *tokenizer, words: Words::default(), mark: 0xcbf2_9ce4_8422_2325 };
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
        Ok(Self { words: self.words.try_clone()?, ..*self })
    }

    fn append(&mut self, word: &str) -> Result<()> {
        ensure!(!word.is_empty(), InvalidData, "word {} is empty", self.words.len());
        ensure!(
            self.tokenizer.keeps(word),
            InvalidData,
            "word {} is '{}', which no text has with {}",
            self.words.len(),
            Excerpt(word, 80),
            Said(&self.tokenizer)
        );
        let (number, new) = self.words.intern(word)?;
        ensure!(
            new,
            InvalidData,
            "the word '{}' comes twice, as numbers {number} and {}",
            Excerpt(word, 80),
            self.words.len()
        );
        // FNV-1a; no word has the byte that ends it.
        for byte in word.bytes().chain([0xFF]) {
            self.mark = (self.mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }

    /// How texts are cut and normalized.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What tells this vocabulary from others.
    pub(super) fn identity(&self) -> VocabId {
        VocabId { tokenizer: self.tokenizer, len: self.len(), mark: self.mark }
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
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<()> {
        let before = out.len();
        let result = self.tokenizer.for_each(text, |token| push(out, self.id(token)));
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// The tokenizer in a line and all entries, one a line, for a file's metadata; `\`, line feed and carriage return in a word are
    /// written `\\`, `\n` and `\r`.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn to_text(&self) -> Result<String> {
        let bytes =
            self.words.iter().map(|w| 1 + w.bytes().map(|b| 1 + usize::from(escape(b).is_some())).sum::<usize>());
        let bytes = bytes.sum();
        let mut out = try_format(format_args!("{FIRST_LINE}{}\n", Said(&self.tokenizer)))?;
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
    /// `InvalidData` if the first line is no tokenizer, the next two are not `<pad>` and `<unk>`, or a line is empty, comes
    /// twice, has another escape or is a word that the tokenizer would change; `OutOfMemory`.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let tokenizer = parse_tokenizer(lines.next().unwrap_or_default())?;
        for (i, expected) in SPECIAL.into_iter().enumerate() {
            let found = lines.next().unwrap_or_default();
            ensure!(
                found == expected,
                InvalidData,
                "vocabulary: entry {i}: expected '{expected}', found '{}'",
                Excerpt(found, 80)
            );
        }
        let mut vocab = Self::from_words([], &tokenizer)?;
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

/// What a vocabulary's text starts with.
const FIRST_LINE: &str = "tokenizer ";

fn parse_tokenizer(line: &str) -> Result<Tokenizer> {
    let flag = |text: &str, name: &str| match text.strip_prefix(name)? {
        "=true" => Some(true),
        "=false" => Some(false),
        _ => None,
    };
    let found = line.strip_prefix(FIRST_LINE).and_then(|said| {
        let (lowercase, nfc) = said.split_once(' ')?;
        Some(Tokenizer { lowercase: flag(lowercase, "lowercase")?, nfc: flag(nfc, "nfc")? })
    });
    found.ok_or_else(|| {
        let expected = "'tokenizer lowercase=' and ' nfc=' with true or false each";
        err!(InvalidData, "vocabulary: the first line is '{}', expected {expected}", Excerpt(line, 80))
    })
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

    const AS_IS: Tokenizer = Tokenizer { lowercase: false, nfc: false };
    const LOWER: Tokenizer = Tokenizer { lowercase: true, nfc: false };

    fn counted(text: &str) -> WordCounts {
        let mut counts = WordCounts::new(&LOWER);
        counts.add_text(text).unwrap();
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
        let v = Vocab::from_words(["good", "bad", "!"], &LOWER).unwrap();
        assert_eq!((v.id("good"), v.id("!"), v.id("ugly"), v.id("<pad>")), (2, 4, UNKNOWN, PAD));
        assert_eq!((v.word(3), v.word(5)), (Some("bad"), None));
        let mut out = vec![9];
        v.encode("Good, BAD!", &mut out).unwrap();
        assert_eq!(out, [9, 2, UNKNOWN, 3, 4]);
        // A special entry's spelling in a text is punctuation and a word.
        out.clear();
        v.encode("<pad>", &mut out).unwrap();
        assert_eq!(out, [UNKNOWN; 3]);
        // Cut as the vocabulary says.
        for (tokenizer, good, cafe) in
            [(AS_IS, UNKNOWN, UNKNOWN), (LOWER, 2, UNKNOWN), (Tokenizer { lowercase: true, nfc: true }, 2, 3)]
        {
            let v = Vocab::from_words(["good", "caf\u{e9}"], &tokenizer).unwrap();
            out.clear();
            v.encode("Good good Cafe\u{301}", &mut out).unwrap();
            assert_eq!((&out[..], *v.tokenizer()), (&[good, 2, cafe][..], tokenizer));
        }
    }

    #[test]
    fn text_round_trip() {
        let words = ["plain", "two words", "tab\t", "line\nfeed", "\r", "\\n", "\\", "🙂", "\u{2028}"];
        let v = Vocab::from_words(words, &AS_IS).unwrap();
        let text = v.to_text().unwrap();
        assert_eq!(text.lines().count(), 1 + v.len());
        let back = Vocab::from_text(&text).unwrap();
        assert_eq!(back.identity(), v.identity());
        assert_eq!(listed(&back), listed(&v));
        assert_eq!(back.id("line\nfeed"), 5);
        assert_eq!(Vocab::from_text(text.trim_end_matches('\n')).unwrap().len(), v.len());
    }

    #[test]
    fn broken_texts() {
        let first = "tokenizer lowercase=true nfc=false\n";
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
            ("<pad>\n<unk>\nb\nA", "entry 3: word 3 is 'A', which no text has with lowercase=true nfc=false"),
        ] {
            let e = Vocab::from_text(&format!("{first}{text}")).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidData);
            assert!(e.message().contains(part), "{text:?}: {e}");
        }
        for line in [
            "",
            "<pad>",
            "tokenizer",
            "tokenizer lowercase=true",
            "tokenizer lowercase=1 nfc=0",
            "tokenizer lowercase=true nfc=true more",
        ] {
            let e = Vocab::from_text(&format!("{line}\n<pad>\n<unk>\n")).unwrap_err();
            assert!(e.message().contains(&format!("the first line is '{line}'")), "{e}");
        }
        assert!(Vocab::from_words(["a", "<unk>"], &AS_IS).is_err());
    }
    #[test]
    fn numbers_of_another_vocabulary_are_told_apart() {
        let made = |words: &[&str], tokenizer| Vocab::from_words(words.iter().copied(), &tokenizer).unwrap();
        let v = made(&["a", "bc"], LOWER);
        assert!(v.identity().check(&made(&["a", "bc"], LOWER)).is_ok());
        assert!(v.identity().check(&v.try_clone().unwrap()).is_ok());
        for words in [&["a"][..], &["bc", "a"], &["ab", "c"], &["a", "bc", "d"]] {
            let e = v.identity().check(&made(words, LOWER)).unwrap_err();
            assert!(e.message().contains("another vocabulary, of 4 entries"), "{e}");
        }
        for tokenizer in [AS_IS, Tokenizer { lowercase: true, nfc: true }] {
            let e = v.identity().check(&made(&["a", "bc"], tokenizer)).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument);
            let said = format!("expected lowercase={} nfc={}", tokenizer.lowercase, tokenizer.nfc);
            assert!(e.message().contains("with lowercase=true nfc=false") && e.message().contains(&said), "{e}");
        }
    }

    /// As many as are allowed, exactly, and of equal ones the first by bytes.
    #[test]
    fn limits_are_met() {
        let counts = counted("d d d c c b b a");
        for max in 2..8 {
            let v = Vocab::from_counts(&counts, 0, max).unwrap();
            assert_eq!(listed(&v)[2..], ["d", "b", "c", "a"][..(max - 2).min(4)]);
        }
        for (min, n) in [(1, 4), (2, 3), (3, 1), (4, 0)] {
            assert_eq!(Vocab::from_counts(&counts, min, 100).unwrap().len(), 2 + n, "{min}");
        }
    }
}
