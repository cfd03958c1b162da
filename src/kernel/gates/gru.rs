//! GRU: `h = (1 - z) n + z h'` with `z = sigmoid(a_z)`, `r = sigmoid(a_r)` and
//! - reset after the product (PyTorch, cuDNN): `n = tanh(a_n + r q)`, where `q` is the recurrent part with its bias;
//! - reset before it (Cho et al. 2014): `n = tanh(a_n)`, where the recurrent part of `a_n` is taken of `r h'`.

use super::{Cell, Flush, Half, MOST_SLOTS, Mat, Previous, Reads, Span};
use crate::simd::Ops;
use crate::simd::math::gate;

/// Slots of a row of pre-activations with reset after: r, z, n's input part, q.
const SLOTS_AFTER: usize = 4;
/// Slots of a row of pre-activations with reset before: r, z, n.
const SLOTS_BEFORE: usize = 3;

/// `(1 - z) n + z h'`, as `n + z (h' - n)`.
#[inline(always)]
fn blend<S: Ops>(s: S, z: S::f32s, n: S::f32s, before: S::f32s) -> S::f32s {
    s.fma(z, s.sub(before, n), n)
}

/// The cell with reset after.
#[derive(Clone, Copy)]
pub(crate) struct ResetAfter;

impl Cell for ResetAfter {
    const SLOTS: usize = SLOTS_AFTER;
    // n's input and recurrent parts stay apart: the reset gate scales only the second.
    const INPUT: &[(usize, usize)] = &[(0, 0), (1, 1), (2, 2)];
    const RECURRENT: &[(usize, usize)] = &[(0, 0), (1, 1), (2, 3)];
    const READS: Reads = Reads::Hidden;

    #[inline(always)]
    fn begin<S: Ops>(self, s: S, [r, z, a, q]: [S::f32s; MOST_SLOTS], before: S::f32s, _: Flush) -> Half<S> {
        let (r, z) = (gate::sigmoid(s, r), gate::sigmoid(s, z));
        Half { c: before, rest: [z, s.fma(r, q, a), before, z] }
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, Half { rest: [z, n, before, _], .. }: Half<S>, flush: Flush) -> S::f32s {
        flush.apply(s, blend(s, z, gate::tanh(s, n), before))
    }
}

/// The cell with reset before, once the recurrent part of `n` has been added.
#[derive(Clone, Copy)]
pub(crate) struct ResetBefore;

impl Cell for ResetBefore {
    const SLOTS: usize = SLOTS_BEFORE;
    const INPUT: &[(usize, usize)] = &[(0, 0), (1, 1), (2, 2)];
    // What comes before the reset; the product of n follows it.
    const RECURRENT: &[(usize, usize)] = &[(0, 0), (1, 1)];
    const READS: Reads = Reads::Hidden;

    #[inline(always)]
    fn begin<S: Ops>(self, s: S, [_, z, n, _]: [S::f32s; MOST_SLOTS], before: S::f32s, _: Flush) -> Half<S> {
        Half { c: before, rest: [gate::sigmoid(s, z), n, before, n] }
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, half: Half<S>, flush: Flush) -> S::f32s {
        ResetAfter.finish(s, half, flush)
    }
}

