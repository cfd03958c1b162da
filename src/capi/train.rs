//! # Training
//!
//! A training step is srnn_rnn_forward_train, which records on a tape; a loss; srnn_rnn_backward, which adds to the
//! gradients of the weights; and an update by an optimizer. Backward may run any number of times on one tape, as long as
//! the weights are those of the forward.

use super::args::Arrays;
use super::batch::{read_state, srnn_batch, srnn_state, srnn_state_out, write_state};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::flow::srnn_gradient_flow;
use super::handle;
use super::rnn::{copy, srnn_rnn};
use super::session::{Source, read_forward, srnn_session};
use super::structs;
use crate::rnn::{BackwardArgs, DropoutPosition, Grads, Tape};

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

/// Bytes held; 0 for NULL. With R the sum of the lengths: for each layer R rows of its input; for each layer and
/// direction R rows of pre-activations (4 times the hidden size for LSTM and GRU, 3 with reset before, 1 for Elman) and
/// batch + R rows of hidden, for LSTM also of cell states; rows are padded to whole vectors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tape_bytes(tape: *const srnn_tape) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(tape, 0, |t| t.0.bytes()) }
}

/// srnn_rnn_forward in training: applies dropout between layers, if the configuration has it, and records on `tape` what
/// backward needs. Use another `dropout_seed` for every step. After an error the tape holds what it
/// held before; everything else is as in srnn_rnn_forward.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_forward_train(
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    tape: *mut srnn_tape,
    batch: *const srnn_batch,
    dropout_seed: u64,
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
            let (tape, batch) = (handle::exclusive("tape", tape)?, structs::read(batch)?);
            let srnn_batch { first_step, first_sequence, .. } = batch;
            let position = DropoutPosition { seed: dropout_seed, first_step, first_sequence };
            let batch = batch.to_rust(&mut a)?;
            let args = read_forward(&mut a, Source::Array(x, x_len), initial, (y, y_len), last)?;
            rnn.0.forward_train(&mut session.0, &mut tape.0, &batch, args, position)
        }
    })
}

/// Backpropagation through time: gradients of a loss through the forward that `tape` recorded. Arrays have the shapes of
/// that forward.
///
/// - dy: gradient of y, ignored past a sequence's end; NULL for zeros
/// - dlast: gradient of the last states; NULL for zeros
/// - dx: receives the gradient of x, zero past a sequence's end; NULL if it is not wanted
/// - dinitial: receives the gradient of the initial states; may be NULL
/// - grads: gradients of the weights are added to these; may be NULL
/// - flow: filled with measurements; may be NULL
///
/// Finite gradients have the same bits for any number of threads and every instruction set.
///
/// Errors: SRNN_ERROR_INVALID_STATE if the tape holds nothing, was recorded by another configuration, or the weights have
/// changed since; SRNN_ERROR_SHAPE_MISMATCH, naming the array, for a length or another model's grads;
/// SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_backward(
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    tape: *const srnn_tape,
    dy: *const f32,
    dy_len: usize,
    dlast: *const srnn_state,
    dx: *mut f32,
    dx_len: usize,
    dinitial: *const srnn_state_out,
    grads: *mut srnn_grads,
    flow: *mut srnn_gradient_flow,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (rnn, session) = (handle::shared("rnn", rnn)?, handle::exclusive("session", session)?);
            let tape = handle::shared("tape", tape)?;
            let dy = a.read_optional("dy", dy, dy_len)?;
            let [dhn, dcn] = read_state(&mut a, ["dlast.h", "dlast.c"], dlast)?;
            let dx = a.write_optional("dx", dx, dx_len)?;
            let [dh0, dc0] = write_state(&mut a, ["dinitial.h", "dinitial.c"], dinitial)?;
            let grads = handle::optional("grads", grads)?.map(|g| &mut g.0);
            if let Some(grads) = &grads {
                a.owned("grads", grads.values())?;
            }
            let flow = handle::optional("flow", flow)?.map(|f| &mut f.0);
            let args = BackwardArgs { dy, dhn, dcn, dx, dh0, dc0 };
            rnn.0.backward(&mut session.0, &tape.0, args, grads, flow)
        }
    })
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
