//! Headers and rows that disagree, text that could be taken for something else, and rows that are skipped.

use super::*;

fn skipping() -> ReadOptions {
    ReadOptions { bad_rows: BadRows::Skip, ..ReadOptions::default() }
}

#[test]
fn headers_are_compared_with_the_rows() {
    damaged(b"2 1\nthe 0.1 0.2\nof 0.3 0.4\n", "line 1: the header says vectors of 1 values, line 2 has 2");
    damaged(b"2 1\nthe 1 2\nof 3 4\n", "line 1: the header says vectors of 1 values, line 2 has 2");
    damaged(b"2 3\nthe 0.1 0.2\nof 0.3 0.4\n", "line 2: 3 fields, expected a word and 3 numbers");
    let long = format!("1 2\nthe{}\n", " 0.25".repeat(40_000));
    damaged(long.as_bytes(), "line 1: the header says vectors of 2 values, line 2 has");
    for line in ["-5 3", "5 -3", "+5 -3", "99999999999999999999999 3"] {
        damaged(format!("{line}\na 1 2 3\n").as_bytes(), "expected the number of words and of values");
    }
    let v = parse(b"-5 3\na 1\n", &ReadOptions { format: Some(Format::Glove), ..ReadOptions::default() }).unwrap();
    assert_eq!(listed(&v), [("-5".to_owned(), vec![3.0]), ("a".to_owned(), vec![1.0])]);
    damaged(b"5.5 3\na 1 2 3\n", "line 1: 2 fields, expected a word and 3 numbers");
    damaged(b"400000\nthe 0.1 0.2\nof 0.3 0.4\n", "line 1: 1 fields, expected a word and 2 numbers");
    // A word that ends in a number is one, where the other rows say so.
    let v = fine(b"windows 10 1 2\nb 3 4\nc 5 6\n");
    assert_eq!((v.dim(), v.find("windows 10")), (2, Some(0)));
    let v = fine(b"3 2\nwindows 10 1 2\nb 3 4\nc 5 6\n");
    assert_eq!((v.dim(), v.find("windows 10")), (2, Some(0)));
    damaged(b"a 1 2\nb 3 4\nc 0.5 5 6\n", "line 3: more numbers than 2: the word would be 'c 0.5'");
    damaged(b"a 1 2\nb 3 4\nc 5 2e-3 5 6\n", "line 3: more numbers than 2: the word would be 'c 5 2e-3'");
    assert_eq!(fine(b"a 1 2\nb 3 4\nv. e 5 6\n").find("v. e"), Some(2));
    // A line that the look does not reach the end of.
    let wide = format!("a{}\nb{}\n", " 0.25".repeat(30_000), " -1".repeat(30_000));
    assert_eq!((fine(wide.as_bytes()).dim(), fine(wide.as_bytes()).len()), (30_000, 2));
    let wide = format!("2 30000\n{wide}");
    assert_eq!((fine(wide.as_bytes()).format(), fine(wide.as_bytes()).len()), (Format::Word2VecText, 2));
}

#[test]
fn malformed_text_is_not_taken_for_binary() {
    for (first, e) in [
        ("the 0,1 0,2 0,3", "line 2, value 1: '0,1', expected a finite number"),
        ("the 0.1 NA 0.3", "line 2, value 2: 'NA', expected a finite number"),
        ("the 0.1", "line 2: 2 fields, expected a word and 3 numbers"),
        ("the", "line 2: 1 fields, expected a word and 3 numbers"),
        ("", "line 2: 0 fields, expected a word and 3 numbers"),
        ("the 0.1 0.2 \u{2212}0.3", "line 2, value 3: '\u{2212}0.3', expected a finite number"),
    ] {
        let rest = "of 0.1 0.2 0.3\n\u{ab} 1 2 3\nto 1 2 3\n";
        damaged(format!("4 3\n{first}\n{rest}").as_bytes(), e);
        damaged(format!("4 3\r\n{first}\r\n{rest}").as_bytes(), e);
        let glove = e.replace("line 2", "line 1");
        damaged(format!("{first}\n{rest}").as_bytes(), &glove);
        let latin = [format!("4 3\n{first}\n").as_bytes(), b"\xe9t\xe9 1 2 3\n\xe0 la 1 2 3\nla \xa0 1 2 3\n"].concat();
        damaged(&latin, e);
    }
    let all = "a 0,5 0,25\nb 1,5 2,5\n";
    damaged(all.as_bytes(), "line 1: '0,25', expected a word and its numbers");
    damaged(format!("2 2\n{all}").as_bytes(), "line 2, value 1: '0,5'");
    damaged(b"word,0.1,0.2\n", "it starts with 'word,0.1,0.2'");
    damaged(b"\x1b[31mred alert\n", "it starts with '\\u{1b}[31mred alert'");
    damaged(b"a 1 2\nb 1 \x1b\n", "line 2, value 2: '\\u{1b}', expected a finite number");
}

