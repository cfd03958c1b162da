use super::*;
use crate::error::ErrorKind;
use crate::io::TempDir;
use crate::text::Column;
use crate::text::vocab::UNKNOWN;

fn options(mode: LabelMode) -> DatasetOptions {
    DatasetOptions { mode, ..DatasetOptions::default() }
}

fn read(bytes: &[u8], options: &DatasetOptions) -> Result<(Dataset, Vocab)> {
    Dataset::train_from(bytes, "train.tsv", options, &VocabOptions::default())
}

fn train(bytes: &[u8], mode: LabelMode) -> Result<(Dataset, Vocab)> {
    read(bytes, &options(mode))
}

/// The examples as label and text.
fn listed((d, v): &(Dataset, Vocab)) -> Vec<(&str, String)> {
    (0..d.len()).map(|i| (d.labels()[d.targets(i)[0] as usize].as_str(), words(d, v, i))).collect()
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
fn every_option_of_the_vocabulary_counts() {
    let read = |file: &[u8], vocab: VocabOptions| Dataset::train_from(file, "t", &DatasetOptions::default(), &vocab);
    let default = VocabOptions::default();
    let (d, v) = read(b"a\tx y x\nb\ty z", VocabOptions { min_count: 2, ..default }).unwrap();
    assert_eq!(v.len(), 4);
    assert_eq!((d.tokens(0), d.tokens(1)), (&[2, 3, 2][..], &[3, UNKNOWN][..]));
    let (d, v) = read(b"a\tx y x\nb\ty z", VocabOptions { max_size: 3, ..default }).unwrap();
    assert_eq!((v.len(), d.tokens(0), d.tokens(1)), (3, &[2, UNKNOWN, 2][..], &[UNKNOWN; 2][..]));
    let e = read(b"a\tx\nb\ty", VocabOptions { max_size: 1, ..default }).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    for (lowercase, nfc, entries) in [(true, false, 4), (false, false, 5), (true, true, 3), (false, true, 4)] {
        let vocab = VocabOptions { tokenizer: Tokenizer { lowercase, nfc }, ..default };
        let (d, v) = read("a\t\u{e9}\nb\te\u{301} E\u{301}".as_bytes(), vocab).unwrap();
        assert_eq!((v.len(), v.tokenizer()), (entries, &vocab.tokenizer));
        assert_eq!(d.tokens(0) == &d.tokens(1)[..1], nfc);
    }
}

#[test]
fn every_option_of_the_file_counts() {
    let d = DatasetOptions::default();
    let swapped = DatasetOptions { label: Column::Index(1), text: Column::Index(0), ..d.clone() };
    let file = b"A good film\tpos\n\nbad, \"bad\tneg\n";
    let expected = [("pos", "a good film"), ("neg", "bad , \" bad")];
    let same =
        |found: &(Dataset, Vocab)| listed(found).iter().map(|(l, t)| (*l, t.as_str())).collect::<Vec<_>>() == expected;
    let found = read(file, &swapped).unwrap();
    assert!(same(&found) && found.0.summary().blank_lines == 1, "{:?}", listed(&found));
    // GLUE: a header, more columns, the text last or in the middle.
    let named = |label: &str, text: &str| DatasetOptions {
        header: true,
        label: Column::Name(label.into()),
        text: Column::Name(text.into()),
        ..d.clone()
    };
    let glue = b"\xEF\xBB\xBFid\t sentence\tlabel\r\n7\tA good film\tpos\r\n8\tbad, \"bad\tneg\r\n";
    assert!(same(&read(glue, &named("label", "sentence")).unwrap()));
    let indexed = DatasetOptions { header: true, label: Column::Index(2), text: Column::Index(1), ..d.clone() };
    assert!(same(&read(glue, &indexed).unwrap()));
    // The same file without its header.
    let headless = DatasetOptions { header: false, ..indexed };
    assert!(same(&read(b"7\tA good film\tpos\n8\tbad, \"bad\tneg", &headless).unwrap()));
    // Commas and quotes, over lines.
    let csv =
        DatasetOptions { label: Column::Name("y".into()), text: Column::Name("x".into()), ..DatasetOptions::csv() };
    assert!(same(
        &read(b"\xEF\xBB\xBF\"x\",y\r\n\"A\r\ngood film\",pos\r\n\r\n\"bad, \"\"bad\",\"neg\"", &csv).unwrap()
    ));
    // Lines of blanks are no records.
    let found = read(b"x,y\n  \nA good film,pos\n \n\"bad, \"\"bad\",neg\n   ", &csv).unwrap();
    assert!(same(&found) && found.0.summary().blank_lines == 3, "{:?}", listed(&found));
    let semicolons = DatasetOptions { delimiter: b';', ..csv.clone() };
    assert!(same(&read(b"y;x\npos;A good film\nneg;\"bad, \"\"bad\"\n", &semicolons).unwrap()));
    // Without quotes a text at the end has what delimiters it has.
    let plain = DatasetOptions { delimiter: b',', ..d.clone() };
    assert!(same(&read(b"pos,A good film\nneg,bad, \"bad", &plain).unwrap()));
    // Several labels, in quotes.
    let several = DatasetOptions { mode: LabelMode::Multi, ..DatasetOptions::csv() };
    let (found, _) = read(b"label,text\n\"a,b\",x\nb,y\n", &several).unwrap();
    assert_eq!(
        (found.targets(0), found.mode(), found.label_counts().unwrap()),
        (&[0, 1][..], LabelMode::Multi, vec![1, 2])
    );
}

#[test]
fn quoted_records_come_in_pieces_of_any_size() {
    let long = "word ".repeat(1000);
    let file = format!("\u{feff}\"label\",more,text\na,,\"x\ny\"\n\nb,\"1,\n2\",\"{long}\"\r\nc, ,z");
    for capacity in [1, 2, 3, 7, 100_000] {
        let reader = std::io::BufReader::with_capacity(capacity, file.as_bytes());
        let (d, v) = Dataset::train_from(reader, "f", &DatasetOptions::csv(), &VocabOptions::default()).unwrap();
        assert_eq!((d.labels(), d.token_count(1)), (&["a", "b", "c"].map(str::to_owned)[..], 1000));
        assert_eq!((words(&d, &v, 0), words(&d, &v, 2)), ("x y".to_owned(), "z".to_owned()));
    }
}

#[test]
fn texts_are_cut_and_counted() {
    let file = b"a\tone two three\nb\tone two\na\tfour five six seven eight\n";
    for (max_tokens, counts, texts, tokens, entries) in [
        (0, [3, 2, 5], 0, 0, 10),
        (5, [3, 2, 5], 0, 0, 10),
        (4, [3, 2, 4], 1, 1, 9),
        (2, [2, 2, 2], 2, 4, 6),
        (1, [1, 1, 1], 3, 7, 4),
    ] {
        let options = DatasetOptions { max_tokens: Some(max_tokens).filter(|&n| n > 0), ..DatasetOptions::default() };
        let (d, v) = read(file, &options).unwrap();
        assert_eq!([d.token_count(0), d.token_count(1), d.token_count(2)], counts);
        // What was cut off is no word of the vocabulary either.
        assert_eq!((d.summary().cut_texts, d.summary().cut_tokens, v.len()), (texts, tokens, entries), "{max_tokens}");
        let again = Dataset::open_from(&file[..], "t", &options, &v, d.labels()).unwrap();
        assert!((0..3).all(|i| again.tokens(i) == d.tokens(i)) && again.summary().cut_tokens == tokens);
    }
}

#[test]
fn bad_lines_are_left_out_and_counted() {
    let file = b"pos\tgood\nno tab\n\tempty label\nnew\t \nneg\tbad\nneg\tnot \xFF text\npos\tn\0l\npos\tgood film\n";
    assert_eq!(
        train(file, LabelMode::Single).unwrap_err().message(),
        "train.tsv:2: 1 column, expected 2 separated by tabs, found 'no tab'"
    );
    let skip = DatasetOptions { skip_bad_lines: true, ..DatasetOptions::default() };
    let (d, v) = read(file, &skip).unwrap();
    // The same as if the bad lines had never been: no label or word of theirs remains.
    let (good, good_vocab) = train(b"pos\tgood\nneg\tbad\npos\tgood film\n", LabelMode::Single).unwrap();
    assert!(d.labels() == good.labels() && d.check_vocab(&good_vocab).is_ok() && d.len() == 3);
    assert!((0..3).all(|i| d.tokens(i) == good.tokens(i) && d.targets(i) == good.targets(i)));
    assert_eq!((d.summary().skipped_lines, d.summary().first_skipped_line), (5, 2));
    assert!(d.skip_reason().unwrap().message().starts_with("train.tsv:2: 1 column"));
    assert_eq!(
        (good.summary(), good.skip_reason().is_none()),
        (&DatasetSummary { labels_once: 1, ..DatasetSummary::default() }, true)
    );
    // A label that training did not have, also beside one that it had.
    let several = DatasetOptions { mode: LabelMode::Multi, ..skip.clone() };
    let d = Dataset::open_from(&b"pos\tx\npos,other\tgood bad\nneg\ty"[..], "t", &several, &v, good.labels()).unwrap();
    assert_eq!((d.len(), d.targets(1), d.tokens(1), d.summary().skipped_lines), (2, &[0][..], &[UNKNOWN][..], 1));
    // Records in quotes: counted by the line where they begin.
    let csv = DatasetOptions { skip_bad_lines: true, ..DatasetOptions::csv() };
    let (d, _) = read(b"label,text\na,\"x\n\ny\"\nb\nb,z,\nb,\xFF\nb,z\n", &csv).unwrap();
    assert_eq!((d.len(), d.summary().skipped_lines, d.summary().first_skipped_line), (2, 3, 5));
    // The first line too; but nothing is left out of which nobody knows where it ends.
    let (d, _) = read(b"comment\na\tx\nb\ty", &skip).unwrap();
    assert_eq!((d.len(), d.summary().first_skipped_line), (2, 1));
    let e = read(b"label,text\na,x\nb,\"never\na,y\n", &csv).unwrap_err();
    assert_eq!(e.message(), "train.tsv:3: a quote that begins here is never closed");
    assert_eq!(
        read(b"\nno tab\n", &skip).unwrap_err().message(),
        "train.tsv: the file has no examples, expected lines with a label and a text"
    );
}

#[test]
fn labels_that_look_like_something_else() {
    let facts = |file: &str, options: &DatasetOptions| {
        let (d, _) = read(file.as_bytes(), options).unwrap();
        let s = *d.summary();
        (s.labels_once, s.labels_nearly_unique, s.header_suspected)
    };
    let d = DatasetOptions::default();
    let lines = |n: usize, once: usize| -> String {
        let mut text = String::new();
        for i in 0..n {
            text += &format!("label {i}\tx\n");
            if i >= once {
                text += &format!("label {i}\ty\n");
            }
        }
        text
    };
    assert_eq!(facts(&lines(10, 9), &d), (9, true, false));
    assert_eq!(facts(&lines(10, 8), &d), (8, false, false));
    assert_eq!(facts(&lines(9, 9), &d), (9, false, false));
    // A header that became a class.
    let file = "label\ttext\npos\tx\nneg\ty\npos\tz\nneg\tz\n";
    assert_eq!(facts(file, &d), (1, false, true));
    assert_eq!(facts(file, &DatasetOptions { header: true, ..d.clone() }), (0, false, false));
    let last = "pos\tx\nneg\ty\npos\tz\nneg\tz\nlabel\ttext\n";
    assert_eq!(facts(last, &d), (1, false, false));
    assert_eq!(facts("a\tx\nb\ty\nb\tz", &d), (1, false, false));
}

#[test]
fn options_that_make_no_sense() {
    let d = DatasetOptions::default();
    let name = |name: &str| Column::Name(name.into());
    let header = DatasetOptions { header: true, ..d.clone() };
    for (options, kind, part) in [
        (DatasetOptions { delimiter: b'\n', ..d.clone() }, ErrorKind::InvalidArgument, "delimiter is byte 10"),
        (DatasetOptions { delimiter: 0xC3, ..d.clone() }, ErrorKind::InvalidArgument, "delimiter is byte 195"),
        (
            DatasetOptions { delimiter: b'"', quotes: true, ..d.clone() },
            ErrorKind::InvalidArgument,
            "delimiter is byte 34",
        ),
        (DatasetOptions { max_tokens: Some(0), ..d.clone() }, ErrorKind::InvalidArgument, "max_tokens is 0"),
        (DatasetOptions { label: name("x"), ..d.clone() }, ErrorKind::InvalidArgument, "there is no header"),
        (DatasetOptions { label: Column::Index(1), ..d.clone() }, ErrorKind::InvalidArgument, "expected two"),
        (
            DatasetOptions { text: Column::Index(usize::MAX), ..d.clone() },
            ErrorKind::InvalidArgument,
            "expected two below",
        ),
        (DatasetOptions { label: name("text"), ..header.clone() }, ErrorKind::InvalidArgument, "both column 2"),
        (
            DatasetOptions { label: name("Label"), ..header.clone() },
            ErrorKind::InvalidData,
            "train.tsv:1: no column 'Label' for the label, expected one of 'label\\ttext'",
        ),
        (
            DatasetOptions { text: Column::Index(2), ..header.clone() },
            ErrorKind::InvalidData,
            "2 columns, expected 3 or more",
        ),
    ] {
        let e = read(b"label\ttext\na\tx\nb\ty\n", &options).unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        assert!(e.message().contains(part), "{part}: {e}");
    }
    let e = read(b"a\ta\tb\n", &DatasetOptions { label: name("a"), ..header }).unwrap_err();
    assert!(e.message().contains("two columns have the name 'a'"), "{e}");
    assert!(
        read(b"label\ttext\n", &DatasetOptions { header: true, ..d }).unwrap_err().message().contains("no examples")
    );
    let e = read(b"\xFF\xFEa\0", &DatasetOptions::csv()).unwrap_err();
    assert_eq!(e.message(), "train.tsv:1: a byte order mark of UTF-16, expected UTF-8");
}

#[test]
fn a_second_file_uses_the_first_ones_numbers() {
    let (d, v) = train(b"pos\tgood film\nneg\tbad film", LabelMode::Single).unwrap();
    let open = |bytes: &[u8]| Dataset::open_from(bytes, "test.tsv", &DatasetOptions::default(), &v, d.labels());
    let t = open(b"pos\tGOOD new film\npos\tunseen").unwrap();
    assert_eq!(t.labels(), d.labels());
    assert_eq!((t.targets(0), t.tokens(0)), (&[1][..], &[v.id("good"), UNKNOWN, v.id("film")][..]));
    assert_eq!(t.tokens(1), [UNKNOWN]);
    let e = open(b"pos\tx\nmixed\ty").unwrap_err();
    assert_eq!(e.message(), "test.tsv:2: the label 'mixed' is not among the 2 of the training file");
    assert_eq!(
        open(b"").unwrap_err().message(),
        "test.tsv: the file has no examples, expected lines with a label and a text"
    );
    let twice = ["a".to_owned(), "a".to_owned()];
    let e = Dataset::open_from(&b"a\tx"[..], "t", &DatasetOptions::default(), &v, &twice).unwrap_err();
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
        (b"a,,b\tx", "train.tsv:1: the label is empty"),
        (b"a,\tx", "train.tsv:1: the label is empty"),
    ] {
        assert_eq!(train(file, LabelMode::Multi).unwrap_err().message(), text);
    }
}

