//! Elman 1990: `h = tanh(a)` or `h = relu(a)`.

use super::{Cell, Flush, Half, MOST_SLOTS, Mat, Reads, Span};
use crate::simd::Ops;
use crate::simd::math::{Tanh, gate};

/// Slots of a row of pre-activations.
const SLOTS: usize = 1;

/// The cell; `relu` in the place of tanh.
#[derive(Clone, Copy)]
pub(crate) struct Elman {
    pub(crate) relu: bool,
}

impl Cell for Elman {
    const SLOTS: usize = SLOTS;
    const INPUT: &[(usize, usize)] = &[(0, 0)];
    const RECURRENT: &[(usize, usize)] = &[(0, 0)];
    const READS: Reads = Reads::Nothing;

    #[inline(always)]
    fn begin<S: Ops>(self, s: S, [a, ..]: [S::f32s; MOST_SLOTS], _: S::f32s, _: Flush) -> Half<S> {
        if self.relu {
            let zero = s.splat(0.0);
            return Half { c: s.select(s.lt(a, zero), zero, a), rest: [a; 4] };
        }
        let Tanh { x, u: [u, u_low], d: [d, d_low] } = Tanh::begin(s, a);
        Half { c: x, rest: [u, u_low, d, d_low] }
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, Half { c, rest: [u, u_low, d, d_low] }: Half<S>, flush: Flush) -> S::f32s {
        flush.apply(s, if self.relu { c } else { Tanh { x: c, u: [u, u_low], d: [d, d_low] }.finish(s) })
    }
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
                let da = if relu {
                    s.select(s.lt(zero, a), dh, zero)
                } else {
                    let terms = gate::tangent_slope(s, a);
                    s.mul(dh, terms.with(s, gate::reciprocal(s, terms.d)).1)
                };
                at.store_gate(s, gradient, units, 0, da);
            }
        },
    );
}
