//! A text as words and punctuation.
//!
//! A *character* here is what a reader sees as one (a grapheme cluster, UAX #29): a letter with its combining marks, an
//! emoji with its skin tone or its joined family, a flag. Then:
//!
//! - A word is a maximal run of letters and digits, with single apostrophes and hyphens kept inside it: `don't`,
//!   `кто-то`, `rock'n'roll`; but in `'tis-` the outer two are tokens of their own.
//! - Where a script writes no spaces between words (ideographs, hiragana, Thai, Lao, Khmer, Myanmar and their kin), each
//!   character is a token.
//! - Spaces, control characters and invisible format characters separate tokens and are none themselves; a soft hyphen
//!   inside a word disappears.
//! - Every other character is a token.
//!
//! A token longer than [`MAX_TOKEN`] bytes is cut into several. Unless [`Tokenizer::nfc`] says otherwise, `é` as one code
//! point and as two are different tokens.

use crate::buffer::reserve_text;
use crate::error::Result;
use crate::words::lower_case;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_stream_safe, is_nfc_stream_safe_quick};
use unicode_segmentation::UnicodeSegmentation;

/// The longest token, in bytes of the text.
pub const MAX_TOKEN: usize = 256;

const SOFT_HYPHEN: char = '\u{AD}';

/// Cuts texts into tokens and normalizes them. A [`Vocab`](super::Vocab) keeps the one that its words come from.
///
/// ```
/// let tokenizer = simdrnn::text::Tokenizer { lowercase: false, nfc: false };
/// assert_eq!(tokenizer.split("Not bad, really.").collect::<Vec<_>>(), ["Not", "bad", ",", "really", "."]);
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokenizer {
    /// Whether tokens are in lower case, by Unicode's rules that depend on no language.
    pub lowercase: bool,
    /// Whether texts and tokens are brought to Unicode's form NFC, so that `é` as one code point and as two (names of files
    /// on macOS, texts from the web) give the same token. Of more than 30 marks on one letter, it puts U+034F between some
    /// (UAX #15, Stream-Safe Text Format).
    pub nfc: bool,
}

impl Tokenizer {
    /// The tokens as they stand in the text: soft hyphens and case are kept, and nothing is brought to NFC.
    pub fn split<'a>(&self, text: &'a str) -> Split<'a> {
        Split { rest: text }
    }

    /// Calls `each` with every token, in lower case and in NFC if asked, until one call fails. Allocates only for words with
    /// capital letters outside ASCII, words with soft hyphens, and what is not in NFC but shall be.
    ///
    /// # Errors
    /// What `each` returns; `OutOfMemory`.
    pub fn for_each(&self, text: &str, each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        if !self.nfc || is_composed(text) {
            return self.for_each_as_is(text, each);
        }
        let mut composed = String::new();
        compose(text, &mut composed)?;
        self.for_each_as_is(&composed, each)
    }

    /// [`Tokenizer::for_each`] on a text that needs no NFC any more.
    fn for_each_as_is(&self, text: &str, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let mut ascii = [0; MAX_TOKEN];
        let (mut visible, mut lower, mut composed) = (String::new(), String::new(), String::new());
        // What was changed may be in NFC no more: there is a small t with two dots, but no capital one.
        let mut changed = |token: &str| {
            if !self.nfc || is_composed(token) {
                return each(token);
            }
            compose(token, &mut composed)?;
            each(&composed)
        };
        for token in self.split(text) {
            if token.contains(SOFT_HYPHEN) {
                visible.clear();
                reserve_text(&mut visible, token.len())?;
                visible.extend(token.chars().filter(|&c| c != SOFT_HYPHEN));
                if self.lowercase {
                    lower_case(&visible, &mut lower)?;
                }
                changed(if self.lowercase { &lower } else { &visible })?;
            } else if !self.lowercase || !token.chars().any(changes) {
                changed(token)?;
            } else if token.is_ascii() {
                let lower = &mut ascii[..token.len()];
                lower.copy_from_slice(token.as_bytes());
                lower.make_ascii_lowercase();
                changed(str::from_utf8(lower).unwrap_or(token))?;
            } else {
                lower_case(token, &mut lower)?;
                changed(&lower)?;
            }
        }
        Ok(())
    }

    /// Whether [`Tokenizer::for_each`] could give this word: nothing in it that it would have changed.
    pub(super) fn keeps(&self, word: &str) -> bool {
        !(self.lowercase && word.chars().any(changes)) && (!self.nfc || is_nfc_stream_safe(word))
    }

    /// Whether a text has a token.
    pub(super) fn finds_any(&self, text: &str) -> bool {
        self.split(text).next().is_some()
    }
}

