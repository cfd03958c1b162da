//! The golden cases: layers computed in float64 by PyTorch. `tests/golden/make_golden.py` wrote them and says what they
//! hold.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use simdrnn::rnn::{Cell, Direction, RnnConfig};

/// One case. Tensors are in the file's own layout: `x`, `y`, `gy` and `grad_x` are (batch, time, features) where
/// `config.batch_first` is set. The cell-state tensors are empty unless the cell is an LSTM.
pub struct GoldenCase {
    pub name: String,
    pub config: RnnConfig,
    pub batch: usize,
    pub seq_len: usize,
    pub lengths: Option<Vec<usize>>,
    /// Flat, in the order of `config.param_specs()`.
    pub params: Vec<f32>,
    pub x: Vec<f32>,
    pub h0: Vec<f32>,
    pub c0: Vec<f32>,
    /// The loss is sum(y gy) + sum(hn ghn) + sum(cn gcn).
    pub gy: Vec<f32>,
    pub ghn: Vec<f32>,
    pub gcn: Vec<f32>,
    pub y: Vec<f64>,
    pub hn: Vec<f64>,
    pub cn: Vec<f64>,
    pub grad_x: Vec<f64>,
    pub grad_h0: Vec<f64>,
    pub grad_c0: Vec<f64>,
    /// Flat, in the order of `config.param_specs()`.
    pub grad_params: Vec<f64>,
}

/// All cases, sorted by name.
pub fn all_cases() -> Vec<GoldenCase> {
    let cases: Vec<GoldenCase> = files("cases").iter().map(|path| read_case(path)).collect();
    assert_eq!(cases.len(), 47, "golden cases");
    cases
}

/// The safetensors files of a folder of `tests/golden`, sorted.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    files.sort();
    files
}

fn read_case(path: &Path) -> GoldenCase {
    let file = File::read(path);
    let (batch, seq_len) = (file.size("batch"), file.size("seq_len"));
    let mut config = RnnConfig::new(
        Cell::from_name(file.config["cell"].as_str().unwrap()).unwrap(),
        file.size("input_size"),
        file.size("hidden_size"),
    );
    config.num_layers = file.size("num_layers");
    config.bias = file.config["bias"].as_bool().unwrap();
    config.batch_first = file.config["batch_first"].as_bool().unwrap();
    config.proj_size = file.size("proj_size");
    if file.config["bidirectional"].as_bool().unwrap() {
        config.direction = Direction::Bidirectional;
    }
    let lengths = file.config["lengths"].as_array().map(|l| l.iter().map(number).collect::<Vec<usize>>());
    assert!(lengths.iter().all(|l| l.len() == batch));

    let (passes, state, hidden) = (config.passes(), config.state_size(), config.hidden_size);
    let steps = |features| if config.batch_first { [batch, seq_len, features] } else { [seq_len, batch, features] };
    let (x_shape, y_shape, h_shape) = (steps(config.input_size), steps(config.output_size()), [passes, batch, state]);
    let c_shape = if config.cell.has_cell_state() { vec![passes, batch, hidden] } else { vec![] };
    GoldenCase {
        params: file.params("", &config, File::f32),
        x: file.f32("x", &x_shape),
        h0: file.f32("h0", &h_shape),
        c0: file.f32("c0", &c_shape),
        gy: file.f32("gy", &y_shape),
        ghn: file.f32("ghn", &h_shape),
        gcn: file.f32("gcn", &c_shape),
        y: file.f64("y", &y_shape),
        hn: file.f64("hn", &h_shape),
        cn: file.f64("cn", &c_shape),
        grad_x: file.f64("grad.x", &x_shape),
        grad_h0: file.f64("grad.h0", &h_shape),
        grad_c0: file.f64("grad.c0", &c_shape),
        grad_params: file.params("grad.", &config, File::f64),
        name: file.name.clone(),
        config,
        batch,
        seq_len,
        lengths,
    }
}

/// A file in memory, with the JSON of its metadata entry "config".
pub struct File {
    pub name: String,
    pub config: Value,
    bytes: Vec<u8>,
}

impl File {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let config = &header.metadata().as_ref().expect("metadata")["config"];
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Self { name, config: serde_json::from_str(config).unwrap(), bytes }
    }

    /// A whole number of the config.
    pub fn size(&self, key: &str) -> usize {
        number(&self.config[key])
    }

    /// An f32 tensor, which must have that shape; empty for the empty shape, which no file holds.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        self.values(name, shape, Dtype::F32, f32::from_le_bytes)
    }

    /// An f64 tensor, likewise.
    pub fn f64(&self, name: &str, shape: &[usize]) -> Vec<f64> {
        self.values(name, shape, Dtype::F64, f64::from_le_bytes)
    }

    /// An i64 tensor, likewise.
    pub fn i64(&self, name: &str, shape: &[usize]) -> Vec<i64> {
        self.values(name, shape, Dtype::I64, i64::from_le_bytes)
    }

    /// The parameters named `prefix` + PyTorch's name, flat in the order of `config.param_specs()`; `read` is one of
    /// the readers above.
    pub fn params<T>(&self, prefix: &str, config: &RnnConfig, read: fn(&Self, &str, &[usize]) -> Vec<T>) -> Vec<T> {
        let mut flat = Vec::new();
        for spec in config.param_specs().unwrap() {
            assert_eq!(flat.len(), spec.offset, "{} follows its predecessor", spec.name());
            flat.extend(read(self, &format!("{prefix}{}", spec.name()), &spec.shape()));
        }
        flat
    }

    fn values<T, const N: usize>(&self, name: &str, shape: &[usize], dtype: Dtype, of: fn([u8; N]) -> T) -> Vec<T> {
        if shape.is_empty() {
            return Vec::new();
        }
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|e| panic!("{}, {name}: {e}", self.name));
        assert_eq!((tensor.shape(), tensor.dtype()), (shape, dtype), "{}, {name}", self.name);
        tensor.data().chunks_exact(N).map(|bytes| of(bytes.try_into().unwrap())).collect()
    }
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number")) as usize
}
