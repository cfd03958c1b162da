//! The matrices of quantized fastText models (`.ftz`): each part of a row is one of 256 centroids (Jegou et al. 2011), times
//! the row's norm where norms are quantized apart. Only the rows kept are decoded.

use super::collect::Collector;
use super::fasttext_model::{Model, int, long, needed, size};
use super::input::Input;
use super::navec::MOST_DECODED;
use crate::buffer::{push, try_vec};
use crate::error::{Result, ensure, err, product};
use crate::nn::vectors::Subwords;

const CENTROIDS: usize = 256;

/// A product quantizer.
struct Quantizer {
    /// Values of each part but the last, which may have fewer.
    width: usize,
    centroids: Vec<f32>,
}

impl Quantizer {
    fn read(input: &mut Input<'_>, dim: usize, parts: usize, what: &str) -> Result<Self> {
        let width = shape(input, dim, parts, what)?;
        Ok(Self { width, centroids: input.many_floats(CENTROIDS * dim, what)? })
    }

    /// A row, as fastText adds it to zeros.
    fn decode(&self, codes: &[u8], norm: f32, out: &mut [f32]) {
        for (part, (out, &code)) in out.chunks_mut(self.width).zip(codes).enumerate() {
            // A part's centroids lie together.
            let start = CENTROIDS * self.width * part + usize::from(code) * out.len();
            let centroid = &self.centroids[start..][..out.len()];
            out.iter_mut().zip(centroid).for_each(|(out, c)| *out = norm * c);
        }
    }
}

/// Reads a quantizer's shape: the values of each part.
fn shape(input: &mut Input<'_>, dim: usize, parts: usize, what: &str) -> Result<usize> {
    let at = input.position();
    let mut found = [0; 4];
    for n in &mut found {
        *n = size(int(input, what)?, "a quantizer's size", at)?;
    }
    let [values, several, width, last] = found;
    let sum = several.checked_sub(1).and_then(|n| n.checked_mul(width)).and_then(|n| n.checked_add(last));
    ensure!(
        (values, several, sum) == (dim, parts, Some(dim)) && last > 0 && last <= width,
        InvalidData,
        "byte {at}: a quantizer of {values} values in {several} parts of {width}, the last of {last}; expected {dim} in \
         {parts} parts"
    );
    Ok(width)
}

/// What stands before a matrix' codes.
struct Head {
    has_norms: bool,
    height: usize,
    width: usize,
    /// Bytes of a row.
    parts: usize,
}

fn head(input: &mut Input<'_>, what: &str) -> Result<Head> {
    let at = input.position();
    let [has_norms] = input.array(what)?;
    ensure!(has_norms <= 1, InvalidData, "byte {at}: a flag of {has_norms}, expected 0 or 1");
    let height = size(long(input, what)?, "a matrix' height", at)?;
    let width = size(long(input, what)?, "a matrix' width", at)?;
    let bytes = size(int(input, what)?, "the size of the codes", at)?;
    let left = input.remaining();
    ensure!(
        height > 0 && bytes > 0 && bytes.is_multiple_of(height) && left.is_none_or(|left| bytes as u64 <= left),
        InvalidData,
        "byte {at}: {what} of {height} x {width} values with {bytes} bytes of codes; the file has {} left",
        left.unwrap_or(0)
    );
    Ok(Head { has_norms: has_norms == 1, height, width, parts: bytes / height })
}

/// Takes `count` records of `bytes` each, and keeps those at `places`, which ascend.
fn take(
    input: &mut Input<'_>,
    bytes: usize,
    count: usize,
    places: impl Iterator<Item = usize>,
    what: &str,
) -> Result<Vec<u8>> {
    let (mut kept, mut next) = (Vec::new(), 0);
    for place in places {
        input.skip((place - next) as u64 * bytes as u64, what)?;
        let record = input.bytes(bytes, what)?;
        kept.try_reserve(bytes).map_err(|_| err!(OutOfMemory, "no memory for {bytes} bytes"))?;
        kept.extend_from_slice(record);
        next = place + 1;
    }
    input.skip((count - next) as u64 * bytes as u64, what)?;
    Ok(kept)
}

/// The buckets that are decoded.
struct Buckets {
    /// Their numbers, ascending; none: all.
    ids: Option<Vec<u32>>,
    /// Of pruned ones the row after the words' and the place among `ids`, by row.
    order: Option<Vec<(u32, u32)>>,
    count: usize,
}

