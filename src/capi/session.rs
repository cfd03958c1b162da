//! # Forward

use super::args::Arrays;
use super::batch::{read_state, srnn_batch, srnn_state, srnn_state_out, write_state};
use super::call;
use super::embedding::srnn_embedding;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::pool::{self, srnn_pool};
use super::rnn::srnn_rnn;
use super::structs;
use crate::error::Result;
use crate::rnn::{ForwardArgs, Session};

/// One caller's scratch memory. It grows to what a call needs and is kept: a call of a shape that fitted before
/// allocates nothing. A session serves any number of models, one call at a time; give each thread its own.
pub struct srnn_session(pub(super) Session);

/// Creates a session that works on the caller's thread. The caller destroys it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_create(session: *mut *mut srnn_session, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let session = unsafe { Arrays::new().out("session", session) }?;
        session.write(handle::create(srnn_session(Session::new()))?);
        Ok(())
    })
}

/// Destroys a session. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_destroy(session: *mut srnn_session) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(session) }
}

/// Spreads the session's work over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may be
/// destroyed before the session. The number of threads changes no bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_set_pool(
    session: *mut srnn_session,
    pool: *const srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (session, pool) = unsafe { (handle::exclusive("session", session)?, pool::optional(pool)?) };
        session.0.set_pool(pool);
        Ok(())
    })
}

/// Bytes of scratch memory held; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_bytes(session: *const srnn_session) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(session, 0, |s| s.0.bytes()) }
}

/// Runs the layers over a batch of sequences.
///
/// - x: (seq_len, batch, input_size), or (batch, seq_len, input_size) if batch_first
/// - y: the same with srnn_rnn_output_size features, zero past a sequence's end; NULL if it is not wanted
/// - initial: the states before the first step; NULL for zeros
/// - last: receives the states after each sequence's last step; may be NULL
///
/// For finite results every sequence's outputs depend on the model, its input and its initial state alone, bit for bit:
/// not on the other sequences, padding, threads, the instruction set, or how a sequence is cut into calls.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH, naming the array, for a length; SRNN_ERROR_INVALID_ARGUMENT for a batch without
/// sequences, lengths above seq_len, cell states where the cell has none; SRNN_ERROR_SIZE_OVERFLOW;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_forward(
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    batch: *const srnn_batch,
    x: *const f32,
    x_len: usize,
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
            let args = read_forward(&mut a, Source::Array(x, x_len), initial, (y, y_len), last)?;
            rnn.0.forward(&mut session.0, &batch, args)
        }
    })
}

/// What the caller gives a forward call to read, in place of each other.
pub(super) enum Source {
    /// x and its length.
    Array(*const f32, usize),
    /// A table, the numbers of its rows and how many.
    Words(*const srnn_embedding, *const u32, usize),
}

/// The arrays that all forward calls take.
///
/// # Safety
/// The header's contract for each of them.
pub(super) unsafe fn read_forward<'a>(
    a: &mut Arrays,
    source: Source,
    initial: *const srnn_state,
    (y, y_len): (*mut f32, usize),
    last: *const srnn_state_out,
) -> Result<ForwardArgs<'a>> {
    // SAFETY: the caller's contract.
    unsafe {
        let (x, tokens) = match source {
            Source::Array(x, len) => (a.read("x", x, len)?, None),
            Source::Words(embedding, indices, len) => {
                let embedding = &handle::shared("embedding", embedding)?.0;
                (&[][..], Some(embedding.tokens(a.read("indices", indices, len)?)))
            }
        };
        let [h0, c0] = read_state(a, ["initial.h", "initial.c"], initial)?;
        let y = a.write_optional("y", y, y_len)?;
        let [hn, cn] = write_state(a, ["last.h", "last.c"], last)?;
        Ok(ForwardArgs { x, tokens, h0, c0, y, hn, cn })
    }
}
