//! Formats made by hand: habits of tools, options, and files that lie.

use super::*;
use crate::ErrorKind;
use crate::io::TempDir;
use std::io::Write as _;

fn parse(bytes: &[u8], options: &ReadOptions) -> Result<WordVectors> {
    WordVectors::read(bytes, "f", None, options)
}

fn fine(bytes: &[u8]) -> WordVectors {
    parse(bytes, &ReadOptions::default()).unwrap()
}

fn refused(bytes: &[u8], kind: ErrorKind, part: &str) {
    let e = parse(bytes, &ReadOptions::default()).err().expect(part);
    assert!(e.kind() == kind && e.message().contains(part) && e.message().starts_with("f: "), "{part}: {e:?}");
}

fn damaged(bytes: &[u8], part: &str) {
    refused(bytes, ErrorKind::InvalidData, part);
}

fn listed(v: &WordVectors) -> Vec<(String, Vec<f32>)> {
    v.iter().map(|(w, x)| (String::from_utf8_lossy(w).into_owned(), x.to_vec())).collect()
}

mod hostile;
mod packed;
mod rows;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn record(word: &[u8], values: &[f32]) -> Vec<u8> {
    let mut out = [word, b" "].concat();
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}

#[test]
fn texts_of_all_habits() {
    let expected = vec![("a".to_owned(), vec![1.0, -2.5]), ("б".to_owned(), vec![1e-3, 4.0])];
    for text in [
        "2 2\na 1 -2.5\nб 1e-3 4\n",
        "2 2\na 1 -2.5 \nб 1e-3 4 \n",
        "2 2 \r\na 1 -2.5\r\nб 1e-3 4\r\n",
        "2 2\na\t1\t-2.5\nб 0.001 4.0",
        "\u{feff}2 2\na 1 -2.5\nб 1e-3 4\n\n",
        "a 1 -2.5\nб 1e-3 4\n",
        "\u{feff}a 1 -2.5\nб 1e-3 4",
    ] {
        let v = fine(text.as_bytes());
        assert_eq!(listed(&v), expected, "{text:?}");
        let has_header = text.contains("2 2");
        assert_eq!(v.format(), if has_header { Format::Word2VecText } else { Format::Glove });
        assert_eq!(listed(&fine(&gzip(text.as_bytes()))), expected);
        // Two gzip members, one after the other, are one file.
        let (a, b) = text.as_bytes().split_at(9);
        assert_eq!(listed(&fine(&[gzip(a), gzip(b)].concat())), expected);
    }
    let v = fine(b"the 1 2\n. . . 3 4\nat name@domain.com 5 6\n\xff 7 8\n");
    assert_eq!(v.find(". . ."), Some(1));
    assert_eq!(v.find("at name@domain.com"), Some(2));
    assert_eq!(v.find(b"\xff"), Some(3));
    assert_eq!(listed(&fine(b"0 3\n")), []);
}

#[test]
fn binary_of_both_habits() {
    let (a, b) = (record(b"a", &[1.0, 2.0]), record("б".as_bytes(), &[-0.0, 1e-42]));
    for file in [
        [b"2 2\n", &a[..], &b].concat(),
        [b"2 2\n", &a[..], b"\n", &b, b"\n"].concat(),
        gzip(&[b"2 2\n", &a[..], &b].concat()),
    ] {
        let v = fine(&file);
        assert_eq!((v.format(), v.len(), v.find("б")), (Format::Word2VecBinary, 2, Some(1)));
        let bits: Vec<u32> = v.values().iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [1.0f32, 2.0, -0.0, 1e-42].map(f32::to_bits));
    }
}