/// Whether a text is in NFC beyond doubt.
fn is_composed(text: &str) -> bool {
    text.is_ascii() || is_nfc_stream_safe_quick(text.chars()) == IsNormalized::Yes
}

/// Makes `composed` the text in NFC.
fn compose(text: &str, composed: &mut String) -> Result<()> {
    composed.clear();
    reserve_text(composed, text.len())?;
    for c in text.chars().stream_safe().nfc() {
        reserve_text(composed, c.len_utf8())?;
        composed.push(c);
    }
    Ok(())
}

/// Whether lower-casing alters the character.
fn changes(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_uppercase() } else { !c.is_lowercase() && c.to_lowercase().ne([c]) }
}

/// The tokens of a text, borrowed from it.
#[derive(Clone, Debug)]
pub struct Split<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let first = cluster(self.rest)?;
            let mut end = first.len();
            match kind(first) {
                Kind::Space => {
                    self.rest = &self.rest[end..];
                    continue;
                }
                Kind::Joiner if first.starts_with(SOFT_HYPHEN) => {
                    self.rest = &self.rest[end..];
                    continue;
                }
                Kind::Word => {
                    while let Some(more) = continuation(&self.rest[end..])
                        && end + more <= MAX_TOKEN
                    {
                        end += more;
                    }
                }
                Kind::Joiner | Kind::Single => {}
            }
            let (token, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(token);
        }
    }
}

