//! # Dropout

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use crate::nn::Dropout;

/// Dropout in place (torch.nn.functional.dropout): each value becomes 0 with probability `p`, the others are divided by
/// 1 - p. A value's fate depends on `seed` and on its position, `offset` plus its index, alone, so nothing is stored, and
/// backward is the same call on the gradient.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for `p` outside [0, 1].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dropout(
    p: f64,
    seed: u64,
    offset: u64,
    x: *mut f32,
    x_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let dropout = Dropout::new(p, seed)?;
        // SAFETY: the header's contract.
        let x = unsafe { Arrays::new().write("x", x, x_len) }?;
        dropout.apply(offset, x)
    })
}
