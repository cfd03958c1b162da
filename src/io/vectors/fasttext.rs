//! fastText's models (`.bin`, quantized `.ftz`): dictionary, input matrix of words and n-gram buckets, output matrix
//! (skipped).
//!
//! A restricted reading keeps the rows of the wanted words and of the buckets that they fall into, nothing else.

use super::collect::Collector;
use super::fasttext_model::{Model, int, long, needed, size};
use super::input::Input;
use super::options::MAX_WORD;
use super::quantized;
use crate::buffer::{push, try_grow};
use crate::error::{Result, ensure, err, product};
use crate::nn::vectors::Format;
use crate::nn::vectors::{NGrams, Subwords};

pub(super) const MAGIC: [u8; 4] = 793_712_314_i32.to_le_bytes();
/// Longer n-grams than anybody uses.
const MAX_N: i32 = 32;
/// The most additions that a word's vector may take: its bytes times the longest n-gram times the values. A small file
/// must not keep the machine busy for hours.
const MAX_WORK: usize = 1 << 26;
/// And those of all words for each byte of the file, beyond one word's: models have about 4.
const MOST_WORK: u64 = 256;

/// The largest magnitude of values that are added up: sums of as many as [`MAX_WORK`] stay finite.
const MAX_VALUE: f32 = 1e30;

/// Reads a model whose magic number has been taken; words and their vectors go to `rows`.
pub(super) fn read(input: &mut Input<'_>, rows: &mut Collector<'_>) -> Result<Option<Subwords>> {
    let version = int(input, "the version")?;
    ensure!(version == 11 || version == 12, Unsupported, "fastText model of version {version}, expected 11 or 12");
    let at = input.position();
    let mut args = [0; 12];
    for value in &mut args {
        *value = int(input, "the model's arguments")?;
    }
    input.skip(8, "the model's arguments")?;
    let [dim, .., kind, bucket, minn, mut maxn, _] = args;
    let dim = size(dim, "dim", at)?;
    // Models of version 11 say what they did not do.
    if version == 11 && kind == 3 {
        maxn = 0;
    }
    ensure!(maxn <= MAX_N, InvalidData, "byte {at}: maxn is {maxn}, expected at most {MAX_N}");
    ensure!(maxn <= 0 || bucket > 0, InvalidData, "byte {at}: {bucket} buckets for n-grams, expected at least 1");
    rows.start(Format::FastText, dim, None, 4, None)?;
    let (words, kept, pruned) = dictionary(input, rows, maxn)?;
    let at = input.position();
    let is_quantized = input.array::<1>("a flag")? != [0];
    ensure!(is_quantized || pruned.is_none(), Unsupported, "byte {at}: a pruned fastText model that is not quantized");
    let has_subwords = maxn > 0 && pruned.as_ref().is_none_or(|left| !left.is_empty());
    let ngrams = NGrams { minn, maxn: if has_subwords { maxn } else { 0 }, bucket: bucket.max(1) as u32 };
    let model = Model { dim, words, ngrams, pruned };
    let subwords = if is_quantized {
        quantized::input_matrix(input, &model, &kept, rows)?
    } else {
        input_matrix(input, &model, &kept, rows)?
    };
    output_matrix(input, is_quantized)?;
    let bytes: u128 = rows.words.iter().map(|word| word.len() as u128).sum();
    let work = bytes * subwords.longest() as u128 * dim as u128;
    input.believe(work.saturating_sub(MAX_WORK as u128), MOST_WORK, "additions for the words' n-grams")?;
    compose(rows, &subwords)?;
    Ok((has_subwords && (rows.options().subwords || rows.wanted.is_some())).then_some(subwords))
}

/// Words, the places of those kept, and what pruning has left.
type Dictionary = (usize, Vec<u32>, Option<Vec<(u32, u32)>>);

/// Reads all entries.
fn dictionary(input: &mut Input<'_>, rows: &mut Collector<'_>, maxn: i32) -> Result<Dictionary> {
    let at = input.position();
    let entries = size(int(input, "the dictionary")?, "the dictionary's size", at)?;
    let words = size(int(input, "the dictionary")?, "the number of words", at)?;
    let labels = size(int(input, "the dictionary")?, "the number of labels", at)?;
    let _tokens = long(input, "the dictionary")?;
    let pruned = long(input, "the dictionary")?;
    ensure!(
        entries == words + labels && pruned >= -1,
        InvalidData,
        "byte {at}: a dictionary of {entries} entries with {words} words and {labels} labels, pruned to {pruned}"
    );
    let maxn = if pruned == 0 { 0 } else { maxn.max(0) as usize };
    let longest = MAX_WORK / (maxn * rows.dim()).max(1);
    let mut kept = Vec::new();
    for entry in 0..entries {
        let at = input.position();
        let word = input.until(0, MAX_WORD, "a word")?;
        if entry < words && !rows.is_full() {
            ensure!(
                maxn == 0 || word.len() <= longest,
                InvalidData,
                "byte {at}: a word of {} bytes, expected at most {longest} with n-grams of up to {maxn} characters and \
                 vectors of {} values",
                word.len(),
                rows.dim()
            );
            let number = rows.offer_word(word, format_args!("byte {at}"))?;
            if number.is_some() {
                push(&mut kept, entry as u32)?;
            }
        }
        input.skip(8, "a word's count")?;
        let [kind] = input.array("a word's type")?;
        let expected = u8::from(entry >= words);
        ensure!(kind == expected, InvalidData, "byte {at}: entry {entry} has type {kind}, expected {expected}");
    }
    let pruned = if pruned < 0 { None } else { Some(pruning(input, pruned)?) };
    Ok((words, kept, pruned))
}