#[test]
fn broken_files() {
    for (file, text) in [
        (&b""[..], "train.tsv: the file has no examples, expected lines with a label and a text"),
        (b"\n", "train.tsv: the file has no examples, expected lines with a label and a text"),
        (b"a\tx\nb\ty\nno tab here\nc\tz", "train.tsv:3: 1 column, expected 2 separated by tabs, found 'no tab here'"),
        (b"a\tx\n\tx", "train.tsv:2: the label is empty"),
        (b"a\tx\n  \tx", "train.tsv:2: the label is empty"),
        (b"a\tx\nb\t", "train.tsv:2: the text is empty, expected at least one token"),
        (b"a\tx\nb\t \t\r\nc\tx", "train.tsv:2: the text is empty, expected at least one token"),
        (b"a\tx\nb\tok \xC3(\n", "train.tsv:2: byte 6 (0xC3) is not UTF-8"),
        (b"a\tx\nb\tn\0ul\n", "train.tsv:2: byte 4 is NUL, expected text"),
        (b"a\tx\na\ty\n", "train.tsv: all 2 examples have the one label 'a', expected at least two labels"),
        (b"a\tx\ty\nb\ty\n", "train.tsv:2: 2 columns, expected 3 separated by tabs, found 'b\\ty'"),
    ] {
        let e = train(file, LabelMode::Single).unwrap_err();
        assert_eq!((e.kind(), e.message()), (ErrorKind::InvalidData, text));
    }
    // A binary line of any length leaves a readable text.
    let e = train("\u{1}x".repeat(100_000).as_bytes(), LabelMode::Single).unwrap_err();
    assert!(e.message().starts_with("train.tsv:1: 1 column") && e.message().ends_with("\\u{1}x'"), "{e}");
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
    let (d, v) = Dataset::train(&path, &DatasetOptions::default(), &VocabOptions::default()).unwrap();
    assert_eq!(d.len(), 2);
    assert_eq!(Dataset::open(&path, &DatasetOptions::default(), &v, d.labels()).unwrap().len(), 2);
    for path in [dir.join("absent.tsv"), dir.0.clone()] {
        let e = Dataset::train(&path, &DatasetOptions::default(), &VocabOptions::default()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.message().contains(path.to_str().unwrap()), "{e}");
    }
}