#[test]
fn options_decide() {
    let options = ReadOptions::default();
    let text = b"a 1\nb 2\na 3\n\xd0 4\n";
    let v = parse(text, &options).unwrap();
    assert_eq!((v.len(), v.duplicates(), v.vector(0)), (3, 1, Some(&[1.0][..])));
    let e = parse(text, &ReadOptions { duplicates: Duplicates::Refuse, ..options.clone() }).err().unwrap();
    assert_eq!(e.message(), "f: line 3: the word 'a' comes twice");
    let e = parse(text, &ReadOptions { invalid_utf8: InvalidUtf8::Refuse, ..options.clone() }).err().unwrap();
    assert_eq!(e.message(), "f: line 4: the word's byte 1 is not UTF-8");
    let v = parse(text, &ReadOptions { invalid_utf8: InvalidUtf8::Replace, ..options.clone() }).unwrap();
    assert_eq!((v.find("\u{fffd}"), v.find(b"\xd0")), (Some(2), None));
    let replace = ReadOptions { invalid_utf8: InvalidUtf8::Replace, ..options.clone() };
    let part = WordVectors::read(&text[..], "f", Some(&["\u{fffd}"]), &replace).unwrap();
    assert_eq!(listed(&part), [("\u{fffd}".to_owned(), vec![4.0])]);
    let refuse = ReadOptions { invalid_utf8: InvalidUtf8::Refuse, ..options.clone() };
    let e = WordVectors::read(&text[..], "f", Some(&["a"]), &refuse).err().unwrap();
    assert_eq!(e.message(), "f: line 4: the word's byte 1 is not UTF-8");
    let v = parse(text, &ReadOptions { limit: Some(2), ..options.clone() }).unwrap();
    assert_eq!((v.len(), v.duplicates()), (2, 0));
    for file in [&text[..], &[&b"1 1\n"[..], &record(b"a", &[1.0])].concat()] {
        let e = parse(file, &ReadOptions { dim: Some(3), ..options.clone() }).err().unwrap();
        assert_eq!((e.kind(), e.message()), (ErrorKind::ShapeMismatch, "f: vectors have 1 values, expected 3"));
    }
    let v = parse(b"2 2\n3 4\n", &ReadOptions { format: Some(Format::Glove), ..options }).unwrap();
    assert_eq!(listed(&v), [("2".to_owned(), vec![2.0]), ("3".to_owned(), vec![4.0])]);
}

#[test]
fn texts_that_lie() {
    damaged(b"", "the file is empty");
    damaged(b"hello\n", "not recognized");
    damaged(b"%PDF-1.4 some other file\n\0\0", "not recognized");
    damaged(b"3 2\na 1 2\nb 3 4\n", "the header says 3 words, the file has 2");
    damaged(b"1 2\na 1 2\nb 3 4\n", "line 3: the header says 1 words, the file has more");
    damaged(b"2 2\na 1 2\nb 3\n", "line 3: 2 fields, expected a word and 2 numbers");
    damaged(b"a 1 2\n\nb 3 4\n", "line 2: 0 fields");
    damaged(b"a 1 2\n 3 4\n", "line 2: 2 fields");
    damaged(b"a 1 2\nb 3 x\n", "line 2, value 2: 'x', expected a finite number");
    damaged(b"a 1 2\nb NaN 4\n", "line 2, value 1: 'NaN'");
    damaged(b"a 1 2\nb 1e39 4\n", "line 2, value 1: '1e39'");
    damaged(b"a 1 2\nb 3 -inf\n", "line 2, value 2: '-inf'");
    damaged(b"2 0\na\nb\n", "vectors of 0 values, expected 1 to");
    damaged(b"5000000000 1\na 1\n", "5000000000 words");
    damaged(b"1 99999999\na 1\n", "vectors of 99999999 values");
    let long = [&vec![b'w'; MAX_WORD + 1][..], b" 1 2\n"].concat();
    damaged(&[b"a 1 2\n", &long[..]].concat(), "line 2: the word is longer than 65536 bytes");
    damaged(&[b"a 1 2\n", &vec![b'w'; 3 << 20][..]].concat(), "line 2 is longer than");
    damaged(&vec![b'w'; 3 << 20], "not recognized");
    damaged(b"a 1 2\n 3 4\n", "line 2: 2 fields (the first is empty)");
}

#[test]
fn binary_that_lies() {
    let a = record(b"a", &[1.0, 2.0]);
    let of = |header: &str, records: &[u8]| [header.as_bytes(), records].concat();
    damaged(&of("2 2\n", &a), "the file ends at byte 14, within a word that starts at byte 14");
    damaged(&of("1 2\n", &[&a[..], b"more"].concat()), "bytes from 14 on");
    damaged(&of("1 3\n", &a), "the file ends at byte 14, within a vector that starts at byte 6");
    damaged(&of("1 2\n", &record(b"a", &[1.0, f32::NAN])), "byte 10, in a vector: NaN");
    damaged(&of("1 2\n", &record(b"", &[1.0, 2.0])), "byte 4: the word is empty");
    damaged(&of("1 2\n", &record(&vec![b'w'; 1 << 20], &[1.0, 2.0])), "is longer than 656");
    damaged(&of("1 2000000\n", &a), "vectors of 2000000 values");

    // A count is checked against a file's length before memory is taken.
    let dir = TempDir::new();
    let path = dir.join("v");
    std::fs::write(&path, of("1000000000 300\n", &a)).unwrap();
    let e = WordVectors::open(&path, &ReadOptions::default()).err().unwrap();
    assert!(e.message().contains("1000000000 words of 300 values need 1200000000000 bytes at least"), "{e}");
    assert_eq!(WordVectors::open(dir.join("absent"), &ReadOptions::default()).err().unwrap().kind(), ErrorKind::Io);
    assert_eq!(WordVectors::open(&dir.0, &ReadOptions::default()).err().unwrap().kind(), ErrorKind::Io);
}