/// The bytes by which a word goes on: a character of the word, or a joiner and one.
fn continuation(rest: &str) -> Option<usize> {
    let next = cluster(rest)?;
    match kind(next) {
        Kind::Word => Some(next.len()),
        Kind::Joiner => {
            let after = cluster(&rest[next.len()..])?;
            (kind(after) == Kind::Word).then_some(next.len() + after.len())
        }
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Space,
    /// Belongs to a word.
    Word,
    /// Belongs to a word if inside one.
    Joiner,
    /// A token by itself.
    Single,
}

fn kind(cluster: &str) -> Kind {
    let mut chars = cluster.chars();
    let Some(c) = chars.next() else { return Kind::Space };
    match c {
        '\'' | '-' | '\u{2019}' | '\u{FF07}' | '\u{2010}' | '\u{2011}' | SOFT_HYPHEN if chars.next().is_none() => {
            Kind::Joiner
        }
        _ if c.is_whitespace() || c.is_control() || is_invisible(c) => Kind::Space,
        _ if c.is_alphanumeric() && !is_unspaced(c) => Kind::Word,
        _ => Kind::Single,
    }
}

/// Format characters without a shape of their own.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// Letters of scripts that write no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{E00}'..='\u{EFF}' // Thai, Lao
        | '\u{1000}'..='\u{109F}' | '\u{A9E0}'..='\u{A9FF}' | '\u{AA60}'..='\u{AA7F}' // Myanmar
        | '\u{1780}'..='\u{17FF}' | '\u{19E0}'..='\u{19FF}' // Khmer
        | '\u{1950}'..='\u{19DF}' | '\u{1A20}'..='\u{1AAF}' | '\u{AA80}'..='\u{AADF}' // Tai Le, Lue, Tham, Viet
        | '\u{A980}'..='\u{A9DF}' // Javanese
        | '\u{2E80}'..='\u{2FDF}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' // radicals, numerals
        | '\u{3041}'..='\u{309F}' | '\u{1B001}'..='\u{1B152}' // hiragana
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Letters and signs that never form a cluster with one another (only CR with LF, both spaces here).
fn stands_alone(c: char) -> bool {
    matches!(c, '\0'..='\u{2FF}' | '\u{370}'..='\u{482}' | '\u{48A}'..='\u{52F}')
}

/// The first character as a reader sees it, at most [`MAX_TOKEN`] bytes of it.
fn cluster(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if stands_alone(first) && chars.next().is_none_or(stands_alone) {
        return Some(&text[..first.len_utf8()]);
    }
    // The bound keeps a text of nothing but combining marks from costing quadratic time.
    let mut bound = text.len().min(MAX_TOKEN);
    while !text.is_char_boundary(bound) {
        bound -= 1;
    }
    text[..bound].graphemes(true).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn tokens(text: &str) -> Vec<&str> {
        Tokenizer::default().split(text).collect()
    }

    fn normalized(tokenizer: Tokenizer, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        tokenizer
            .for_each(text, |t| {
                out.push(t.to_owned());
                Ok(())
            })
            .unwrap();
        out
    }

    fn lower(text: &str) -> Vec<String> {
        normalized(Tokenizer { lowercase: true, nfc: false }, text)
    }

    #[test]
    fn words_and_punctuation() {
        assert_eq!(
            tokens("I don't know... (it's 3.14, «кто-то»!)"),
            ["I", "don't", "know", ".", ".", ".", "(", "it's", "3", ".", "14", ",", "«", "кто-то", "»", "!", ")"]
        );
        assert_eq!(
            tokens("'tis well--known dogs' -5 a_b"),
            ["'", "tis", "well", "-", "-", "known", "dogs", "'", "-", "5", "a", "_", "b"]
        );
        assert_eq!(tokens("rock'n'roll d’accord co‑op x-"), ["rock'n'roll", "d’accord", "co‑op", "x", "-"]);
        assert_eq!(tokens("l33t 2nd ½ x²"), ["l33t", "2nd", "½", "x²"]);
        assert!(tokens("").is_empty() && tokens(" \t\r\n\u{a0}\u{3000}").is_empty());
    }

    #[test]
    fn marks_stay_with_their_letters() {
        // Acute, Hebrew points, Arabic vowels, a Hindi word with viramas, Hangul as jamo.
        for word in ["e\u{301}te\u{301}", "שָׁלוֹם", "مَرْحَبًا", "नमस्ते", "\u{1112}\u{1161}\u{11ab}"]
        {
            assert_eq!(tokens(&format!("({word})")), ["(", word, ")"]);
        }
        assert_eq!(tokens("!\u{301}a"), ["!\u{301}", "a"]);
    }

    #[test]
    fn emoji_are_whole() {
        assert_eq!(tokens("ok👍🏽👨‍👩‍👧🇩🇪🇫🇷❤️"), ["ok", "👍🏽", "👨‍👩‍👧", "🇩🇪", "🇫🇷", "❤️"]);
    }

    #[test]
    fn scripts_without_spaces() {
        assert_eq!(tokens("東京abcは𠮷カタカナ。"), ["東", "京", "abc", "は", "𠮷", "カタカナ", "。"]);
        assert_eq!(tokens("ที่นี่"), ["ที่", "นี่"]);
        assert_eq!(tokens("漢-字"), ["漢", "-", "字"]);
        assert_eq!(tokens("한국어 말"), ["한국어", "말"]);
    }

    #[test]
    fn invisible_characters_separate() {
        assert_eq!(tokens("a\0b\u{1}c\u{200b}d\u{feff}e\u{7f}f\u{85}g"), ["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(lower("un\u{ad}Be\u{ad}LIEVable \u{ad} x\u{ad}"), ["unbelievable", "x"]);
        assert_eq!(tokens("می\u{200c}خواهم"), ["می\u{200c}خواهم"]);
    }

    #[test]
    fn lower_case() {
        assert_eq!(
            lower("HELLO ПРИВЕТ Straße ΌΔΟΣ İ ǅ 東 5"),
            ["hello", "привет", "straße", "όδος", "i\u{307}", "ǆ", "東", "5"]
        );
        assert_eq!(tokens("HeLLo"), ["HeLLo"]);
        for c in '\0'..=char::MAX {
            assert_eq!(changes(c), c.to_lowercase().to_string() != c.to_string(), "{c:?}");
        }
    }

    #[test]
    fn equivalent_texts_give_the_same_tokens() {
        let (composed, decomposed) =
            ("Caf\u{e9} \u{c5}ngstr\u{f6}m, \u{ac01}", "Cafe\u{301} A\u{30a}ngstro\u{308}m, \u{1100}\u{1161}\u{11a8}");
        let nfc = |lowercase, text: &str| normalized(Tokenizer { lowercase, nfc: true }, text);
        assert_eq!(nfc(false, decomposed), nfc(false, composed));
        assert_eq!(nfc(false, decomposed), ["Caf\u{e9}", "\u{c5}ngstr\u{f6}m", ",", "\u{ac01}"]);
        assert_eq!(nfc(true, decomposed), ["caf\u{e9}", "\u{e5}ngstr\u{f6}m", ",", "\u{ac01}"]);
        assert_ne!(lower(decomposed), lower(composed));
        // Kelvin is a K; a capital T with two dots is no character of its own, a small one is; so is what a soft hyphen parted.
        assert_eq!(nfc(false, "5 \u{212a}"), ["5", "K"]);
        assert_eq!(nfc(true, "T\u{308}"), ["\u{1e97}"]);
        assert_eq!(nfc(false, "\u{1100}\u{ad}\u{1161}"), ["\u{ac00}"]);
        // Words at the bound are cut at the same places.
        let long = |e: &str| nfc(false, &e.repeat(300));
        assert_eq!(long("e\u{301}"), long("\u{e9}"));
        // Any number of marks needs little memory, and what comes out stays as it is.
        for text in ["e".to_owned() + &"\u{301}\u{323}".repeat(100_000), "\u{300}".repeat(1000)] {
            for token in nfc(true, &text) {
                assert!(token.len() <= 2 * MAX_TOKEN && Tokenizer { lowercase: true, nfc: true }.keeps(&token));
            }
        }
    }

    #[test]
    fn what_comes_out_would_come_out_again() {
        for c in '\0'..=char::MAX {
            for (lowercase, nfc) in [(true, false), (false, true), (true, true)] {
                let tokenizer = Tokenizer { lowercase, nfc };
                let mut text = [0; 8];
                let text = c.encode_utf8(&mut text);
                let mut count = 0;
                tokenizer
                    .for_each(text, |token| {
                        assert!(tokenizer.keeps(token), "{c:?} {tokenizer:?}: {token:?}");
                        count += 1;
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(count > 0, tokenizer.finds_any(text), "{c:?} {tokenizer:?}");
            }
        }
        let kept = |lowercase, nfc, word| Tokenizer { lowercase, nfc }.keeps(word);
        assert!(kept(false, false, "E\u{301}") && !kept(true, false, "E\u{301}") && !kept(false, true, "E\u{301}"));
        assert!(kept(true, true, "\u{e9}") && !kept(true, true, "\u{c9}"));
    }

    #[test]
    fn long_tokens_are_cut() {
        let long = "ж".repeat(1000);
        let cut = tokens(&long);
        assert_eq!(cut.concat(), long);
        assert_eq!(cut.len(), 2000_usize.div_ceil(MAX_TOKEN));
        assert!(cut.iter().all(|t| t.len() <= MAX_TOKEN));
        // Ten megabytes of one letter, of marks, of hyphenated letters: linear time, bounded tokens.
        for unit in ["x", "\u{301}", "x-", "👨\u{200d}"] {
            let text = unit.repeat(10_000_000 / unit.len());
            let mut bytes = 0;
            for t in Tokenizer::default().split(&text) {
                assert!(t.len() <= MAX_TOKEN);
                bytes += t.len();
            }
            assert!(bytes > 9_000_000, "{unit:?}");
        }
    }

    /// The shortcut agrees with the tables on every pair of characters that it covers.
    #[test]
    fn shortcut_is_exact() {
        let alone: Vec<char> = ('\0'..'\u{600}').filter(|&c| stands_alone(c)).collect();
        let mut text = String::new();
        for &a in &alone {
            for &b in &alone {
                text.clear();
                text.extend([a, b]);
                assert!((a, b) == ('\r', '\n') || text.graphemes(true).count() == 2, "{text:?}");
            }
        }
    }

    /// Random texts: tokens come in order, do not overlap, are not empty, and nothing visible is left out.
    #[test]
    fn tokens_cover_the_text() {
        let alphabet: Vec<char> =
            "aZ9 жЯ'-’\u{ad}\u{301}\u{200d}👩🇩東のท\u{e35}\r\n\t\0.,\u{200b}\u{fe0f}ー한्न".chars().collect();
        let mut random = Random::new(3, 0);
        for _ in 0..20_000 {
            let n = random.below(12);
            let text: String = (0..n).map(|_| alphabet[random.below(alphabet.len() as u32) as usize]).collect();
            let mut at = 0;
            let mut gaps = String::new();
            for t in tokens(&text) {
                let start = t.as_ptr() as usize - text.as_ptr() as usize;
                assert!(start >= at && !t.is_empty());
                gaps.push_str(&text[at..start]);
                at = start + t.len();
            }
            gaps.push_str(&text[at..]);
            // A mark or joiner after a space belongs to that space's cluster.
            let visible = |c: char| !(c.is_whitespace() || c.is_control() || is_invisible(c) || c == SOFT_HYPHEN);
            let left = gaps.chars().filter(|&c| visible(c) && c != '\u{301}' && c != '\u{e35}' && c != '्');
            assert_eq!(left.count(), 0, "{text:?} leaves {gaps:?}");
        }
    }
}
