//! What a forward call reads: its arguments, and the rows of its input where they lie.

use super::batch::{Batch, Plan};
use super::config::RnnConfig;

use crate::buffer::AlignedBuf;
use crate::error::{Result, Shape, check_shape, ensure, product};
use crate::kernel::lhs::Rows;
use std::ops::Range;

/// The arrays of a forward call. Shapes, with D directions, S the state size (projected if there is a projection):
///
/// | array | shape |
/// |---|---|
/// | `x` | (seq_len, batch, input_size), or (batch, seq_len, input_size) if `batch_first` |
/// | `y` | the same with D * S features; forward first |
/// | `h0`, `hn` | (num_layers * D, batch, S) |
/// | `c0`, `cn` | (num_layers * D, batch, hidden_size), LSTM only |
#[derive(Default)]
pub struct ForwardArgs<'a> {
    /// Input; empty if there are `tokens`.
    pub x: &'a [f32],
    /// Values from the start of a row of `x` to that of the next, at least input_size, for views of larger arrays; 0 where rows
    /// follow one another.
    pub x_row_stride: usize,
    /// Input as rows of an embedding's table, in place of `x`.
    pub tokens: Option<Tokens<'a>>,
    /// Initial hidden states; `None` for zeros.
    pub h0: Option<&'a [f32]>,
    /// Initial cell states; `None` for zeros.
    pub c0: Option<&'a [f32]>,
    /// Outputs of the last layer, zero past a sequence's end; `None` if only final states are wanted.
    pub y: Option<&'a mut [f32]>,
    /// As `x_row_stride`, for `y`; what lies between its rows stays as it is.
    pub y_row_stride: usize,
    /// Final hidden states.
    pub hn: Option<&'a mut [f32]>,
    /// Final cell states.
    pub cn: Option<&'a mut [f32]>,
    /// Whether `hn` and `cn` hold the initial states when the call begins, in place of `h0` and `c0`: states are carried on from
    /// call to call in one place.
    pub in_place: bool,
}

/// Input as words: what [`Embedding::forward`](crate::nn::Embedding::forward) would copy to `x` is read where it lies in the
/// table, with the same results. [`Embedding::tokens`](crate::nn::Embedding::tokens) makes it.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// The table, a vector for each word.
    pub table: &'a [f32],
    /// Values of a vector: the layers' `input_size`.
    pub embedding_dim: usize,
    /// The row of every step, (seq_len, batch), or (batch, seq_len) if `batch_first`. Past a sequence's end they may be
    /// anything. One after another where the batch is packed.
    pub indices: &'a [u32],
}

/// Rows of input: one after another, or of a table.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    values: &'a [f32],
    indices: Option<&'a [u32]>,
    /// Values from row to row.
    stride: usize,
}

impl<'a> ForwardArgs<'a> {
    pub(crate) fn check(&self, config: &RnnConfig, batch: &Batch<'_>) -> Result<()> {
        let steps = batch.rows()?;
        // Memory is taken for them, whether there are arrays or not.
        product("the states", &[config.passes(), batch.batch_size, config.state_size()])?;
        product("the cell states", &[config.passes(), batch.batch_size, config.hidden_size])?;
        // The extents of arrays with a row for every step.
        let (time, sequences) = (("seq_len", batch.seq_len), ("batch", batch.batch_size));
        let extents = match (batch.packed, config.batch_first) {
            (true, _) => [("all steps", steps), ("1", 1)],
            (false, true) => [sequences, time],
            (false, false) => [time, sequences],
        };
        let extents = if batch.packed { &extents[..1] } else { &extents[..] };
        match &self.tokens {
            None => check_rows("x", self.x.len(), extents, ("input_size", config.input_size), self.x_row_stride)?,
            Some(Tokens { table, embedding_dim, indices }) => {
                ensure!(self.x.is_empty(), InvalidArgument, "both x and tokens are given, expected one of them");
                ensure!(
                    self.x_row_stride == 0,
                    InvalidArgument,
                    "x_row_stride is {}, but there is no x",
                    self.x_row_stride
                );
                ensure!(
                    *embedding_dim == config.input_size,
                    ShapeMismatch,
                    "the embedding's vectors have {embedding_dim} values, expected input_size {}",
                    config.input_size
                );
                ensure!(
                    table.len().is_multiple_of(*embedding_dim),
                    ShapeMismatch,
                    "the embedding's table has {} values, expected a multiple of embedding_dim {embedding_dim}",
                    table.len()
                );
                check_shape("indices", indices.len(), extents)?;
            }
        }
        if let Some(y) = &self.y {
            check_rows("y", y.len(), extents, ("output features", config.output_size()), self.y_row_stride)?;
        }
        ensure!(
            !self.in_place || (self.h0.is_none() && self.c0.is_none()),
            InvalidArgument,
            "h0 or c0 is given, but states are updated in place, in hn and cn"
        );
        let passes = ("layers * directions", config.passes());
        let states = [passes, sequences, ("state size", config.state_size())];
        let cells = [passes, sequences, ("hidden_size", config.hidden_size)];
        for (name, len) in [("h0", self.h0.map(<[f32]>::len)), ("hn", self.hn.as_ref().map(|v| v.len()))] {
            len.map_or(Ok(()), |len| check_shape(name, len, &states))?;
        }
        for (name, len) in [("c0", self.c0.map(<[f32]>::len)), ("cn", self.cn.as_ref().map(|v| v.len()))] {
            if let Some(len) = len {
                ensure!(
                    config.cell.has_cell_state(),
                    InvalidArgument,
                    "{name} is given, but only an LSTM has cell states"
                );
                check_shape(name, len, &cells)?;
            }
        }
        Ok(())
    }

