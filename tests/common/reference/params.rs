//! The parameters of one pass (one layer in one direction) as matrices, cut out of the flat array and put back.

use simdrnn::rnn::{ParamSpec, RnnConfig};

/// A dense matrix, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` values.
    pub values: Vec<f64>,
}

impl Matrix {
    /// All zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, values: vec![0.0; rows * cols] }
    }

    /// Rows `start..start + count`.
    pub fn block(&self, start: usize, count: usize) -> Matrix {
        let values = self.values[start * self.cols..(start + count) * self.cols].to_vec();
        Matrix { rows: count, cols: self.cols, values }
    }

    /// `M v`.
    pub fn mul(&self, v: &[f64]) -> Vec<f64> {
        assert_eq!(v.len(), self.cols, "a matrix of {} columns times a vector of {}", self.cols, v.len());
        (0..self.rows).map(|r| (0..self.cols).map(|c| self.values[r * self.cols + c] * v[c]).sum()).collect()
    }

    /// `M^T v`.
    pub fn mul_transposed(&self, v: &[f64]) -> Vec<f64> {
        assert_eq!(v.len(), self.rows, "a transposed matrix of {} rows times a vector of {}", self.rows, v.len());
        let mut out = vec![0.0; self.cols];
        for (r, &factor) in v.iter().enumerate() {
            for (c, o) in out.iter_mut().enumerate() {
                *o += self.values[r * self.cols + c] * factor;
            }
        }
        out
    }

    /// `M += u v^T`.
    pub fn add_outer(&mut self, u: &[f64], v: &[f64]) {
        assert_eq!((u.len(), v.len()), (self.rows, self.cols), "an outer product of the matrix's shape");
        for (r, &a) in u.iter().enumerate() {
            for (c, &b) in v.iter().enumerate() {
                self.values[r * self.cols + c] += a * b;
            }
        }
    }
}

/// The parameters of one pass, or their gradients. Rows of the gates follow one another in PyTorch's order.
#[derive(Clone, Debug, PartialEq)]
pub struct PassParams {
    /// `W`, (gates * hidden, input).
    pub weight_ih: Matrix,
    /// `U`, (gates * hidden, state).
    pub weight_hh: Matrix,
    /// Added to `W x`; zeros where the layer has no bias.
    pub bias_ih: Vec<f64>,
    /// Added to `U h`; zeros where the layer has no bias.
    pub bias_hh: Vec<f64>,
    /// The LSTM's projection, (state, hidden).
    pub weight_hr: Option<Matrix>,
}

impl PassParams {
    /// Zeros of the shapes that `layer` of `config` has.
    pub fn zeros(config: &RnnConfig, layer: usize) -> Self {
        let rows = config.cell.gates() * config.hidden_size;
        Self {
            weight_ih: Matrix::zeros(rows, config.layer_input_size(layer)),
            weight_hh: Matrix::zeros(rows, config.state_size()),
            bias_ih: vec![0.0; rows],
            bias_hh: vec![0.0; rows],
            weight_hr: (config.proj_size > 0).then(|| Matrix::zeros(config.proj_size, config.hidden_size)),
        }
    }

    /// All passes of a stack, layer by layer, from the flat array of [`RnnConfig::param_specs`].
    pub fn from_flat(config: &RnnConfig, flat: &[f64]) -> Vec<Self> {
        let mut passes = Self::all_zeros(config);
        for spec in specs(config) {
            let pass = &mut passes[spec.layer * config.direction.count() + spec.direction];
            pass.values_mut(spec.kind).copy_from_slice(&flat[spec.range()]);
        }
        passes
    }

    /// Zeros for all passes of a stack.
    pub fn all_zeros(config: &RnnConfig) -> Vec<Self> {
        (0..config.passes()).map(|pass| Self::zeros(config, pass / config.direction.count())).collect()
    }

    /// The flat array of a stack's passes. Biases that the configuration lacks are left out.
    pub fn to_flat(config: &RnnConfig, passes: &mut [Self]) -> Vec<f64> {
        let mut flat = vec![0.0; param_count(config)];
        for spec in specs(config) {
            let pass = &mut passes[spec.layer * config.direction.count() + spec.direction];
            flat[spec.range()].copy_from_slice(pass.values_mut(spec.kind));
        }
        flat
    }

    fn values_mut(&mut self, kind: &str) -> &mut [f64] {
        match kind {
            "weight_ih" => &mut self.weight_ih.values,
            "weight_hh" => &mut self.weight_hh.values,
            "bias_ih" => &mut self.bias_ih,
            "bias_hh" => &mut self.bias_hh,
            "weight_hr" => &mut self.weight_hr.as_mut().expect("a projection").values,
            _ => panic!("unknown parameter {kind}"),
        }
    }
}

/// Number of values in a stack's flat parameter array.
pub fn param_count(config: &RnnConfig) -> usize {
    specs(config).last().map_or(0, |spec| spec.range().end)
}

fn specs(config: &RnnConfig) -> Vec<ParamSpec> {
    config.param_specs().unwrap_or_else(|e| panic!("{e}"))
}
