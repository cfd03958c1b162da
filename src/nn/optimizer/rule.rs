//! The update rules, one value at a time in f32: PyTorch's formulas, operation by operation and in its order.
//!
//! Scalars are computed in f64 and rounded to f32 once. Every operation is an IEEE one and none is contracted, so the
//! compiler may vectorize for any instruction set without changing a bit. Weight decay that is zero is skipped, not
//! added as zero.

use crate::simd::{Kernel, Ops};

/// Gradients of rows that have none.
static ZEROS: [f32; 1024] = [0.0; 1024];

/// The scalars of one update. State tensors come in the order of [`Rule::names`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// State: `momentum_buffer` where there is momentum.
    Sgd { lr: f32, decay: f32, momentum: f32, damp: f32, nesterov: bool, first: bool },
    /// State: `exp_avg`, `exp_avg_sq`.
    Adam { shrink: f32, decay: f32, toward: f32, beta2: f32, rest2: f32, step_size: f32, root2: f32, eps: f32 },
    /// State: `square_avg`, then `momentum_buffer` and `grad_avg` where used.
    RmsProp { lr: f32, decay: f32, alpha: f32, rest: f32, eps: f32, momentum: f32, centered: bool },
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

    /// Whether a gradient of zero leaves parameter and state as they are.
    pub(super) fn zero_gradient_is_no_op(&self) -> bool {
        matches!(self, Rule::Sgd { decay: 0.0, momentum: 0.0, .. })
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
                    *buf = if first { g } else { *buf * momentum + damp * g };
                    *p += -lr * if nesterov { g + momentum * *buf } else { *buf };
                }
            }
            Rule::Adam { shrink, decay, toward, beta2, rest2, step_size, root2, eps } => {
                for (((p, &g), m), v) in p.iter_mut().zip(g).zip(s0).zip(s1) {
                    let shrunk = if shrink == 1.0 { *p } else { *p * shrink };
                    let g = with_decay(g, shrunk, decay);
                    *m = lerp(*m, g, toward);
                    *v = *v * beta2 + rest2 * g * g;
                    let denom = v.sqrt() / root2 + eps;
                    *p = shrunk + -step_size * *m / denom;
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, momentum: 0.0, centered: false } => {
                for ((p, &g), v) in p.iter_mut().zip(g).zip(s0) {
                    let g = with_decay(g, *p, decay);
                    *v = *v * alpha + rest * g * g;
                    *p += -lr * g / (v.sqrt() + eps);
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, momentum, centered: false } => {
                for (((p, &g), v), buf) in p.iter_mut().zip(g).zip(s0).zip(s1) {
                    let g = with_decay(g, *p, decay);
                    *v = *v * alpha + rest * g * g;
                    *buf = *buf * momentum + g / (v.sqrt() + eps);
                    *p += -lr * *buf;
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, momentum: 0.0, centered: true } => {
                for (((p, &g), v), a) in p.iter_mut().zip(g).zip(s0).zip(s1) {
                    let g = with_decay(g, *p, decay);
                    *v = *v * alpha + rest * g * g;
                    *a = lerp(*a, g, rest);
                    *p += -lr * g / (variance(*v, *a).sqrt() + eps);
                }
            }
            Rule::RmsProp { lr, decay, alpha, rest, eps, momentum, centered: true } => {
                for ((((p, &g), v), buf), a) in p.iter_mut().zip(g).zip(s0).zip(s1).zip(s2) {
                    let g = with_decay(g, *p, decay);
                    *v = *v * alpha + rest * g * g;
                    *a = lerp(*a, g, rest);
                    *buf = *buf * momentum + g / (variance(*v, *a).sqrt() + eps);
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

/// Where the gradients are.
#[derive(Clone, Copy)]
pub(super) enum Gradients<'a> {
    Dense(&'a [f32]),
    /// `values` holds the gradient of each of the ascending `rows`; all other rows have a zero gradient.
    Rows {
        row_len: usize,
        rows: &'a [u32],
        values: &'a [f32],
    },
}

/// One update of one parameter tensor.
pub(super) struct Update<'a> {
    pub(super) rule: Rule,
    pub(super) values: &'a mut [f32],
    pub(super) gradients: Gradients<'a>,
    /// As many as the rule names; the others are empty.
    pub(super) state: [&'a mut [f32]; 3],
}

/// The gradients as runs of values: each with its start, without gaps. Rows without a gradient are runs of zeros.
struct Runs<'a> {
    gradients: Gradients<'a>,
    next: usize,
    len: usize,
    /// Whether runs of zeros are left out.
    skip_zeros: bool,
}

impl<'a> Iterator for Runs<'a> {
    type Item = (usize, &'a [f32]);
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (run, start) = match &mut self.gradients {
            Gradients::Dense(g) => (std::mem::take(g), 0),
            Gradients::Rows { row_len, rows, values } => {
                let gap_end = rows.first().map_or(self.len, |&row| row as usize * *row_len);
                if self.next < gap_end && !self.skip_zeros {
                    (&ZEROS[..(gap_end - self.next).min(ZEROS.len())], self.next)
                } else {
                    (_, *rows) = rows.split_first()?;
                    let (row, rest) = values.split_at(*row_len);
                    *values = rest;
                    (row, gap_end)
                }
            }
        };
        self.next = start + run.len();
        (!run.is_empty()).then_some((start, run))
    }
}

impl Kernel for Update<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Ops>(self, _: S) {
        let Self { rule, values, gradients, mut state } = self;
        let skip_zeros = rule.zero_gradient_is_no_op();
        for (start, g) in (Runs { gradients, next: 0, len: values.len(), skip_zeros }) {
            let end = start + g.len();
            let [s0, s1, s2] = &mut state;
            rule.apply(&mut values[start..end], g, [part(s0, start, end), part(s1, start, end), part(s2, start, end)]);
        }
    }
}

/// The range of a state tensor; all of an unused, empty one.
#[inline(always)]
fn part<'a>(state: &'a mut [f32], start: usize, end: usize) -> &'a mut [f32] {
    if state.is_empty() { state } else { &mut state[start..end] }
}
