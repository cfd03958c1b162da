//! Packed files: how they are told, and what unpacks them.

use super::input::{Input, Packing};
use super::{xz, zip};
use crate::buffer::{try_box, try_string};
use crate::error::Result;
use std::io::Read;

const GZIP: &[u8] = b"\x1F\x8B";
const XZ: &[u8] = b"\xFD7zXZ\0";
const ZIP: &[u8] = b"PK\x03\x04";

/// The packing of a file that starts with `head`, if it has one.
pub(super) fn of(head: &[u8]) -> Option<Packing> {
    [(GZIP, Packing::Gzip), (XZ, Packing::Xz), (ZIP, Packing::Zip)]
        .into_iter()
        .find_map(|(magic, packing)| head.starts_with(magic).then_some(packing))
}

/// What packed data hold, at most `limit` bytes; of a zip archive the member of that name.
pub(super) fn unpack<'a>(input: Input<'a>, packing: Packing, limit: u64, member: Option<&str>) -> Result<Input<'a>> {
    let (name, raw) = (try_string(input.name())?, input.raw());
    let source: Box<dyn Read + 'a> = match packing {
        Packing::Gzip => try_box(flate2::read::MultiGzDecoder::new(input))?,
        Packing::Xz => try_box(xz::Xz::new(input))?,
        Packing::Zip => try_box(zip::Member::open(input.with_limit(limit), member)?)?,
    };
    Input::unpacked(source, &name, raw, packing, limit)
}
