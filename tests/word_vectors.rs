//! Word vectors from files that gensim, fastText and Navec wrote (`tests/vectors/make_files.py`) are what those packages
//! say they are; what is written can be read again; damaged files are refused.
#![cfg(all(feature = "text", feature = "vectors"))]

use simdrnn::ErrorKind;
use simdrnn::io::safetensors::{Finite, TensorFile};
use simdrnn::io::vectors::{Format, ReadOptions};
use simdrnn::nn::vectors::{FillOptions, Match, Unknown, WordVectors};
use simdrnn::rnn::Session;
use simdrnn::text::{ClassifierConfig, Dataset, DatasetOptions, TextClassifier, Trainer, TrainerConfig, VocabOptions};
use std::path::PathBuf;

mod common;
use common::problem::assert_same_bits;
use common::{relative_error, widen};

/// A word's mean has at most so many terms in these files, each rounded once in a sum whose order may differ.
const MOST_TERMS: f64 = 64.0;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn read(bytes: &[u8], options: &ReadOptions) -> simdrnn::Result<WordVectors> {
    WordVectors::read(bytes, "f", None, options)
}

struct Expected {
    words: Vec<String>,
    dim: usize,
    values: Vec<f32>,
}

fn expected(name: &str) -> Expected {
    let name = name.trim_end_matches(".xz").trim_end_matches(".zip");
    let file = TensorFile::open(path("expected.safetensors")).unwrap();
    let shape = file.shape(name).unwrap().to_vec();
    let mut values = vec![0.0; shape[0] * shape[1]];
    file.read_f32(name, &shape, Finite::Required, &mut values).unwrap();
    let words = file.metadata(name).unwrap().split('\n').map(str::to_owned).collect();
    Expected { words, dim: shape[1], values }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Files whose values are f32, or numbers that all round alike, by bits.
const TABLES: [(&str, Format); 10] = [
    ("gensim.bin", Format::Word2VecBinary),
    ("c_tool.bin", Format::Word2VecBinary),
    ("gensim.txt", Format::Word2VecText),
    ("gensim.txt.gz", Format::Word2VecText),
    ("gensim.txt.xz", Format::Word2VecText),
    ("gensim.txt.zip", Format::Word2VecText),
    ("c_tool.txt", Format::Word2VecText),
    ("fasttext.vec", Format::Word2VecText),
    ("gensim.glove", Format::Glove),
    ("navec.tar", Format::Navec),
];

const MODELS: [&str; 7] = [
    "fasttext_skipgram.bin",
    "fasttext_supervised.bin",
    "fasttext_cbow_words_only.bin",
    "fasttext_supervised_words_only.bin",
    "gensim_fasttext.bin",
    "fasttext.ftz",
    "fasttext_pruned.ftz",
];

#[test]
fn tables_are_read_by_bits() {
    for (name, format) in TABLES {
        let (found, expected) = (WordVectors::open(path(name), &ReadOptions::default()).unwrap(), expected(name));
        assert_eq!((found.format(), found.len(), found.dim()), (format, expected.words.len(), expected.dim), "{name}");
        assert_eq!(bits(found.values()), bits(&expected.values), "{name}");
        for (i, word) in expected.words.iter().enumerate() {
            assert_eq!((found.word(i), found.find(word)), (Some(word.as_bytes()), Some(i)), "{name}");
        }
        assert_eq!((found.duplicates(), found.has_subwords(), found.find("кот").is_some()), (0, false, true));
    }
}

#[test]
fn fasttext_models_give_the_vectors_of_their_package() {
    for name in MODELS {
        let found = WordVectors::open(path(name), &ReadOptions::default()).unwrap();
        let e = expected(name);
        assert_eq!((found.format(), found.len(), found.dim()), (Format::FastText, e.words.len(), e.dim), "{name}");
        assert!(e.words.iter().enumerate().all(|(i, w)| found.find(w) == Some(i)), "{name}");
        // fastText's sums have the same order and rounding; gensim's differ.
        let check = |found: &[f32], expected: &[f32], what: &str| {
            if name.starts_with("fasttext") {
                assert_same_bits(found, expected, what);
            } else {
                let error = relative_error(&widen(found), &widen(expected));
                assert!(error <= MOST_TERMS * f64::from(f32::EPSILON), "{what}: {error:e}");
            }
        };
        check(found.values(), &e.values, name);
        let has_subwords = !name.contains("words_only");
        assert_eq!(found.has_subwords(), has_subwords);
        let mut out = vec![7.0; e.dim];
        if !has_subwords {
            assert!(!found.vector_of("кошечка", &mut out).unwrap() && out.iter().all(|v| *v == 7.0));
            continue;
        }
        let unknown = expected(&format!("{name}:unknown"));
        for (word, vector) in unknown.words.iter().zip(unknown.values.chunks(e.dim)) {
            // Quantized rows may well be zero.
            if vector.iter().all(|v| *v == 0.0) && !name.ends_with(".ftz") {
                // A word without n-grams: the packages give zeros, this says that there is nothing.
                assert!(!found.vector_of(word, &mut out).unwrap(), "{name}: {word}");
                continue;
            }
            assert!(found.vector_of(word, &mut out).unwrap(), "{name}: {word}");
            check(&out, vector, &format!("{name}: {word}"));
        }
    }
}

/// What the packages' own files hold and the small ones do not.
#[test]
fn a_restricted_reading_is_a_part_of_the_whole() {
    let words = ["кот", "cat", "Cat", "ДОМ", "кошечка", "catlike", "nothing at all", "<unk>"];
    for name in TABLES.iter().map(|(name, _)| *name).chain(MODELS) {
        let whole = WordVectors::open(path(name), &ReadOptions::default()).unwrap();
        let part = WordVectors::open_for(path(name), &words, &ReadOptions::default()).unwrap();
        assert!(part.len() <= 4 && part.bytes() < whole.bytes(), "{name}");
        for unknown in [Unknown::Zero, Unknown::Mean, Unknown::Random] {
            let options = FillOptions { unknown, seed: 3, padding: Some(7), ..FillOptions::default() };
            let (a, b) =
                (whole.embedding(&words, None, &options).unwrap(), part.embedding(&words, None, &options).unwrap());
            assert_eq!(bits(a.0.table()), bits(b.0.table()), "{name}");
            assert_eq!(a.1.matches(), b.1.matches(), "{name}");
        }
    }
}

#[test]
fn files_that_end_anywhere_are_refused() {
    for name in TABLES.iter().map(|(name, _)| *name).chain(MODELS) {
        let whole = bytes(name);
        // An archive may lack the blocks after its last member; a text its last line end, or more lines where none counts.
        let must_fail = match name {
            "navec.tar" => whole.len() - whole.iter().rev().take_while(|b| **b == 0).count(),
            "gensim.glove" => 0,
            name if name.ends_with(".bin") && !name.starts_with("c_") => whole.len(),
            "c_tool.bin" => whole.len() - 1,
            name if [".gz", ".xz", ".zip", ".ftz"].iter().any(|end| name.ends_with(end)) => whole.len(),
            _ => whole.iter().rposition(|&b| b == b'.').unwrap(),
        };
        let step = if whole.len() > 3000 { 7 } else { 1 };
        for end in (0..must_fail).step_by(step) {
            if let Ok(vectors) = read(&whole[..end], &ReadOptions::default()) {
                panic!("{name} cut at {end} of {} gave {} words", whole.len(), vectors.len());
            }
        }
        assert!(read(&whole, &ReadOptions::default()).is_ok(), "{name}");
    }
}

/// No flipped byte may do more than change values, or be an error.
#[test]
fn damaged_files_do_no_harm() {
    for name in TABLES.iter().map(|(name, _)| *name).chain(MODELS) {
        let mut file = bytes(name);
        for at in (0..file.len()).step_by(if file.len() > 3000 { 11 } else { 1 }) {
            for flip in [0x01, 0x80, 0xFF] {
                file[at] ^= flip;
                if let Ok(vectors) = read(&file, &ReadOptions::default()) {
                    assert!(vectors.values().iter().all(|v| v.is_finite()), "{name} {at}");
                }
                file[at] ^= flip;
            }
        }
    }
}

#[test]
fn coverage_counts_words_and_tokens() {
    let words = ["<pad>", "<unk>", "кот", "Cat", "ДОМ", "кошечка", "zebra", "12345"];
    let counts = [0, 5, 10, 3, 2, 4, 7, 9];
    let options = FillOptions { padding: Some(0), unknown: Unknown::Zero, ..FillOptions::default() };
    let vectors = WordVectors::open_for(path("gensim.bin"), &words, &ReadOptions::default()).unwrap();
    let (embedding, coverage) = vectors.embedding(&words, Some(&counts), &options).unwrap();
    let (missing, lower) = (Match::Missing, Match::Lower);
    assert_eq!(coverage.matches(), [Match::Padding, missing, Match::Exact, lower, lower, missing, missing, missing]);
    assert_eq!((coverage.words_found(), coverage.words_missing(), coverage.words(lower)), (3, 4, 2));
    assert_eq!((coverage.tokens_found(), coverage.tokens_missing(), coverage.tokens(lower)), (15, 25, 5));
    assert_eq!(coverage.missing().unwrap(), [7, 6, 1, 5]);
    let row = |i: usize| &embedding.table()[i * 6..][..6];
    assert!(row(0).iter().chain(row(6)).all(|v| *v == 0.0));
    assert_eq!(row(2), vectors.vector(vectors.find("кот").unwrap()).unwrap());

    let text = b"Zebra 1 2\nZEBRA 3 4\n";
    let fold = ReadOptions { fold_case: true, ..ReadOptions::default() };
    let folded = WordVectors::read(&text[..], "f", Some(&["zebra"]), &fold).unwrap();
    for (fold_case, expected) in [(true, Match::Folded), (false, Match::Missing)] {
        let (table, coverage) =
            folded.embedding(&["zebra"], None, &FillOptions { fold_case, ..options_of_one() }).unwrap();
        assert_eq!(coverage.matches(), [expected]);
        assert_eq!(table.table() == [1.0, 2.0], fold_case);
    }
}

fn options_of_one() -> FillOptions {
    FillOptions { unknown: Unknown::Zero, ..FillOptions::default() }
}

#[test]
fn unknown_words_get_what_was_asked() {
    let vectors = read(b"a 1 2\nb 3 6\n", &ReadOptions::default()).unwrap();
    let words = ["x", "a", "b", "y"];
    let table = |unknown, seed, words: &[&str]| {
        let options = FillOptions { unknown, seed, ..FillOptions::default() };
        vectors.embedding(words, None, &options).unwrap().0.table().to_vec()
    };
    assert_eq!(table(Unknown::Zero, 1, &words), [0.0, 0.0, 1.0, 2.0, 3.0, 6.0, 0.0, 0.0]);
    assert_eq!(table(Unknown::Mean, 1, &words), [2.0, 4.0, 1.0, 2.0, 3.0, 6.0, 2.0, 4.0]);
    let random = table(Unknown::Random, 1, &words);
    assert_eq!(random, table(Unknown::Random, 1, &words));
    assert_ne!(random, table(Unknown::Random, 2, &words));
    assert!(random[..2] != random[6..] && random[..2] != [0.0, 0.0]);
    // As large as what was found: (1 + 4 + 9 + 36) / 4 is the mean square.
    let many: Vec<String> = (0..4000).map(|i| format!("w{i}")).collect();
    let many: Vec<&str> = ["a", "b"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let random = &table(Unknown::Random, 1, &many)[4..];
    let mean = random.iter().map(|v| f64::from(*v)).sum::<f64>() / 8000.0;
    let square = random.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 8000.0;
    // Five standard errors.
    assert!(mean.abs() < 5.0 * (12.5f64 / 8000.0).sqrt(), "{mean}");
    assert!((square - 12.5).abs() < 5.0 * 12.5 * (2.0f64 / 8000.0).sqrt(), "{square}");
}

#[test]
fn a_classifier_starts_from_vectors_frozen_or_not() {
    let texts = "cat\tкот видит Cat\ndog\tсобака zebra dog\n";
    let (options, vocab_options) = (DatasetOptions::default(), VocabOptions::default());
    let (data, vocab) = Dataset::train_from(texts.as_bytes(), "texts", &options, &vocab_options).unwrap();
    let config = ClassifierConfig { embedding_dim: 6, hidden_size: 4, dropout: 0.0, ..ClassifierConfig::default() };
    let mut model = TextClassifier::new(&config, vocab, data.labels().to_vec(), 1).unwrap();
    let counts = data.word_counts(model.vocab().len()).unwrap();
    let (read, fill) = (ReadOptions::default(), FillOptions::default());
    let coverage = model.load_embeddings(path("gensim.bin"), &read, Some(&counts), &fill).unwrap();
    assert_eq!((coverage.words_found(), coverage.tokens_found(), coverage.tokens_missing()), (5, 5, 1));
    let whole = WordVectors::open(path("gensim.bin"), &read).unwrap();
    let cat = model.vocab().id("cat") as usize;
    let before = model.embedding_mut().table().to_vec();
    assert_eq!(before[cat * 6..][..6], *whole.vector(whole.find("cat").unwrap()).unwrap());
    assert!(before[..6].iter().all(|v| *v == 0.0));

    let mut trainer = Trainer::new(&model, &TrainerConfig::default(), Session::new()).unwrap();
    model.embedding_mut().set_frozen(true);
    let frozen = trainer.step(&mut model, &data, &[0, 1]).unwrap();
    assert_eq!(model.embedding_mut().table(), before);
    model.load_embeddings(path("gensim.bin"), &read, None, &fill).unwrap();
    assert!(model.embedding_mut().is_frozen());
    model.embedding_mut().set_frozen(false);
    let free = trainer.step(&mut model, &data, &[0, 1]).unwrap();
    assert_ne!(model.embedding_mut().table(), before);
    assert!(free.grad_norm > frozen.grad_norm, "a frozen table adds nothing to the norm");

    let of = |dim| ReadOptions { dim: Some(dim), ..read.clone() };
    model.load_embeddings(path("navec.tar"), &of(6), None, &fill).unwrap();
    let e = model.load_embeddings(path("navec.tar"), &of(5), None, &fill).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
    assert!(e.message().contains("the options' dim is 5, expected 6"), "{e}");
    let config = ClassifierConfig { embedding_dim: 5, ..config };
    let mut other = TextClassifier::new(&config, model.vocab().clone(), data.labels().to_vec(), 1).unwrap();
    let e = other.load_embeddings(path("gensim.bin"), &ReadOptions::default(), None, &fill).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
    assert!(e.message().contains("gensim.bin: vectors have 6 values, expected 5"), "{e}");
}

#[test]
fn neighbours_are_the_same_however_they_are_found() {
    let vectors = WordVectors::open(path("gensim.bin"), &ReadOptions::default()).unwrap();
    let index = vectors.find("cat").unwrap();
    let query = vectors.vector(index).unwrap();
    let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let mut expected: Vec<(usize, f64)> = (0..vectors.len())
        .filter(|i| *i != index)
        .map(|i| {
            let row = vectors.vector(i).unwrap();
            let dot: f64 = row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            (i, dot / norm(row) / norm(query))
        })
        .collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let found = vectors.nearest(query, 5, &[index], None).unwrap();
    assert_eq!(found.len(), 5);
    for ((i, cosine), n) in expected.iter().zip(&found) {
        assert_eq!(n.index, *i);
        // Six products and their sum, two norms and two products with them, each rounded to f32.
        assert!((f64::from(n.similarity) - cosine).abs() < 20.0 * f64::from(f32::EPSILON));
        assert_eq!(vectors.similarity(index, *i).unwrap(), n.similarity);
    }
    let pool = simdrnn::Pool::new(3).unwrap();
    assert_eq!(vectors.nearest(query, 5, &[index], Some(&pool)).unwrap(), found);
    assert_eq!(vectors.analogy(&[index], &[], 5, Some(&pool)).unwrap().len(), 5);
    assert!((vectors.similarity(index, index).unwrap() - 1.0).abs() < 20.0 * f32::EPSILON);

    // Enough rows for several threads.
    let text: String = (0..200_000u32).map(|i| format!("w{i} {} {} {}\n", i % 7, i % 11, i % 13)).collect();
    let many = read(text.as_bytes(), &ReadOptions::default()).unwrap();
    let one = many.nearest(&[1.0, 2.0, 3.0], 50, &[5], None).unwrap();
    assert_eq!(one.len(), 50);
    assert_eq!(many.nearest(&[1.0, 2.0, 3.0], 50, &[5], Some(&pool)).unwrap(), one);
    assert!(one.windows(2).all(|w| (w[0].similarity, w[1].index) >= (w[1].similarity, w[0].index)));

    // Many queries at once are the same as one after another; more than one pass holds, too.
    let queries: Vec<f32> = (0..3 * 50_000u32).map(|i| (i % 17 * (i % 29)) as f32 - 90.0).collect();
    let few = &queries[..3 * 21];
    let without: Vec<[usize; 2]> = (0..21).map(|i| [i, 4 * i]).collect();
    let without: Vec<&[usize]> = without.iter().map(|w| &w[..]).collect();
    let batch = many.nearest_batch(few, 6, &without, Some(&pool)).unwrap();
    for (i, query) in few.chunks(3).enumerate() {
        assert_eq!(batch[i], many.nearest(query, 6, without[i], None).unwrap(), "{i}");
    }
    assert_eq!(many.nearest_batch(few, 6, &without, None).unwrap(), batch);
    let small = vectors.nearest_batch(&queries, 2, &[], Some(&pool)).unwrap();
    assert_eq!(small.len(), queries.len() / vectors.dim());
    for (found, query) in small.iter().zip(queries.chunks(vectors.dim())) {
        assert_eq!(*found, vectors.nearest(query, 2, &[], None).unwrap());
    }
    assert_eq!(many.nearest_batch(&[], 6, &[], None).unwrap(), Vec::<Vec<_>>::new());
    for (queries, without) in [(&few[..4], &without[..]), (few, &without[..20]), (few, &without[..1])] {
        assert_eq!(many.nearest_batch(queries, 6, without, None).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    }

    // Too short for one over a norm, and products that f32 cannot hold.
    let odd = read(b"short 1e-45 0\nlong 3e38 3e38\nmore 3e38 2e38\none 1 0\n", &ReadOptions::default()).unwrap();
    let cosines = |query: &[f32]| {
        let found = odd.nearest(query, 4, &[], None).unwrap();
        found.iter().map(|n| (n.index, n.similarity)).collect::<Vec<_>>()
    };
    let found = cosines(&[1.0, 0.0]);
    assert_eq!(found.iter().map(|n| n.0).collect::<Vec<_>>(), [3, 2, 1, 0]);
    assert_eq!((found[0].1, found[3].1), (1.0, 0.0));
    assert_eq!(cosines(&[1e-45, 0.0]).len(), 4);
    assert!(cosines(&[1e-45, 0.0]).iter().all(|n| n.1 == 0.0));
    assert_eq!(cosines(&[3e38, 3e38]).iter().map(|n| n.0).collect::<Vec<_>>(), [3, 0]);
    assert_eq!((odd.similarity(0, 3).unwrap(), odd.similarity(1, 2).unwrap()), (0.0, 0.0));

    for (query, kind) in
        [(&[1.0, 2.0][..], ErrorKind::ShapeMismatch), (&[1.0, f32::NAN, 0.0], ErrorKind::InvalidArgument)]
    {
        assert_eq!(many.nearest(query, 1, &[], None).unwrap_err().kind(), kind);
    }
    assert_eq!(many.nearest(&[0.0; 3], 1, &[], None).unwrap()[0].similarity, 0.0);
    assert_eq!(
        read(b"0 3\n", &ReadOptions::default()).unwrap().nearest(&[0.0; 3], 1, &[], None).unwrap_err().kind(),
        ErrorKind::InvalidState
    );
}

#[test]
fn neighbours_at_the_edges() {
    // Rows of one direction in blocks that are longer than one, so that ties go through all that is cut and merged.
    let rows = 70_000u32;
    let text: String =
        (0..rows).map(|i| format!("w{i} {} {} 0 0\n", 1 << (i % 3), if i % 5 == 0 { -1 } else { 0 })).collect();
    let table = read(text.as_bytes(), &ReadOptions::default()).unwrap();
    let pool = simdrnn::Pool::new(3).unwrap();
    let best: Vec<usize> = (0..rows as usize).filter(|i| i % 5 != 0).collect();
    let without = [best[0], best[7], best[30]];
    let left: Vec<usize> = best.iter().copied().filter(|i| !without.contains(i)).collect();
    let query = [2.5, 0.0, 0.0, 0.0];
    let queries = query.repeat(6);
    for pool in [None, Some(&pool)] {
        for count in [0, 1, 5, 100, left.len() - 1] {
            let found = table.nearest(&query, count, &without, pool).unwrap();
            let places: Vec<usize> = found.iter().map(|n| n.index).collect();
            assert_eq!(places, left[..count], "{count}");
            assert!(found.iter().all(|n| n.similarity.to_bits() == found[0].similarity.to_bits()));
            let batch = table.nearest_batch(&queries, count, &[&without[..]; 6], pool).unwrap();
            assert!(batch.iter().all(|b| *b == found), "{count}");
        }
        // As many as there are, and more than there are.
        for count in [rows as usize, rows as usize + 1, usize::MAX] {
            let found = table.nearest(&query, count, &[], pool).unwrap();
            assert_eq!(found.len(), rows as usize);
            assert!(found[..best.len()].iter().map(|n| n.index).eq(best.iter().copied()));
        }
        assert_eq!(table.nearest(&query, usize::MAX, &without, pool).unwrap().len(), rows as usize - 3);
    }
    // No word is left, one is named twice, and one is none.
    let two = read(b"a 1 0\nb 0 1\n", &ReadOptions::default()).unwrap();
    assert!(two.nearest(&[1.0, 0.0], 5, &[1, 0, 1, 99], None).unwrap().is_empty());
    // Products beyond f32 on both sides are no neighbours, and norms are: 2^126 and 2^-126 have one over them, less has none.
    let text =
        "plus 3e38 3e38\nminus -3e38 -3e38\nzero 0 0\nlarge 8.507059e37 0\nsmall 1.1754944e-38 0\nless 1e-39 0\n";
    let odd = read(text.as_bytes(), &ReadOptions::default()).unwrap();
    let found = odd.nearest(&[3e38, 3e38], 9, &[], None).unwrap();
    assert_eq!(found.iter().map(|n| n.index).collect::<Vec<_>>(), [4, 2, 5]);
    let found = odd.nearest(&[1.0, 0.0], 9, &[], None).unwrap();
    let places: Vec<usize> = found.iter().map(|n| n.index).collect();
    assert_eq!(places, [3, 4, 0, 2, 5, 1]);
    assert_eq!((found[0].similarity, found[1].similarity), (1.0, 1.0));
    assert!(found[3..5].iter().all(|n| n.similarity.to_bits() == 0), "zero, not minus zero");
    for (a, b, similarity) in [(3, 4, 1.0), (0, 1, 0.0), (2, 3, 0.0), (5, 3, 0.0)] {
        assert_eq!(odd.similarity(a, b).unwrap(), similarity, "{a} {b}");
    }
    assert!(odd.analogy(&[2], &[], 9, None).unwrap().iter().all(|n| n.similarity == 0.0));
    assert_eq!(odd.analogy(&[3], &[4], 9, None).unwrap().len(), 4);
}
