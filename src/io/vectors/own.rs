//! simdrnn's own form: a safetensors file with the tensor `vectors` and the words, one a line, in its metadata.

use super::collect::Collector;
use super::input::Input;
use crate::buffer::Growing;
use crate::error::{Result, ensure, err};
use crate::io::convert::{bf16_to_f32, f16_to_f32};
use crate::io::safetensors::{Header, header_length};
use crate::nn::vectors::Format;
use safetensors::tensor::Dtype;
use std::fmt::{self, Write};

/// What a file says it is.
pub(super) const FORMAT: &str = "simdrnn word vectors";

/// Whether these are the first bytes of a safetensors file.
pub(super) fn starts(head: &[u8]) -> bool {
    head.len() > 8 && head[8] == b'{' && head[5..8] == [0; 3]
}

pub(super) fn read(input: &mut Input<'_>, rows: &mut Collector<'_>) -> Result<()> {
    let length = header_length(input.array("the header's length")?)?;
    let header = Header::parse(&input.take(length, "the header")?)?;
    if let Some(left) = input.remaining() {
        let data = header.data;
        ensure!(
            left == data as u64,
            InvalidData,
            "data: the header describes {data} bytes, the file has {left} of them"
        );
    }
    let text = |key| header.metadata.get(key).map(String::as_str);
    ensure!(text("format") == Some(FORMAT), InvalidData, "a safetensors file, but the metadata do not say '{FORMAT}'");
    let words = text("words").ok_or_else(|| err!(InvalidData, "the metadata have no entry 'words'"))?;
    let tensor = header.tensors.iter().find(|(name, _)| name == "vectors");
    let (_, tensor) = tensor.ok_or_else(|| err!(NotFound, "no tensor 'vectors'"))?;
    let lines = words.lines().count();
    let &[height, dim] = &tensor.shape[..] else {
        return Err(err!(InvalidData, "tensor 'vectors' has shape {:?}, expected [{lines}, values]", tensor.shape));
    };
    ensure!(height == lines, InvalidData, "tensor 'vectors' has {height} rows, expected {lines} as words");
    let bytes = tensor.dtype.bitsize() as u64 / 8;
    rows.start(Format::Safetensors, dim, Some(lines as u64), bytes, input.remaining())?;
    let what = "tensor 'vectors'";
    input.skip(tensor.data_offsets.0 as u64, what)?;
    let mut word = Vec::new();
    for (i, line) in words.lines().enumerate() {
        if rows.is_full() {
            return Ok(());
        }
        unescape(line, &mut word).map_err(|e| e.context(format_args!("word {i}")))?;
        let Some(out) = rows.offer(&word, format_args!("word {i}"))? else {
            input.skip(bytes * dim as u64, what)?;
            continue;
        };
        let wrong = match tensor.dtype {
            Dtype::F32 => input.values_or(out, what, f32::from_le_bytes)?,
            Dtype::F64 => input.values_or(out, what, |bytes| f64::from_le_bytes(bytes) as f32)?,
            Dtype::F16 => input.values_or(out, what, |bytes| f16_to_f32(u16::from_le_bytes(bytes)))?,
            Dtype::BF16 => input.values_or(out, what, |bytes| bf16_to_f32(u16::from_le_bytes(bytes)))?,
            other => return Err(err!(InvalidData, "{what}: type {other}, expected F32, F64, F16 or BF16")),
        };
        wrong.map_or(Ok(()), |e| rows.take_back(e))?;
    }
    input.skip((header.data - tensor.data_offsets.1) as u64, what)?;
    input.expect_end("the last tensor")
}

/// Words as lines of text.
pub(super) fn to_text<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<String> {
    let mut out = Growing(String::new());
    for word in words {
        escape(word, &mut out).map_err(|_| err!(OutOfMemory, "could not grow a text of {} bytes", out.0.len()))?;
    }
    Ok(out.0)
}

/// Appends a word as a line of text: `\`, line ends and bytes that are not UTF-8 as `\xHH`.
fn escape(word: &[u8], out: &mut Growing) -> fmt::Result {
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\n' | '\r' => write!(out, "\\x{:02x}", c as u32)?,
                c => out.write_char(c)?,
            }
        }
        chunk.invalid().iter().try_for_each(|b| write!(out, "\\x{b:02x}"))?;
    }
    out.write_char('\n')
}

fn unescape(line: &str, word: &mut Vec<u8>) -> Result<()> {
    word.clear();
    // What is escaped is longer than what it stands for.
    word.try_reserve(line.len()).map_err(|_| err!(OutOfMemory, "no memory for a word of {} bytes", line.len()))?;
    let mut parts = line.split('\\');
    word.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.strip_prefix('x').and_then(|hex| hex.get(..2)).filter(|hex| !hex.starts_with('+'));
        let byte = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        word.push(byte.ok_or_else(|| err!(InvalidData, "an unknown escape, expected \\xHH"))?);
        word.extend_from_slice(&part.as_bytes()[3..]);
    }
    Ok(())
}
