//! Tar archives, as much as Navec needs: regular members one after another. What could mean another name, size or place
//! than the header says (links, extended headers with a path or size, sizes beyond octal) is refused.

use super::input::Input;
use crate::error::{Result, ensure, err};
use crate::shown::Excerpt;

const BLOCK: usize = 512;
/// The longest extended header.
const MAX_EXTENDED: u64 = 1 << 20;

/// Whether this is the first block of an archive.
pub(super) fn starts(block: &[u8]) -> bool {
    block.len() >= BLOCK && &block[257..262] == b"ustar"
}

/// A member: its contents come next in the input.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) size: u64,
}

impl Member {
    /// Bytes after the contents that fill the last block.
    pub(super) fn padding(&self) -> u64 {
        self.size.wrapping_neg() % BLOCK as u64
    }
}

/// A field of octal digits, ended by NUL or space.
fn octal(field: &[u8], what: &str, at: u64) -> Result<u64> {
    let text: &[u8] = field.split(|b| matches!(b, 0 | b' ')).find(|part| !part.is_empty()).unwrap_or_default();
    let digits = text.iter().all(|b| (b'0'..=b'7').contains(b)) && text.len() <= 12 && !text.is_empty();
    ensure!(digits, InvalidData, "byte {at}: the tar header's {what} is no octal number");
    Ok(text.iter().fold(0, |n, b| n * 8 + u64::from(b - b'0')))
}

/// The next regular member; `None` at the end of the archive.
pub(super) fn next(input: &mut Input<'_>) -> Result<Option<Member>> {
    loop {
        let at = input.position();
        if input.peek(1)?.is_empty() {
            return Ok(None);
        }
        let mut block = input.array::<BLOCK>("a tar header")?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let expected = octal(&block[148..156], "checksum", at)?;
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
        ensure!(sum == expected, InvalidData, "byte {at}: the tar header's checksum is {sum}, expected {expected}");
        let size = octal(&block[124..136], "size", at)?;
        let left = input.remaining();
        ensure!(
            left.is_none_or(|left| size <= left),
            InvalidData,
            "byte {at}: a member of {size} bytes, but the file has {} left",
            left.unwrap_or(0)
        );
        let text = |field: &[u8]| {
            let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).into_owned()
        };
        let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
        let kind = block[156];
        let member = Member { name: if prefix.is_empty() { name } else { format!("{prefix}/{name}") }, size };
        match kind {
            b'0' | 0 => return Ok(Some(member)),
            b'5' => {}
            b'x' | b'g' => {
                ensure!(size <= MAX_EXTENDED, InvalidData, "byte {at}: an extended tar header of {size} bytes");
                let records = input.bytes(size as usize, "an extended tar header")?;
                let moves = [&b" path="[..], b" size=", b" linkpath=", b" GNU.sparse"];
                ensure!(
                    !moves.iter().any(|key| records.windows(key.len()).any(|w| w == *key)),
                    Unsupported,
                    "byte {at}: an extended tar header that changes a path or size"
                );
                input.skip(member.padding(), "a tar header")?;
                continue;
            }
            _ => {
                return Err(err!(
                    Unsupported,
                    "byte {at}: '{}' is a tar member of type '{}', expected regular files",
                    Excerpt(&member.name, 80),
                    char::from(kind).escape_default()
                ));
            }
        }
        input.skip(size + member.padding(), "a tar member")?;
    }
}
