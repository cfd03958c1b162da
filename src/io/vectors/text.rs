//! Text formats: Word2Vec and fastText's `.vec` (a line with two counts first) and GloVe (none).

use super::collect::Collector;
use super::input::Input;
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
    let mut count = 0u64;
    loop {
        let most = if rows.dim() == 0 { MAX_LINE } else { MAX_WORD + WIDEST * rows.dim() };
        let number = input.line_number() + 1;
        if shape.is_some_and(|(expected, _)| count == expected) || rows.is_full() {
            break;
        }
        let Some(line) = input.line(most)? else { break };
        if rows.dim() == 0 {
            let dim = trailing_numbers(line);
            ensure!(dim > 0, InvalidData, "line {number}: no numbers after the word");
            rows.start(Format::Glove, dim.min(MAX_DIM + 1), None, 2, None)?;
        }
        row(line, number, rows)?;
        count += 1;
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

fn row(line: &[u8], number: u64, rows: &mut Collector<'_>) -> Result<()> {
    let dim = rows.dim();
    let Some((word, values)) = split(line, dim) else {
        let found = line.split(|&b| is_space(b)).filter(|f| !f.is_empty()).count();
        return Err(err!(InvalidData, "line {number}: {found} fields, expected a word and {dim} numbers"));
    };
    ensure!(word.len() <= MAX_WORD, InvalidData, "line {number}: the word is longer than {MAX_WORD} bytes");
    let Some(out) = rows.offer(word).map_err(|e| e.context(format_args!("line {number}")))? else { return Ok(()) };
    let fields = values.split(|&b| is_space(b)).filter(|f| !f.is_empty());
    for (i, (value, field)) in out.iter_mut().zip(fields).enumerate() {
        match self::number(field).filter(|v| v.is_finite()) {
            Some(v) => *value = v,
            None => {
                return Err(err!(
                    InvalidData,
                    "line {number}, value {}: '{}', expected a finite number",
                    i + 1,
                    Excerpt(field, 40)
                ));
            }
        }
    }
    Ok(())
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
