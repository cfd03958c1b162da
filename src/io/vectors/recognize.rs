//! What a file is, by its first bytes.

use super::{fasttext, lines, own, tar};
use crate::error::{Result, ensure, err};
use crate::io::recognize::{Foreign, foreign};
use crate::nn::vectors::Format;
use crate::shown::Excerpt;

/// Bytes that are looked at.
pub(super) const LOOK: usize = 1 << 16;
/// The longest header line.
pub(super) const MAX_HEADER: usize = 128;
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";
/// Lines that are looked at.
const LINES: usize = 64;

/// The format of a file that starts with `head`.
pub(super) fn format(head: &[u8]) -> Result<Format> {
    if head.starts_with(&fasttext::MAGIC) {
        return Ok(Format::FastText);
    }
    if tar::starts(head) {
        return Ok(Format::Navec);
    }
    if own::starts(head) {
        return Ok(Format::Safetensors);
    }
    ensure!(
        !head.starts_with(b"\xFF\xFE") && !head.starts_with(b"\xFE\xFF"),
        Unsupported,
        "text in UTF-16, expected UTF-8"
    );
    let is_all = head.len() < LOOK;
    let head = head.strip_prefix(BOM).unwrap_or(head);
    ensure!(!head.is_empty(), InvalidData, "the file is empty, expected word vectors");
    let (line, rest) = first_line(head);
    if line.len() <= MAX_HEADER {
        if let Some((count, dim)) = lines::header(line) {
            let is_text = count == 0 || is_text(rest, dim, is_all);
            return Ok(if is_text { Format::Word2VecText } else { Format::Word2VecBinary });
        }
        ensure!(
            !lines::is_like_header(line),
            InvalidData,
            "line 1: '{}', expected the number of words and of values",
            Excerpt(line, 60)
        );
    }
    let rows = FieldCounts::of(head, is_all);
    let is_glove = !line.contains(&0)
        && (rows.first() > 0 || !has_odd_values(head, is_all) && (rows.have_numbers() || lines::means_number(line)));
    // Last, as the words of a text may be anything.
    if let Some(Foreign { what, hint }) = foreign(head).filter(|_| !is_glove) {
        return Err(err!(Unsupported, "{what}, which is no file of word vectors: {hint}"));
    }
    ensure!(
        is_glove,
        InvalidData,
        "not recognized: neither Word2Vec nor GloVe, fastText, Navec or simdrnn's own vectors; it starts with '{}'",
        Excerpt(&line[..line.len().min(60)], 40)
    );
    Ok(Format::Glove)
}

/// Whether what follows a header is text: its first line is a row, or half of them are, or nothing after the words' places is
/// unlike text. Four bytes of an f32 rarely are all text, those of many never.
fn is_text(rest: &[u8], dim: usize, is_all: bool) -> bool {
    let rows = FieldCounts::of(rest, is_all);
    let expected = if rows.is_cut { 1 } else { dim };
    rows.first() >= expected || rows.have_numbers() || !has_odd_values(rest, is_all)
}

/// How many numbers the first lines of a text end with.
pub(super) struct FieldCounts {
    numbers: [usize; LINES],
    len: usize,
    /// There is one line only, and it goes on.
    pub(super) is_cut: bool,
}

impl FieldCounts {
    /// Looks at `head`; what is cut off is left out.
    pub(super) fn of(head: &[u8], is_all: bool) -> Self {
        let mut rows = FieldCounts { numbers: [0; LINES], len: 0, is_cut: false };
        let mut left = head;
        while rows.len < LINES && !left.is_empty() {
            let is_whole = is_all || left.contains(&b'\n');
            let (line, after) = first_line(left);
            if !is_whole && rows.len > 0 {
                break;
            }
            rows.is_cut = !is_whole;
            rows.numbers[rows.len] = lines::trailing_numbers(if is_whole { line } else { without_last_field(line) });
            rows.len += 1;
            left = after;
        }
        rows
    }

    fn all(&self) -> &[usize] {
        &self.numbers[..self.len]
    }

    fn first(&self) -> usize {
        self.all().first().copied().unwrap_or(0)
    }

    /// Half of them do.
    fn have_numbers(&self) -> bool {
        self.len > 0 && 2 * self.all().iter().filter(|n| **n > 0).count() >= self.len
    }

    pub(super) fn contains(&self, numbers: usize) -> bool {
        self.all().contains(&numbers)
    }

    /// How many numbers most rows have, of equally frequent ones the most, and the place of the first such row.
    pub(super) fn usual(&self) -> Option<(usize, usize)> {
        let frequency = |n: usize| self.all().iter().filter(|m| **m == n).count();
        let usual = self.all().iter().copied().filter(|n| *n > 0).max_by_key(|&n| (frequency(n), n))?;
        Some((usual, self.all().iter().position(|n| *n == usual)?))
    }
}

/// Whether a line of `head` has, behind its first field, bytes that no number or word in UTF-8 has.
fn has_odd_values(head: &[u8], is_all: bool) -> bool {
    let mut left = if is_all { head } else { without_last_field(head) };
    while !left.is_empty() {
        let (line, after) = first_line(left);
        let start = line.iter().position(|&b| b == b' ' || b == b'\t').unwrap_or(line.len());
        let values = &line[start..];
        if values.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7F) || str::from_utf8(values).is_err() {
            return true;
        }
        left = after;
    }
    false
}

fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&b| b == b'\n');
    let (line, rest) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// A line that was cut anywhere, without the field that was cut.
fn without_last_field(line: &[u8]) -> &[u8] {
    &line[..line.iter().rposition(|&b| b == b' ' || b == b'\t').unwrap_or(0)]
}
