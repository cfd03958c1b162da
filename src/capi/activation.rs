//! # Activations

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use crate::nn;

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
        nn::softmax(cols, x, y)
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
        nn::log_softmax(cols, x, y)
    })
}

/// The logistic function 1 / (1 + exp(-x)) of every value, in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_sigmoid(x: *mut f32, x_len: usize, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let x = unsafe { Arrays::new().write("x", x, x_len) }?;
        nn::sigmoid(x)
    })
}

/// The hyperbolic tangent of every value, in place, as precise as in the cells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tanh(x: *mut f32, x_len: usize, error: *mut srnn_error) -> srnn_status {
    // SAFETY: the header's contract.
    call(error, || nn::tanh(unsafe { Arrays::new().write("x", x, x_len) }?))
}

/// max(x, 0) of every value, in place. NaN stays NaN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_relu(x: *mut f32, x_len: usize, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        nn::relu(unsafe { Arrays::new().write("x", x, x_len) }?);
        Ok(())
    })
}

/// Backward of srnn_sigmoid: turns `d`, the gradient of its results `y`, into the gradient of its inputs, d * y * (1 - y), in place.
///
/// - y, d: of one length
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_sigmoid_backward(
    y: *const f32,
    y_len: usize,
    d: *mut f32,
    d_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (y, d) = unsafe { (a.read("y", y, y_len)?, a.write("d", d, d_len)?) };
        nn::sigmoid_backward(y, d)
    })
}

/// Backward of srnn_tanh: turns `d`, the gradient of its results `y`, into the gradient of its inputs, d * (1 - y * y), in place.
///
/// - y, d: of one length
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tanh_backward(
    y: *const f32,
    y_len: usize,
    d: *mut f32,
    d_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (y, d) = unsafe { (a.read("y", y, y_len)?, a.write("d", d, d_len)?) };
        nn::tanh_backward(y, d)
    })
}

/// Backward of srnn_relu: turns `d`, the gradient of its results `y`, into the gradient of its inputs, d where y > 0, else 0, in place.
///
/// - y, d: of one length
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_relu_backward(
    y: *const f32,
    y_len: usize,
    d: *mut f32,
    d_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (y, d) = unsafe { (a.read("y", y, y_len)?, a.write("d", d, d_len)?) };
        nn::relu_backward(y, d)
    })
}
