//! LSTM with forget gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000):
//! `c = sigmoid(f) c' + sigmoid(i) tanh(g)`, `h = sigmoid(o) tanh(c)`.

use crate::kernel::cell::{Activation, Equations, Flush, GateSlot, Gradients, MOST_SLOTS, Reads, Recorded, Run};
use crate::simd::Ops;
use crate::simd::math::gate;

/// The cell. Gates and slots: i, f, g, o.
#[derive(Clone, Copy)]
pub(crate) struct Lstm;

/// What the second half of a step needs.
#[derive(Clone, Copy)]
pub(crate) struct Half<V> {
    c: V,
    /// The output gate's term, see [`gate::logistic`].
    o: V,
}

impl Equations for Lstm {
    const SLOTS: usize = 4;
    const INPUT: &'static [GateSlot] = &[(0, 0), (1, 1), (2, 2), (3, 3)];
    const RECURRENT: &'static [GateSlot] = Self::INPUT;
    const READS: Reads = Reads::Cell;
    const RUNS: &'static [Run] = &[Run::of_hidden(0, 0, 4)];
    const ACTIVATIONS: &'static [Activation] =
        &[Activation::Sigmoid, Activation::Sigmoid, Activation::Tanh, Activation::Sigmoid];
    const FORGET_GATE: Option<usize> = Some(1);
    const HAS_PROJECTION: bool = true;

    type Half<S: Ops> = Half<S::f32s>;

    #[inline(always)]
    fn idle<S: Ops>(self, s: S) -> Half<S::f32s> {
        Half { c: s.splat(0.0), o: s.splat(0.0) }
    }

    #[inline(always)]
    fn begin<S: Ops>(
        self,
        s: S,
        [i, f, g, o]: [S::f32s; MOST_SLOTS],
        before: S::f32s,
        flush: Flush,
    ) -> (Half<S::f32s>, S::f32s) {
        // i and g are only needed as a product, as o and tanh(c) are: a division each.
        let input = gate::product(s, gate::logistic(s, i), gate::tangent(s, g));
        let c = flush.apply(s, s.fma(gate::sigmoid(s, f), before, input));
        (Half { c, o: gate::logistic(s, o) }, c)
    }

    #[inline(always)]
    fn finish<S: Ops>(self, s: S, Half { c, o }: Half<S::f32s>, flush: Flush) -> S::f32s {
        flush.apply(s, gate::product(s, o, gate::tangent(s, c)))
    }

    #[inline(always)]
    fn backward<S: Ops>(self, s: S, step: Recorded<S>, dh: S::f32s, dc: S::f32s) -> Gradients<S> {
        let [i, f, g, _] = step.slots;
        let i = gate::logistic_slope(s, i);
        let f = gate::logistic_slope(s, f);
        let g = gate::tangent_slope(s, g);
        let (i_r, f_r, g_r) = gate::reciprocals_of_three(s, i.d, f.d, g.d);
        let (i, _, i_slope) = i.with(s, i_r);
        let (f, _, f_slope) = f.with(s, f_r);
        let (g, g_slope) = g.with(s, g_r);
        let OfCell { o_slope, t, dc } = of_cell(s, step, dh, dc);
        let di = s.mul(s.mul(dc, g), i_slope);
        let df = s.mul(s.mul(dc, step.before), f_slope);
        let dg = s.mul(s.mul(dc, i), g_slope);
        let d_o = s.mul(s.mul(dh, t), o_slope);
        Gradients { gates: [di, df, dg, d_o], carried: s.mul(dc, f) }
    }

    #[inline(always)]
    fn cell_gradient<S: Ops>(self, s: S, step: Recorded<S>, dh: S::f32s, dc: S::f32s) -> S::f32s {
        of_cell(s, step, dh, dc).dc
    }

    #[inline(always)]
    fn unprojected<S: Ops>(self, s: S, Recorded { slots, c, .. }: Recorded<S>, flush: Flush) -> S::f32s {
        let [_, _, _, o] = slots;
        self.finish(s, Half { c, o: gate::logistic(s, o) }, flush)
    }
}

/// The way back from `h` to `c`.
struct OfCell<V> {
    o_slope: V,
    /// `tanh(c)`.
    t: V,
    /// The gradient of `c` in all.
    dc: V,
}

#[inline(always)]
fn of_cell<S: Ops>(s: S, Recorded { slots, c, .. }: Recorded<S>, dh: S::f32s, dc: S::f32s) -> OfCell<S::f32s> {
    let [_, _, _, o] = slots;
    let o = gate::logistic_slope(s, o);
    let t = gate::tangent_slope(s, c);
    let (o_r, t_r) = gate::reciprocals_of_two(s, o.d, t.d);
    let (o, _, o_slope) = o.with(s, o_r);
    let (t, t_slope) = t.with(s, t_r);
    OfCell { o_slope, t, dc: s.fma(s.mul(dh, o), t_slope, dc) }
}
