//! Text formats: Word2Vec and fastText's `.vec` (a line with two counts first) and GloVe (none).

use super::collect::Collector;
use super::input::Input;
use super::recognize::{LOOK, Rows};
use super::{Format, MAX_DIM, MAX_WORD};
use crate::error::{Result, ensure, err};
use crate::io::Excerpt;

/// Bytes of one number and its separator, at most: more than any program prints.
const WIDEST: usize = 64;
/// The longest first line.
const MAX_LINE: usize = 16 << 20;

fn is_space(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// The two counts of a header line.
pub(super) fn header(line: &[u8]) -> Option<(u64, usize)> {
    let mut fields = line.split(|&b| is_space(b)).filter(|f| !f.is_empty());
    let (count, dim) = (integer(fields.next()?)?, integer(fields.next()?)?);
    fields.next().is_none().then_some(())?;
    Some((count, usize::try_from(dim).ok()?))
}

/// Whether a line has two whole numbers, of which one is no count.
pub(super) fn is_like_header(line: &[u8]) -> bool {
    let mut fields = line.split(|&b| is_space(b)).filter(|f| !f.is_empty());
    let is_whole = |f: &[u8]| {
        let digits = f.strip_prefix(b"-").or_else(|| f.strip_prefix(b"+")).unwrap_or(f);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    fields.next().is_some_and(is_whole) && fields.next().is_some_and(is_whole) && fields.next().is_none()
}

/// Whether the last field of several may be meant as a number: decimal commas, what stands for nothing.
pub(super) fn means_number(line: &[u8]) -> bool {
    let (start, end) = last_field(line);
    let field = &line[start..end];
    let has_digits = field.iter().any(u8::is_ascii_digit) && field.iter().all(|b| b"0123456789+-.,eE_'".contains(b));
    let nothing: [&[u8]; 6] = [b"na", b"n/a", b"nan", b"null", b"none", b"inf"];
    start > 0 && (has_digits || nothing.iter().any(|n| field.eq_ignore_ascii_case(n)))
}

/// Whether a word with spaces ends with what a vector has: a number with a point or an exponent.
fn ends_with_value(word: &[u8]) -> bool {
    let (start, end) = last_field(word);
    let field = &word[start..end];
    let is_value = field.iter().any(u8::is_ascii_digit) && field.iter().any(|b| b".eE".contains(b));
    start > 0 && is_value && number(field).is_some()
}

fn integer(field: &[u8]) -> Option<u64> {
    let digits = field.iter().all(u8::is_ascii_digit);
    str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

fn number(field: &[u8]) -> Option<f32> {
    str::from_utf8(field).ok()?.parse().ok()
}

/// Where the last field of `line` starts, without the separators at its end; its end.
fn last_field(line: &[u8]) -> (usize, usize) {
    let end = line.iter().rposition(|&b| !is_space(b)).map_or(0, |i| i + 1);
    let start = line[..end].iter().rposition(|&b| is_space(b)).map_or(0, |i| i + 1);
    (start, end)
}

/// How many fields at the end of `line` are numbers, the first field not among them.
pub(super) fn trailing_numbers(line: &[u8]) -> usize {
    let (mut rest, mut count) = (line, 0);
    loop {
        let (start, end) = last_field(rest);
        if start == 0 || number(&rest[start..end]).is_none() {
            return count;
        }
        (rest, count) = (&rest[..start], count + 1);
    }
}

/// The word of a line that ends with `dim` fields, and where those start. The word may contain spaces.
fn split(line: &[u8], dim: usize) -> Option<(&[u8], &[u8])> {
    let mut rest = line;
    for _ in 0..dim {
        let (start, _) = last_field(rest);
        if start == 0 {
            return None;
        }
        rest = &rest[..start];
    }
    let word = rest.iter().rposition(|&b| !is_space(b)).map_or(0, |i| i + 1);
    (word > 0).then(|| (&line[..word], &line[rest.len()..]))
}

/// Reads the rest of the input. `shape` is the header's, which has been taken; none for GloVe.
pub(super) fn read(input: &mut Input<'_>, shape: Option<(u64, usize)>, rows: &mut Collector<'_>) -> Result<()> {
    if let Some((count, dim)) = shape {
        // A value takes at least a digit and a separator.
        rows.start(Format::Word2VecText, dim, Some(count), 2, input.remaining())?;
    }
    first_rows(input, shape, rows)?;
    let mut count = 0u64;
    loop {
        let most = MAX_WORD + WIDEST * rows.dim();
        let number = input.line_number() + 1;
        if shape.is_some_and(|(expected, _)| count == expected) || rows.is_full() {
            break;
        }
        let Some(line) = input.line(most)? else { break };
        row(line, number, rows)?;
        // What is blank is no row, though it may be skipped.
        count += u64::from(!line.iter().all(|&b| is_space(b)));
    }
    if rows.is_full() {
        return Ok(());
    }
    match shape {
        Some((expected, _)) => {
            ensure!(count == expected, InvalidData, "the header says {expected} words, the file has {count}");
            let number = input.line_number() + 1;
            while let Some(line) = input.line(MAX_LINE)? {
                ensure!(
                    line.iter().all(|&b| is_space(b)),
                    InvalidData,
                    "line {number}: the header says {expected} words, the file has more"
                );
            }
        }
        None => ensure!(count > 0, InvalidData, "the file is empty, expected lines of a word and its numbers"),
    }
    Ok(())
}

/// Compares a header with the first rows, or starts with the number of values that they have.
fn first_rows(input: &mut Input<'_>, shape: Option<(u64, usize)>, rows: &mut Collector<'_>) -> Result<()> {
    let before = input.line_number();
    let head = input.peek(LOOK)?;
    let look = Rows::of(head, head.len() < LOOK);
    let (usual, line) = look.usual().unwrap_or((0, 0));
    let line = before + 1 + line as u64;
    if let Some((_, dim)) = shape {
        let some = if look.is_cut { " or more" } else { "" };
        ensure!(
            usual <= dim || look.contains(dim) && !look.is_cut,
            InvalidData,
            "line 1: the header says vectors of {dim} values, line {line} has {usual}{some}"
        );
        return Ok(());
    }
    ensure!(!head.is_empty(), InvalidData, "the file is empty, expected lines of a word and its numbers");
    if !look.is_cut {
        let (start, end) = last_field(head.split(|&b| b == b'\n').next().unwrap_or_default());
        ensure!(
            usual > 0,
            InvalidData,
            "line 1: '{}', expected a word and its numbers",
            Excerpt(&head[start..end], 40)
        );
        return rows.start(Format::Glove, usual, None, 2, None);
    }
    // A line longer than the look.
    let dim = trailing_numbers(input.peek_line(MAX_LINE)?);
    ensure!(dim > 0, InvalidData, "line 1: no numbers after the word");
    rows.start(Format::Glove, dim.min(MAX_DIM + 1), None, 2, None)
}

fn row(line: &[u8], number: u64, rows: &mut Collector<'_>) -> Result<()> {
    let dim = rows.dim();
    let word = match split(line, dim) {
        Some((word, _)) if word.len() > MAX_WORD => {
            Err(err!(InvalidData, "line {number}: the word is longer than {MAX_WORD} bytes"))
        }
        Some((word, _)) if word.contains(&b' ') && ends_with_value(word) => {
            Err(err!(InvalidData, "line {number}: more numbers than {dim}: the word would be '{}'", Excerpt(word, 60)))
        }
        Some(parts) => Ok(parts),
        None => {
            let found = line.split(|&b| is_space(b)).filter(|f| !f.is_empty()).count();
            let blank =
                if found > 0 && line.first().is_some_and(|&b| is_space(b)) { " (the first is empty)" } else { "" };
            Err(err!(InvalidData, "line {number}: {found} fields{blank}, expected a word and {dim} numbers"))
        }
    };
    let (word, values) = match word {
        Ok(parts) => parts,
        Err(e) => return rows.bad(e),
    };
    let Some(out) = rows.offer(word, format_args!("line {number}"))? else { return Ok(()) };
    let fields = values.split(|&b| is_space(b)).filter(|f| !f.is_empty());
    let mut wrong = None;
    for (i, (value, field)) in out.iter_mut().zip(fields).enumerate() {
        match self::number(field).filter(|v| v.is_finite()) {
            Some(v) => *value = v,
            None => {
                let shown = Excerpt(field, 40);
                let e = err!(InvalidData, "line {number}, value {}: '{shown}', expected a finite number", i + 1);
                wrong.get_or_insert(e);
            }
        }
    }
    wrong.map_or(Ok(()), |e| rows.take_back(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_from_the_right() {
        assert_eq!(split(b". . . 1 2", 2), Some((&b". . ."[..], &b"1 2"[..])));
        assert_eq!(split(b"a\t1  2 ", 2), Some((&b"a"[..], &b"1  2 "[..])));
        assert_eq!(split(b"1 2", 2), None);
        assert_eq!(split(b" 1 2", 2), None);
        assert_eq!(split(b"", 1), None);
        assert_eq!((trailing_numbers(b"1 2 3"), trailing_numbers(b". . 1 -2e-3 "), trailing_numbers(b"")), (2, 2, 0));
        assert_eq!(
            (header(b"3 4"), header(b"3 4 "), header(b"3 x"), header(b"-3 4")),
            (Some((3, 4)), Some((3, 4)), None, None)
        );
    }
}
