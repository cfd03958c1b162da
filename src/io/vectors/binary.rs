//! Word2Vec's binary format: a line with two counts, then each word, a space, and its values.

use super::collect::Collector;
use super::input::Input;
use crate::error::Result;
use crate::nn::vectors::Format;

/// Reads the records after the header, which has been taken.
pub(super) fn read(input: &mut Input<'_>, count: u64, dim: usize, rows: &mut Collector<'_>) -> Result<()> {
    rows.start(Format::Word2VecBinary, dim, Some(count), 4, input.remaining())?;
    for _ in 0..count {
        if rows.is_full() {
            return Ok(());
        }
        skip_line_ends(input)?;
        let at = input.position();
        let word = input.word()?;
        let Some(out) = rows.offer(word, format_args!("byte {at}"))? else {
            input.skip(4 * dim as u64, "a vector")?;
            continue;
        };
        if let Some(e) = input.values_or(out, "a vector", f32::from_le_bytes)? {
            rows.take_back(e)?;
        }
    }
    skip_line_ends(input)?;
    input.expect_end("the last of the words that the header counts")
}

/// The C tool ends a record with a line feed, gensim does not; no word starts with one.
fn skip_line_ends(input: &mut Input<'_>) -> Result<()> {
    while input.peek(1)? == b"\n" {
        input.skip(1, "a line end")?;
    }
    Ok(())
}
