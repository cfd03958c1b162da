//! What reading word vectors takes: a small file never takes much memory, whatever it claims; and where memory is short,
//! calls say so and change nothing. An allocator counts what each thread holds, and fails when it is told to.
#![cfg(feature = "vectors")]

mod common;

use common::random::SplitMix64;
use simdrnn::io::vectors::{BadRows, ReadOptions};
use simdrnn::nn::vectors::{FillOptions, WordVectors};
use simdrnn::{ErrorKind, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;

struct Watched;

thread_local! {
    // Initialized without an allocation, so that the allocator may use them.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
    /// Allocations until one fails.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Whether an allocation may be made.
fn take(size: usize) -> bool {
    let left = LEFT.get();
    if left == 0 {
        return false;
    }
    LEFT.set(left - usize::from(left != usize::MAX));
    HELD.set(HELD.get().wrapping_add(size));
    // What another thread took may be given back here.
    MOST.set(MOST.get().max(if HELD.get() > isize::MAX as usize { 0 } else { HELD.get() }));
    true
}

// SAFETY: every call goes to the system's allocator unchanged, or fails.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        if take(layout.size()) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        if take(layout.size()) { unsafe { System.alloc_zeroed(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Old and new may be there at once.
        if !take(new_size) {
            return std::ptr::null_mut();
        }
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Bytes that `work` held at once.
fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(0);
    MOST.set(0);
    let out = work();
    (out, MOST.get())
}

const LIMIT: usize = 64_000_000;

fn read(bytes: &[u8], words: Option<&[&str]>, options: &ReadOptions) -> Result<WordVectors> {
    WordVectors::read(bytes, "f", words, options)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A fastText model's start with these arguments, and what a dictionary and a matrix may claim.
fn fasttext(dim: i32, bucket: i32, entries: i32, pruned: i64, is_quantized: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let head = [793_712_314, 12, dim, 5, 5, 1, 5, 1, 2, 2, bucket, 3, 6, 100, 0, 0, entries, entries, 0];
    head.iter().for_each(|v: &i32| out.extend(v.to_le_bytes()));
    [9, pruned].iter().for_each(|v: &i64| out.extend(v.to_le_bytes()));
    out.extend([b"word\0".as_slice(), &[0; 9], &[is_quantized]].concat());
    [i64::from(bucket) + 1, dim.into(), i64::from(i32::MAX)].iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}

/// Files of at most 1 KB that claim all that their formats let them.
fn liars() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for header in ["1 1048576", "4294967294 1", "4294967294 1048576", "99999999999999999999 9", "1 99999999999"] {
        all.push(("binary", [header.as_bytes(), b"\na \0\0\x80\x3f"].concat()));
        all.push(("text", format!("{header}\na 1 2\n").into_bytes()));
    }
    for (dim, bucket, entries, pruned, quantized) in [
        (1 << 20, 1, 1, -1, 0),
        (300, i32::MAX - 1, 1, -1, 0),
        (300, 2, i32::MAX, -1, 0),
        (300, 2, 1, i64::MAX, 1),
        (1 << 20, i32::MAX - 1, 1, -1, 1),
        (i32::MAX, 1, 1, -1, 0),
    ] {
        all.push(("fastText", fasttext(dim, bucket, entries, pruned, quantized)));
    }
    for length in [1u64 << 20, 1 << 39, u64::MAX] {
        all.push(("safetensors", [&length.to_le_bytes()[..], b"{\"vectors\":"].concat()));
    }
    let mut tar = vec![0; 512];
    tar[..9].copy_from_slice(b"meta.json");
    tar[124..135].copy_from_slice(b"77777777777");
    tar[257..262].copy_from_slice(b"ustar");
    tar[148..156].fill(b' ');
    let sum: u32 = tar.iter().map(|&b| u32::from(b)).sum();
    tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    all.push(("tar", tar));
    all.push(("xz", file("newlines.xz")));
    // A window of 4 GiB.
    let mut wide = file("newlines.xz");
    wide[16] = 40;
    let mut crc = flate2::Crc::new();
    crc.update(&wide[12..20]);
    wide[20..24].copy_from_slice(&crc.sum().to_le_bytes());
    all.push(("xz window", wide));
    let lines = [b"2 2\n", &vec![b'\n'; 900_000][..]].concat();
    all.push(("gzip", gzip(&lines)));
    all.push(("gzip, one line", gzip(&vec![b'a'; 900_000])));
    all.push(("gzip, one number", gzip(&[b"1 2\na ", &vec![b'1'; 900_000][..]].concat())));
    all
}

#[test]
fn small_files_take_little() {
    let skip = ReadOptions { bad_rows: BadRows::Skip, ..ReadOptions::default() };
    let scratch = std::env::temp_dir().join(format!("simdrnn-small-{}", std::process::id()));
    let mut worst = (0, "");
    for (name, bytes) in liars() {
        for bytes in [bytes.clone(), gzip(&bytes)] {
            assert!(bytes.len() <= 1100, "{name}: {}", bytes.len());
            std::fs::write(&scratch, &bytes).unwrap();
            for options in [&ReadOptions::default(), &skip] {
                for words in [None, Some(&["a", "word", "nothing"][..])] {
                    let (result, held) = most(|| read(&bytes, words, options));
                    assert!(result.is_err(), "{name}");
                    let (result, of_file) = most(|| match words {
                        None => WordVectors::open(&scratch, options),
                        Some(words) => WordVectors::open_for(&scratch, words, options),
                    });
                    assert!(result.is_err(), "{name}");
                    worst = worst.max((held.max(of_file), name));
                    assert!(held.max(of_file) < LIMIT, "{name}: {held} and {of_file} bytes");
                }
            }
        }
    }
    std::fs::remove_file(scratch).unwrap();
    println!("at most {} bytes, for {}", worst.0, worst.1);
}

/// Files of the packages, cut to 1 KB and changed at random.
#[test]
fn small_files_take_little_whatever_is_in_them() {
    let mut random = SplitMix64::new(14);
    let names = [
        "gensim.bin",
        "gensim.txt",
        "gensim.txt.gz",
        "gensim.txt.xz",
        "gensim.txt.zip",
        "navec.tar",
        "fasttext.ftz",
        "fasttext_pruned.ftz",
        "fasttext_skipgram.bin",
    ];
    let mut worst = (0, "");
    for name in names {
        let whole = file(name);
        for _ in 0..300 {
            let mut bytes = whole[..whole.len().min(1024)].to_vec();
            for _ in 0..1 + random.next_u64() % 4 {
                let at = random.next_u64() as usize % bytes.len().min([128, 1024][random.next_u64() as usize % 2]);
                bytes[at] = [0, 0x7F, 0xFF, random.next_u64() as u8][random.next_u64() as usize % 4];
            }
            let (_, held) = most(|| read(&bytes, None, &ReadOptions::default()).map(drop));
            worst = worst.max((held, name));
            assert!(held < LIMIT, "{name}: {held} bytes");
        }
    }
    println!("at most {} bytes, for {}", worst.0, worst.1);
}

/// Calls `work` with one more allocation allowed each time until it succeeds; each failure says what it is.
fn until_it_succeeds<T>(what: &str, mut work: impl FnMut() -> Result<T>) -> T {
    for allowed in 0..10_000 {
        LEFT.set(allowed);
        let result = work();
        LEFT.set(usize::MAX);
        match result {
            Ok(value) => return value,
            Err(e) => assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{what} after {allowed}: {e}"),
        }
    }
    panic!("{what} never succeeds");
}

#[test]
fn calls_that_run_out_of_memory_change_nothing() {
    let words = ["кот", "Cat", "кошечка", "zebra"];
    let options = ReadOptions::default();
    for name in ["gensim.bin", "gensim.txt", "gensim.glove", "fasttext_skipgram.bin", "fasttext_pruned.ftz"] {
        let bytes = file(name);
        for words in [None, Some(&words[..])] {
            let expected = read(&bytes, words, &options).unwrap();
            let found = until_it_succeeds(name, || read(&bytes, words, &options));
            assert!(found.iter().eq(expected.iter()), "{name}");
        }
        let (plain, vectors) = (read(&bytes, None, &options).unwrap(), read(&bytes, None, &options).unwrap());
        let query = plain.vector(1).unwrap().to_vec();
        // The first query makes the norms; one that fails leaves the next as it would have been.
        let found = until_it_succeeds("nearest", || vectors.nearest(&query, 3, &[1], None));
        assert_eq!(found, plain.nearest(&query, 3, &[1], None).unwrap());
        let found = until_it_succeeds("analogy", || vectors.analogy(&[0, 1], &[2], 3, None));
        assert_eq!(found, plain.analogy(&[0, 1], &[2], 3, None).unwrap());
        let several = [&query[..], &query, &query, &query, &query].concat();
        let found = until_it_succeeds("nearest_batch", || vectors.nearest_batch(&several, 2, &[], None));
        assert_eq!(found, plain.nearest_batch(&several, 2, &[], None).unwrap());
        let fill = FillOptions { fold_case: true, padding: Some(0), ..FillOptions::default() };
        let counts = [4, 3, 2, 1];
        let (table, coverage) = until_it_succeeds("embedding", || vectors.embedding(&words, Some(&counts), &fill));
        let expected = plain.embedding(&words, Some(&counts), &fill).unwrap();
        assert_eq!((table.table(), coverage.matches()), (expected.0.table(), expected.1.matches()));
        assert_eq!(until_it_succeeds("missing", || coverage.missing()), expected.1.missing().unwrap());
        let mut out = vec![7.0; vectors.dim()];
        let known = until_it_succeeds("vector_of", || vectors.vector_of("кошечка", &mut out));
        assert!(known || out.iter().all(|v| *v == 7.0));
    }
}
