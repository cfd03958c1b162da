//! # Dense layers
//!
//! y = W x + b, as torch.nn.Linear: weights (out_features, in_features) and optionally a bias (out_features), also as one
//! flat array in that order.

use super::args::{self, Arrays};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::rnn::copy;
use super::session::srnn_session;
use crate::error::check_len;
use crate::nn::Dense;

/// A dense layer.
pub struct srnn_dense(pub(super) Dense);

/// Creates a layer with zero weights, with a bias if `bias` is 1. The caller destroys it.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for no features or another `bias`; SRNN_ERROR_SIZE_OVERFLOW;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_create(
    in_features: usize,
    out_features: usize,
    bias: i32,
    dense: *mut *mut srnn_dense,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let dense = unsafe { Arrays::new().out("dense", dense) }?;
        let new = Dense::new(in_features, out_features, args::flag("bias", bias)?)?;
        dense.write(handle::create(srnn_dense(new))?);
        Ok(())
    })
}

/// Destroys a dense layer. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_destroy(dense: *mut srnn_dense) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(dense) }
}

/// Features of the input; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_in_features(dense: *const srnn_dense) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(dense, 0, |d| d.0.in_features()) }
}

/// Features of the output; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_out_features(dense: *const srnn_dense) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(dense, 0, |d| d.0.out_features()) }
}

/// Number of weights and biases; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_value_count(dense: *const srnn_dense) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(dense, 0, |d| d.0.values().len()) }
}

/// Draws weights and bias uniformly from +-1/sqrt(in_features), as torch.nn.Linear does; the same `seed` gives the same
/// values on every machine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_init(dense: *mut srnn_dense, seed: u64, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { handle::exclusive("dense", dense) }?.0.init(seed);
        Ok(())
    })
}

/// Copies the weights, row-major, then the bias to `values`: srnn_dense_value_count of them.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_read_values(
    dense: *const srnn_dense,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (dense, values) =
            unsafe { (handle::shared("dense", dense)?, Arrays::new().write("values", values, values_len)?) };
        copy("values", dense.0.values(), values)
    })
}

/// Replaces the weights, row-major, then the bias with `values`.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_write_values(
    dense: *mut srnn_dense,
    values: *const f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (dense, values) = unsafe { (handle::exclusive("dense", dense)?, a.read("values", values, values_len)?) };
        check_len("values", values.len(), dense.0.values().len())?;
        dense.0.update(|all| all.copy_from_slice(values));
        Ok(())
    })
}

/// Runs the layer over any number of rows: large products on the threads of the session's pool, if it has one. With NULL
/// for `session` on the caller's thread alone.
///
/// - x: (rows, in_features)
/// - y: (rows, out_features)
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_forward(
    dense: *const srnn_dense,
    session: *mut srnn_session,
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
            let (dense, session) = (handle::shared("dense", dense)?, handle::optional("session", session)?);
            let x = a.read("x", x, x_len)?;
            dense.0.forward(session.map(|session| &mut session.0), x, a.write("y", y, y_len)?)
        }
    })
}

/// Gradients of a loss through a forward.
///
/// - x: (rows, in_features), what forward read
/// - dy: (rows, out_features), the gradient of what it wrote
/// - dx: receives the gradient of x; NULL if it is not wanted
/// - grads: gradients of weights and bias are added to these, srnn_dense_value_count of them; may be NULL
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_backward(
    dense: *const srnn_dense,
    session: *mut srnn_session,
    x: *const f32,
    x_len: usize,
    dy: *const f32,
    dy_len: usize,
    dx: *mut f32,
    dx_len: usize,
    grads: *mut f32,
    grads_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (dense, session) = (handle::shared("dense", dense)?, handle::exclusive("session", session)?);
            let (x, dy) = (a.read("x", x, x_len)?, a.read("dy", dy, dy_len)?);
            let dx = a.write_optional("dx", dx, dx_len)?;
            let grads = a.write_optional("grads", grads, grads_len)?;
            dense.0.backward(&mut session.0, x, dy, dx, grads)
        }
    })
}
