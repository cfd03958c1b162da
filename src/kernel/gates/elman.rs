//! Elman 1990: `h = tanh(a)` or `h = relu(a)`.

use super::{Mat, Span, flush};
use crate::simd::Ops;
use crate::simd::math::{tanh, tanh_and_slope};

/// Slots of a row of pre-activations.
pub(crate) const SLOTS: usize = 1;

/// Writes `h` from the pre-activations.
///
/// # Safety
/// `pre` and `h` reach to the span's last row and block; they do not overlap.
pub(crate) unsafe fn forward<S: Ops>(s: S, span: Span, relu: bool, pre: Mat, h: Mat, flush_below: f32) {
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let a = at.load_slot(s, pre, SLOTS, 0);
                let zero = s.splat(0.0);
                let v = if relu { s.select(s.lt(a, zero), zero, a) } else { tanh(s, a) };
                s.store(h.at(at.row, at.unit), flush(s, v, flush_below));
            }
        },
    );
}

/// Writes the gradient of the pre-activations from that of `h`.
///
/// # Safety
/// All reach to the span's last row and block; they do not overlap.
pub(crate) unsafe fn backward<S: Ops>(s: S, span: Span, relu: bool, pre: Mat, dh: Mat, gradient: Mat) {
    let units = span.units;
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let a = at.load_slot(s, pre, SLOTS, 0);
                let dh = s.load(dh.at(at.row, at.unit));
                let zero = s.splat(0.0);
                let da = if relu { s.select(s.lt(zero, a), dh, zero) } else { s.mul(dh, tanh_and_slope(s, a).1) };
                at.store_gate(s, gradient, units, 0, da);
            }
        },
    );
}
