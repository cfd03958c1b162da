//! A table of vectors, one a word (`torch.nn.Embedding`), and its sparse gradient.

use crate::buffer::AlignedBuf;
use crate::error::{Result, check_len, ensure, err, product};
use crate::nn::Optimizer;
use crate::random::Random;
use crate::rnn::Tokens;

/// The random stream of initial tables, so that they share no numbers with other layers of the same seed.
const STREAM: u64 = 0x656d_6265_6464_696e;

/// A table of `num_embeddings` × `embedding_dim` f32 values, row-major.
///
/// ```
/// use simdrnn::nn::{Embedding, EmbeddingGrads};
///
/// let table = Embedding::from_table(3, 2, Some(0), &[0.0, 0.0, 1.0, 2.0, 3.0, 4.0])?;
/// let mut y = [0.0; 4];
/// table.forward(&[2, 1], &mut y)?;
/// assert_eq!(y, [3.0, 4.0, 1.0, 2.0]);
///
/// let mut grads = EmbeddingGrads::new(&table)?;
/// grads.accumulate(&[2, 0, 2], &[1.0; 6])?;
/// assert_eq!((grads.rows(), grads.values()), (&[2][..], &[2.0, 2.0][..])); // the padding row gets none
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct Embedding {
    num_embeddings: usize,
    embedding_dim: usize,
    padding_idx: Option<usize>,
    frozen: bool,
    table: AlignedBuf<f32>,
}

impl Embedding {
    /// A table of zeros. The row `padding_idx` gets no gradient and stays zero in [`init_normal`](Self::init_normal) and
    /// [`init_uniform`](Self::init_uniform).
    ///
    /// `InvalidArgument` where `embedding_dim` is 0, `padding_idx` is not a row, or there are more rows than 32-bit
    /// indices can tell apart (2^32 - 2); `SizeOverflow`, `OutOfMemory`.
    pub fn new(num_embeddings: usize, embedding_dim: usize, padding_idx: Option<usize>) -> Result<Self> {
        ensure!(embedding_dim > 0, InvalidArgument, "embedding_dim is 0, expected at least 1");
        ensure!(
            num_embeddings < u32::MAX as usize,
            InvalidArgument,
            "num_embeddings is {num_embeddings}, expected less than {}",
            u32::MAX
        );
        if let Some(p) = padding_idx {
            ensure!(p < num_embeddings, InvalidArgument, "padding_idx is {p}, expected less than {num_embeddings}");
        }
        let table = AlignedBuf::zeroed(product("embedding", &[num_embeddings, embedding_dim])?)?;
        Ok(Self { num_embeddings, embedding_dim, padding_idx, frozen: false, table })
    }

    /// A copy of `table` (`num_embeddings` × `embedding_dim`), the padding row as it is there. Errors as in
    /// [`new`](Self::new), and `ShapeMismatch` for a table of another length.
    pub fn from_table(
        num_embeddings: usize,
        embedding_dim: usize,
        padding_idx: Option<usize>,
        table: &[f32],
    ) -> Result<Self> {
        check_len("table", table.len(), product("embedding", &[num_embeddings, embedding_dim])?)?;
        let mut embedding = Self::new(num_embeddings, embedding_dim, padding_idx)?;
        embedding.table.copy_from_slice(table);
        Ok(embedding)
    }

    /// Rows of the table.
    pub fn num_embeddings(&self) -> usize {
        self.num_embeddings
    }

    /// Values in a row.
    pub fn embedding_dim(&self) -> usize {
        self.embedding_dim
    }

    /// The row without gradient.
    pub fn padding_idx(&self) -> Option<usize> {
        self.padding_idx
    }

    /// Whether [`optimize`](Self::optimize) leaves the table as it is.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Freezes the table, or sets it free.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// The table (`torch.nn.Embedding.weight`).
    pub fn table(&self) -> &[f32] {
        &self.table
    }