    /// Whether every token that a planned batch reads has a row.
    pub(crate) fn check_tokens(&self, config: &RnnConfig, plan: &Plan) -> Result<()> {
        let Some(Tokens { table, embedding_dim, indices }) = &self.tokens else { return Ok(()) };
        let words = table.len() / embedding_dim;
        for (j, &length) in plan.lengths.iter().enumerate() {
            for i in (0..length).map(|t| plan.user_offset(config, t, j, 1)) {
                ensure!(
                    (indices[i] as usize) < words,
                    InvalidArgument,
                    "indices[{i}] is {}, expected less than {words}",
                    indices[i]
                );
            }
        }
        Ok(())
    }

    /// The input, once the arguments are checked.
    pub(crate) fn input(&self, config: &RnnConfig) -> Input<'a> {
        match self.tokens {
            None => {
                let stride = if self.x_row_stride == 0 { config.input_size } else { self.x_row_stride };
                Input { values: self.x, indices: None, stride }
            }
            Some(Tokens { table, indices, .. }) => {
                Input { values: table, indices: Some(indices), stride: config.input_size }
            }
        }
    }
}

impl<'a> ForwardArgs<'a> {
    /// With the initial states that final ones replace, as copies in `kept`.
    pub(crate) fn with_initial(self, kept: &'a mut [AlignedBuf<f32>; 2]) -> Result<Self> {
        if !self.in_place {
            return Ok(self);
        }
        let [h, c] = kept;
        let copy = |kept: &'a mut AlignedBuf<f32>, from: &Option<&mut [f32]>| -> Result<Option<&'a [f32]>> {
            let Some(from) = from else { return Ok(None) };
            kept.resize(from.len())?;
            kept.copy_from_slice(from);
            Ok(Some(&*kept))
        };
        let (h0, c0) = (copy(h, &self.hn)?, copy(c, &self.cn)?);
        Ok(Self { h0, c0, ..self })
    }
}

/// Whether `len` values are rows of `features`, each `stride` after the last, or densely for 0; there is a row for each place in
/// an array of `extents`.
fn check_rows(name: &str, len: usize, extents: &Shape<'_>, features: (&str, usize), stride: usize) -> Result<()> {
    if stride == 0 {
        return match *extents {
            [outer, inner] => check_shape(name, len, &[outer, inner, features]),
            _ => check_shape(name, len, &[extents[0], features]),
        };
    }
    let (rows, features) = (extents.iter().map(|(_, extent)| extent).product::<usize>(), features.1);
    ensure!(
        stride >= features,
        ShapeMismatch,
        "{name}_row_stride is {stride}, expected at least the {features} values of a row"
    );
    let fewest = if rows == 0 { 0 } else { product(name, &[rows - 1, stride])? + features };
    ensure!(
        len >= fewest,
        ShapeMismatch,
        "{name} has {len} values, expected at least {fewest} for {rows} rows, one every {stride} values"
    );
    Ok(())
}

impl<'a> Input<'a> {
    /// The rows for a block, in packed order.
    pub(crate) fn rows(
        self,
        config: &RnnConfig,
        plan: &Plan,
        block: &Range<usize>,
        offsets: &'a mut [usize],
    ) -> Rows<'a> {
        let (rows, features) = (plan.rows_of(block), config.input_size);
        let first = plan.start(block.start);
        if self.indices.is_none() && plan.is_dense() && !config.batch_first {
            return Rows::strided(&self.values[first * self.stride..], rows, self.stride, features);
        }
        let offsets = &mut offsets[..rows];
        for t in block.clone() {
            for j in 0..plan.count(t) {
                let row = plan.user_offset(config, t, j, 1);
                let row = self.indices.map_or(row, |indices| indices[row] as usize);
                offsets[plan.start(t) - first + j] = row * self.stride;
            }
        }
        Rows::at(self.values, offsets, features)
    }
}
