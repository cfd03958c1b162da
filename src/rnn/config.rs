//! What a stack of recurrent layers is: cell, sizes, directions; and the names and shapes of its parameters.

use crate::buffer::try_with_capacity;
use crate::cell::Cell;
use crate::error::{Result, ensure, err, product};
use std::fmt;

/// The order in which a layer visits the time steps.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the first step to the last.
    Forward = 0,
    /// From each sequence's own last step to its first.
    Reverse = 1,
    /// Both, their outputs side by side: forward first.
    Bidirectional = 2,
}

impl Direction {
    /// The direction with that number.
    pub fn from_number(number: i32) -> Result<Direction> {
        [Direction::Forward, Direction::Reverse, Direction::Bidirectional]
            .into_iter()
            .find(|&d| d as i32 == number)
            .ok_or_else(|| {
                err!(
                    InvalidArgument,
                    "unknown direction {number}, expected 0 (forward), 1 (reverse) or 2 (bidirectional)"
                )
            })
    }

    /// One-way passes: 2 if bidirectional, else 1.
    pub fn count(self) -> usize {
        if self == Direction::Bidirectional { 2 } else { 1 }
    }
}

/// The configuration of a stack of recurrent layers; fields mean what they mean in `torch.nn.LSTM`.
#[derive(Clone, Debug, PartialEq)]
pub struct RnnConfig {
    /// The cell of every layer.
    pub cell: Cell,
    /// Features of the input.
    pub input_size: usize,
    /// Features of the hidden state.
    pub hidden_size: usize,
    /// Layers, each reading the one below, at most [`RnnConfig::MAX_LAYERS`].
    pub num_layers: usize,
    /// Whether there are bias vectors.
    pub bias: bool,
    /// Whether `x` and `y` are (batch, time, features) instead of (time, batch, features). States never are.
    pub batch_first: bool,
    /// Probability of zeroing an output of every layer but the last, in training.
    pub dropout: f32,
    /// The order in which time is visited.
    pub direction: Direction,
    /// For LSTM: size of the projected state, or 0 for none.
    pub proj_size: usize,
    /// Whether states of magnitude below 2^-50 become zero: below that, an activation's terms are subnormal, over which
    /// processors may take longer (steps up to 1.8 times as long were seen). A state differs by less than 2^-50.
    pub flush_small_states: bool,
}

impl RnnConfig {
    /// The most layers of a stack. The deepest that are trained have a few dozen; a number far beyond is a damaged file's or
    /// a mistake, and would cost minutes to build.
    pub const MAX_LAYERS: usize = 1024;

    /// One forward layer with bias, time-major.
    pub fn new(cell: Cell, input_size: usize, hidden_size: usize) -> Self {
        Self {
            cell,
            input_size,
            hidden_size,
            num_layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            direction: Direction::Forward,
            proj_size: 0,
            flush_small_states: false,
        }
    }

    /// Features of `h`: the projected size if there is one, else the hidden size.
    pub fn state_size(&self) -> usize {
        if self.proj_size > 0 { self.proj_size } else { self.hidden_size }
    }

    /// Features of the output: the state size times the number of directions.
    pub fn output_size(&self) -> usize {
        self.state_size() * self.direction.count()
    }

    /// Features of the input of `layer`.
    pub fn layer_input_size(&self, layer: usize) -> usize {
        if layer == 0 { self.input_size } else { self.output_size() }
    }

    /// Whether the `direction`-th pass of a layer runs from the last step to the first.
    pub(crate) fn is_reverse(&self, direction: usize) -> bool {
        direction == 1 || self.direction == Direction::Reverse
    }

    /// Whether a step has a product that needs the whole of what the step itself computes: `r h` or the unprojected state.
    pub(crate) fn has_second_product(&self) -> bool {
        self.proj_size > 0 || !self.cell.properties().second.is_empty()
    }

    /// Number of one-way passes: layers times directions; the first extent of `h_0` and `h_n`.
    pub fn passes(&self) -> usize {
        self.num_layers * self.direction.count()
    }