    /// The table, to be changed.
    pub fn table_mut(&mut self) -> &mut [f32] {
        &mut self.table
    }

    /// Fills the table with standard normal values, as PyTorch does; the padding row with zeros.
    pub fn init_normal(&mut self, seed: u64) {
        let mut random = Random::new(seed, STREAM);
        self.table.fill_with(|| random.normal() as f32);
        self.clear_padding();
    }

    /// Fills the table with values uniform in `[-range, range)`; the padding row with zeros. `InvalidArgument` where
    /// `range` is negative or not finite.
    pub fn init_uniform(&mut self, range: f32, seed: u64) -> Result<()> {
        ensure!(range.is_finite() && range >= 0.0, InvalidArgument, "range is {range}, expected a finite value >= 0");
        let mut random = Random::new(seed, STREAM);
        self.table.fill_with(|| (2.0 * random.uniform() - 1.0) * range);
        self.clear_padding();
        Ok(())
    }

    fn clear_padding(&mut self) {
        if let Some(p) = self.padding_idx {
            self.table[p * self.embedding_dim..][..self.embedding_dim].fill(0.0);
        }
    }

    /// The rows of `indices` as the input of recurrent layers, which read them where they lie in the table.
    pub fn tokens<'a>(&'a self, indices: &'a [u32]) -> Tokens<'a> {
        Tokens { table: &self.table, embedding_dim: self.embedding_dim, indices }
    }

    /// Copies the row of every index into `out` (`indices.len()` × `embedding_dim`).
    ///
    /// Errors, with nothing written: `ShapeMismatch` for `out`'s length; `InvalidArgument` for an index without a row.
    pub fn forward(&self, indices: &[u32], out: &mut [f32]) -> Result<()> {
        let dim = self.embedding_dim;
        check_len("out", out.len(), product("out", &[indices.len(), dim])?)?;
        check_indices(indices, self.num_embeddings)?;
        for (&index, out) in indices.iter().zip(out.chunks_exact_mut(dim)) {
            out.copy_from_slice(&self.table[index as usize * dim..][..dim]);
        }
        Ok(())
    }

    /// One optimizer step with the accumulated gradient; nothing where the table is frozen. Errors are those of
    /// [`Optimizer::update_rows`], and `ShapeMismatch` for gradients of another table.
    pub fn optimize(&mut self, optimizer: &mut Optimizer, slot: usize, grads: &EmbeddingGrads) -> Result<()> {
        grads.check(self)?;
        if self.frozen {
            return Ok(());
        }
        optimizer.update_rows(slot, &mut self.table, self.embedding_dim, grads.rows(), grads.values())
    }
}

fn check_indices(indices: &[u32], num_embeddings: usize) -> Result<()> {
    match indices.iter().position(|&index| index as usize >= num_embeddings) {
        None => Ok(()),
        Some(i) => Err(err!(InvalidArgument, "indices[{i}] is {}, expected less than {num_embeddings}", indices[i])),
    }
}

/// The gradient of an [`Embedding`]'s table: only the rows that were used.
///
/// Memory: 4 bytes a row of the table, and room for as many rows as a step has indices, or the table rows. After one step,
/// a step of no more indices allocates nothing.
pub struct EmbeddingGrads {
    embedding_dim: usize,
    padding_idx: Option<usize>,
    /// For every row of the table its place in `rows` plus one; 0: not used.
    map: AlignedBuf<u32>,
    count: usize,
    /// The first `count` are in use, ascending.
    rows: AlignedBuf<u32>,
    values: AlignedBuf<f32>,
}

/// A row that is in `rows` but has no place in `values` yet.
const NEW: u32 = u32::MAX;

impl EmbeddingGrads {
    /// No gradient yet. `OutOfMemory`.
    pub fn new(embedding: &Embedding) -> Result<Self> {
        Ok(Self {
            embedding_dim: embedding.embedding_dim,
            padding_idx: embedding.padding_idx,
            map: AlignedBuf::zeroed(embedding.num_embeddings)?,
            count: 0,
            rows: AlignedBuf::new(),
            values: AlignedBuf::new(),
        })
    }

