//! The update rules, one value at a time in f32: PyTorch's formulas, operation by operation and in its order.
//!
//! Scalars are computed in f64 and rounded to f32 once. Every operation is an IEEE one and none is contracted, so the
//! compiler may vectorize for any instruction set without changing a bit. Weight decay that is zero is skipped, not
//! added as zero.

use super::rows::Runs;
use crate::simd::{Kernel, Ops};

/// Running means below this become zero. Without gradients they would decay into subnormals, stay there for good, and make
/// every operation many times slower; what is lost is far below a parameter's last bit.
const TINY: f32 = 1.0 / (1u128 << 100) as f32;

/// The same for running means of squares: their root has to be far below the last bit of `eps`, or they stay.
pub(super) fn tiny_square(eps: f64) -> f32 {
    if eps >= 1e-10 { 1.0 / (1u128 << 120) as f32 } else { 0.0 }
}

#[inline(always)]
fn flush(v: f32, tiny: f32) -> f32 {
    if v.abs() < tiny { 0.0 } else { v }
}

/// The scalars of one update. State tensors come in the order of [`Rule::names`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// State: `momentum_buffer` where there is momentum.
    Sgd { lr: f32, decay: f32, momentum: f32, damp: f32, nesterov: bool, first: bool },
    /// State: `exp_avg`, `exp_avg_sq`.
    Adam {
        shrink: f32,
        decay: f32,
        toward: f32,
        beta2: f32,
        rest2: f32,
        step_size: f32,
        root2: f32,
        eps: f32,
        tiny: f32,
    },
    /// State: `square_avg`, then `momentum_buffer` and `grad_avg` where used.
    RmsProp { lr: f32, decay: f32, alpha: f32, rest: f32, eps: f32, tiny: f32, momentum: f32, centered: bool },
}

/// `torch.lerp`: from `a` towards `b` by `weight`.
#[inline(always)]
fn lerp(a: f32, b: f32, weight: f32) -> f32 {
    if weight < 0.5 { a + weight * (b - a) } else { b - (b - a) * (1.0 - weight) }
}

#[inline(always)]
fn with_decay(gradient: f32, parameter: f32, decay: f32) -> f32 {
    if decay == 0.0 { gradient } else { gradient + decay * parameter }
}

