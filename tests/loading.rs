//! Modules in weight files: what is loaded, what is refused, and that a refusal changes nothing and takes no memory.
#![cfg(all(feature = "text", feature = "vectors"))]

use simdrnn::io::safetensors::{TensorFile, TensorWriter};
use simdrnn::io::vectors::ReadOptions;
use simdrnn::io::{LoadOptions, SaveOptions};
use simdrnn::nn::vectors::WordVectors;
use simdrnn::nn::{AdamConfig, Dense, Embedding, NonFinite, Optimizer, OptimizerConfig};
use simdrnn::rnn::{Cell, Direction, Init, Rnn, RnnConfig};
use simdrnn::text::{ClassifierConfig, TextClassifier, Tokenizer, Vocab};
use simdrnn::{Error, ErrorKind};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell as Shared;
use std::path::PathBuf;

thread_local! {
    /// Bytes that this thread holds, and the most it held.
    static LIVE: Shared<(isize, isize)> = const { Shared::new((0, 0)) };
    /// Large allocations that still succeed; the one after them fails.
    static UNTIL_FAILURE: Shared<usize> = const { Shared::new(usize::MAX) };
}

/// Small allocations never fail: dependencies end the process there.
const LARGE: usize = 4096;

/// The system's allocator, counted, which fails on demand.
struct Counting;

// SAFETY: everything is the system's allocator's, or NULL, which says that memory is short.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE && UNTIL_FAILURE.get() != usize::MAX {
            if UNTIL_FAILURE.get() == 0 {
                UNTIL_FAILURE.set(usize::MAX);
                return std::ptr::null_mut();
            }
            UNTIL_FAILURE.set(UNTIL_FAILURE.get() - 1);
        }
        let (live, most) = LIVE.get();
        let live = live + layout.size() as isize;
        LIVE.set((live, most.max(live)));
        // SAFETY: as asked.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let (live, most) = LIVE.get();
        LIVE.set((live - layout.size() as isize, most));
        // SAFETY: as asked.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` held at once.
fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get().0;
    LIVE.set((before, before));
    let result = work();
    (result, (LIVE.get().1 - before) as usize)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// A safetensors file with that metadata and those tensors, all zeros.
fn file_of(metadata: &[(&str, &str)], tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    if !metadata.is_empty() {
        let texts = metadata.iter().map(|(k, v)| (k.to_string(), (*v).into())).collect::<serde_json::Map<_, _>>();
        header.insert("__metadata__".into(), texts.into());
    }
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        let info = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert(name.to_string(), info);
    }
    let header = serde_json::Value::from(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + end, 0);
    bytes
}

fn opened(metadata: &[(&str, &str)], tensors: &[(&str, &[usize])]) -> TensorFile {
    TensorFile::from_bytes(file_of(metadata, tensors), "t.safetensors").unwrap()
}

/// Asserts a refusal, twice, that says all the parts.
fn refused(mut call: impl FnMut() -> Result<(), Error>, kind: ErrorKind, parts: &[&str]) {
    for _ in 0..2 {
        let e = call().unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        parts.iter().for_each(|part| assert!(e.message().contains(part), "'{part}' is not in: {e}"));
        let name = "t.safetensors";
        assert!(e.message().matches(name).count() <= 1, "the file's name stands twice: {e}");
    }
}

const STRICT: LoadOptions = LoadOptions { allow_non_finite: false, allow_unused: false };
const UNUSED: LoadOptions = LoadOptions { allow_unused: true, ..STRICT };

fn layers(cell: Cell, num_layers: usize, direction: Direction, seed: u64) -> Rnn {
    let mut config = RnnConfig::new(cell, 3, 4);
    (config.num_layers, config.direction) = (num_layers, direction);
    let mut rnn = Rnn::new(&config).unwrap();
    rnn.init(Init::TorchUniform, seed).unwrap();
    rnn
}

/// What the module's writer makes, as an opened file.
fn written<'a>(write: impl FnOnce(&mut TensorWriter<'a>)) -> TensorFile {
    let mut writer = TensorWriter::new();
    write(&mut writer);
    let path = scratch();
    writer.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    TensorFile::from_bytes(bytes, "t.safetensors").unwrap()
}