    /// Whether they are of that table.
    pub(crate) fn check(&self, embedding: &Embedding) -> Result<()> {
        ensure!(
            self.map.len() == embedding.num_embeddings && self.embedding_dim == embedding.embedding_dim,
            ShapeMismatch,
            "the gradients are of a table of {} × {}, expected {} × {}",
            self.map.len(),
            self.embedding_dim,
            embedding.num_embeddings,
            embedding.embedding_dim
        );
        Ok(())
    }

    /// Rows with a gradient, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows[..self.count]
    }

    /// Their gradients: `rows().len()` × `embedding_dim`.
    pub fn values(&self) -> &[f32] {
        &self.values[..self.count * self.embedding_dim]
    }

    /// Their gradients, to be changed: for clipping.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.count * self.embedding_dim]
    }

    /// Forgets all gradients and keeps the memory.
    pub fn clear(&mut self) {
        for &row in &self.rows[..self.count] {
            self.map[row as usize] = 0;
        }
        self.count = 0;
    }

    /// Adds `dy` (`indices.len()` × `embedding_dim`), the gradient of what [`Embedding::forward`] wrote for `indices`.
    /// A row's gradients are summed in order of appearance; the padding row gets none.
    ///
    /// Errors, with nothing changed: `ShapeMismatch` for `dy`'s length; `InvalidArgument` for an index without a row;
    /// `OutOfMemory`.
    pub fn accumulate(&mut self, indices: &[u32], dy: &[f32]) -> Result<()> {
        let dim = self.embedding_dim;
        check_len("dy", dy.len(), product("dy", &[indices.len(), dim])?)?;
        check_indices(indices, self.map.len())?;
        // As many as there can be, so that the next call of this size finds enough whatever its indices are.
        let most = self.count.saturating_add(indices.len()).min(self.map.len());
        reserve(&mut self.rows, self.count, most)?;
        reserve(&mut self.values, self.count * dim, product("gradient", &[most, dim])?)?;

        let old = self.count;
        for &index in indices {
            if Some(index as usize) != self.padding_idx && self.map[index as usize] == 0 {
                self.map[index as usize] = NEW;
                self.rows[self.count] = index;
                self.count += 1;
            }
        }
        if self.count > old {
            self.make_room();
        }
        for (&index, dy) in indices.iter().zip(dy.chunks_exact(dim)) {
            if Some(index as usize) != self.padding_idx {
                let place = self.map[index as usize] as usize - 1;
                for (sum, &d) in self.values[place * dim..][..dim].iter_mut().zip(dy) {
                    *sum += d;
                }
            }
        }
        Ok(())
    }

    /// Sorts the rows and moves their gradients along; those of new rows become zero.
    fn make_room(&mut self) {
        let dim = self.embedding_dim;
        self.rows[..self.count].sort_unstable();
        // Old rows keep their order and only move up, so from the last to the first none is overwritten before it moved.
        for place in (0..self.count).rev() {
            let entry = &mut self.map[self.rows[place] as usize];
            let from = std::mem::replace(entry, place as u32 + 1);
            if from == NEW {
                self.values[place * dim..][..dim].fill(0.0);
            } else {
                let from = from as usize - 1;
                self.values.copy_within(from * dim..(from + 1) * dim, place * dim);
            }
        }
    }
}

/// Makes the buffer at least `len` long and keeps its first `used` values.
fn reserve<T: crate::buffer::Plain>(buf: &mut AlignedBuf<T>, used: usize, len: usize) -> Result<()> {
    if buf.len() < len {
        let mut grown = AlignedBuf::zeroed(len)?;
        grown[..used].copy_from_slice(&buf[..used]);
        *buf = grown;
    }
    Ok(())
}

#[cfg(test)]
#[path = "embedding_tests.rs"]
mod tests;