impl Buckets {
    fn new(model: &Model, rows: &Collector<'_>) -> Result<Self> {
        let everything = rows.wanted.is_none() && rows.options().limit.is_none();
        let bucket = model.ngrams.bucket as usize;
        let Some(pruned) = &model.pruned else {
            let ids = if everything { None } else { Some(needed(model, rows)?) };
            let count = ids.as_ref().map_or(bucket, Vec::len);
            let count = if model.ngrams.maxn > 0 { count } else { 0 };
            return Ok(Self { ids, order: None, count });
        };
        // Pruning leaves few: all are kept, for which words need them is only known from those that are there.
        let (mut ids, mut order) = (Vec::new(), Vec::new());
        for (i, &(id, row)) in pruned.iter().enumerate() {
            push(&mut ids, id)?;
            push(&mut order, (row, i as u32))?;
        }
        order.sort_unstable();
        Ok(Self { count: ids.len(), ids: Some(ids), order: Some(order) })
    }

    /// Rows after the words', ascending, and the place of each among the buckets kept.
    fn rows(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(|i| match (&self.order, &self.ids) {
            (Some(order), _) => (order[i].0 as usize, order[i].1 as usize),
            (None, Some(ids)) => (ids[i] as usize, i),
            (None, None) => (i, i),
        })
    }
}

/// Reads the rows of the words at `kept` into `rows`, and of the buckets that they and the wanted words need.
pub(super) fn input_matrix(
    input: &mut Input<'_>,
    model: &Model,
    kept: &[u32],
    rows: &mut Collector<'_>,
) -> Result<Subwords> {
    let (what, at) = ("the quantized input matrix", input.position());
    let Head { has_norms, height, width, parts } = head(input, what)?;
    model.check_shape(height, width, at)?;
    let buckets = Buckets::new(model, rows)?;
    let decoded = 4 * (kept.len() as u128 + buckets.count as u128) * model.dim as u128;
    let limit = rows.options().max_decompressed;
    ensure!(
        decoded <= u128::from(limit),
        InvalidData,
        "byte {at}: {what} decodes to {decoded} bytes, more than {limit}; raise the limit if that is right"
    );
    let places = || {
        let words = kept.iter().map(|&place| place as usize);
        words.chain(buckets.rows().map(|(row, _)| model.words + row))
    };
    let codes = take(input, parts, height, places(), what)?;
    let quantizer = Quantizer::read(input, model.dim, parts, what)?;
    let norms = if has_norms {
        let codes = take(input, 1, height, places(), what)?;
        Some((codes, Quantizer::read(input, 1, 1, what)?))
    } else {
        None
    };
    input.believe(decoded, MOST_DECODED, "bytes of decoded vectors")?;
    let decode = |i: usize, out: &mut [f32]| {
        let norm = norms.as_ref().map_or(1.0, |(codes, norms)| norms.centroids[usize::from(codes[i])]);
        quantizer.decode(&codes[i * parts..][..parts], norm, out);
        ensure!(out.iter().all(|v| v.is_finite()), InvalidData, "{what}: a value that is not finite");
        Ok(())
    };
    rows.reserve(kept.len())?;
    for i in 0..kept.len() {
        decode(i, rows.push_row()?)?;
    }
    let values = try_vec(product("buckets", &[buckets.count, model.dim])?, 0f32)?;
    let mut subwords = Subwords::new(model.ngrams, model.dim, None, values);
    for (i, (_, place)) in buckets.rows().enumerate() {
        decode(kept.len() + i, &mut subwords.values[place * model.dim..][..model.dim])?;
    }
    (subwords.ids, subwords.pruned) = (buckets.ids, buckets.order.is_some());
    Ok(subwords)
}

/// Skips a matrix, checking its shape.
pub(super) fn skip(input: &mut Input<'_>, what: &str) -> Result<()> {
    let Head { has_norms, height, width, parts } = head(input, what)?;
    input.skip(height as u64 * parts as u64, what)?;
    shape(input, width, parts, what)?;
    input.skip(4 * CENTROIDS as u64 * width as u64, what)?;
    if has_norms {
        input.skip(height as u64, what)?;
        shape(input, 1, 1, what)?;
        input.skip(4 * CENTROIDS as u64, what)?;
    }
    Ok(())
}