fn scratch() -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("simdrnn-loading-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(unique)
}

#[test]
fn layers_that_would_stay_out_are_named() {
    let two_ways = layers(Cell::Gru, 1, Direction::Bidirectional, 1);
    let two_layers = layers(Cell::Gru, 2, Direction::Forward, 2);
    for (saved, part) in [(&two_ways, "'gru.weight_hh_l0_reverse'"), (&two_layers, "'gru.weight_hh_l1'")] {
        let file = written(|w| saved.write_params(w, "gru.").unwrap());
        let mut one = layers(Cell::Gru, 1, Direction::Forward, 3);
        let before = bits(one.values());
        let parts = ["t.safetensors", "4 tensors would stay unused", part, "allow_unused"];
        refused(|| one.read_params(&file, "gru.", &STRICT), ErrorKind::InvalidData, &parts);
        assert_eq!(bits(one.values()), before);
        one.read_params(&file, "gru.", &UNUSED).unwrap();
        assert_eq!(bits(one.values()), bits(&saved.values()[..one.values().len()]));
    }
}

#[test]
fn several_modules_share_a_file() {
    let lstm = layers(Cell::Lstm, 1, Direction::Forward, 1);
    let gru = layers(Cell::Gru, 2, Direction::Bidirectional, 2);
    let mut dense = Dense::new(4, 3, true).unwrap();
    let mut plain = Dense::new(4, 3, false).unwrap();
    let mut embedding = Embedding::new(5, 2, Some(0)).unwrap();
    dense.init(3);
    plain.init(4);
    embedding.init_normal(5);
    let file = written(|w| {
        lstm.write_params(w, "").unwrap();
        gru.write_params(w, "encoder.gru.").unwrap();
        dense.write_params(w, "fc.").unwrap();
        plain.write_params(w, "encoder.out.").unwrap();
        embedding.write_params(w, "emb.").unwrap();
    });
    assert_eq!(file.shape("fc.weight").unwrap(), [3, 4]);
    assert_eq!(file.shape("fc.bias").unwrap(), [3]);
    assert_eq!(file.shape("emb.weight").unwrap(), [5, 2]);
    assert!(!file.contains("encoder.out.bias"));

    let mut other = layers(Cell::Lstm, 1, Direction::Forward, 9);
    other.read_params(&file, "", &STRICT).unwrap();
    assert_eq!(bits(other.values()), bits(lstm.values()));
    let mut other = layers(Cell::Gru, 2, Direction::Bidirectional, 9);
    other.read_params(&file, "encoder.gru.", &STRICT).unwrap();
    assert_eq!(bits(other.values()), bits(gru.values()));
    let mut other = Dense::new(4, 3, true).unwrap();
    other.read_params(&file, "fc.", &STRICT).unwrap();
    assert_eq!(bits(other.values()), bits(dense.values()));
    // The packed forms are those of the new weights.
    let (x, mut y, mut z) = ([0.5, -1.0, 2.0, 3.0], [0.0; 3], [0.0; 3]);
    other.forward(None, &x, &mut y).unwrap();
    dense.forward(None, &x, &mut z).unwrap();
    assert_eq!(y.map(f32::to_bits), z.map(f32::to_bits));
    let mut other = Embedding::new(5, 2, None).unwrap();
    other.read_params(&file, "emb.", &STRICT).unwrap();
    assert_eq!(bits(other.table()), bits(embedding.table()));

    // A bias that the layer does not have, and one that the file does not have.
    let before = bits(plain.values());
    refused(|| plain.read_params(&file, "fc.", &STRICT), ErrorKind::InvalidData, &["1 tensor would", "'fc.bias'"]);
    assert_eq!(bits(plain.values()), before);
    plain.read_params(&file, "fc.", &UNUSED).unwrap();
    assert_eq!(bits(plain.values()), bits(dense.weight()));
    let before = bits(dense.values());
    refused(|| dense.read_params(&file, "encoder.out.", &UNUSED), ErrorKind::NotFound, &["'encoder.out.bias'"]);
    let mut wide = Dense::new(5, 3, true).unwrap();
    refused(|| wide.read_params(&file, "fc.", &STRICT), ErrorKind::ShapeMismatch, &["'fc.weight'", "[3, 5]", "[3, 4]"]);
    let mut table = Embedding::new(4, 2, None).unwrap();
    refused(|| table.read_params(&file, "emb.", &STRICT), ErrorKind::ShapeMismatch, &["'emb.weight'", "[4, 2]"]);
    assert_eq!(bits(dense.values()), before);
    assert!(wide.values().iter().chain(table.table()).all(|&v| v == 0.0));
}

