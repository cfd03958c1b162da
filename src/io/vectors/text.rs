//! Text formats: Word2Vec and fastText's `.vec` (a line with two counts first) and GloVe (none).

use super::collect::Collector;
use super::input::Input;
use super::lines::{ends_with_value, is_space, last_field, number, split, trailing_numbers};
use super::options::{MAX_DIM, MAX_WORD};
use super::recognize::{FieldCounts, LOOK};
use crate::error::{Result, ensure, err};
use crate::nn::vectors::Format;
use crate::shown::Excerpt;

/// Bytes of one number and its separator, at most: more than any program prints.
const WIDEST: usize = 64;
/// The longest first line.
const MAX_LINE: usize = 16 << 20;

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
    let look = FieldCounts::of(head, head.len() < LOOK);
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