/// Reset after: writes the gradients of r, z, n and q (four gates' worth) and the part of the previous `h`'s gradient
/// that does not pass through the recurrent product.
///
/// # Safety
/// All reach to the span's last row and block; nothing that is written overlaps what is read, but `dh` may be where `dh_direct` is.
pub(crate) unsafe fn backward_after<S: Ops>(
    s: S,
    span: Span,
    pre: Mat,
    previous_h: Previous<'_>,
    dh: Mat,
    dh_direct: Mat,
    gradient: Mat,
) {
    let units = span.units;
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let r = gate::logistic_slope(s, at.load_slot(s, pre, SLOTS_AFTER, 0));
                let z = gate::logistic_slope(s, at.load_slot(s, pre, SLOTS_AFTER, 1));
                let (r_r, z_r) = gate::reciprocals_of_two(s, r.d, z.d);
                let (r, _, r_slope) = r.with(s, r_r);
                let (z, not_z, z_slope) = z.with(s, z_r);
                let a = at.load_slot(s, pre, SLOTS_AFTER, 2);
                let q = at.load_slot(s, pre, SLOTS_AFTER, 3);
                let n = gate::tangent_slope(s, s.fma(r, q, a));
                let (n, n_slope) = n.with(s, gate::reciprocal(s, n.d));
                let before = s.load(previous_h.at(at.row, at.unit));
                let dh = s.load(dh.at(at.row, at.unit));
                let dn = s.mul(s.mul(dh, not_z), n_slope);
                let dz = s.mul(s.mul(dh, s.sub(before, n)), z_slope);
                let dr = s.mul(s.mul(dn, q), r_slope);
                s.store(dh_direct.at(at.row, at.unit), s.mul(dh, z));
                at.store_gate(s, gradient, units, 0, dr);
                at.store_gate(s, gradient, units, 1, dz);
                at.store_gate(s, gradient, units, 2, dn);
                at.store_gate(s, gradient, units, 3, s.mul(dn, r));
            }
        },
    );
}

/// Reset before: writes `r h'`.
///
/// # Safety
/// All reach to the span's last row and block; nothing that is written overlaps what is read.
pub(crate) unsafe fn reset<S: Ops>(s: S, span: Span, pre: Mat, previous_h: Previous<'_>, reset_h: Mat) {
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let r = gate::sigmoid(s, at.load_slot(s, pre, SLOTS_BEFORE, 0));
                let before = s.load(previous_h.at(at.row, at.unit));
                s.store(reset_h.at(at.row, at.unit), s.mul(r, before));
            }
        },
    );
}

/// Reset before, first part: writes the gradients of z and n and the previous `h`'s direct part.
///
/// # Safety
/// As [`reset`]'s; `dh` may be where `dh_direct` is.
pub(crate) unsafe fn backward_before<S: Ops>(
    s: S,
    span: Span,
    pre: Mat,
    previous_h: Previous<'_>,
    dh: Mat,
    dh_direct: Mat,
    gradient: Mat,
) {
    let units = span.units;
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let z = gate::logistic_slope(s, at.load_slot(s, pre, SLOTS_BEFORE, 1));
                let n = gate::tangent_slope(s, at.load_slot(s, pre, SLOTS_BEFORE, 2));
                let (z_r, n_r) = gate::reciprocals_of_two(s, z.d, n.d);
                let (z, not_z, z_slope) = z.with(s, z_r);
                let (n, n_slope) = n.with(s, n_r);
                let before = s.load(previous_h.at(at.row, at.unit));
                let dh = s.load(dh.at(at.row, at.unit));
                let dz = s.mul(s.mul(dh, s.sub(before, n)), z_slope);
                s.store(dh_direct.at(at.row, at.unit), s.mul(dh, z));
                at.store_gate(s, gradient, units, 1, dz);
                at.store_gate(s, gradient, units, 2, s.mul(s.mul(dh, not_z), n_slope));
            }
        },
    );
}

/// Reset before, second part: from the gradient of `r h'` writes that of r and adds to the previous `h`'s.
///
/// # Safety
/// As [`reset`]'s.
pub(crate) unsafe fn backward_reset<S: Ops>(
    s: S,
    span: Span,
    pre: Mat,
    previous_h: Previous<'_>,
    d_reset_h: Mat,
    dh_direct: Mat,
    gradient: Mat,
) {
    let units = span.units;
    span.run(
        s,
        #[inline(always)]
        |at| {
            // SAFETY: the caller's contract.
            unsafe {
                let r = gate::logistic_slope(s, at.load_slot(s, pre, SLOTS_BEFORE, 0));
                let (r, _, r_slope) = r.with(s, gate::reciprocal(s, r.d));
                let before = s.load(previous_h.at(at.row, at.unit));
                let d = s.load(d_reset_h.at(at.row, at.unit));
                let direct = dh_direct.at(at.row, at.unit);
                s.store(direct, s.fma(d, r, s.load(direct)));
                at.store_gate(s, gradient, units, 0, s.mul(s.mul(d, before), r_slope));
            }
        },
    );
}
