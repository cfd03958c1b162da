//! Texts from outside in errors: however long they are and whatever they hold, what the error says after them fits.

use super::LoadOptions;
use super::safetensors::{Finite, TensorFile, TensorWriter};
use crate::error::{Error, MESSAGE_CAPACITY};
use crate::io::vectors::ReadOptions;
use crate::nn::vectors::WordVectors;
use crate::nn::{NonFinite, Optimizer, OptimizerConfig};
use crate::rnn::{Cell, Rnn, RnnConfig};
use crate::text::{Column, Dataset, DatasetOptions, Pooling, TextClassifier, Tokenizer, Vocab, VocabOptions};

/// A file in memory whose name is as long and as bad as the rest.
fn file(header: &serde_json::Value, data: usize, name: &str) -> Result<TensorFile, Error> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    TensorFile::from_bytes(bytes, name)
}

/// Every error that quotes a text, with that text, and how the error ends.
fn errors(text: &str) -> Vec<(Error, &'static str)> {
    use serde_json::json;
    let metadata = |entries: serde_json::Value| file(&json!({ "__metadata__": entries }), 0, text).unwrap();
    let one = |dtype: &str| file(&json!({ text: { "dtype": dtype, "shape": [1], "data_offsets": [0, 4] } }), 4, text);
    let read = |shape: &[usize], out: &mut [f32]| one("F32").unwrap().read_f32(text, shape, Finite::Required, out);
    let strict = LoadOptions::default();
    let classifier = |entries| TextClassifier::read(&metadata(entries), &strict).err().unwrap();
    let optimizer = |key: &str| {
        let mut state = Optimizer::new(&OptimizerConfig::Sgd(Default::default())).unwrap();
        state.begin_step();
        let mut writer = TensorWriter::new();
        state.save(&mut writer).unwrap();
        let mut entries = json!({
            "optimizer.name": "sgd", "optimizer.lr": "3f50624dd2f1a9fc", "optimizer.momentum": "0000000000000000",
            "optimizer.dampening": "0000000000000000", "optimizer.weight_decay": "0000000000000000",
            "optimizer.nesterov": "0", "optimizer.step": "1", "optimizer.slot_count": "1", "optimizer.slot.0": "0",
        });
        entries[key] = json!(text);
        state.read_state(&metadata(entries), &strict).unwrap_err()
    };
    let rnn = Rnn::new(&RnnConfig::new(Cell::Gru, 1, 1)).unwrap();
    let words = VocabOptions { tokenizer: Tokenizer { lowercase: false, nfc: false }, min_count: 1, max_size: 10 };
    let train = |lines: String, options: &DatasetOptions| {
        Dataset::train_from(lines.as_bytes(), text, options, &words).err().unwrap()
    };
    let vectors =
        |bytes: String| WordVectors::read(bytes.as_bytes(), text, None, &ReadOptions::default()).err().unwrap();
    let line: String = "w".chars().chain(text.chars().filter(|c| !c.is_control())).collect();
    let by_name = DatasetOptions {
        header: true,
        label: Column::Name(text.to_owned()),
        text: Column::Index(1),
        ..DatasetOptions::default()
    };
    vec![
        (one("F33").err().unwrap(), ""),
        (one(text).err().unwrap(), ""),
        (file(&json!(text), 0, text).err().unwrap(), ""),
        (
            one("I32").unwrap().read_f32(text, &[1], Finite::Required, &mut [0.0]).unwrap_err(),
            "expected F32, F64, F16 or BF16",
        ),
        (read(&[2], &mut [0.0; 2]).unwrap_err(), "expected shape [2], found [1]"),
        (classifier(json!({ "config": text })), ""),
        (classifier(json!({ "config": json!({ "format": text }).to_string() })), "expected simdrnn text classifier"),
        (optimizer("optimizer.name"), "expected sgd, adam, adamw or rmsprop"),
        (optimizer("optimizer.lr"), "expected 16 hex digits"),
        (optimizer("optimizer.nesterov"), "expected 0 or 1"),
        (optimizer("optimizer.step"), "expected a number"),
        (optimizer("optimizer.slot.0"), ""),
        (NonFinite::from_name(text).unwrap_err(), "expected stop, skip or continue"),
        (Pooling::from_name(text).unwrap_err(), "expected last, mean or max"),
        (Cell::from_name(text).unwrap_err(), "expected elman_tanh, elman_relu, lstm, gru or gru_reset_before"),
        (rnn.find_param(text).unwrap_err(), "names start with 'weight_ih_l0'"),
        (Vocab::from_text(text).unwrap_err(), ""),
        (Vocab::from_words([text, text], &words.tokenizer).unwrap_err(), ""),
        (train(format!("{line}\tx\n{line}\tx\n"), &DatasetOptions::default()), "expected at least two labels"),
        (train(format!("{line}\n"), &DatasetOptions::default()), ""),
        (train(format!("{line}\tx\n"), &by_name), ""),
        (vectors(format!("a 1 2\n{line} 1 2\nq{line} 1 x{line}\n")), "expected a finite number"),
    ]
}

#[test]
fn what_follows_a_quoted_text_fits() {
    for part in ["w", "\u{1}", "\u{2028}", "\u{202E}z", "👩‍👩‍👧", "ж"] {
        let text = part.repeat(5000 / part.len());
        for (i, (e, end)) in errors(&text).into_iter().enumerate() {
            let message = e.message();
            assert!(message.len() < MESSAGE_CAPACITY - 8, "{i}, {part:?}: the end is lost: {message}");
            assert!(message.ends_with(end), "{i}, {part:?}: expected '{end}' at the end of: {message}");
        }
    }
}
