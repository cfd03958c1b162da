//! LSTM with forget gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000):
//! `c = sigmoid(f) c' + sigmoid(i) tanh(g)`, `h = sigmoid(o) tanh(c)`.

use super::{Cell, Flush, Half, MOST_SLOTS, Mat, Previous, Reads, Span};
use crate::simd::Ops;
use crate::simd::math::{sigmoid, sigmoid_halves, tanh, tanh_and_slope};

/// Slots of a row of pre-activations: i, f, g, o.
const SLOTS: usize = 4;

/// The cell.
#[derive(Clone, Copy)]
pub(crate) struct Lstm;

impl Cell for Lstm {
    const SLOTS: usize = SLOTS;
    const INPUT: &[(usize, usize)] = &[(0, 0), (1, 1), (2, 2), (3, 3)];
    const RECURRENT: &[(usize, usize)] = Self::INPUT;
    const READS: Reads = Reads::Cell;

    #[inline(always)]
    fn begin<S: Ops>(self, s: S, [i, f, g, o]: [S::f32s; MOST_SLOTS], before: S::f32s, flush: Flush) -> Half<S> {
        let (i, f, g, o) = (sigmoid(s, i), sigmoid(s, f), tanh(s, g), sigmoid(s, o));
        let c = flush.apply(s, s.fma(f, before, s.mul(i, g)));
        Half { c, rest: [o; 3] }
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, Half { c, rest: [o, ..] }: Half<S>, flush: Flush) -> S::f32s {
        flush.apply(s, output(s, o, c))
    }
}

/// `o tanh(c)`, with `o` the output gate itself.
#[inline(always)]
fn output<S: Ops>(s: S, o: S::f32s, c: S::f32s) -> S::f32s {
    s.mul(o, tanh(s, c))
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
pub(crate) unsafe fn hidden<S: Ops>(s: S, span: Span, pre: Mat, c: Mat, h: Mat, flush: Flush) {
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let o = sigmoid(s, at.load_slot(s, pre, SLOTS, 3));
                let v = output(s, o, s.load(c.at(at.row, at.unit)));
                s.store(h.at(at.row, at.unit), flush.apply(s, v));
            }
        },
    );
}
