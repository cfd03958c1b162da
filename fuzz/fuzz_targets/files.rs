//! Safetensors files, and the models and vocabularies in them, and word vectors of all formats: refused or read, never more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use simdrnn::io::LoadOptions;
use simdrnn::io::safetensors::{Finite, TensorFile};
use simdrnn::io::vectors::ReadOptions;
use simdrnn::nn::vectors::WordVectors;
use simdrnn::rnn::{Cell, Rnn, RnnConfig};
use simdrnn::text::{TextClassifier, Vocab};

fuzz_target!(|data: &[u8]| {
    let options = ReadOptions { max_decompressed: 1 << 20, ..ReadOptions::default() };
    let _ = WordVectors::read(data, "input", None, &options);
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
});
