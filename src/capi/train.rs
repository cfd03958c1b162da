//! # Tapes and gradients
//!
//! What a training forward leaves for backward, and where backward adds the gradients of the weights.

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::rnn::{copy, srnn_rnn};
use crate::rnn::{Grads, Tape};

/// What a training forward recorded, for backward. Its memory is reused by the next forward.
pub struct srnn_tape(pub(super) Tape);

/// Gradients of all parameters of an srnn_rnn, as one flat array in the order of srnn_rnn_read_values. Backward adds to
/// them.
pub struct srnn_grads(pub(super) Grads);

/// Creates an empty tape. The caller destroys it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tape_create(tape: *mut *mut srnn_tape, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let tape = unsafe { Arrays::new().out("tape", tape) }?;
        tape.write(handle::create(srnn_tape(Tape::new()))?);
        Ok(())
    })
}

/// Destroys a tape. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tape_destroy(tape: *mut srnn_tape) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(tape) }
}

/// Sequences of the forward that `tape` holds; 0 while it holds none, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tape_batch_size(tape: *const srnn_tape) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(tape, 0, |t| t.0.batch_size()) }
}

/// Time steps that the arrays of that forward have room for; 0 while it holds none, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tape_seq_len(tape: *const srnn_tape) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(tape, 0, |t| t.0.seq_len()) }
}

/// Bytes held; 0 for NULL. With R the sum of the lengths: for each layer R rows of its input; for each layer and
/// direction R rows of pre-activations (4 times the hidden size for LSTM and GRU, 3 with reset before, 1 for Elman) and
/// batch + R rows of hidden, for LSTM also of cell states; rows are padded to whole vectors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tape_bytes(tape: *const srnn_tape) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(tape, 0, |t| t.0.bytes()) }
}

/// Creates zero gradients for the parameters of `rnn`, which they do not keep. The caller destroys them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_grads_create(
    rnn: *const srnn_rnn,
    grads: *mut *mut srnn_grads,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, grads) = unsafe { (handle::shared("rnn", rnn)?, Arrays::new().out("grads", grads)?) };
        grads.write(handle::create(srnn_grads(Grads::new(&rnn.0)?))?);
        Ok(())
    })
}

/// Destroys gradients. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_grads_destroy(grads: *mut srnn_grads) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(grads) }
}

/// Sets all gradients to zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_grads_zero(grads: *mut srnn_grads, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { handle::exclusive("grads", grads) }?.0.zero();
        Ok(())
    })
}

/// Writes where the gradients lie, srnn_rnn_value_count of them: memory of `grads` that the caller may read and change,
/// for clipping for example, until `grads` is destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_grads_data(
    grads: *mut srnn_grads,
    data: *mut *mut f32,
    data_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (grads, data, len) =
            unsafe { (handle::exclusive("grads", grads)?, a.out("data", data)?, a.out("data_len", data_len)?) };
        a.owned("grads", grads.0.values())?;
        let values = grads.0.values_mut();
        data.write(values.as_mut_ptr());
        len.write(values.len());
        Ok(())
    })
}

/// Copies the gradient of parameter `index`, shaped like the parameter, to `values`.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_grads_read_param(
    grads: *const srnn_grads,
    index: usize,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (grads, values) = unsafe {
            let grads = handle::shared("grads", grads)?;
            a.owned("grads", grads.0.values())?;
            (grads, a.write("values", values, values_len)?)
        };
        copy("values", grads.0.param(index)?, values)
    })
}