    /// An error that names the first field with a value that makes no sense.
    pub fn check(&self) -> Result<()> {
        ensure!(self.input_size > 0, InvalidArgument, "input_size is 0, expected at least 1");
        ensure!(self.hidden_size > 0, InvalidArgument, "hidden_size is 0, expected at least 1");
        ensure!(self.num_layers > 0, InvalidArgument, "num_layers is 0, expected at least 1");
        ensure!(
            self.num_layers <= Self::MAX_LAYERS,
            InvalidArgument,
            "num_layers is {}, expected at most {}",
            self.num_layers,
            Self::MAX_LAYERS
        );
        ensure!((0.0..=1.0).contains(&self.dropout), InvalidArgument, "dropout is {}, expected 0 to 1", self.dropout);
        if self.proj_size > 0 {
            ensure!(
                self.cell.properties().has_projection,
                InvalidArgument,
                "proj_size needs an LSTM, found {}",
                self.cell.name()
            );
            ensure!(
                self.proj_size < self.hidden_size,
                InvalidArgument,
                "proj_size is {}, expected less than hidden_size {}",
                self.proj_size,
                self.hidden_size
            );
        }
        // Everything derived from the sizes stays within memory's range, with room for gates, padding and directions.
        product("hidden_size", &[self.hidden_size, 64])?;
        for layer in 0..self.num_layers.min(2) {
            let widest = self.layer_input_size(layer).max(self.hidden_size);
            product("the number of weights", &[widest, self.hidden_size, 8, self.passes()])?;
        }
        Ok(())
    }

    /// The parameters in PyTorch's order: per layer and direction `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`
    /// (with bias), `weight_hr` (with projection), suffixed `_l{layer}` and `_reverse` for the second direction.
    /// A layer that only runs in reverse has plain names.
    pub fn param_specs(&self) -> Result<Vec<ParamSpec>> {
        self.check()?;
        let per_pass = 2 + if self.bias { 2 } else { 0 } + usize::from(self.proj_size > 0);
        let mut specs = try_with_capacity(product("the number of parameters", &[per_pass, self.passes()])?)?;
        let rows = self.cell.gates() * self.hidden_size;
        let mut offset = 0;
        for layer in 0..self.num_layers {
            for direction in 0..self.direction.count() {
                let mut add = |kind, rows, cols, is_matrix| {
                    specs.push(ParamSpec { kind, layer, direction, rows, cols, is_matrix, offset });
                    offset += rows * cols;
                };
                add("weight_ih", rows, self.layer_input_size(layer), true);
                add("weight_hh", rows, self.state_size(), true);
                if self.bias {
                    add("bias_ih", rows, 1, false);
                    add("bias_hh", rows, 1, false);
                }
                if self.proj_size > 0 {
                    add("weight_hr", self.proj_size, self.hidden_size, true);
                }
            }
        }
        Ok(specs)
    }
}

/// Name and shape of one parameter, and where it lies in the flat parameter array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` or `weight_hr`.
    pub kind: &'static str,
    /// The layer, from 0.
    pub layer: usize,
    /// 0, or 1 for the second direction of a bidirectional layer.
    pub direction: usize,
    /// First extent: gates times hidden size, or the projected size.
    pub rows: usize,
    /// Second extent; 1 for a bias.
    pub cols: usize,
    /// Whether it has two extents.
    pub is_matrix: bool,
    /// Index of its first value in the flat array.
    pub offset: usize,
}

impl fmt::Display for ParamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_l{}{}", self.kind, self.layer, if self.direction == 1 { "_reverse" } else { "" })
    }
}

impl ParamSpec {
    /// PyTorch's name, such as `weight_hh_l0_reverse`; what [`Display`](fmt::Display) shows without allocating.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// Whether `name` is its name, without building it.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        let rest = name.strip_prefix(self.kind).and_then(|r| r.strip_prefix("_l"));
        let rest = rest.and_then(|r| if self.direction == 1 { r.strip_suffix("_reverse") } else { Some(r) });
        let canonical = |d: &str| d == "0" || d.starts_with(|c: char| ('1'..='9').contains(&c));
        rest.is_some_and(|digits| canonical(digits) && digits.parse() == Ok(self.layer))
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// Never true: no parameter is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape, (rows, cols) for a matrix and (rows) for a vector.
    pub fn shape(&self) -> Vec<usize> {
        self.extents()[..self.ndim()].to_vec()
    }

    /// Both extents, of which a vector has the first.
    pub(crate) fn extents(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// How many extents its shape has.
    pub(crate) fn ndim(&self) -> usize {
        if self.is_matrix { 2 } else { 1 }
    }

    /// Where its values lie in the flat array.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}