/// Reads the table of buckets that pruning has left: number and row of each; by number.
fn pruning(input: &mut Input<'_>, count: i64) -> Result<Vec<(u32, u32)>> {
    let (what, at) = ("the pruning table", input.position());
    let (mut table, mut rows) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (id, row) = (int(input, what)?, int(input, what)?);
        let (id, row) = (u32::try_from(id), u32::try_from(row));
        let (Ok(id), Ok(row)) = (id, row) else {
            return Err(err!(InvalidData, "{what} at byte {at}: a number below 0"));
        };
        push(&mut table, (id, row))?;
        push(&mut rows, row)?;
    }
    table.sort_unstable();
    rows.sort_unstable();
    let once =
        table.windows(2).all(|pair| pair[0].0 != pair[1].0) && (0..).zip(&rows).all(|(i, &row): (u32, _)| i == row);
    ensure!(once, InvalidData, "{what} at byte {at}: expected each bucket once, and rows from 0 on, each once");
    Ok(table)
}

/// Reads a matrix' shape and checks that its values can be there.
fn shape(input: &mut Input<'_>, what: &str) -> Result<(usize, usize, u64)> {
    let at = input.position();
    let (m, n) = (long(input, what)?, long(input, what)?);
    let (rows, cols) = (size(m, "a matrix' height", at)?, size(n, "a matrix' width", at)?);
    let bytes = (rows as u64).checked_mul(cols as u64).and_then(|n| n.checked_mul(4));
    let fits = |bytes: &u64| input.remaining().is_none_or(|left| *bytes <= left);
    let bytes = bytes.filter(fits).ok_or_else(|| {
        let left = input.remaining().unwrap_or(0);
        err!(InvalidData, "byte {at}: {what} of {m} x {n} values, but the file has {left} bytes left")
    })?;
    Ok((rows, cols, bytes))
}

/// Reads the rows of the words at `kept` into `rows`, and of the buckets that they and the wanted words need.
fn input_matrix(input: &mut Input<'_>, model: &Model, kept: &[u32], rows: &mut Collector<'_>) -> Result<Subwords> {
    let (what, at) = ("the input matrix", input.position());
    let (height, width, _) = shape(input, what)?;
    let row_bytes = 4 * model.dim as u64;
    let uses = model.ngrams.maxn > 0;
    model.check_shape(height, width, at)?;
    if input.remaining().is_some() {
        rows.reserve(kept.len())?;
    }
    let mut next = 0;
    for &place in kept {
        input.skip((u64::from(place) - next) * row_bytes, what)?;
        input.floats(rows.push_row()?, what)?;
        next = u64::from(place) + 1;
    }
    input.skip((model.words as u64 - next) * row_bytes, what)?;

    let everything = rows.wanted.is_none() && rows.options().limit.is_none();
    let ids = if everything { None } else { Some(needed(model, rows)?) };
    // In packed data no number of buckets is proved: memory grows with what is there.
    let (mut values, mut next) = (Vec::new(), 0);
    match (&ids, uses) {
        (_, false) => {}
        (None, true) => {
            values = input.many_floats(product("buckets", &[model.ngrams.bucket as usize, model.dim])?, what)?;
            next = u64::from(model.ngrams.bucket);
        }
        (Some(ids), true) => {
            for &id in ids {
                input.skip((u64::from(id) - next) * row_bytes, what)?;
                let start = values.len();
                try_grow(&mut values, start + model.dim, || 0f32)?;
                input.floats(&mut values[start..], what)?;
                next = u64::from(id) + 1;
            }
        }
    }
    input.skip(((height - model.words) as u64 - next) * row_bytes, what)?;
    Ok(Subwords::new(model.ngrams, model.dim, ids, values))
}

/// Checks that the output matrix is there, and nothing after it.
fn output_matrix(input: &mut Input<'_>, is_quantized: bool) -> Result<()> {
    let what = "the output matrix";
    // fastText looks at the flag in quantized models only.
    if input.array::<1>("a flag")? != [0] && is_quantized {
        quantized::skip(input, what)?;
        return input.expect_end(what);
    }
    let (_, _, bytes) = shape(input, what)?;
    match input.remaining() {
        Some(left) => ensure!(left == bytes, InvalidData, "{left} bytes at the end, expected {bytes} of {what}"),
        None => {
            input.skip(bytes, what)?;
            input.expect_end(what)?;
        }
    }
    Ok(())
}

/// Makes each word's vector of its row and those of its subwords.
fn compose(rows: &mut Collector<'_>, subwords: &Subwords) -> Result<()> {
    let dim = rows.dim();
    if subwords.longest() > 0 {
        let large = rows.values.iter().chain(&subwords.values).find(|v| v.abs() > MAX_VALUE);
        if let Some(v) = large {
            return Err(err!(
                InvalidData,
                "the input matrix has the value {v:e}, expected at most {MAX_VALUE:e} where n-grams' vectors are added up"
            ));
        }
    }
    for (word, row) in rows.words.iter().zip(rows.values.chunks_exact_mut(dim)) {
        // fastText starts at zero, which turns -0 into 0.
        row.iter_mut().for_each(|v| *v += 0.0);
        let count = if word == NGrams::END_OF_SENTENCE { Some(0) } else { subwords.add(word, row) };
        let count = count.ok_or_else(|| err!(Internal, "a bucket was not kept"))?;
        let scale = (1.0 / (count + 1) as f64) as f32;
        row.iter_mut().for_each(|v| *v *= scale);
    }
    Ok(())
}
