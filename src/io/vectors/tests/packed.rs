//! zip and xz.

use super::*;
use flate2::Crc;

struct Part<'a> {
    name: &'a str,
    data: &'a [u8],
    deflated: bool,
    /// Sizes behind the data, of eight bytes.
    open: bool,
}

fn part<'a>(name: &'a str, data: &'a [u8]) -> Part<'a> {
    Part { name, data, deflated: true, open: false }
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn zip(parts: &[Part<'_>]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for p in parts {
        let packed = if p.deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(p.data).unwrap();
            encoder.finish().unwrap()
        } else {
            p.data.to_vec()
        };
        let (len, n) = (packed.len() as u32, p.data.len() as u32);
        let sizes = [crc(p.data), len.to_le_bytes(), n.to_le_bytes()].concat();
        let mut head = [45, 0, if p.open { 8 } else { 0 }, 0, if p.deflated { 8 } else { 0 }, 0, 0, 0, 0, 0].to_vec();
        head.extend(if p.open { vec![0; 12] } else { sizes.clone() });
        head.extend((p.name.len() as u16).to_le_bytes());
        head.extend([if p.open { 20 } else { 0 }, 0]);
        out.extend([b"PK\x03\x04", &head[..], p.name.as_bytes()].concat());
        if p.open {
            out.extend([&[1, 0, 16, 0][..], &[0; 16]].concat());
        }
        out.extend(packed);
        if p.open {
            out.extend([&crc(p.data)[..], &u64::from(len).to_le_bytes(), &u64::from(n).to_le_bytes()].concat());
        }
        directory.extend([b"PK\x01\x02\0\0", &head[..26], &[0; 14], p.name.as_bytes()].concat());
        let at = directory.len() - p.name.len();
        directory[at - 16..at - 14].fill(0);
    }
    out.extend(directory);
    out.extend([&b"PK\x05\x06"[..], &[0; 18]].concat());
    out
}

const TEXT: &[u8] = b"a 1 2\nb 3 4\n";

fn member(bytes: &[u8], name: &str) -> Result<WordVectors> {
    parse(bytes, &ReadOptions { member: Some(name.to_owned()), ..ReadOptions::default() })
}

#[test]
fn zip_archives() {
    let expected = listed(&fine(TEXT));
    for (deflated, open) in [(true, false), (false, false), (true, true)] {
        let one = || Part { name: "x/v.txt", data: TEXT, deflated, open };
        let junk = || Part { name: "__MACOSX/x/._v.txt", data: b"junk", deflated, open };
        let directory = || Part { name: "x/", data: b"", deflated: false, open: false };
        for parts in [vec![one()], vec![directory(), one(), junk()], vec![junk(), directory(), one()]] {
            assert_eq!(listed(&fine(&zip(&parts))), expected, "{deflated} {open}");
            assert_eq!(listed(&member(&zip(&parts), "x/v.txt").unwrap()), expected);
        }
        let two = zip(&[one(), Part { name: "w.txt", data: b"c 5\n", deflated, open }]);
        refused(&two, ErrorKind::InvalidArgument, "the option `member` names none: 'x/v.txt', 'w.txt'");
        assert_eq!(member(&two, "w.txt").unwrap().find("c"), Some(0));
        assert_eq!(listed(&member(&two, "x/v.txt").unwrap()), expected);
        let e = member(&two, "other").err().unwrap();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.message().contains("no member 'other'; it has 2 others: 'x/v.txt', 'w.txt'"), "{e}");
        damaged(&zip(&[one(), one()]), "comes twice");
    }
    assert_eq!(member(TEXT, "x").err().unwrap().kind(), ErrorKind::InvalidArgument);
    let many: Vec<u8> = (0..20_000).flat_map(|i| format!("w{i} {i} 0.5\n").into_bytes()).collect();
    assert_eq!(listed(&fine(&zip(&[part("v", &many)]))), listed(&fine(&many)));
}

#[test]
fn damaged_zip_archives() {
    let good = zip(&[part("v", TEXT)]);
    for end in 4..good.len() {
        assert!(parse(&good[..end], &ReadOptions::default()).is_err(), "{end}");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    refused(&with(6, 1), ErrorKind::Unsupported, "member 'v' is encrypted");
    refused(&with(8, 14), ErrorKind::Unsupported, "packed by method 14");
    damaged(&with(14, good[14] ^ 1), "has checksum");
    damaged(&with(22, good[22] + 1), "bytes from");
    damaged(&with(18, good[18] - 1), "damaged");
    let mut more = good.clone();
    more.push(0);
    damaged(&more, "should be the end");
    let stored = zip(&[Part { name: "v", data: TEXT, deflated: false, open: false }]);
    let mut open = stored.clone();
    open[6] = 8;
    refused(&open, ErrorKind::Unsupported, "stored without a size");
    let mut hidden = zip(&[part("v", TEXT), part("w", TEXT)]);
    // The directory forgets the second.
    let at = hidden.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    hidden.drain(at..at + 47);
    let e = member(&hidden, "v").err().unwrap();
    assert!(e.message().contains("directory has 1 members, but there are 2"), "{e}");
}

#[test]
fn xz_data() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/gensim.txt");
    let (packed, plain) = (std::fs::read(format!("{path}.xz")).unwrap(), std::fs::read(path).unwrap());
    assert_eq!(listed(&fine(&packed)), listed(&fine(&plain)));
    let mut padded = packed.clone();
    padded.extend([0; 8]);
    assert_eq!(listed(&fine(&padded)), listed(&fine(&plain)));
    padded.push(0);
    damaged(&padded, "");
    // Any flipped bit is found: in the headers, the data, the checks, the lists and the ends.
    let mut file = packed.clone();
    for at in 6..file.len() {
        for flip in [1, 0x80] {
            file[at] ^= flip;
            assert!(parse(&file, &ReadOptions::default()).is_err(), "{at} of {}", packed.len());
            file[at] ^= flip;
        }
    }
    let e = parse(&packed, &ReadOptions { max_decompressed: plain.len() as u64 - 1, ..ReadOptions::default() });
    assert!(e.err().unwrap().message().contains("decompresses to more than"));
}