impl Rule {
    /// Names of the state tensors, as in PyTorch's `state_dict`.
    pub(super) fn names(&self) -> &'static [&'static str] {
        match *self {
            Rule::Sgd { momentum: 0.0, .. } => &[],
            Rule::Sgd { .. } => &["momentum_buffer"],
            Rule::Adam { .. } => &["exp_avg", "exp_avg_sq"],
            Rule::RmsProp { momentum: 0.0, centered: false, .. } => &["square_avg"],
            Rule::RmsProp { centered: false, .. } => &["square_avg", "momentum_buffer"],
            Rule::RmsProp { momentum: 0.0, .. } => &["square_avg", "grad_avg"],
            Rule::RmsProp { .. } => &["square_avg", "momentum_buffer", "grad_avg"],
        }
    }

    /// Whether a gradient of zero leaves a parameter whose state is zero (+0.0) as it is, and the state too.
    pub(super) fn rests_on_zeros(&self) -> bool {
        match *self {
            Rule::Sgd { decay, .. } => decay == 0.0,
            Rule::Adam { shrink, decay, step_size, eps, .. } => {
                shrink == 1.0 && decay == 0.0 && step_size.is_finite() && eps > 0.0
            }
            Rule::RmsProp { decay, eps, .. } => decay == 0.0 && eps > 0.0,
        }
    }

    /// Updates `p` and the state tensors with the gradients `g`, all of one length.
    #[inline(always)]
    fn apply(&self, p: &mut [f32], g: &[f32], state: [&mut [f32]; 3]) {
        let [s0, s1, s2] = state;
        match *self {
            Rule::Sgd { lr, decay, momentum: 0.0, .. } => {
                for (p, &g) in p.iter_mut().zip(g) {
                    *p += -lr * with_decay(g, *p, decay);
                }
            }
            Rule::Sgd { lr, decay, momentum, damp, nesterov, first } => {
                for ((p, &g), buf) in p.iter_mut().zip(g).zip(s0) {
                    let g = with_decay(g, *p, decay);
                    *buf = flush(if first { g } else { *buf * momentum + damp * g }, TINY);
                    *p += -lr * if nesterov { g + momentum * *buf } else { *buf };
                }
            }
            Rule::Adam { shrink, decay, toward, beta2, rest2, step_size, root2, eps, tiny } => {
                for (((p, &g), m), v) in p.iter_mut().zip(g).zip(s0).zip(s1) {
                    let shrunk = if shrink == 1.0 { *p } else { *p * shrink };
                    let g = with_decay(g, shrunk, decay);
                    *m = flush(lerp(*m, g, toward), TINY);
                    *v = flush(*v * beta2 + rest2 * g * g, tiny);
                    let denom = v.sqrt() / root2 + eps;
                    *p = shrunk + -step_size * *m / denom;
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, tiny, momentum: 0.0, centered: false } => {
                for ((p, &g), v) in p.iter_mut().zip(g).zip(s0) {
                    let g = with_decay(g, *p, decay);
                    *v = flush(*v * alpha + rest * g * g, tiny);
                    *p += -lr * g / (v.sqrt() + eps);
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, tiny, momentum, centered: false } => {
                for (((p, &g), v), buf) in p.iter_mut().zip(g).zip(s0).zip(s1) {
                    let g = with_decay(g, *p, decay);
                    *v = flush(*v * alpha + rest * g * g, tiny);
                    *buf = flush(*buf * momentum + g / (v.sqrt() + eps), TINY);
                    *p += -lr * *buf;
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, tiny, momentum: 0.0, centered: true } => {
                for (((p, &g), v), a) in p.iter_mut().zip(g).zip(s0).zip(s1) {
                    let g = with_decay(g, *p, decay);
                    *v = flush(*v * alpha + rest * g * g, tiny);
                    *a = flush(lerp(*a, g, rest), TINY);
                    *p += -lr * g / (variance(*v, *a).sqrt() + eps);
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, tiny, momentum, centered: true } => {
                for ((((p, &g), v), buf), a) in p.iter_mut().zip(g).zip(s0).zip(s1).zip(s2) {
                    let g = with_decay(g, *p, decay);
                    *v = flush(*v * alpha + rest * g * g, tiny);
                    *a = flush(lerp(*a, g, rest), TINY);
                    *buf = flush(*buf * momentum + g / (variance(*v, *a).sqrt() + eps), TINY);
                    *p += -lr * *buf;
                }
            }
        }
    }
}

/// Mean of squares less square of the mean. Where rounding makes it negative it is 0; PyTorch's root would be NaN.
#[inline(always)]
fn variance(square_avg: f32, grad_avg: f32) -> f32 {
    let v = square_avg - grad_avg * grad_avg;
    if v < 0.0 { 0.0 } else { v }
}

/// One update of one parameter tensor, or of a part of it.
pub(super) struct Update<'a> {
    pub(super) rule: Rule,
    /// Where the part starts.
    pub(super) first: usize,
    pub(super) values: &'a mut [f32],
    pub(super) runs: Runs<'a>,
    /// As many as the rule names; the others are empty.
    pub(super) state: [&'a mut [f32]; 3],
}

impl Kernel for Update<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Ops>(self, _: S) {
        let Self { rule, first, values, runs, mut state } = self;
        for (start, g) in runs {
            let start = start - first;
            let end = start + g.len();
            let [s0, s1, s2] = &mut state;
            rule.apply(&mut values[start..end], g, [part(s0, start, end), part(s1, start, end), part(s2, start, end)]);
        }
    }
}

/// The range of a state tensor; all of an unused, empty one.
#[inline(always)]
fn part(state: &mut [f32], start: usize, end: usize) -> &mut [f32] {
    if state.is_empty() { state } else { &mut state[start..end] }
}
