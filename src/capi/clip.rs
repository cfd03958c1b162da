//! # Gradient clipping

use super::args::{self, Arrays};
use super::call;
use super::error::{srnn_error, srnn_status};
use crate::nn;

/// Writes the L2 norm of several gradients together to `norm`. NaN or infinite where a gradient is.
///
/// - grads, lengths: `count` arrays and their lengths
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_grad_norm(
    grads: *const *const f32,
    lengths: *const usize,
    count: usize,
    norm: *mut f64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (grads, lengths) = (a.read("grads", grads, count)?, a.read("lengths", lengths, count)?);
            let norm = a.out("norm", norm)?;
            norm.write(nn::grad_norm(&a.read_all("an array of grads", grads, lengths)?));
        }
        Ok(())
    })
}

/// Scales several gradients together so that their L2 norm is at most `max_norm` (torch.nn.utils.clip_grad_norm_), and
/// writes the norm from before to `norm`, which may be NULL. Gradients whose norm is not finite stay as they are: with
/// `error_if_nonfinite` 1 the call fails, with 0 check `norm` to skip such a step. An infinite `max_norm` only measures.
///
/// - grads, lengths: `count` arrays and their lengths; they must not overlap
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a max_norm that is negative or NaN, and for arrays that overlap;
/// SRNN_ERROR_NON_FINITE; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_clip_grad_norm(
    grads: *const *mut f32,
    lengths: *const usize,
    count: usize,
    max_norm: f64,
    error_if_nonfinite: i32,
    norm: *mut f64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (grads, lengths) = (a.read("grads", grads, count)?, a.read("lengths", lengths, count)?);
            let norm = a.out_optional("norm", norm)?;
            let mut slices = a.write_all("an array of grads", grads, lengths)?;
            let error_if_nonfinite = args::flag("error_if_nonfinite", error_if_nonfinite)?;
            let found = nn::clip_grad_norm(&mut slices, max_norm, error_if_nonfinite)?;
            norm.map(|n| n.write(found));
        }
        Ok(())
    })
}

/// Limits every value of several gradients to -clip_value .. clip_value (torch.nn.utils.clip_grad_value_). NaN stays NaN.
///
/// - grads, lengths: `count` arrays and their lengths; they must not overlap
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a clip_value that is negative or NaN, and for arrays that overlap;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_clip_grad_value(
    grads: *const *mut f32,
    lengths: *const usize,
    count: usize,
    clip_value: f32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let mut slices = unsafe {
            let (grads, lengths) = (a.read("grads", grads, count)?, a.read("lengths", lengths, count)?);
            a.write_all("an array of grads", grads, lengths)?
        };
        nn::clip_grad_value(&mut slices, clip_value)
    })
}