#[test]
fn modules_have_files_of_their_own() {
    let path = scratch();
    let (mut dense, mut embedding) = (Dense::new(4, 3, true).unwrap(), Embedding::new(5, 2, Some(1)).unwrap());
    dense.init(3);
    embedding.init_normal(5);
    dense.save_safetensors(&path, "a.").unwrap();
    let mut other = Dense::new(4, 3, true).unwrap();
    other.load_safetensors(&path, "a.").unwrap();
    assert_eq!(bits(other.values()), bits(dense.values()));
    embedding.save_safetensors(&path, "").unwrap();
    let mut other = Embedding::new(5, 2, Some(1)).unwrap();
    other.load_safetensors(&path, "").unwrap();
    assert_eq!(bits(other.table()), bits(embedding.table()));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn cells_names_load_where_there_is_one_layer() {
    for (cell, gates) in [(Cell::Lstm, 4), (Cell::Gru, 3), (Cell::ElmanTanh, 1)] {
        let rows = gates * 4;
        let tensors: [(&str, &[usize]); 4] = [
            ("vad.weight_ih", &[rows, 3]),
            ("vad.weight_hh", &[rows, 4]),
            ("vad.bias_ih", &[rows]),
            ("vad.bias_hh", &[rows]),
        ];
        let mut bytes = file_of(&[], &tensors);
        let data = bytes.len() - 4 * rows * (3 + 4 + 2);
        // Not in the order of the parameters: offsets follow the names' order in `file_of`.
        for (i, value) in bytes[data..].chunks_exact_mut(4).enumerate() {
            value.copy_from_slice(&(i as f32).to_le_bytes());
        }
        let file = TensorFile::from_bytes(bytes, "t.safetensors").unwrap();
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut rnn = layers(cell, 1, direction, 1);
            rnn.read_params(&file, "vad.", &STRICT).unwrap();
            let expected: Vec<f32> = (0..rnn.values().len()).map(|i| i as f32).collect();
            assert_eq!(rnn.values(), expected);
        }
        for mut more in [layers(cell, 2, Direction::Forward, 1), layers(cell, 1, Direction::Bidirectional, 1)] {
            let before = bits(more.values());
            let read = || more.read_params(&file, "vad.", &UNUSED);
            refused(read, ErrorKind::NotFound, &["'vad.weight_ih_l0'", "'vad.weight_ih'"]);
            assert_eq!(bits(more.values()), before);
        }
    }
    // Names of layers come first; the cell's are then unused.
    let both: [(&str, &[usize]); 5] = [
        ("weight_ih_l0", &[4, 3]),
        ("weight_hh_l0", &[4, 4]),
        ("bias_ih_l0", &[4]),
        ("bias_hh_l0", &[4]),
        ("weight_ih", &[4, 3]),
    ];
    let mut rnn = layers(Cell::ElmanTanh, 1, Direction::Forward, 1);
    let file = opened(&[], &both);
    refused(|| rnn.read_params(&file, "", &STRICT), ErrorKind::InvalidData, &["1 tensor would", "'weight_ih'"]);
    rnn.read_params(&file, "", &UNUSED).unwrap();
    assert!(rnn.values().iter().all(|&v| v == 0.0));
}

/// A small classifier that learned nothing.
fn classifier(hidden_size: usize) -> TextClassifier {
    let config = ClassifierConfig { embedding_dim: hidden_size, hidden_size, ..ClassifierConfig::default() };
    let vocab = Vocab::from_words(["a", "b", "c"], &Tokenizer::default()).unwrap();
    TextClassifier::new(&config, vocab, vec!["x".into(), "y".into()], 7).unwrap()
}

