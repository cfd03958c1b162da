//! # Layers over words
//!
//! Forward over the rows of an embedding's table, read where they lie: in place of srnn_embedding_forward and an array x.

use super::args::Arrays;
use super::batch::{srnn_batch, srnn_state, srnn_state_out};
use super::call;
use super::embedding::srnn_embedding;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::rnn::srnn_rnn;
use super::session::{Source, read_forward, srnn_session};
use super::structs;
use super::train::srnn_tape;
use crate::rnn::DropoutPosition;

/// srnn_rnn_forward over words: in place of x, the rows of an embedding's table, which are read where they lie. The results
/// are those of srnn_embedding_forward into x and srnn_rnn_forward, bit for bit.
///
/// - embedding: a table of vectors of input_size values
/// - indices: (seq_len, batch), or (batch, seq_len) if batch_first: the row of every step; past a sequence's end they may
///   be anything
///
/// Errors: as for srnn_rnn_forward; SRNN_ERROR_SHAPE_MISMATCH for vectors of another length; SRNN_ERROR_INVALID_ARGUMENT
/// for an index without a row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_forward_tokens(
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    batch: *const srnn_batch,
    embedding: *const srnn_embedding,
    indices: *const u32,
    indices_len: usize,
    initial: *const srnn_state,
    y: *mut f32,
    y_len: usize,
    last: *const srnn_state_out,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (rnn, session) = (handle::shared("rnn", rnn)?, handle::exclusive("session", session)?);
            let batch = structs::read(batch)?.to_rust(&mut a)?;
            let words = Source::Words(embedding, indices, indices_len);
            rnn.0.forward(&mut session.0, &batch, read_forward(&mut a, words, initial, (y, y_len), last)?)
        }
    })
}

/// srnn_rnn_forward_train over words, as srnn_rnn_forward_tokens. The tape keeps the rows, so that the table may change
/// before backward, whose dx is the gradient of the rows: srnn_embedding_grads_add takes it.
///
/// Errors: as for srnn_rnn_forward_tokens; after one the tape holds what it held before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_forward_train_tokens(
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    tape: *mut srnn_tape,
    batch: *const srnn_batch,
    dropout_seed: u64,
    embedding: *const srnn_embedding,
    indices: *const u32,
    indices_len: usize,
    initial: *const srnn_state,
    y: *mut f32,
    y_len: usize,
    last: *const srnn_state_out,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (rnn, session) = (handle::shared("rnn", rnn)?, handle::exclusive("session", session)?);
            let (tape, batch) = (handle::exclusive("tape", tape)?, structs::read(batch)?);
            let srnn_batch { first_step, first_sequence, .. } = batch;
            let position = DropoutPosition { seed: dropout_seed, first_step, first_sequence };
            let batch = batch.to_rust(&mut a)?;
            let words = Source::Words(embedding, indices, indices_len);
            let args = read_forward(&mut a, words, initial, (y, y_len), last)?;
            rnn.0.forward_train(&mut session.0, &mut tape.0, &batch, args, position)
        }
    })
}
