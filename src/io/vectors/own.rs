//! simdrnn's own form: a safetensors file with the tensor `vectors` and the words, one a line, in its metadata.

use super::Format;
use super::collect::Collector;
use super::input::Input;
use crate::error::{Result, ensure, err};
use crate::io::safetensors::{Finite, TensorFile};

/// What a file says it is.
pub(super) const FORMAT: &str = "simdrnn word vectors";

/// Whether these are the first bytes of a safetensors file.
pub(super) fn starts(head: &[u8]) -> bool {
    head.len() > 8 && head[8] == b'{' && head[5..8] == [0; 3]
}

pub(super) fn read(input: &mut Input<'_>, rows: &mut Collector<'_>) -> Result<()> {
    let name = input.name().to_owned();
    let bytes = input.rest()?;
    let size = bytes.len() as u64;
    let file = TensorFile::from_bytes(bytes, &name)?;
    ensure!(
        file.metadata("format") == Some(FORMAT),
        InvalidData,
        "a safetensors file, but the metadata do not say '{FORMAT}'"
    );
    let words = file.metadata("words").ok_or_else(|| err!(InvalidData, "the metadata have no entry 'words'"))?;
    let shape = file.shape("vectors")?.to_vec();
    let lines = words.lines().count();
    ensure!(
        shape.len() == 2 && shape[0] == lines,
        InvalidData,
        "tensor 'vectors' has shape {shape:?}, expected [{lines}, values]"
    );
    let dim = shape[1];
    // At least a byte a value, whatever the tensor's type.
    rows.start(Format::Safetensors, dim, Some(lines as u64), 1, Some(size))?;
    let mut all = crate::buffer::try_vec(shape[0] * dim, 0.0)?;
    file.read_f32("vectors", &shape, Finite::Required, &mut all)?;
    let mut word = Vec::new();
    for (i, (line, values)) in words.lines().zip(all.chunks_exact(dim)).enumerate() {
        if rows.is_full() {
            break;
        }
        unescape(line, &mut word).map_err(|e| e.context(format_args!("word {i}")))?;
        if let Some(out) = rows.offer(&word).map_err(|e| e.context(format_args!("word {i}")))? {
            out.copy_from_slice(values);
        }
    }
    Ok(())
}

/// Appends a word as a line of text: `\`, line ends and bytes that are not UTF-8 as `\xHH`.
pub(super) fn escape(word: &[u8], out: &mut String) {
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\n' | '\r' => out.push_str(&format!("\\x{:02x}", c as u32)),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out.push('\n');
}

fn unescape(line: &str, word: &mut Vec<u8>) -> Result<()> {
    word.clear();
    let mut parts = line.split('\\');
    word.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let byte = part.strip_prefix('x').and_then(|hex| hex.get(..2)).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        word.push(byte.ok_or_else(|| err!(InvalidData, "an unknown escape, expected \\xHH"))?);
        word.extend_from_slice(&part.as_bytes()[3..]);
    }
    Ok(())
}
