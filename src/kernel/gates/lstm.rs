//! LSTM with forget gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000):
//! `c = sigmoid(f) c' + sigmoid(i) tanh(g)`, `h = sigmoid(o) tanh(c)`.

use super::{Cell, Cursor, Flush, Half, MOST_SLOTS, Mat, Previous, Reads, Span};
use crate::simd::Ops;
use crate::simd::math::gate;

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
        // i and g are only needed as a product, as o and tanh(c) are: a division each.
        let input = gate::product(s, gate::logistic(s, i), gate::tangent(s, g));
        let c = flush.apply(s, s.fma(gate::sigmoid(s, f), before, input));
        Half { c, rest: [gate::logistic(s, o); 4] }
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, Half { c, rest: [o, ..] }: Half<S>, flush: Flush) -> S::f32s {
        flush.apply(s, gate::product(s, o, gate::tangent(s, c)))
    }
}

/// What the gradient of `c` has from that of `h`, and what it has in all.
struct CellGradient<S: Ops> {
    dh: S::f32s,
    o_slope: S::f32s,
    t: S::f32s,
    total: S::f32s,
}

/// At one place.
///
/// # Safety
/// All reach to it.
#[inline(always)]
unsafe fn cell_gradient_at<S: Ops>(s: S, at: Cursor, pre: Mat, c: Mat, dh: Mat, dc: Mat) -> CellGradient<S> {
    // SAFETY: the caller's contract.
    unsafe {
        let o = gate::logistic_slope(s, at.load_slot(s, pre, SLOTS, 3));
        let t = gate::tangent_slope(s, s.load(c.at(at.row, at.unit)));
        let (o_r, t_r) = gate::reciprocals_of_two(s, o.d, t.d);
        let (o, _, o_slope) = o.with(s, o_r);
        let (t, t_slope) = t.with(s, t_r);
        let dh = s.load(dh.at(at.row, at.unit));
        let total = s.fma(s.mul(dh, o), t_slope, s.load(dc.at(at.row, at.unit)));
        CellGradient { dh, o_slope, t, total }
    }
}

/// Writes the gradient of `c`, of which `dc` has what came through time, for its norm.
///
/// # Safety
/// All reach to the span's last row and block; they do not overlap.
pub(crate) unsafe fn cell_gradient<S: Ops>(s: S, span: Span, pre: Mat, c: Mat, dh: Mat, dc: Mat, out: Mat) {
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe { s.store(out.at(at.row, at.unit), cell_gradient_at(s, at, pre, c, dh, dc).total) };
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
                let i = gate::logistic_slope(s, at.load_slot(s, pre, SLOTS, 0));
                let f = gate::logistic_slope(s, at.load_slot(s, pre, SLOTS, 1));
                let g = gate::tangent_slope(s, at.load_slot(s, pre, SLOTS, 2));
                let (i_r, f_r, g_r) = gate::reciprocals_of_three(s, i.d, f.d, g.d);
                let (i, _, i_slope) = i.with(s, i_r);
                let (f, _, f_slope) = f.with(s, f_r);
                let (g, g_slope) = g.with(s, g_r);
                let CellGradient { dh, o_slope, t, total } = cell_gradient_at(s, at, pre, c, dh, dc);
                let before = s.load(previous_c.at(at.row, at.unit));
                let di = s.mul(s.mul(total, g), i_slope);
                let df = s.mul(s.mul(total, before), f_slope);
                let dg = s.mul(s.mul(total, i), g_slope);
                let d_o = s.mul(s.mul(dh, t), o_slope);
                s.store(dc.at(at.row, at.unit), s.mul(total, f));
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
                let c = s.load(c.at(at.row, at.unit));
                let half = Half { c, rest: [gate::logistic(s, at.load_slot(s, pre, SLOTS, 3)); 4] };
                s.store(h.at(at.row, at.unit), Lstm.finish(s, half, flush));
            }
        },
    );
}
