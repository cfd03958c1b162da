//! Files that claim more than their bytes can hold.

use super::*;

#[test]
fn what_packed_data_unpack_to_is_bounded_by_their_bytes() {
    // gzip within Navec's archive within gzip: a thousand times a thousand.
    let words = [&(16u32 << 20).to_le_bytes()[..], &vec![0; 64 << 20]].concat();
    let archive = tar(&[regular("meta.json", br#"{"protocol": 1}"#), regular("vocab.bin", &gzip(&words))]);
    let bomb = gzip(&archive);
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    let e = parse(&bomb, &ReadOptions::default()).err().unwrap();
    assert!(e.message().contains("more than 2048 times as many"), "{e}");
}

#[test]
fn product_quantized_vectors_are_bounded_by_the_codes() {
    // Rows of one byte each, decoded to 4096 values.
    let (count, dim) = (20_000u32, 4096u32);
    let text: String = (0..count).map(|i| format!("{i}\n")).collect();
    let head = [&count.to_le_bytes()[..], &vec![0; 4 * count as usize]].concat();
    let words = gzip(&[&head, text.trim_end().as_bytes()].concat());
    let vectors = pq([count, dim, 1, 1], &vec![0; count as usize], &vec![0.5; dim as usize]);
    let members =
        [regular("meta.json", br#"{"protocol": 1}"#), regular("vocab.bin", &words), regular("pq.bin", &vectors)];
    let file = tar(&members);
    damaged(&file, "bytes of decoded vectors would be 327680000 from");
    // A few of its words are fine.
    let some = WordVectors::read(&file[..], "f", Some(&["7", "19999"]), &ReadOptions::default()).unwrap();
    assert_eq!((some.len(), some.values()), (2, &vec![0.5; 2 * dim as usize][..]));
}

#[test]
fn buckets_are_believed_when_they_are_there() {
    // Two thousand million buckets, in a file whose length nobody knows.
    let mut model = fasttext_start(300, 6, b"a");
    let at = 8 + 4 * 8;
    model[at..at + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    model.push(0);
    for n in [1 + i64::from(i32::MAX), 300] {
        model.extend(n.to_le_bytes());
    }
    model.extend([0; 1200 * 2]);
    damaged(&gzip(&model), "within the input matrix");
    damaged(&model, "within the input matrix");
}

/// Values that are finite one by one, but not their sum.
#[test]
fn sums_of_subwords_stay_finite() {
    let model = |value: f32| {
        let mut model = fasttext_start(1, 3, b"cat");
        model.push(0);
        [101i64, 1].into_iter().for_each(|n| model.extend(n.to_le_bytes()));
        (0..101).for_each(|_| model.extend(value.to_le_bytes()));
        model.push(0);
        [1i64, 1].into_iter().for_each(|n| model.extend(n.to_le_bytes()));
        model.extend([0; 4]);
        model
    };
    for value in [1e30, -1e30] {
        let vectors = fine(&model(value));
        assert!(vectors.values().iter().all(|v| (v / value - 1.0).abs() < 1e-6), "{:?}", vectors.values());
    }
    for value in [f32::MAX, -2e38, 1.1e30] {
        for _ in 0..2 {
            damaged(&model(value), "expected at most 1e30 where n-grams' vectors are added up");
        }
        // Wanted words and others' n-grams too.
        let e = WordVectors::read(&model(value)[..], "f", Some(&["cats"]), &ReadOptions::default()).err().unwrap();
        assert!(e.message().contains("expected at most 1e30"), "{e}");
    }
}

/// One and three bytes at a time, with interruptions between.
struct Interrupted<'a>(&'a [u8], usize);

impl std::io::Read for Interrupted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(3) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let n = out.len().min(self.0.len()).min(self.1 % 4 + 1);
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

#[test]
fn interrupted_reads_go_on() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/");
    for name in
        ["gensim.txt", "gensim.bin", "gensim.txt.gz", "gensim.txt.xz", "gensim.txt.zip", "navec.tar", "fasttext.ftz"]
    {
        let bytes = std::fs::read(format!("{dir}{name}")).unwrap();
        let slow = WordVectors::read(Interrupted(&bytes, 0), "f", None, &ReadOptions::default()).unwrap();
        assert_eq!(listed(&slow), listed(&fine(&bytes)), "{name}");
    }
}

#[test]
fn fasttext_versions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/fasttext_supervised.bin");
    let model = std::fs::read(path).unwrap();
    let of = |version: u8| {
        let mut bytes = model.clone();
        bytes[4] = version;
        bytes
    };
    assert!(fine(&of(12)).has_subwords());
    // Version 11 wrote supervised models' n-grams without using them: its vectors are the rows alone.
    let (old, new) = (fine(&of(11)), fine(&model));
    assert!(!old.has_subwords() && old.len() == new.len() && old.values() != new.values());
    let skipgram = std::fs::read(path.replace("supervised", "skipgram")).unwrap();
    let mut old = skipgram.clone();
    old[4] = 11;
    assert!(fine(&old).has_subwords());
    assert_eq!(listed(&fine(&old)), listed(&fine(&skipgram)));
    for version in [0, 10, 13] {
        refused(&of(version), ErrorKind::Unsupported, "expected 11 or 12");
    }
}

#[test]
fn archives_of_all_habits() {
    let words = vocab("a\nb", 2);
    let vectors = pq([2, 2, 1, 2], &[0, 1], &[1.0, 2.0, 3.0, 4.0]);
    let meta = br#"{"protocol": 1}"#;
    let expected = [("a".to_owned(), vec![1.0, 2.0]), ("b".to_owned(), vec![3.0, 4.0])];
    let directory = |name| TarMember { name, kind: b'5', data: b"" };
    let pax = |kind, data| TarMember { name: "pax", kind, data };
    for prefix in ["", "./"] {
        let [m, v, p] = ["meta.json", "vocab.bin", "pq.bin"].map(|name| format!("{prefix}{name}"));
        for zero in [b'0', 0] {
            let of = |name, data| TarMember { name, kind: zero, data };
            let all = [
                directory("./"),
                pax(b'g', b"19 comment=nothing\n"),
                of(&m, meta),
                pax(b'x', b"20 mtime=1234567.89\n"),
                of(&v, &words),
                of("README", b"more"),
                of(&p, &vectors),
            ];
            assert_eq!(listed(&fine(&tar(&all))), expected, "{prefix} {zero}");
        }
    }
    let good = [regular("meta.json", meta), regular("vocab.bin", &words), regular("pq.bin", &vectors)];
    for record in [&b"12 size=1\n"[..], b"14 linkpath=x\n", b"23 GNU.sparse.size=12\n"] {
        let mut all = vec![pax(b'x', record)];
        all.extend(good.iter().map(|m| regular(m.name, m.data)));
        refused(&tar(&all), ErrorKind::Unsupported, "extended tar header");
    }
    // A size that no file has.
    let mut huge = tar(&good);
    huge[124..135].copy_from_slice(b"77777777777");
    huge[148..156].fill(b' ');
    let sum: u32 = huge[..512].iter().map(|&b| u32::from(b)).sum();
    huge[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    damaged(&huge, "8589934591 bytes");
}