#[test]
fn binary_stays_binary() {
    let mut random = crate::random::Random::new(5, 0);
    for dim in [1, 2, 3, 50] {
        for count in [1, 2, 300] {
            let mut file = format!("{count} {dim}\n").into_bytes();
            for i in 0..count {
                let values: Vec<f32> = (0..dim).map(|_| random.normal() as f32).collect();
                file.extend(record(format!("{i}w").as_bytes(), &values));
                file.extend(&b"\n"[..i % 2]);
            }
            assert_eq!((fine(&file).format(), fine(&file).len()), (Format::Word2VecBinary, count), "{dim} {count}");
        }
    }
}

#[test]
fn bad_rows_are_skipped_and_counted() {
    let text = "a 1 2\n 3 4\n\nb 5\nc NaN 1\nd 1 x\nd 7 8\n   9 9\ne 0.5 1 2\nf 9 9\n";
    for (header, format) in [("", Format::Glove), ("9 2\n", Format::Word2VecText)] {
        let file = format!("{header}{text}");
        assert_eq!(parse(file.as_bytes(), &ReadOptions::default()).err().unwrap().kind(), ErrorKind::InvalidData);
        let v = parse(file.as_bytes(), &skipping()).unwrap();
        assert_eq!((v.format(), v.skipped_rows(), v.duplicates()), (format, 7, 0));
        let rows = [("a", [1.0, 2.0]), ("d", [7.0, 8.0]), ("f", [9.0, 9.0])];
        assert_eq!(listed(&v), rows.map(|(w, x)| (w.to_owned(), x.to_vec())));
        // Numbers of words that nobody asked for are not looked at.
        let some = WordVectors::read(file.as_bytes(), "f", Some(&["d"]), &skipping()).unwrap();
        assert_eq!((listed(&some), some.skipped_rows()), (vec![("d".to_owned(), vec![7.0, 8.0])], 6));
        let (_, coverage) = v.embedding(&["d"], None, &Default::default()).unwrap();
        assert_eq!(coverage.skipped_rows(), 7);
        let two = parse(file.as_bytes(), &ReadOptions { limit: Some(2), ..skipping() }).unwrap();
        assert_eq!((two.len(), two.find("d")), (2, Some(1)));
    }
    let e = parse(b"1 2\na x y\n", &skipping()).err().unwrap();
    assert_eq!(e.message(), "f: no row can be used: line 2, value 1: 'x', expected a finite number");
    let refuse = ReadOptions { invalid_utf8: InvalidUtf8::Refuse, ..skipping() };
    let v = parse(b"a 1\n\xff 2\nb 3\n", &refuse).unwrap();
    assert_eq!((v.len(), v.skipped_rows()), (2, 1));

    let nan = [f32::NAN, 1.0];
    let rows = [record(b"a", &[1.0, 2.0]), record(b"", &[3.0, 4.0]), record(b"b", &nan), record(b"b", &[5.0, 6.0])];
    let v = parse(&[&b"4 2\n"[..], &rows.concat()].concat(), &skipping()).unwrap();
    assert_eq!((v.skipped_rows(), v.values()), (2, &[1.0, 2.0, 5.0, 6.0][..]));
    // A cut file stays an error.
    let cut = parse(&[&b"5 2\n"[..], &rows.concat()].concat(), &skipping()).err().unwrap();
    assert_eq!(cut.kind(), ErrorKind::InvalidData);
    let e = parse(b"3 1\na 1\nb 2\n", &skipping()).err().unwrap();
    assert_eq!(e.message(), "f: the header says 3 words, the file has 2");
}

#[test]
fn words_taken_back_leave_nothing() {
    let mut text = String::new();
    for i in 0..3000 {
        text += &format!("w{i} 1 x\nw{i} {i} 1\n");
    }
    let v = parse(text.as_bytes(), &skipping()).unwrap();
    assert_eq!((v.len(), v.skipped_rows(), v.duplicates()), (3000, 3000, 0));
    for i in 0..3000 {
        assert_eq!((v.find(format!("w{i}")), v.vector(i)), (Some(i), Some(&[i as f32, 1.0][..])));
    }
}

#[test]
fn other_files_are_named() {
    for (bytes, name) in [
        (&b"BZh91AY&SY"[..], "bzip2 data"),
        (b"\x28\xB5\x2F\xFD1234", "Zstandard data"),
        (b"7z\xBC\xAF\x27\x1C00", "a 7z archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x93NUMPY\x01", "a NumPy array"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n", "a Git LFS pointer"),
        (b"\xFF\xFEa\0", "UTF-16"),
        (b"\xFE\xFF\0a", "UTF-16"),
        (b"PK\x05\x06\0\0", "an empty zip archive"),
        (b"\x80\x04\x95\0", "a Python pickle"),
    ] {
        refused(bytes, ErrorKind::Unsupported, name);
    }
    // But a text may start with any word.
    assert_eq!(fine(b"{ 1 2\nBZh 3 4\n").find("{"), Some(0));
    assert_eq!(fine(b"BZh 1 2\n").len(), 1);
}
