use super::*;
use crate::error::ErrorKind;
use crate::io::TempDir;
use crate::text::vocab::UNKNOWN;

const LOWER: Tokenizer = Tokenizer { lowercase: true };

fn train(bytes: &[u8], mode: LabelMode) -> Result<(Dataset, Vocab)> {
    Dataset::train_from(bytes, "train.tsv", &LOWER, mode, 1, usize::MAX)
}

fn words(d: &Dataset, v: &Vocab, i: usize) -> String {
    d.tokens(i).iter().map(|&t| v.word(t).unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn lines_become_numbers() {
    let file = "\u{feff}pos\tA good film!\r\n neg \tbad,\tbad film\nneu\tso so";
    let (d, v) = train(file.as_bytes(), LabelMode::Single).unwrap();
    assert_eq!(d.labels(), ["neg", "neu", "pos"]);
    assert_eq!((0..3).map(|i| d.targets(i)).collect::<Vec<_>>(), [&[2], &[0], &[1]]);
    assert_eq!((0..3).map(|i| words(&d, &v, i)).collect::<Vec<_>>(), ["a good film !", "bad , bad film", "so so"]);
    assert_eq!((d.len(), d.token_count(1), d.mode()), (3, 4, LabelMode::Single));
    // The two most frequent words and, of the third frequent ones, the first by bytes.
    assert_eq!((v.word(2), v.word(3), v.word(4), v.word(5)), (Some("bad"), Some("film"), Some("so"), Some("!")));
}

#[test]
fn rare_words_become_unknown() {
    let (d, v) = Dataset::train_from(&b"a\tx y x\nb\ty z"[..], "t", &LOWER, LabelMode::Single, 2, 100).unwrap();
    assert_eq!(v.len(), 4);
    assert_eq!((d.tokens(0), d.tokens(1)), (&[2, 3, 2][..], &[3, UNKNOWN][..]));
    assert!(Dataset::train_from(&b"a\tx\nb\ty"[..], "t", &LOWER, LabelMode::Single, 1, 1).is_err());
}

#[test]
fn a_second_file_uses_the_first_ones_numbers() {
    let (d, v) = train(b"pos\tgood film\nneg\tbad film", LabelMode::Single).unwrap();
    let open = |bytes: &[u8]| Dataset::open_from(bytes, "test.tsv", &LOWER, LabelMode::Single, &v, d.labels());
    let t = open(b"pos\tGOOD new film\npos\tunseen").unwrap();
    assert_eq!(t.labels(), d.labels());
    assert_eq!((t.targets(0), t.tokens(0)), (&[1][..], &[v.id("good"), UNKNOWN, v.id("film")][..]));
    assert_eq!(t.tokens(1), [UNKNOWN]);
    let e = open(b"pos\tx\nmixed\ty").unwrap_err();
    assert_eq!(e.message(), "test.tsv:2: the label 'mixed' is not among the 2 of the training file");
    assert_eq!(open(b"").unwrap_err().message(), "test.tsv: the file is empty, expected lines of label<TAB>text");
    let twice = ["a".to_owned(), "a".to_owned()];
    let e = Dataset::open_from(&b"a\tx"[..], "t", &LOWER, LabelMode::Single, &v, &twice).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn several_labels() {
    let file = b"news,sport\tx\n sport , art \ty\nart\tz";
    let (d, _) = train(file, LabelMode::Multi).unwrap();
    assert_eq!(d.labels(), ["art", "news", "sport"]);
    assert_eq!((0..3).map(|i| d.targets(i)).collect::<Vec<_>>(), [&[1, 2][..], &[0, 2], &[0]]);
    let (d, _) = train(file, LabelMode::Single).unwrap();
    assert_eq!(d.labels(), ["art", "news,sport", "sport , art"]);
    for (file, text) in [
        (&b"a,b\tx\na,b,a\ty"[..], "train.tsv:2: the label 'a' comes twice"),
        (b"a,,b\tx", "train.tsv:1: the label is empty, expected label<TAB>text"),
        (b"a,\tx", "train.tsv:1: the label is empty, expected label<TAB>text"),
    ] {
        assert_eq!(train(file, LabelMode::Multi).unwrap_err().message(), text);
    }
}

#[test]
fn broken_files() {
    for (file, text) in [
        (&b""[..], "train.tsv: the file is empty, expected lines of label<TAB>text"),
        (b"\n", "train.tsv:1: no tab, expected label<TAB>text, found ''"),
        (b"a\tx\nb\ty\nno tab here\nc\tz", "train.tsv:3: no tab, expected label<TAB>text, found 'no tab here'"),
        (b"a\tx\n\tx", "train.tsv:2: the label is empty, expected label<TAB>text"),
        (b"a\tx\n  \tx", "train.tsv:2: the label is empty, expected label<TAB>text"),
        (b"a\tx\nb\t", "train.tsv:2: the text is empty, expected label<TAB>text"),
        (b"a\tx\nb\t \t\r\nc\tx", "train.tsv:2: the text is empty, expected label<TAB>text"),
        (b"a\tx\nb\tok \xC3(\n", "train.tsv:2: byte 6 (0xC3) is not UTF-8"),
        (b"a\tx\nb\tn\0ul\n", "train.tsv:2: byte 4 is NUL, expected text"),
        (b"a\tx\na\ty\n", "train.tsv: all 2 lines have the one label 'a', expected at least two labels"),
        (b"a\tx\nb\ty\n\n", "train.tsv:3: no tab, expected label<TAB>text, found ''"),
    ] {
        let e = train(file, LabelMode::Single).unwrap_err();
        assert_eq!((e.kind(), e.message()), (ErrorKind::InvalidData, text));
    }
    // A binary line of any length leaves a readable text.
    let e = train("\u{1}x".repeat(100_000).as_bytes(), LabelMode::Single).unwrap_err();
    assert!(e.message().starts_with("train.tsv:1: no tab") && e.message().ends_with("\\u{1}x'"), "{e}");
}

#[test]
fn a_line_of_ten_megabytes() {
    let mut file = b"a\t".to_vec();
    file.extend(b"word ".repeat(2_000_000));
    file.extend(b"\nb\tx\n");
    let (d, v) = train(&file, LabelMode::Single).unwrap();
    assert_eq!((d.token_count(0), d.token_count(1), v.len()), (2_000_000, 1, 4));
}

#[test]
fn files_on_disk() {
    let dir = TempDir::new();
    let path = dir.join("train.tsv");
    std::fs::write(&path, "a\tx\nb\ty\n").unwrap();
    let (d, v) = Dataset::train(&path, &LOWER, LabelMode::Single, 1, 100).unwrap();
    assert_eq!(d.len(), 2);
    assert_eq!(Dataset::open(&path, &LOWER, LabelMode::Single, &v, d.labels()).unwrap().len(), 2);
    for path in [dir.join("absent.tsv"), dir.0.clone()] {
        let e = Dataset::train(&path, &LOWER, LabelMode::Single, 1, 100).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.message().contains(path.to_str().unwrap()), "{e}");
    }
}
