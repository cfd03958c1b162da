//! # Streams
//!
//! An srnn_stream holds the live states of one or more parallel sequences (lanes) that go on for as long as the caller
//! likes. Step and process allocate nothing. Unless the stream has a pool, they lock nothing, make no system call and wait for
//! nobody. Finite results are, bit for bit, those of one long forward.
//!
//! A step's instructions do not depend on the data. Their time does only where the processor takes longer over subnormal
//! numbers: while states or inputs lie below 2^-50 but are not zero (flush_small_states keeps states from it), and where gates
//! are shut so far (pre-activations below about -80) that what they let through is subnormal.

use super::args::Arrays;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::pool::{self, srnn_pool};
use super::rnn::srnn_rnn;
use super::state::{read_state, srnn_state, srnn_state_out, write_state};
use super::{call, compute};
use crate::rnn::Stream;

/// Live states of parallel sequences.
pub struct srnn_stream(pub(super) Stream);

/// Creates zero states of `lanes` sequences for models like `rnn`, which must have forward layers only. The stream does
/// not keep `rnn`: every call takes the model, whose weights may have changed in between. The caller destroys it.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for layers in reverse, or no lanes; SRNN_ERROR_SIZE_OVERFLOW;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_create(
    rnn: *const srnn_rnn,
    lanes: usize,
    stream: *mut *mut srnn_stream,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, stream) = unsafe { (handle::shared("rnn", rnn)?, Arrays::new().out("stream", stream)?) };
        stream.write(handle::create(srnn_stream(Stream::new(&rnn.0, lanes)?))?);
        Ok(())
    })
}

/// Destroys a stream. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_destroy(stream: *mut srnn_stream) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(stream) }
}

/// Number of lanes; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_lane_count(stream: *const srnn_stream) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(stream, 0, |s| s.0.lanes()) }
}

/// Bytes held; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_bytes(stream: *const srnn_stream) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(stream, 0, |s| s.0.bytes()) }
}

/// Spreads steps of large layers, from about a megabyte of recurrent weights on, over the threads of `pool` from now
/// on; NULL for the caller's thread alone. Step and process then wait for the pool's threads, and for their turn if other
/// calls use it. The states stay as they are. The pool may be destroyed before the stream. The number of threads changes no
/// bit.
///
/// Errors: SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY. The stream stays as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_set_pool(
    stream: *mut srnn_stream,
    pool: *const srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (stream, pool) = unsafe { (handle::exclusive("stream", stream)?, pool::optional(pool)?) };
        stream.0.set_pool(pool)
    })
}

/// One step of every lane.
///
/// - x: (lanes, input_size)
/// - y: (lanes, output_size)
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_STATE for a model of another configuration. The
/// states stay as they were.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_step(
    stream: *mut srnn_stream,
    rnn: *const srnn_rnn,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    compute(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let (stream, rnn) = (handle::exclusive("stream", stream)?, handle::shared("rnn", rnn)?);
            let (x, y) = Arrays::new().read_and_write(("x", x, x_len), ("y", y, y_len))?;
            stream.0.step(&rnn.0, x, y)
        }
    })
}

/// `steps` steps of every lane.
///
/// - x: (steps, lanes, input_size), or (lanes, steps, input_size) if batch_first
/// - y: the same with output_size features; NULL if only the states are to advance
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_STATE for a model of another configuration;
/// SRNN_ERROR_SIZE_OVERFLOW. The states stay as they were.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_process(
    stream: *mut srnn_stream,
    rnn: *const srnn_rnn,
    steps: usize,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    compute(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (stream, rnn) = (handle::exclusive("stream", stream)?, handle::shared("rnn", rnn)?);
            let x = a.read("x", x, x_len)?;
            stream.0.process(&rnn.0, steps, x, a.write_optional("y", y, y_len)?)
        }
    })
}

/// Copies the states out, the lanes being the batch.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_get_state(
    stream: *const srnn_stream,
    state: *const srnn_state_out,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let stream = handle::shared("stream", stream)?;
            super::args::check("state", state)?;
            let [h, c] = write_state(&mut Arrays::new(), ["state.h", "state.c"], state)?;
            stream.0.state(h, c)
        }
    })
}

/// Replaces the states, the lanes being the batch; what is NULL becomes zero.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_set_state(
    stream: *mut srnn_stream,
    state: *const srnn_state,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let stream = handle::exclusive("stream", stream)?;
            let [h, c] = read_state(&mut Arrays::new(), ["state.h", "state.c"], state)?;
            stream.0.set_state(h, c)
        }
    })
}

/// Zeroes the states of all lanes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_reset(stream: *mut srnn_stream, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { handle::exclusive("stream", stream) }?.0.reset();
        Ok(())
    })
}

/// Zeroes the states of one lane.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a lane that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_stream_reset_lane(
    stream: *mut srnn_stream,
    lane: usize,
    error: *mut srnn_error,
) -> srnn_status {
    // SAFETY: the header's contract.
    call(error, || unsafe { handle::exclusive("stream", stream) }?.0.reset_lane(lane))
}
