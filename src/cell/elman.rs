//! Elman 1990: `h = tanh(a)` or `h = relu(a)`.

use crate::kernel::cell::{Activation, Equations, Flush, GateSlot, Gradients, MOST_SLOTS, Reads, Recorded, Run};
use crate::simd::Ops;
use crate::simd::math::{Tanh, gate};

/// The cell; with `RELU`, relu in the place of tanh.
#[derive(Clone, Copy)]
pub(crate) struct Elman<const RELU: bool>;

impl<const RELU: bool> Equations for Elman<RELU> {
    const SLOTS: usize = 1;
    const INPUT: &'static [GateSlot] = &[(0, 0)];
    const RECURRENT: &'static [GateSlot] = Self::INPUT;
    const READS: Reads = Reads::Nothing;
    const RUNS: &'static [Run] = &[Run::of_hidden(0, 0, 1)];
    const ACTIVATIONS: &'static [Activation] = if RELU { &[Activation::Relu] } else { &[Activation::Tanh] };

    /// The terms of tanh; of relu, its value in the place of `x`.
    type Half<S: Ops> = Tanh<S::f32s>;

    #[inline(always)]
    fn idle<S: Ops>(self, s: S) -> Tanh<S::f32s> {
        let zero = s.splat(0.0);
        Tanh { x: zero, u: [zero; 2], d: [zero; 2] }
    }

    #[inline(always)]
    fn begin<S: Ops>(self, s: S, [a, ..]: [S::f32s; MOST_SLOTS], _: S::f32s, _: Flush) -> (Tanh<S::f32s>, S::f32s) {
        if RELU {
            let zero = s.splat(0.0);
            return (Tanh { x: s.select(s.lt(a, zero), zero, a), u: [a; 2], d: [a; 2] }, a);
        }
        (Tanh::begin(s, a), a)
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, half: Tanh<S::f32s>, flush: Flush) -> S::f32s {
        flush.apply(s, if RELU { half.x } else { half.finish(s) })
    }

    #[inline(always)]
    fn backward<S: Ops>(self, s: S, step: Recorded<S>, dh: S::f32s, _: S::f32s) -> Gradients<S> {
        let [a, ..] = step.slots;
        let zero = s.splat(0.0);
        let da = if RELU {
            s.select(s.lt(zero, a), dh, zero)
        } else {
            let terms = gate::tangent_slope(s, a);
            s.mul(dh, terms.with(s, gate::reciprocal(s, terms.d)).1)
        };
        Gradients { gates: [da; 4], carried: zero }
    }
}
