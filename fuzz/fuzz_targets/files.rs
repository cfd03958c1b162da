//! Every reader: safetensors files, what stands in them, vocabularies, data sets, word vectors of all formats, saved states.
//! Refused or read, in the memory and the time that the length allows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use simdrnn::io::LoadOptions;
use simdrnn::io::safetensors::{Finite, TensorFile};
use simdrnn::io::vectors::{BadRows, Duplicates, Format, InvalidUtf8, ReadOptions};
use simdrnn::nn::vectors::WordVectors;
use simdrnn::nn::{Dense, Embedding, Optimizer, OptimizerConfig, SgdConfig};
use simdrnn::rnn::{Cell, Rnn, RnnConfig, Session, TruncatedBptt};
use simdrnn::text::{Dataset, DatasetOptions, LabelMode, TextClassifier, Tokenizer, Trainer, Vocab, VocabOptions};
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

/// Processor seconds that an input of 1 KB may take by all thirty readings together, under the sanitizer: a refusal promises
/// 0.1 s without it, by one. (A bomb of 900 bytes took 1.6 s in all.)
const SECONDS: f64 = 5.0;

fuzz_target!(|data: &[u8]| {
    LIVE.store(0, Relaxed);
    MOST.store(0, Relaxed);
    let start = processor_seconds();
    read(data);
    let took = processor_seconds() - start;
    let most = MOST.load(Relaxed);
    assert!(most <= limit(data.len()), "{most} bytes were held for an input of {}", data.len());
    assert!(data.len() > 1024 || took <= SECONDS, "{took} s for an input of {}", data.len());
});

/// What this thread has had of a processor: other work beside it does not count.
fn processor_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is there.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// By every reader.
fn read(data: &[u8]) {
    read_vectors(data);
    read_texts(data);
    let config = RnnConfig::new(Cell::Lstm, 2, 2);
    let rnn = Rnn::new(&config).unwrap();
    let _ = TruncatedBptt::new(&rnn, 1, 1, 2).unwrap().restore(data);
    for bytes in [data.to_vec(), framed(data)] {
        let len = bytes.len();
        if let Ok(file) = TensorFile::from_bytes(bytes, "input") {
            read_tensors(&file, len);
            for options in [
                LoadOptions::default(),
                LoadOptions { allow_unused: true, allow_non_finite: true, ..LoadOptions::default() },
            ] {
                read_modules(&file, &options);
            }
        }
    }
}

/// A safetensors file whose header is `data` up to its first zero byte, and whose tensors are the bytes behind that: what
/// is changed in a header keeps its length right.
fn framed(data: &[u8]) -> Vec<u8> {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let tensors = data.get(end + 1..).unwrap_or_default();
    [&(end as u64).to_le_bytes(), &data[..end], tensors].concat()
}

/// As what the content says, and as each format by name; whole, and the vectors of a few words.
fn read_vectors(data: &[u8]) {
    let plain = ReadOptions { max_decompressed: 1 << 20, ..ReadOptions::default() };
    let _ = WordVectors::read(data, "input", None, &plain);
    let narrow = ReadOptions {
        fold_case: true,
        limit: Some(3),
        dim: Some(2),
        invalid_utf8: InvalidUtf8::Replace,
        duplicates: Duplicates::Refuse,
        subwords: false,
        ..plain.clone()
    };
    let _ = WordVectors::read(data, "input", Some(&["the", "a", "\u{430}"]), &narrow);
    // With what can be left out left out, and of an archive the member that tests have.
    let skipping = ReadOptions {
        bad_rows: BadRows::Skip,
        member: data.starts_with(b"PK").then(|| "vectors/gensim.txt".to_owned()),
        ..plain.clone()
    };
    if let Ok(vectors) = WordVectors::read(data, "input", Some(&["cat", "кошечка", "a"]), &skipping) {
        assert!(vectors.values().iter().all(|v| v.is_finite()));
    }
    for format in Format::ALL {
        let _ = WordVectors::read(data, "input", None, &ReadOptions { format: Some(format), ..plain.clone() });
    }
}

/// Vocabularies and data sets.
fn read_texts(data: &[u8]) {
    let vocab = std::str::from_utf8(data).ok().and_then(|text| Vocab::from_text(text).ok());
    let words = VocabOptions { tokenizer: Tokenizer { lowercase: true, nfc: true }, min_count: 1, max_size: 1000 };
    let tabs =
        DatasetOptions { mode: LabelMode::Multi, header: true, max_tokens: Some(2), ..DatasetOptions::default() };
    let skipping = DatasetOptions { skip_bad_lines: true, ..DatasetOptions::default() };
    for options in [DatasetOptions::default(), DatasetOptions::csv(), tabs, skipping] {
        let _ = Dataset::train_from(data, "input", &options, &words);
        if let Some(vocab) = &vocab {
            let labels = ["1".to_owned(), "2".to_owned()];
            let _ = Dataset::open_from(data, "input", &options, vocab, &labels);
        }
    }
}

fn read_tensors(file: &TensorFile, len_of_file: usize) {
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    for name in &names {
        let shape = file.shape(name).unwrap().to_vec();
        let len: usize = shape.iter().product();
        // A tensor that is there lies in the file, so it is no larger.
        assert!(len <= len_of_file);
        let _ = file.read_f32(name, &shape, Finite::Required, &mut vec![0.0; len]);
        let _ = file.read_i64(name, &shape, &mut vec![0; len]);
        assert!(file.read_f32(name, &[len + 1], Finite::Required, &mut vec![0.0; len + 1]).is_err());
    }
}

fn read_modules(file: &TensorFile, options: &LoadOptions) {
    for cell in [Cell::Gru, Cell::Lstm] {
        let mut rnn = Rnn::new(&RnnConfig::new(cell, 1, 1)).unwrap();
        let before = rnn.values().to_vec();
        if rnn.read_params(file, "", options).is_err() {
            assert_eq!(before, rnn.values(), "half-loaded");
        }
    }
    let mut dense = Dense::new(2, 2, true).unwrap();
    let before = dense.values().to_vec();
    if dense.read_params(file, "dense.", options).is_err() {
        assert_eq!(before, dense.values(), "half-loaded");
    }
    let mut embedding = Embedding::new(4, 2, None).unwrap();
    let before = embedding.table().to_vec();
    if embedding.read_params(file, "embedding.", options).is_err() {
        assert_eq!(before, embedding.table(), "half-loaded");
    }
    let mut optimizer = Optimizer::new(&OptimizerConfig::Sgd(SgdConfig::default())).unwrap();
    if optimizer.read_state(file, options).is_err() {
        assert!(optimizer.step_count() == 0 && optimizer.state_tensors().next().is_none(), "half-loaded");
    }
    let _ = TextClassifier::read(file, options);
    let _ = Trainer::read(file, Session::new(), options);
}
