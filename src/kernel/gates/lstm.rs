//! LSTM with forget gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000):
//! `c = sigmoid(f) c' + sigmoid(i) tanh(g)`, `h = sigmoid(o) tanh(c)`.

use super::{Mat, Previous, Span, flush};
use crate::simd::Ops;
use crate::simd::math::{sigmoid, sigmoid_halves, tanh, tanh_and_slope};

/// Slots of a row of pre-activations: i, f, g, o.
pub(crate) const SLOTS: usize = 4;

/// Writes `c` and `h` from the pre-activations and the previous `c`.
///
/// # Safety
/// All reach to the span's last row and block. `c` may be where the previous `c` is; else nothing overlaps.
pub(crate) unsafe fn forward<S: Ops>(
    s: S,
    span: Span,
    pre: Mat,
    previous_c: Previous<'_>,
    c: Mat,
    h: Mat,
    flush_below: f32,
) {
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let i = sigmoid(s, at.load_slot(s, pre, SLOTS, 0));
                let f = sigmoid(s, at.load_slot(s, pre, SLOTS, 1));
                let g = tanh(s, at.load_slot(s, pre, SLOTS, 2));
                let o = sigmoid(s, at.load_slot(s, pre, SLOTS, 3));
                let before = s.load(previous_c.at(at.row, at.unit));
                let now = flush(s, s.fma(f, before, s.mul(i, g)), flush_below);
                s.store(c.at(at.row, at.unit), now);
                s.store(h.at(at.row, at.unit), flush(s, s.mul(o, tanh(s, now)), flush_below));
            }
        },
    );
}

/// Writes the gradient of the pre-activations; turns the gradient of `c` into that of the previous `c`.
///
/// # Safety
/// All reach to the span's last row and block; they do not overlap.
pub(crate) unsafe fn backward<S: Ops>(
    s: S,
    span: Span,
    pre: Mat,
    previous_c: Previous<'_>,
    c: Mat,
    dh: Mat,
    dc: Mat,
    gradient: Mat,
) {
    let units = span.units;
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let (i, not_i) = sigmoid_halves(s, at.load_slot(s, pre, SLOTS, 0));
                let (f, not_f) = sigmoid_halves(s, at.load_slot(s, pre, SLOTS, 1));
                let (g, g_slope) = tanh_and_slope(s, at.load_slot(s, pre, SLOTS, 2));
                let (o, not_o) = sigmoid_halves(s, at.load_slot(s, pre, SLOTS, 3));
                let (t, t_slope) = tanh_and_slope(s, s.load(c.at(at.row, at.unit)));
                let dh = s.load(dh.at(at.row, at.unit));
                let dc_at = dc.at(at.row, at.unit);
                let total = s.fma(s.mul(dh, o), t_slope, s.load(dc_at));
                let before = s.load(previous_c.at(at.row, at.unit));
                let di = s.mul(s.mul(total, g), s.mul(i, not_i));
                let df = s.mul(s.mul(total, before), s.mul(f, not_f));
                let dg = s.mul(s.mul(total, i), g_slope);
                let d_o = s.mul(s.mul(dh, t), s.mul(o, not_o));
                s.store(dc_at, s.mul(total, f));
                at.store_gate(s, gradient, units, 0, di);
                at.store_gate(s, gradient, units, 1, df);
                at.store_gate(s, gradient, units, 2, dg);
                at.store_gate(s, gradient, units, 3, d_o);
            }
        },
    );
}

/// Writes `sigmoid(o) tanh(c)`, the hidden state before its projection, for backward.
///
/// # Safety
/// All reach to the span's last row and block; they do not overlap.
pub(crate) unsafe fn hidden<S: Ops>(s: S, span: Span, pre: Mat, c: Mat, h: Mat, flush_below: f32) {
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let o = sigmoid(s, at.load_slot(s, pre, SLOTS, 3));
                let t = tanh(s, s.load(c.at(at.row, at.unit)));
                s.store(h.at(at.row, at.unit), flush(s, s.mul(o, t), flush_below));
            }
        },
    );
}
