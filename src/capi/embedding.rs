//! # Embeddings
//!
//! A table of vectors, one a word, as torch.nn.Embedding; its gradient holds only the rows that were used.

use super::args::{self, Arrays};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use crate::error::{Result, ensure, err};
use crate::nn::{Embedding, EmbeddingGrads};
use std::ops::Range;

/// A table of num_embeddings rows of embedding_dim values.
pub struct srnn_embedding(pub(super) Embedding);

/// The gradient of an embedding's table: only the rows that were used.
pub struct srnn_embedding_grads(pub(super) EmbeddingGrads);

/// Creates a table of zeros. Row `padding_idx`, or none for -1, gets no gradient and stays zero when the table is drawn.
/// The caller destroys it.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for embedding_dim 0, 2^32 - 1 or more rows, or a padding row that does not exist;
/// SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_create(
    num_embeddings: usize,
    embedding_dim: usize,
    padding_idx: i64,
    embedding: *mut *mut srnn_embedding,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let embedding = unsafe { Arrays::new().out("embedding", embedding) }?;
        let padding = match padding_idx {
            -1 => None,
            i => Some(
                usize::try_from(i)
                    .map_err(|_| err!(InvalidArgument, "padding_idx is {i}, expected a row, or -1 for none"))?,
            ),
        };
        let new = Embedding::new(num_embeddings, embedding_dim, padding)?;
        embedding.write(handle::create(srnn_embedding(new))?);
        Ok(())
    })
}

/// Destroys an embedding. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_destroy(embedding: *mut srnn_embedding) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(embedding) }
}

/// Rows of the table; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_num_embeddings(embedding: *const srnn_embedding) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(embedding, 0, |e| e.0.num_embeddings()) }
}

/// Values of a row; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_dim(embedding: *const srnn_embedding) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(embedding, 0, |e| e.0.embedding_dim()) }
}

/// Draws a standard normal table, as PyTorch does; the padding row becomes zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_init_normal(
    embedding: *mut srnn_embedding,
    seed: u64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { handle::exclusive("embedding", embedding) }?.0.init_normal(seed);
        Ok(())
    })
}

/// Draws a table uniform in [-range, range); the padding row becomes zero.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a range that is negative or not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_init_uniform(
    embedding: *mut srnn_embedding,
    range: f32,
    seed: u64,
    error: *mut srnn_error,
) -> srnn_status {
    // SAFETY: the header's contract.
    call(error, || unsafe { handle::exclusive("embedding", embedding) }?.0.init_uniform(range, seed))
}

/// Copies consecutive rows from `first_row` on to `values`: any number of whole rows.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length that is no multiple of embedding_dim; SRNN_ERROR_INVALID_ARGUMENT for
/// rows that do not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_read_rows(
    embedding: *const srnn_embedding,
    first_row: usize,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (embedding, values) =
            unsafe { (handle::shared("embedding", embedding)?, a.write("values", values, values_len)?) };
        let range = rows(&embedding.0, first_row, values.len())?;
        values.copy_from_slice(&embedding.0.table()[range]);
        Ok(())
    })
}

/// Replaces consecutive rows from `first_row` on with `values`: any number of whole rows.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length that is no multiple of embedding_dim; SRNN_ERROR_INVALID_ARGUMENT for
/// rows that do not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_write_rows(
    embedding: *mut srnn_embedding,
    first_row: usize,
    values: *const f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (embedding, values) =
            unsafe { (handle::exclusive("embedding", embedding)?, a.read("values", values, values_len)?) };
        let range = rows(&embedding.0, first_row, values.len())?;
        embedding.0.table_mut()[range].copy_from_slice(values);
        Ok(())
    })
}

/// Where `len` values from row `first` on lie in the table.
fn rows(embedding: &Embedding, first: usize, len: usize) -> Result<Range<usize>> {
    let (dim, count) = (embedding.embedding_dim(), embedding.num_embeddings());
    ensure!(
        len.is_multiple_of(dim),
        ShapeMismatch,
        "values has {len} values, expected a multiple of embedding_dim {dim}"
    );
    ensure!(
        first <= count && len / dim <= count - first,
        InvalidArgument,
        "{} rows from {first} on are asked for, but there are {count}",
        len / dim
    );
    Ok(first * dim..first * dim + len)
}

