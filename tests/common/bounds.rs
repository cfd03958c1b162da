//! How far forward may be from the equations in f64, and the reference's layout.

use super::reference::transpose_batch_first;

use super::problem::Problem;
use super::widen;

/// Half the distance of neighbouring f32 values around 1: the relative error of one operation.
pub const U: f64 = f32::EPSILON as f64 / 2.0;

/// Errors of n operations have random signs and add up to at most `LAMBDA` sqrt(n) u but for a probability of
/// 2 exp(-LAMBDA^2 / 2) (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019): 3e-8 a
/// value here.
pub const LAMBDA: f64 = 6.0;

/// The size of a rounding error: uniform within half a distance of neighbours it is u / sqrt(3) of the power of two below the
/// value, and a tensor's values are half as large as its largest, or less, in the mean of squares.
const TYPICAL: f64 = 0.29;

/// What a tensor may lose through so many operations, relative to its largest magnitude.
fn loss(operations: usize) -> f64 {
    LAMBDA * TYPICAL * (operations as f64).sqrt() * U
}

/// What forward may lose relative to a tensor's largest magnitude. A value of step t in layer l depends on all steps
/// and layers before it. Each adds the errors of one chain of fused multiply-adds (input, state and bias deep) and of
/// about ten more operations (activations, of 2 u each, and gates). A step neither shrinks nor grows them much: the
/// weights here have singular values around 1 and activations slopes of at most 1.
pub fn forward_bound(p: &Problem) -> f64 {
    loss(forward_operations(p))
}

fn forward_operations(p: &Problem) -> usize {
    let c = &p.config;
    let chain = (0..c.num_layers).map(|l| c.layer_input_size(l)).max().unwrap() + c.hidden_size + 10;
    p.seq_len.max(1) * c.num_layers * chain
}

/// Backward starts from forward's values and walks as far again, over chains as deep as all gates' rows; the products
/// of a step multiply about four factors that forward has already made wrong, each by itself. A weight's gradient is a sum
/// over all rows.
pub fn backward_bound(p: &Problem) -> f64 {
    let c = &p.config;
    let chain = c.cell.gates() * c.hidden_size + 10;
    let walk = p.seq_len.max(1) * c.num_layers * c.direction.count() * chain + p.batch * p.seq_len;
    loss(4 * forward_operations(p) + walk)
}

/// The reference's inputs are time-major.
pub fn time_major(p: &Problem, values: &[f32], features: usize) -> Vec<f64> {
    let values = widen(values);
    if p.config.batch_first { transpose_batch_first(&values, p.batch, p.seq_len, features) } else { values }
}

pub fn user_layout(p: &Problem, values: &[f64], features: usize) -> Vec<f64> {
    if p.config.batch_first { transpose_batch_first(values, p.seq_len, p.batch, features) } else { values.to_vec() }
}
