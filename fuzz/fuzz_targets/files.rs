//! Safetensors files, and the models and vocabularies in them, and word vectors of all formats: refused or read, never more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use simdrnn::io::LoadOptions;
use simdrnn::io::safetensors::{Finite, TensorFile};
use simdrnn::io::vectors::{BadRows, InvalidUtf8, ReadOptions};
use simdrnn::nn::vectors::WordVectors;
use simdrnn::rnn::{Cell, Rnn, RnnConfig};
use simdrnn::text::{TextClassifier, Vocab};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// Bytes held, since the input came, and the most of them.
static LIVE: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, counted.
struct Counting;

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size() as isize, Relaxed) + layout.size() as isize;
        MOST.fetch_max(live, Relaxed);
        // SAFETY: as asked.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as asked.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a file of so many bytes may take: 64 MB for 1 KB.
fn limit(len: usize) -> isize {
    (64 << 20) + 1024 * len as isize
}

fuzz_target!(|data: &[u8]| {
    LIVE.store(0, Relaxed);
    MOST.store(0, Relaxed);
    read(data);
    let most = MOST.load(Relaxed);
    assert!(most <= limit(data.len()), "{most} bytes were held for an input of {}", data.len());
});

/// By every reader.
fn read(data: &[u8]) {
    let options = ReadOptions { max_decompressed: 1 << 20, ..ReadOptions::default() };
    let _ = WordVectors::read(data, "input", None, &options);
    // A part of the words, with what can be left out left out, and of an archive the member that tests have.
    let skipping = ReadOptions {
        bad_rows: BadRows::Skip,
        fold_case: true,
        invalid_utf8: InvalidUtf8::Refuse,
        member: data.starts_with(b"PK").then(|| "vectors/gensim.txt".to_owned()),
        ..options
    };
    let words = ["cat", "кошечка", "a"];
    if let Ok(vectors) = WordVectors::read(data, "input", Some(&words), &skipping) {
        assert!(vectors.values().iter().all(|v| v.is_finite()));
    }
    let _ = std::str::from_utf8(data).map(Vocab::from_text);
    let Ok(file) = TensorFile::from_bytes(data.to_vec(), "input") else { return };
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    for name in &names {
        let shape = file.shape(name).unwrap().to_vec();
        let len: usize = shape.iter().product();
        // A tensor that is there lies in the file, so it is no larger.
        assert!(len <= data.len());
        let _ = file.read_f32(name, &shape, Finite::Required, &mut vec![0.0; len]);
        let _ = file.read_i64(name, &shape, &mut vec![0; len]);
        assert!(file.read_f32(name, &[len + 1], Finite::Required, &mut vec![0.0; len + 1]).is_err());
    }
    let mut rnn = Rnn::new(&RnnConfig::new(Cell::Gru, 1, 1)).unwrap();
    let before = rnn.values().to_vec();
    if rnn.read_params(&file, "", &LoadOptions::default()).is_err() {
        assert_eq!(before, rnn.values(), "half-loaded");
    }
    let _ = TextClassifier::read(&file, &LoadOptions::default());
}
