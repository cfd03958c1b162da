//! GRU: `h = (1 - z) n + z h'` with `z = sigmoid(a_z)`, `r = sigmoid(a_r)` and
//! - reset after the product (PyTorch, cuDNN): `n = tanh(a_n + r q)`, where `q` is the recurrent part with its bias;
//! - reset before it (Cho et al. 2014): `n = tanh(a_n)`, where the recurrent part of `a_n` is taken of `r h'`.

use crate::kernel::cell::{
    Activation, Equations, Flush, GateSlot, Gradients, MOST_SLOTS, Operand, Reads, Recorded, Run, SecondProduct,
};
use crate::simd::Ops;
use crate::simd::math::gate;

const ACTIVATIONS: &[Activation] = &[Activation::Sigmoid, Activation::Sigmoid, Activation::Tanh];

/// What the second half of a step needs: `z`, the pre-activation of `n`, and `h'`.
#[derive(Clone, Copy)]
pub(crate) struct Half<V> {
    z: V,
    n: V,
    before: V,
}

impl<V: Copy> Half<V> {
    #[inline(always)]
    fn idle<S: Ops<f32s = V>>(s: S) -> Self {
        let zero = s.splat(0.0);
        Self { z: zero, n: zero, before: zero }
    }

    /// `(1 - z) n + z h'`, as `n + z (h' - n)`.
    #[inline(always)]
    fn finish<S: Ops<f32s = V>>(self, s: S, flush: Flush) -> V {
        let n = gate::tanh(s, self.n);
        flush.apply(s, s.fma(self.z, s.sub(self.before, n), n))
    }
}

/// The cell with reset after. Gates: r, z, n; slots: r, z, n's input part, q.
#[derive(Clone, Copy)]
pub(crate) struct ResetAfter;

impl Equations for ResetAfter {
    const SLOTS: usize = 4;
    // n's input and recurrent parts stay apart: the reset gate scales only the second.
    const INPUT: &'static [GateSlot] = &[(0, 0), (1, 1), (2, 2)];
    const RECURRENT: &'static [GateSlot] = &[(0, 0), (1, 1), (2, 3)];
    const READS: Reads = Reads::Hidden;
    // r, z, n and q.
    const GRADIENTS: usize = 4;
    const RUNS: &'static [Run] = &[Run::of_hidden(0, 0, 2), Run::of_hidden(3, 2, 1)];
    const ACTIVATIONS: &'static [Activation] = ACTIVATIONS;

    type Half<S: Ops> = Half<S::f32s>;

    #[inline(always)]
    fn idle<S: Ops>(self, s: S) -> Half<S::f32s> {
        Half::idle(s)
    }

    #[inline(always)]
    fn begin<S: Ops>(
        self,
        s: S,
        [r, z, a, q]: [S::f32s; MOST_SLOTS],
        before: S::f32s,
        _: Flush,
    ) -> (Half<S::f32s>, S::f32s) {
        let (r, z) = (gate::sigmoid(s, r), gate::sigmoid(s, z));
        (Half { z, n: s.fma(r, q, a), before }, before)
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, half: Half<S::f32s>, flush: Flush) -> S::f32s {
        half.finish(s, flush)
    }

    #[inline(always)]
    fn backward<S: Ops>(self, s: S, step: Recorded<S>, dh: S::f32s, _: S::f32s) -> Gradients<S> {
        let [r, z, a, q] = step.slots;
        let r = gate::logistic_slope(s, r);
        let z = gate::logistic_slope(s, z);
        let (r_r, z_r) = gate::reciprocals_of_two(s, r.d, z.d);
        let (r, _, r_slope) = r.with(s, r_r);
        let (z, not_z, z_slope) = z.with(s, z_r);
        let n = gate::tangent_slope(s, s.fma(r, q, a));
        let (n, n_slope) = n.with(s, gate::reciprocal(s, n.d));
        let dn = s.mul(s.mul(dh, not_z), n_slope);
        let dz = s.mul(s.mul(dh, s.sub(step.before, n)), z_slope);
        let dr = s.mul(s.mul(dn, q), r_slope);
        Gradients { gates: [dr, dz, dn, s.mul(dn, r)], carried: s.mul(dh, z) }
    }

    /// Of n, with its reset.
    fn pre_activation(gate: usize, slots: [f32; MOST_SLOTS]) -> f32 {
        let [r, _, a, q] = slots;
        if gate < 2 {
            return slots[gate];
        }
        let r = 1.0 / (1.0 + libm::exp(-f64::from(r)));
        (f64::from(a) + r * f64::from(q)) as f32
    }
}

/// The cell with reset before. Gates and slots: r, z, n.
#[derive(Clone, Copy)]
pub(crate) struct ResetBefore;

impl Equations for ResetBefore {
    const SLOTS: usize = 3;
    const INPUT: &'static [GateSlot] = &[(0, 0), (1, 1), (2, 2)];
    const RECURRENT: &'static [GateSlot] = &[(0, 0), (1, 1)];
    const READS: Reads = Reads::Hidden;
    const RUNS: &'static [Run] =
        &[Run::of_hidden(0, 0, 2), Run { column: 2, gate: 2, gates: 1, operand: Operand::Between }];
    const ACTIVATIONS: &'static [Activation] = ACTIVATIONS;
    const BETWEEN_GRADIENT: Option<(usize, bool)> = Some((0, false));

    type Half<S: Ops> = Half<S::f32s>;

    #[inline(always)]
    fn idle<S: Ops>(self, s: S) -> Half<S::f32s> {
        Half::idle(s)
    }

    #[inline(always)]
    fn begin<S: Ops>(
        self,
        s: S,
        [_, z, n, _]: [S::f32s; MOST_SLOTS],
        before: S::f32s,
        _: Flush,
    ) -> (Half<S::f32s>, S::f32s) {
        (Half { z: gate::sigmoid(s, z), n, before }, before)
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, half: Half<S::f32s>, flush: Flush) -> S::f32s {
        half.finish(s, flush)
    }

    #[inline(always)]
    fn backward<S: Ops>(self, s: S, step: Recorded<S>, dh: S::f32s, _: S::f32s) -> Gradients<S> {
        let [_, z, n, _] = step.slots;
        let z = gate::logistic_slope(s, z);
        let n = gate::tangent_slope(s, n);
        let (z_r, n_r) = gate::reciprocals_of_two(s, z.d, n.d);
        let (z, not_z, z_slope) = z.with(s, z_r);
        let (n, n_slope) = n.with(s, n_r);
        let dz = s.mul(s.mul(dh, s.sub(step.before, n)), z_slope);
        let dn = s.mul(s.mul(dh, not_z), n_slope);
        Gradients { gates: [dn, dz, dn, dn], carried: s.mul(dh, z) }
    }
}

impl SecondProduct for ResetBefore {
    const SECOND: &'static [GateSlot] = &[(2, 2)];

    /// `r h'`.
    #[inline(always)]
    fn between<S: Ops>(self, s: S, [r, ..]: [S::f32s; MOST_SLOTS], before: S::f32s) -> S::f32s {
        s.mul(gate::sigmoid(s, r), before)
    }

    #[inline(always)]
    fn backward_between<S: Ops>(
        self,
        s: S,
        step: Recorded<S>,
        d: S::f32s,
        _: S::f32s,
        carried: S::f32s,
    ) -> (S::f32s, S::f32s) {
        let [r, ..] = step.slots;
        let r = gate::logistic_slope(s, r);
        let (r, _, r_slope) = r.with(s, gate::reciprocal(s, r.d));
        (s.mul(s.mul(d, step.before), r_slope), s.fma(d, r, carried))
    }
}