/// 1 if updates leave the table as it is, 0 if not or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_is_frozen(embedding: *const srnn_embedding) -> i32 {
    // SAFETY: the header's contract.
    unsafe { handle::get(embedding, 0, |e| e.0.is_frozen().into()) }
}

/// Freezes the table (1), so that updates leave it as it is, or sets it free (0).
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for another number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_set_frozen(
    embedding: *mut srnn_embedding,
    frozen: i32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let embedding = unsafe { handle::exclusive("embedding", embedding) }?;
        embedding.0.set_frozen(args::flag("frozen", frozen)?);
        Ok(())
    })
}

/// Copies the row of every index to `y`.
///
/// - y: (indices_len, embedding_dim)
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for an index without a row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_forward(
    embedding: *const srnn_embedding,
    indices: *const u32,
    indices_len: usize,
    y: *mut f32,
    y_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let embedding = handle::shared("embedding", embedding)?;
            let indices = a.read("indices", indices, indices_len)?;
            embedding.0.forward(indices, a.write("y", y, y_len)?)
        }
    })
}

/// Creates an empty gradient for the table of `embedding`, which it does not keep. The caller destroys it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_grads_create(
    embedding: *const srnn_embedding,
    grads: *mut *mut srnn_embedding_grads,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (embedding, grads) =
            unsafe { (handle::shared("embedding", embedding)?, Arrays::new().out("grads", grads)?) };
        grads.write(handle::create(srnn_embedding_grads(EmbeddingGrads::new(&embedding.0)?))?);
        Ok(())
    })
}

/// Destroys a gradient. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_grads_destroy(grads: *mut srnn_embedding_grads) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(grads) }
}

/// Sets the gradient to zero: forgets all rows and keeps the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_grads_zero(
    grads: *mut srnn_embedding_grads,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { handle::exclusive("grads", grads) }?.0.clear();
        Ok(())
    })
}

/// The gradient's memory, which srnn_embedding_grads_data shows, takes part in the call.
fn own(a: &mut Arrays, grads: &EmbeddingGrads) -> Result<()> {
    a.owned("grads.rows", grads.rows())?;
    a.owned("grads.values", grads.values())
}

/// Backward: adds `dy`, the gradient of what srnn_embedding_forward wrote for `indices`. A row's gradients are summed in
/// order of appearance; the padding row gets none.
///
/// - dy: (indices_len, embedding_dim)
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for an index without a row;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_grads_add(
    grads: *mut srnn_embedding_grads,
    indices: *const u32,
    indices_len: usize,
    dy: *const f32,
    dy_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let grads = handle::exclusive("grads", grads)?;
            own(&mut a, &grads.0)?;
            let indices = a.read("indices", indices, indices_len)?;
            grads.0.accumulate(indices, a.read("dy", dy, dy_len)?)
        }
    })
}

/// Writes where the gradient lies: the indices of its `rows_len` rows, ascending, and their values, rows_len *
/// embedding_dim. Memory of `grads`, of which the caller may change the values, for clipping for example, until the next
/// call with `grads`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_grads_data(
    grads: *mut srnn_embedding_grads,
    rows: *mut *const u32,
    rows_len: *mut usize,
    values: *mut *mut f32,
    values_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let grads = handle::exclusive("grads", grads)?;
            own(&mut a, &grads.0)?;
            let (rows, rows_len) = (a.out("rows", rows)?, a.out("rows_len", rows_len)?);
            let (values, values_len) = (a.out("values", values)?, a.out("values_len", values_len)?);
            rows.write(grads.0.rows().as_ptr());
            rows_len.write(grads.0.rows().len());
            let slice = grads.0.values_mut();
            values_len.write(slice.len());
            values.write(slice.as_mut_ptr());
        }
        Ok(())
    })
}
