//! # Truncated backpropagation through time
//!
//! BPTT(h; h') of Williams and Peng 1990, for sequences of any length in memory that k2 sets: after every chunk of k1
//! steps its errors are propagated back over the last k2 steps. k2 = k1 is the usual training on consecutive chunks with
//! carried, detached states.
//!
//! Training can stop at any point and go on later, bit for bit: srnn_truncated_bptt_save_memory keeps the carried states, the place
//! in the sequence and the chunks of the last k2 steps, for srnn_truncated_bptt_load_memory. Where no chunk is needed any more
//! (k2 = k1, and the newest chunk's errors have been propagated) srnn_truncated_bptt_get_state, _steps_done and _set_state
//! do. The model, the optimizer and the gradients added up so far are the caller's to keep.

use super::args::{Arrays, check};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::rnn::{copy, srnn_rnn};
use super::session::srnn_session;
use super::state::{read_state, srnn_state, srnn_state_out, write_state};
use super::train::srnn_grads;
use crate::error::ensure;
use crate::rnn::TruncatedBptt;

/// Tapes of the last k2 / k1 chunks and the carried states.
pub struct srnn_truncated_bptt(TruncatedBptt);

/// Creates zero states for batches of `batch_size` sequences and models like `rnn`, which must have forward layers only;
/// `k2` is a multiple of `k1`. It does not keep `rnn`. The caller destroys it.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for any of that; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_create(
    rnn: *const srnn_rnn,
    batch_size: usize,
    k1: usize,
    k2: usize,
    bptt: *mut *mut srnn_truncated_bptt,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, bptt) = unsafe { (handle::shared("rnn", rnn)?, Arrays::new().out("bptt", bptt)?) };
        bptt.write(handle::create(srnn_truncated_bptt(TruncatedBptt::new(&rnn.0, batch_size, k1, k2)?))?);
        Ok(())
    })
}

/// Destroys one. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_destroy(bptt: *mut srnn_truncated_bptt) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(bptt) }
}

/// Bytes held; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_bytes(bptt: *const srnn_truncated_bptt) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(bptt, 0, |b| b.0.bytes()) }
}

/// Starts new sequences: zero states, nothing to propagate into.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_reset(
    bptt: *mut srnn_truncated_bptt,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { handle::exclusive("bptt", bptt) }?.0.reset();
        Ok(())
    })
}

/// Runs the next chunk, `steps` (1 to k1) long, from the carried states.
///
/// - x: (steps, batch, input_size), or (batch, steps, input_size) if batch_first
/// - y: the same with output_size features; NULL if it is not wanted
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for the number of steps;
/// SRNN_ERROR_INVALID_STATE for a model of another configuration; SRNN_ERROR_OUT_OF_MEMORY. Nothing has changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_forward(
    bptt: *mut srnn_truncated_bptt,
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    steps: usize,
    dropout_seed: u64,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (bptt, rnn) = (handle::exclusive("bptt", bptt)?, handle::shared("rnn", rnn)?);
            let session = handle::exclusive("session", session)?;
            let x = a.read("x", x, x_len)?;
            let y = a.write_optional("y", y, y_len)?;
            bptt.0.forward(&rnn.0, &mut session.0, steps, x, y, dropout_seed)
        }
    })
}

/// Propagates the errors of the newest chunk back over the last k2 steps and adds to `grads`.
///
/// - dy: the gradient of that chunk's y
/// - dx: receives the gradient of its x; NULL if it is not wanted
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length or another model's grads; SRNN_ERROR_INVALID_STATE without a forward
/// since the last backward, or for a model of another configuration; SRNN_ERROR_OUT_OF_MEMORY. Nothing has changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_backward(
    bptt: *mut srnn_truncated_bptt,
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    dy: *const f32,
    dy_len: usize,
    dx: *mut f32,
    dx_len: usize,
    grads: *mut srnn_grads,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (bptt, rnn) = (handle::exclusive("bptt", bptt)?, handle::shared("rnn", rnn)?);
            let (session, grads) = (handle::exclusive("session", session)?, handle::exclusive("grads", grads)?);
            let dy = a.read("dy", dy, dy_len)?;
            let dx = a.write_optional("dx", dx, dx_len)?;
            a.owned("grads", grads.0.values())?;
            bptt.0.backward(&rnn.0, &mut session.0, dy, dx, &mut grads.0)
        }
    })
}

/// Copies the carried states out.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_get_state(
    bptt: *const srnn_truncated_bptt,
    state: *const srnn_state_out,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (bptt, [h, c]) = unsafe {
            let bptt = handle::shared("bptt", bptt)?;
            check("state", state)?;
            (bptt, write_state(&mut Arrays::new(), ["state.h", "state.c"], state)?)
        };
        // Both lengths are checked before either array is written.
        if let Some(h) = &h {
            crate::error::check_len("state.h", h.len(), bptt.0.hidden().len())?;
        }
        if let Some(c) = c {
            ensure!(!bptt.0.cell().is_empty(), InvalidArgument, "state.c is given, but only an LSTM has cell states");
            copy("state.c", bptt.0.cell(), c)?;
        }
        h.map_or(Ok(()), |h| copy("state.h", bptt.0.hidden(), h))
    })
}

/// Goes on from other states, with nothing to propagate into; what is NULL becomes zero. `steps_done` is the number of steps
/// before them, which says where dropout stands: what srnn_truncated_bptt_step_count told when the states were copied out.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
/// Nothing has changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_set_state(
    bptt: *mut srnn_truncated_bptt,
    state: *const srnn_state,
    steps_done: u32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let bptt = handle::exclusive("bptt", bptt)?;
            let [h, c] = read_state(&mut Arrays::new(), ["state.h", "state.c"], state)?;
            bptt.0.set_state(h, c, steps_done)
        }
    })
}

/// Steps since the start of the sequences; it wraps at 2^32. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_step_count(bptt: *const srnn_truncated_bptt) -> u32 {
    // SAFETY: the header's contract.
    unsafe { handle::get(bptt, 0, |b| b.0.steps_done()) }
}

/// Bytes that srnn_truncated_bptt_save_memory writes now; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_saved_bytes(bptt: *const srnn_truncated_bptt) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(bptt, 0, |b| b.0.saved_len()) }
}

/// Writes all that later calls depend on to `bytes`, srnn_truncated_bptt_saved_bytes of them, to be kept wherever the caller
/// likes. They mean the same on every machine.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_save_memory(
    bptt: *const srnn_truncated_bptt,
    bytes: *mut u8,
    bytes_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (bptt, bytes) = unsafe { (handle::shared("bptt", bptt)?, Arrays::new().write("bytes", bytes, bytes_len)?) };
        bptt.0.save_to(bytes)
    })
}

/// Makes `bptt`, which was created for the same configuration, batch_size, k1 and k2, what was saved: later calls give the
/// bits that they would have given there.
///
/// Errors: SRNN_ERROR_INVALID_DATA for bytes that srnn_truncated_bptt_save_memory has not written; SRNN_ERROR_SHAPE_MISMATCH, naming
/// the size, for those of another; SRNN_ERROR_OUT_OF_MEMORY. Nothing has changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_truncated_bptt_load_memory(
    bptt: *mut srnn_truncated_bptt,
    bytes: *const u8,
    bytes_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (bptt, bytes) =
            unsafe { (handle::exclusive("bptt", bptt)?, Arrays::new().read("bytes", bytes, bytes_len)?) };
        bptt.0.restore(bytes)
    })
}
