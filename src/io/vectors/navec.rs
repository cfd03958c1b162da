//! Navec: a tar archive with `meta.json`, `vocab.bin` (gzip: counts and words) and `pq.bin` (product-quantized vectors:
//! for each part of a vector the number of one of its `centroids`). Only the rows kept are decoded.

use super::collect::Collector;
use super::input::{Input, Packing};
use super::options::{MAX_DIM, MAX_WORD};
use super::packing::unpack;
use super::tar;
use crate::buffer::{push, try_box};
use crate::error::{Result, ensure, err};
use crate::io::JsonFault;
use crate::nn::vectors::Format;
use std::io::{self, Read};

/// The longest `meta.json`.
const MAX_META: u64 = 1 << 16;
/// Decoded bytes for each byte of the file: 32 values a centroid, ten times what Navec's own have.
pub(super) const MOST_DECODED: u64 = 128;

/// The contents of one member.
struct Contents<'i, 'a> {
    input: &'i mut Input<'a>,
    left: &'i mut u64,
}

impl Read for Contents<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(usize::try_from(*self.left).unwrap_or(usize::MAX));
        let n = self.input.read(&mut out[..n])?;
        *self.left -= n as u64;
        Ok(n)
    }
}

pub(super) fn read(input: &mut Input<'_>, rows: &mut Collector<'_>) -> Result<()> {
    let (mut has_meta, mut vocab, mut has_vectors) = (false, None, false);
    while let Some(member) = tar::next(input)? {
        let at = input.position();
        let mut left = member.size;
        match member.name.strip_prefix("./").unwrap_or(&member.name) {
            "meta.json" => {
                ensure!(!has_meta, InvalidData, "byte {at}: a second meta.json");
                meta(input, member.size)?;
                (has_meta, left) = (true, 0);
            }
            "vocab.bin" => {
                ensure!(vocab.is_none(), InvalidData, "byte {at}: a second vocab.bin");
                let limit = rows.options().max_decompressed;
                let words = {
                    let raw = input.raw();
                    let contents = Contents { input, left: &mut left };
                    let packed = Input::within(try_box(contents)?, "vocab.bin", member.size, raw)?;
                    words(&mut unpack(packed, Packing::Gzip, limit, None)?, rows)
                };
                vocab = Some(words.map_err(|e| e.context(format_args!("vocab.bin")))?);
            }
            "pq.bin" => {
                ensure!(!has_vectors, InvalidData, "byte {at}: a second pq.bin");
                let Some((count, kept)) = &vocab else {
                    return Err(err!(Unsupported, "byte {at}: pq.bin before vocab.bin, expected it after"));
                };
                vectors(input, member.size, *count, kept, rows)?;
                (has_vectors, left) = (true, 0);
            }
            _ => {}
        }
        input.skip(left + member.padding(), "a tar member")?;
    }
    for (there, name) in [(has_meta, "meta.json"), (vocab.is_some(), "vocab.bin"), (has_vectors, "pq.bin")] {
        ensure!(there, InvalidData, "the archive has no {name}, which Navec's have");
    }
    Ok(())
}

fn meta(input: &mut Input<'_>, size: u64) -> Result<()> {
    let at = input.position();
    ensure!(size <= MAX_META, InvalidData, "byte {at}: meta.json has {size} bytes, expected at most {MAX_META}");
    let meta: serde_json::Value = serde_json::from_slice(input.bytes(size as usize, "meta.json")?)
        .map_err(|e| err!(InvalidData, "byte {at}: meta.json: {}", JsonFault(&e)))?;
    let protocol = meta.get("protocol").and_then(serde_json::Value::as_u64);
    ensure!(protocol == Some(1), Unsupported, "byte {at}: meta.json: expected a protocol of 1");
    Ok(())
}

/// The number of words, and the places of those kept.
fn words(input: &mut Input<'_>, rows: &mut Collector<'_>) -> Result<(u32, Vec<u32>)> {
    let count = u32::from_le_bytes(input.array("the number of words")?);
    input.skip(4 * u64::from(count), "the words' counts")?;
    let mut kept = Vec::new();
    for place in 0..count {
        let at = input.position();
        let last = place + 1 == count;
        let word = if last { input.peek(MAX_WORD + 1)? } else { input.until(b'\n', MAX_WORD, "a word")? };
        ensure!(word.len() <= MAX_WORD, InvalidData, "a word at byte {at} is longer than {MAX_WORD} bytes");
        ensure!(
            !last || !word.contains(&b'\n'),
            InvalidData,
            "byte {at}: more words than the {count} that its start says"
        );
        if !rows.is_full() && rows.offer_word(word, format_args!("byte {at}"))?.is_some() {
            push(&mut kept, place)?;
        }
    }
    Ok((count, kept))
}

/// Decodes the vectors of the words at `kept`.
fn vectors(input: &mut Input<'_>, size: u64, words: u32, kept: &[u32], rows: &mut Collector<'_>) -> Result<()> {
    let at = input.position();
    let mut header = [0u32; 4];
    for value in &mut header {
        *value = u32::from_le_bytes(input.array("pq.bin")?);
    }
    let [count, dim, parts, centroids] = header;
    let bytes = 16 + u128::from(count) * u128::from(parts) + 4 * u128::from(centroids) * u128::from(dim);
    ensure!(
        count == words && parts > 0 && dim.is_multiple_of(parts) && centroids <= 256 && bytes == u128::from(size),
        InvalidData,
        "byte {at}: pq.bin of {size} bytes for {count} vectors of {dim} values in {parts} parts with {centroids} \
         centroids, expected {bytes} bytes and {words} vectors"
    );
    let (dim, parts, centroids) = (dim as usize, parts as usize, centroids as usize);
    ensure!(dim <= MAX_DIM, InvalidData, "byte {at}: vectors of {dim} values, expected 1 to {MAX_DIM}");
    rows.start(Format::Navec, dim, None, 1, None)?;
    // The file proves a byte for each part only.
    let (decoded, limit) = (4 * kept.len() as u128 * dim as u128, rows.options().max_decompressed);
    ensure!(
        decoded <= u128::from(limit),
        InvalidData,
        "byte {at}: {} vectors of {dim} values decode to {decoded} bytes, more than {limit}; raise the limit if that is \
         right",
        kept.len()
    );
    let start = input.position();
    // Grows with what is there: in gzip data no size is proved.
    let mut indexes = Vec::new();
    let mut next = 0;
    for &place in kept {
        input.skip(u64::from(place - next) * parts as u64, "pq.bin")?;
        let row = input.bytes(parts, "pq.bin")?;
        indexes.try_reserve(parts).map_err(|_| err!(OutOfMemory, "no memory for {parts} bytes"))?;
        indexes.extend_from_slice(row);
        if let Some(i) = row.iter().position(|&index| usize::from(index) >= centroids) {
            let at = start + u64::from(place) * parts as u64 + i as u64;
            return Err(err!(InvalidData, "byte {at}: centroid {}, expected less than {centroids}", row[i]));
        }
        next = place + 1;
    }
    input.skip(u64::from(count - next) * parts as u64, "pq.bin")?;
    let codes = input.many_floats(centroids * dim, "pq.bin")?;
    input.believe(decoded, MOST_DECODED, "bytes of decoded vectors")?;
    let width = dim / parts;
    rows.reserve(kept.len())?;
    for index in indexes.chunks_exact(parts) {
        let row = rows.push_row()?;
        for (part, (out, &index)) in row.chunks_exact_mut(width).zip(index).enumerate() {
            out.copy_from_slice(&codes[(part * centroids + usize::from(index)) * width..][..width]);
        }
    }
    Ok(())
}