#[test]
fn saves_refuse_what_loads_refuse() {
    let path = scratch();
    for (what, bad) in [("NaN", f32::NAN), ("inf", f32::INFINITY), ("-inf", f32::NEG_INFINITY)] {
        let good = layers(Cell::Gru, 1, Direction::Forward, 1);
        good.save_safetensors(&path, "").unwrap();
        let old = std::fs::read(&path).unwrap();
        // The last value of each parameter.
        for spec in good.param_specs() {
            let mut diverged = layers(Cell::Gru, 1, Direction::Forward, 1);
            diverged.update(|all| all[spec.range().end - 1] = bad);
            let text = format!("'{spec}': value {} is {what}", spec.len() - 1);
            for _ in 0..2 {
                let e = diverged.save_safetensors(&path, "").unwrap_err();
                assert_eq!(e.kind(), ErrorKind::InvalidData);
                assert!(e.message().contains(&text) && e.message().contains("allow_non_finite"), "{e}");
                assert_eq!(e.message().matches("simdrnn-loading").count(), 1, "{e}");
                assert_eq!(std::fs::read(&path).unwrap(), old, "a refused save changed the file");
            }
            let mut writer = TensorWriter::with_options(SaveOptions { allow_non_finite: true });
            diverged.write_params(&mut writer, "").unwrap();
            writer.save(&path).unwrap();
            let mut loaded = layers(Cell::Gru, 1, Direction::Forward, 2);
            let before = bits(loaded.values());
            let e = loaded.load_safetensors(&path, "").unwrap_err();
            assert!(e.message().contains(&text), "{e}");
            assert_eq!(bits(loaded.values()), before);
            let options = LoadOptions { allow_non_finite: true, ..STRICT };
            loaded.load_safetensors_with(&path, "", &options).unwrap();
            assert_eq!(bits(loaded.values()), bits(diverged.values()));
            std::fs::write(&path, &old).unwrap();
        }
    }

    let mut model = classifier(4);
    model.save(&path).unwrap();
    let old = std::fs::read(&path).unwrap();
    model.embedding_mut().table_mut()[9] = f32::NAN;
    assert!(model.save(&path).unwrap_err().message().contains("'embedding.weight': value 9 is NaN"));
    assert_eq!(std::fs::read(&path).unwrap(), old);
    model.save_with(&path, &SaveOptions { allow_non_finite: true }).unwrap();
    let e = TextClassifier::load(&path).err().unwrap();
    assert!(e.message().contains("'embedding.weight': value 9 is NaN"), "{e}");
    assert_eq!(e.message().matches("simdrnn-loading").count(), 1, "the path stands twice: {e}");
    let options = LoadOptions { allow_non_finite: true, ..STRICT };
    TextClassifier::read(&TensorFile::open(&path).unwrap(), &options).unwrap();

    let mut optimizer = Optimizer::new(&OptimizerConfig::Adam(AdamConfig::default())).unwrap();
    optimizer.set_non_finite(NonFinite::Continue);
    let mut step = |gradient: f32| {
        optimizer.begin_step();
        optimizer.update(0, &mut [1.0, 2.0], &[0.5, gradient]).unwrap();
        (
            optimizer.save_safetensors(&path),
            optimizer.save_safetensors_with(&path, &SaveOptions { allow_non_finite: true }),
        )
    };
    step(1.0).0.unwrap();
    let (strict, lax) = step(f32::INFINITY);
    assert!(strict.unwrap_err().message().contains("'optimizer.0.exp_avg': value 1 is inf"));
    lax.unwrap();
    let mut other = Optimizer::new(&OptimizerConfig::Adam(AdamConfig::default())).unwrap();
    for _ in 0..2 {
        assert_eq!(other.load_safetensors(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(other.updates(0), 0);
    }
    other.read_state(&TensorFile::open(&path).unwrap(), &options).unwrap();
    assert_eq!(other.updates(0), 2);
    std::fs::remove_file(path).unwrap();
}

/// Every single value of a classifier's file, made NaN, is found.
#[test]
fn no_tensor_of_a_classifier_may_hide_a_nan() {
    let path = scratch();
    classifier(2).save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let data = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    for at in (data..good.len()).step_by(4) {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let file = TensorFile::from_bytes(bytes, "t.safetensors").unwrap();
        let read = || TextClassifier::read(&file, &STRICT).map(drop);
        refused(read, ErrorKind::InvalidData, &["t.safetensors", "is NaN"]);
    }
}

/// The metadata of a classifier that says it has so many layers.
fn claim(layers: &str, size: &str) -> String {
    format!(
        r#"{{"bidirectional":false,"cell":"gru","dropout":0.0,"embedding_dim":1,"format":"simdrnn text classifier","hidden_size":{size},"multi_label":false,"num_layers":{layers},"pooling":"last","version":2}}"#
    )
}

#[test]
fn a_small_classifier_claims_no_memory() {
    for (layers, size) in [("2000000", "1"), ("4294967295", "1"), ("1", "4294967295"), ("1", "60000"), ("3", "1000")] {
        let config = claim(layers, size);
        let metadata = [("config", &config[..]), ("labels", r#"["x","y"]"#), ("vocab", "<pad>\n<unk>\n")];
        let bytes = file_of(&metadata, &[("embedding.weight", &[2, 1])]);
        assert!(bytes.len() < 1024);
        let (result, held) =
            most(|| TensorFile::from_bytes(bytes, "t").and_then(|f| TextClassifier::read(&f, &STRICT)));
        let e = result.err().expect("refused");
        assert!([ErrorKind::NotFound, ErrorKind::ShapeMismatch, ErrorKind::InvalidData].contains(&e.kind()), "{e}");
        assert!(held < 1 << 20, "{layers} layers of {size}: {held} bytes were held");
    }
}

#[test]
fn short_memory_is_told_as_what_it_is() {
    let path = scratch();
    classifier(64).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut failures = 0;
    for n in 0.. {
        let bytes = bytes.clone();
        UNTIL_FAILURE.set(n);
        let result = TensorFile::from_bytes(bytes, "t").and_then(|f| TextClassifier::read(&f, &STRICT));
        let failed = UNTIL_FAILURE.replace(usize::MAX) == usize::MAX;
        match result {
            Ok(_) => {
                assert!(!failed, "allocation {n} failed unnoticed");
                break;
            }
            Err(e) => assert_eq!(e.kind(), ErrorKind::OutOfMemory, "allocation {n}: {e}"),
        }
        failures += 1;
    }
    assert!(failures >= 5, "only {failures} large allocations");
}

#[test]
fn a_classifiers_file_has_nothing_else() {
    let path = scratch();
    let model = classifier(4);
    let saved = |extra: &str| {
        let values = [0f32; 2];
        let mut writer = TensorWriter::new();
        model.write(&mut writer).unwrap();
        writer.tensor(extra, &[2], &values).unwrap();
        writer.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        TensorFile::from_bytes(bytes, "t.safetensors").unwrap()
    };
    for extra in
        ["attention", "attention.weight", "rnn.weight_ih_l1", "rnn.norm.weight", "dense.scale", "embedding.x.y"]
    {
        let file = saved(extra);
        let quoted = format!("'{extra}'");
        refused(|| TextClassifier::read(&file, &STRICT).map(drop), ErrorKind::InvalidData, &["unused", &quoted]);
        TextClassifier::read(&file, &UNUSED).unwrap();
    }
    TextClassifier::read(&saved("optimizer.0.exp_avg"), &STRICT).unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Files of at most 1 KB that claim much: every reader refuses them, or reads them, in little memory.
#[test]
fn small_files_take_little_memory() {
    let header = |length: u64, rest: &[u8]| [&length.to_le_bytes()[..], rest].concat();
    let huge = r#"{"x":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#;
    let many = format!(r#"{{"x":{{"dtype":"F32","shape":[{}1],"data_offsets":[0,4]}}}}"#, "1,".repeat(440));
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456789\n";
    let files: Vec<Vec<u8>> = vec![
        header(100_000_000, b"{}"),
        header(u64::MAX, b"{}"),
        header(huge.len() as u64, huge.as_bytes()),
        header(many.len() as u64, &[many.as_bytes(), &[0; 4]].concat()),
        header(900, &[b'['; 900]),
        b"1000000000 1000000\na ".to_vec(),
        b"18446744073709551615 1048576\n\0\0\0\0".to_vec(),
        [&[0xBA, 0x16, 0x4F, 0x2F, 12, 0, 0, 0][..], &[0x7F; 900]].concat(),
        lfs.to_vec(),
        vec![b'9'; 1000],
        vec![0xFF; 1000],
        vec![0; 1000],
    ];
    let path = scratch();
    for bytes in files {
        assert!(bytes.len() <= 1024);
        std::fs::write(&path, &bytes).unwrap();
        let ((), held) = most(|| {
            let _ = TensorFile::open(&path);
            let _ = TextClassifier::load(&path);
            let _ = layers(Cell::Gru, 1, Direction::Forward, 1).load_safetensors(&path, "");
            let _ = WordVectors::open(&path, &ReadOptions::default());
            let _ = std::str::from_utf8(&bytes).map(Vocab::from_text);
        });
        assert!(held < 64 << 20, "{held} bytes for {:?}", String::from_utf8_lossy(&bytes[..40.min(bytes.len())]));
    }
    std::fs::remove_file(path).unwrap();
}

/// A file that is long but has nothing in it is refused by its first bytes.
#[cfg(unix)]
#[test]
fn a_long_sparse_file_is_not_read() {
    let path = scratch();
    for head in [&b""[..], &100u64.to_le_bytes(), &99_999_999u64.to_le_bytes(), b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"] {
        std::fs::write(&path, head).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3 << 30).unwrap();
        let (result, held) = most(|| TensorFile::open(&path).map(drop));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(held < 1 << 16, "{held} bytes were held");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn foreign_files_are_named() {
    let path = scratch();
    for (bytes, part) in [
        (
            &b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl"[..],
            "PyTorch checkpoint",
        ),
        (b"\x89HDF\r\n\x1A\n\0\0\0\0", "HDF5"),
        (b"\x08\x07\x12\x07pytorch\x1A\x031.0", "ONNX"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x80\x02}q\0.", "pickle"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        for result in [TensorFile::open(&path).map(drop), TextClassifier::load(&path).map(drop)] {
            let e = result.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidData);
            assert!(e.message().contains(part) && e.message().contains("expected a safetensors file: "), "{e}");
            assert_eq!(e.message().matches("simdrnn-loading").count(), 1, "{e}");
        }
        let e = TensorFile::from_bytes(bytes.to_vec(), "t").err().unwrap();
        assert!(e.message().contains(part), "{e}");
    }
    std::fs::remove_file(path).unwrap();
}

/// What a file's names and texts hold cannot steer a terminal or forge lines of a log.
#[test]
fn hostile_names_are_escaped() {
    let evil = "\u{1b}[2J\nerror: all is well\u{202e}";
    let mut rnn = layers(Cell::Gru, 1, Direction::Forward, 1);
    let file = opened(&[("config", evil)], &[(evil, &[1])]);
    let raw = |e: Error| {
        let obeyed = e.message().chars().find(|c| c.is_control() || *c == '\u{202e}');
        assert!(obeyed.is_none(), "{obeyed:?} in {e}");
    };
    raw(rnn.read_params(&file, "", &STRICT).unwrap_err());
    raw(rnn.read_params(&file, evil, &STRICT).unwrap_err());
    raw(TextClassifier::read(&file, &STRICT).err().unwrap());
    raw(file.shape(evil).map(|_| ()).err().unwrap_or_else(|| file.shape("x").unwrap_err()));
    raw(TensorFile::open(evil).err().unwrap());
    let header = format!(r#"{{"x":{{"dtype":{},"shape":[],"data_offsets":[0,0]}}}}"#, serde_json::Value::from(evil));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    raw(TensorFile::from_bytes(bytes, evil).err().unwrap());
    raw(Vocab::from_text(evil).err().unwrap());
}