#[test]
fn gzip_has_a_limit() {
    let line = b"1 2\na 1 2\n";
    let mut text = line.to_vec();
    text.extend(std::iter::repeat_n(b'\n', 1 << 22));
    let bomb = gzip(&text);
    assert!(bomb.len() < 1 << 16);
    let options = ReadOptions { max_decompressed: 1 << 20, ..ReadOptions::default() };
    let e = parse(&bomb, &options).err().unwrap();
    assert_eq!(e.message(), "f: decompresses to more than 1048576 bytes; raise the limit if that is right");
    assert!(parse(&gzip(line), &options).is_ok());
    let mut broken = gzip(line);
    let crc = broken.len() - 6;
    broken[crc] ^= 1;
    damaged(&broken, "gzip data are damaged");
    damaged(&gzip(line)[..20], "gzip data are damaged or cut off");
    refused(&gzip(&gzip(line)), ErrorKind::Unsupported, "gzip data, which is no file of word vectors");

    // A file that is held whole.
    let dir = TempDir::new();
    fine(line).save_safetensors(dir.join("v")).unwrap();
    let own = std::fs::read(dir.join("v")).unwrap();
    let mut packed = gzip(&own);
    assert_eq!(fine(&packed).format(), Format::Safetensors);
    let e = parse(&packed, &ReadOptions { max_decompressed: own.len() as u64 - 1, ..options }).err().unwrap();
    assert!(e.kind() == ErrorKind::InvalidData && e.message().contains("decompresses to more than"), "{e}");
    let crc = packed.len() - 6;
    packed[crc] ^= 1;
    damaged(&packed, "gzip data are damaged");
}

/// A fastText model up to its first word.
fn fasttext_start(dim: i32, maxn: i32, word: &[u8]) -> Vec<u8> {
    let mut out = fasttext::MAGIC.to_vec();
    let args = [dim, 5, 5, 1, 5, 1, 2, 2, 100, 3, maxn, 100];
    [12].into_iter().chain(args).for_each(|v: i32| out.extend(v.to_le_bytes()));
    out.extend([0; 8]);
    [1, 1, 0].into_iter().for_each(|v: i32| out.extend(v.to_le_bytes()));
    [9, -1].into_iter().for_each(|v: i64| out.extend(v.to_le_bytes()));
    [&out, word, &[0; 10]].concat()
}

#[test]
fn fasttext_models_that_take_for_ever() {
    damaged(&fasttext_start(300, 33, b"a"), "maxn is 33, expected at most 32");
    damaged(&fasttext_start(300, 6, b""), "byte 92: the word is empty");
    let long = [b'w'; 1 << 15];
    let e = "byte 92: a word of 32768 bytes, expected at most 6990 with n-grams of up to 32 characters";
    damaged(&fasttext_start(300, 32, &long), e);
    damaged(&fasttext_start(300, 32, &long[..6990]), "the file ends at byte 7092, within a flag");
    damaged(&fasttext_start(300, 0, &long), "within a flag");
}

struct TarMember<'a> {
    name: &'a str,
    kind: u8,
    data: &'a [u8],
}

