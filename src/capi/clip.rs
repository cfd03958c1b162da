//! # Gradient clipping

use super::args::{self, Arrays, out};
use super::call;
use super::error::{srnn_error, srnn_status};
use crate::buffer::try_with_capacity;
use crate::error::{Result, check_len, ensure};
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
            let norm = out("norm", norm)?;
            let mut slices = try_with_capacity(count)?;
            for (&ptr, &len) in grads.iter().zip(lengths) {
                slices.push(Arrays::new().read("an array of grads", ptr, len)?);
            }
            norm.write(nn::grad_norm(&slices));
        }
        Ok(())
    })
}

/// Scales several gradients together so that their L2 norm is at most `max_norm` (torch.nn.utils.clip_grad_norm_), and
/// writes the norm from before to `norm`, which may be NULL. Gradients whose norm is not finite stay as they are: check
/// `norm` to skip such a step. An infinite `max_norm` only measures.
///
/// - grads, lengths: `count` arrays and their lengths; they must not overlap
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a max_norm that is negative or NaN, and for arrays that overlap;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_clip_grad_norm(
    grads: *const *mut f32,
    lengths: *const usize,
    count: usize,
    max_norm: f64,
    norm: *mut f64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let mut slices = separate(grads, lengths, count)?;
            let norm = if norm.is_null() { None } else { Some(out("norm", norm)?) };
            let found = nn::clip_grad_norm(&mut slices, max_norm)?;
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
        // SAFETY: the header's contract.
        let mut slices = unsafe { separate(grads, lengths, count) }?;
        nn::clip_grad_value(&mut slices, clip_value)
    })
}

/// Arrays that are written, none overlapping another.
///
/// # Safety
/// The header's contract.
unsafe fn separate<'a>(grads: *const *mut f32, lengths: *const usize, count: usize) -> Result<Vec<&'a mut [f32]>> {
    let mut a = Arrays::new();
    // SAFETY: the caller's promise.
    let (grads, lengths) = unsafe { (a.read("grads", grads, count)?, a.read("lengths", lengths, count)?) };
    check_len("lengths", lengths.len(), grads.len())?;
    let mut spans = try_with_capacity(count)?;
    for (&ptr, &len) in grads.iter().zip(lengths) {
        if len > 0 {
            spans.push(args::span("an array of grads", ptr, len)?);
        }
    }
    spans.sort_unstable();
    ensure!(
        spans.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        InvalidArgument,
        "two arrays of grads overlap, expected separate memory"
    );
    let mut slices = try_with_capacity(count)?;
    for (&ptr, &len) in grads.iter().zip(lengths) {
        // SAFETY: the caller's promise; no two overlap.
        slices.push(unsafe { Arrays::new().write("an array of grads", ptr, len) }?);
    }
    Ok(slices)
}
