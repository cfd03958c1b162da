//! What a forward call reads: its arguments, and the rows of its input where they lie.

use super::batch::{Batch, Plan};
use super::config::RnnConfig;

use crate::error::{Result, check_len, ensure, product};
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
    /// Input as rows of an embedding's table, in place of `x`.
    pub tokens: Option<Tokens<'a>>,
    /// Initial hidden states; `None` for zeros.
    pub h0: Option<&'a [f32]>,
    /// Initial cell states; `None` for zeros.
    pub c0: Option<&'a [f32]>,
    /// Outputs of the last layer, zero past a sequence's end; `None` if only final states are wanted.
    pub y: Option<&'a mut [f32]>,
    /// Final hidden states.
    pub hn: Option<&'a mut [f32]>,
    /// Final cell states.
    pub cn: Option<&'a mut [f32]>,
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
}

impl<'a> ForwardArgs<'a> {
    pub(crate) fn check(&self, config: &RnnConfig, batch: &Batch<'_>) -> Result<()> {
        let steps = batch.rows()?;
        let states = product("the states", &[config.passes(), batch.batch_size, config.state_size()])?;
        let cells = product("the cell states", &[config.passes(), batch.batch_size, config.hidden_size])?;
        match &self.tokens {
            None => check_len("x", self.x.len(), product("x", &[steps, config.input_size])?)?,
            Some(Tokens { table, embedding_dim, indices }) => {
                ensure!(self.x.is_empty(), InvalidArgument, "both x and tokens are given, expected one of them");
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
                check_len("indices", indices.len(), steps)?;
            }
        }
        if let Some(y) = &self.y {
            check_len("y", y.len(), product("y", &[steps, config.output_size()])?)?;
        }
        for (name, len) in [("h0", self.h0.map(<[f32]>::len)), ("hn", self.hn.as_ref().map(|v| v.len()))] {
            len.map_or(Ok(()), |len| check_len(name, len, states))?;
        }
        for (name, len) in [("c0", self.c0.map(<[f32]>::len)), ("cn", self.cn.as_ref().map(|v| v.len()))] {
            if let Some(len) = len {
                ensure!(
                    config.cell.has_cell_state(),
                    InvalidArgument,
                    "{name} is given, but only an LSTM has cell states"
                );
                check_len(name, len, cells)?;
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
    pub(crate) fn input(&self) -> Input<'a> {
        match self.tokens {
            None => Input { values: self.x, indices: None },
            Some(Tokens { table, indices, .. }) => Input { values: table, indices: Some(indices) },
        }
    }
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
            return Rows::strided(&self.values[first * features..], rows, features, features);
        }
        let offsets = &mut offsets[..rows];
        for t in block.clone() {
            for j in 0..plan.count(t) {
                let row = plan.user_offset(config, t, j, 1);
                let row = self.indices.map_or(row, |indices| indices[row] as usize);
                offsets[plan.start(t) - first + j] = row * features;
            }
        }
        Rows::at(self.values, offsets, features)
    }
}