fn tar(members: &[TarMember<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for m in members {
        let mut block = [0u8; 512];
        block[..m.name.len()].copy_from_slice(m.name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", m.data.len()).as_bytes());
        block[156] = m.kind;
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(block);
        out.extend(m.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn regular<'a>(name: &'a str, data: &'a [u8]) -> TarMember<'a> {
    TarMember { name, kind: b'0', data }
}

fn vocab(words: &str, count: u32) -> Vec<u8> {
    let mut bytes = count.to_le_bytes().to_vec();
    bytes.resize(4 + 4 * count.min(100) as usize, 0);
    gzip(&[&bytes, words.as_bytes()].concat())
}

fn pq(header: [u32; 4], indexes: &[u8], codes: &[f32]) -> Vec<u8> {
    let mut out: Vec<u8> = header.iter().flat_map(|v| v.to_le_bytes()).collect();
    out.extend(indexes);
    codes.iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}

#[test]
fn navec_archives() {
    let meta = br#"{"id": "x", "protocol": 1}"#;
    let words = vocab("кот\nline\u{2028}two\n<unk>", 3);
    let codes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let vectors = pq([3, 4, 2, 2], &[0, 1, 1, 0, 1, 1], &codes);
    let good = [regular("meta.json", meta), regular("vocab.bin", &words), regular("pq.bin", &vectors)];
    let v = fine(&tar(&good));
    assert_eq!((v.format(), v.dim(), v.find("line\u{2028}two"), v.find("<unk>")), (Format::Navec, 4, Some(1), Some(2)));
    assert_eq!(v.values(), [1.0, 2.0, 7.0, 8.0, 3.0, 4.0, 5.0, 6.0, 3.0, 4.0, 7.0, 8.0]);
    let part = WordVectors::read(&tar(&good)[..], "f", Some(&["<unk>"]), &ReadOptions::default()).unwrap();
    assert_eq!(listed(&part), [("<unk>".to_owned(), vec![3.0, 4.0, 7.0, 8.0])]);
    assert_eq!(fine(&gzip(&tar(&good))).len(), 3);

    // The rows' size is no part of the file.
    let limited = |max_decompressed, words| {
        let options = ReadOptions { max_decompressed, ..ReadOptions::default() };
        WordVectors::read(&tar(&good)[..], "f", words, &options).map(|v| v.len())
    };
    assert_eq!((limited(48, None).unwrap(), limited(47, Some(&["<unk>"])).unwrap()), (3, 1));
    let e = limited(47, None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidData);
    assert!(e.message().contains("3 vectors of 4 values decode to 48 bytes, more than 47"), "{e}");

    let with = |i: usize, name: &str, data: &[u8]| {
        let mut members: Vec<TarMember<'_>> = good.iter().map(|m| regular(m.name, m.data)).collect();
        members[i] = regular(name, data);
        tar(&members)
    };
    let unsupported = |bytes: &[u8], part: &str| refused(bytes, ErrorKind::Unsupported, part);
    unsupported(&with(0, "meta.json", br#"{"protocol": 2}"#), "expected a protocol of 1");
    damaged(&with(0, "meta.json", b"{"), "meta.json: ");
    damaged(&with(0, "other", meta), "the archive has no meta.json");
    damaged(&with(2, "vocab.bin", &words), "a second vocab.bin");
    unsupported(&with(1, "pq.bin", &vectors), "pq.bin before vocab.bin");
    damaged(&with(1, "vocab.bin", &vocab("a\nb", 3)), "vocab.bin: the file ends");
    damaged(&with(1, "vocab.bin", &vocab("a\nb\nc\nd", 3)), "more words than the 3");
    damaged(&with(1, "vocab.bin", &vocab("a\n\nc", 3)), "vocab.bin: byte 18: the word is empty");
    damaged(&with(1, "vocab.bin", &vocab("a\nb\nc", u32::MAX)), "within the words' counts");
    damaged(&with(1, "vocab.bin", b"not gzip"), "vocab.bin: gzip data are damaged");
    damaged(&with(2, "pq.bin", &pq([4, 4, 2, 2], &[0; 8], &codes)), "expected 56 bytes and 3 vectors");
    damaged(&with(2, "pq.bin", &pq([3, 4, 0, 2], &[], &codes)), "in 0 parts");
    damaged(&with(2, "pq.bin", &pq([3, 4, 3, 2], &[0; 9], &codes)), "in 3 parts");
    damaged(&with(2, "pq.bin", &pq([3, u32::MAX, 1, u32::MAX], &[0; 3], &codes)), "centroids");
    damaged(&with(2, "pq.bin", &pq([3, 4, 2, 2], &[0, 1, 1, 2, 1, 1], &codes)), "centroid 2, expected less than 2");
    damaged(&with(2, "pq.bin", &pq([3, 4, 2, 2], &[0; 6], &[f32::INFINITY; 8])), "in pq.bin: inf");

    // Tricks of archives.
    let mut members: Vec<TarMember<'_>> = good.iter().map(|m| regular(m.name, m.data)).collect();
    members[1].kind = b'2';
    unsupported(&tar(&members), "'vocab.bin' is a tar member of type '2'");
    members[1] = TarMember { name: "x", kind: b'x', data: b"18 path=vocab.bin\n" };
    unsupported(&tar(&members), "extended tar header that changes a path or size");
    let mut bytes = tar(&good);
    bytes[124..135].copy_from_slice(b"77777777777");
    damaged(&bytes, "checksum");
    bytes[124] = 0x80;
    damaged(&bytes, "checksum");
    for end in [600, 1100, 1600] {
        assert!(parse(&tar(&good)[..end], &ReadOptions::default()).is_err());
    }
}

#[test]
fn what_is_written_can_be_read() {
    let dir = TempDir::new();
    let values = [0.1, -1e-30, 3.402_823_5e38, 1e-45, -0.0, 16_777_216.0].map(|v: f32| v);
    let rows = [record(b"one", &values[..3]), record("два".as_bytes(), &values[3..])].concat();
    let v = fine(&[b"2 3\n", &rows[..]].concat());
    let path = dir.join("v");
    let same = |format: Format| {
        let back = WordVectors::open(&path, &ReadOptions::default()).unwrap();
        assert_eq!((back.format(), listed(&back)), (format, listed(&v)));
        let bits = |v: &WordVectors| v.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&v));
    };
    v.save_word2vec_text(&path).unwrap();
    same(Format::Word2VecText);
    v.save_word2vec_binary(&path).unwrap();
    same(Format::Word2VecBinary);
    v.save_safetensors(&path).unwrap();
    same(Format::Safetensors);

    let odd = fine(b"a b 1\n\\x5c 2\n\xff\xd0\xba 3\n");
    odd.save_safetensors(&path).unwrap();
    let back = WordVectors::open(&path, &ReadOptions::default()).unwrap();
    assert_eq!((0..3).map(|i| back.word(i)).collect::<Vec<_>>(), (0..3).map(|i| odd.word(i)).collect::<Vec<_>>());
    let e = odd.save_word2vec_text(&path).unwrap_err();
    assert!(e.kind() == ErrorKind::InvalidData && e.message().contains("word 0, 'a b'"), "{e}");
    assert_eq!(WordVectors::open(&path, &ReadOptions::default()).unwrap().format(), Format::Safetensors);

    let mut writer = crate::io::safetensors::TensorWriter::new();
    writer.tensor("x", &[1], &[1.0]).unwrap();
    writer.save(&path).unwrap();
    let e = WordVectors::open(&path, &ReadOptions::default()).err().unwrap();
    assert!(e.message().contains("the metadata do not say 'simdrnn word vectors'"), "{e}");
    let mut writer = crate::io::safetensors::TensorWriter::new();
    writer.metadata("format", own::FORMAT).unwrap();
    writer.metadata("words", "a\n\n").unwrap();
    writer.tensor("vectors", &[2, 1], &[1.0, 2.0]).unwrap();
    writer.save(&path).unwrap();
    let e = WordVectors::open(&path, &ReadOptions::default()).err().unwrap();
    assert!(e.kind() == ErrorKind::InvalidData && e.message().ends_with("word 1: the word is empty"), "{e}");
}

#[test]
fn escapes_are_two_hexadecimal_digits() {
    let dir = TempDir::new();
    let path = dir.join("v");
    for (line, word) in [
        ("\\x5ca\\xFf\\x0a", Some(&b"\\a\xff\n"[..])),
        ("\\x+f", None),
        ("\\x-1", None),
        ("\\xf", None),
        ("\\x", None),
        ("\\", None),
        ("\\n", None),
        ("\\x1é", None),
        ("\\xé", None),
    ] {
        let mut writer = crate::io::safetensors::TensorWriter::new();
        writer.metadata("format", own::FORMAT).unwrap();
        writer.metadata("words", &format!("{line}\n")).unwrap();
        writer.tensor("vectors", &[1, 1], &[1.0]).unwrap();
        writer.save(&path).unwrap();
        match (WordVectors::open(&path, &ReadOptions::default()), word) {
            (Ok(v), Some(word)) => assert_eq!(v.word(0), Some(word)),
            (Err(e), None) => {
                assert!(e.kind() == ErrorKind::InvalidData && e.message().contains("expected \\xHH"), "{line}: {e}");
            }
            (found, _) => panic!("{line}: {:?}", found.map(drop)),
        }
    }
}
