//! # Softmax and sigmoid

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use crate::nn;
use crate::simd::Isa;

/// Softmax of every row of `x`. A row with NaN, with +inf, or with nothing but -inf becomes NaN, as in PyTorch; any other
/// -inf gives 0.
///
/// - x, y: (rows, cols)
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_softmax(
    cols: usize,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (x, y) = unsafe { (a.read("x", x, x_len)?, a.write("y", y, y_len)?) };
        nn::softmax(Isa::choose()?, cols, x, y)
    })
}

/// The natural logarithm of srnn_softmax, computed without cancellation.
///
/// - x, y: (rows, cols)
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_log_softmax(
    cols: usize,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (x, y) = unsafe { (a.read("x", x, x_len)?, a.write("y", y, y_len)?) };
        nn::log_softmax(Isa::choose()?, cols, x, y)
    })
}

/// The logistic function 1 / (1 + exp(-x)) of every value, in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_sigmoid(x: *mut f32, x_len: usize, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let x = unsafe { Arrays::new().write("x", x, x_len) }?;
        nn::sigmoid(Isa::choose()?, x);
        Ok(())
    })
}
