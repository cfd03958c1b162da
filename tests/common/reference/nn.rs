//! Activations, losses and the dense layer in f64. Matrices are row after row; losses also return their gradient.

/// `1 / (1 + e^-x)`, written so that neither side overflows.
pub fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// `s(x) (1 - s(x))` as `s(x) s(-x)`, which does not cancel.
pub fn sigmoid_derivative(x: f64) -> f64 {
    sigmoid(x) * sigmoid(-x)
}

/// `1 - tanh(x)^2` as `1 / cosh(x)^2`, which does not cancel.
pub fn tanh_derivative(x: f64) -> f64 {
    1.0 / x.cosh().powi(2)
}

/// `max(x, 0)`; NaN stays NaN.
pub fn relu(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x }
}

/// How the losses of the rows become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their weighted mean; all weights are 1 unless the loss has class weights.
    Mean,
    /// Their weighted sum.
    Sum,
}

/// `e^x_j / sum_k e^x_k` of each row of `classes` values.
pub fn softmax(logits: &[f64], classes: usize) -> Vec<f64> {
    log_softmax(logits, classes).into_iter().map(f64::exp).collect()
}

/// `x_j - log(sum_k e^x_k)` of each row of `classes` values.
pub fn log_softmax(logits: &[f64], classes: usize) -> Vec<f64> {
    check_rows(logits, classes);
    let row = |x: &[f64]| {
        let top = (0..classes).reduce(|a, b| if x[b] > x[a] { b } else { a }).expect("classes > 0");
        // The largest term is e^0 = 1; log1p of the others keeps them where they are tiny.
        let others: f64 = (0..classes).filter(|&k| k != top).map(|k| (x[k] - x[top]).exp()).sum();
        x.iter().map(|v| v - x[top] - others.ln_1p()).collect::<Vec<f64>>()
    };
    logits.chunks_exact(classes).flat_map(row).collect()
}

/// `torch.nn.functional.cross_entropy` with class indices: the loss of a row is `-w_target log softmax(x)_target`, and
/// the mean divides by the sum of the targets' weights. Rows whose target is `ignore_index` count nowhere; if none is
/// left, the mean is NaN with zero gradients, as PyTorch's. Returns the loss and its gradient by the logits.
pub fn cross_entropy(
    logits: &[f64],
    targets: &[i64],
    classes: usize,
    class_weights: Option<&[f64]>,
    ignore_index: Option<i64>,
    reduction: Reduction,
) -> (f64, Vec<f64>) {
    check_rows(logits, classes);
    assert_eq!(targets.len() * classes, logits.len(), "one target a row");
    let log_p = log_softmax(logits, classes);
    let (mut loss, mut total_weight) = (0.0, 0.0);
    let mut gradient = vec![0.0; logits.len()];
    for (row, &target) in targets.iter().enumerate().filter(|&(_, &target)| Some(target) != ignore_index) {
        let target = usize::try_from(target).ok().filter(|&t| t < classes).expect("a target below the classes");
        let weight = class_weights.map_or(1.0, |w| w[target]);
        let log_p = &log_p[row * classes..(row + 1) * classes];
        loss -= weight * log_p[target];
        total_weight += weight;
        let gradient = &mut gradient[row * classes..(row + 1) * classes];
        for k in (0..classes).filter(|&k| k != target) {
            gradient[k] = weight * log_p[k].exp();
            gradient[target] -= gradient[k]; // p_target - 1 without its cancellation
        }
    }
    if reduction == Reduction::Mean {
        loss /= total_weight;
        if total_weight != 0.0 {
            gradient.iter_mut().for_each(|g| *g /= total_weight);
        }
    }
    (loss, gradient)
}

/// `torch.nn.functional.binary_cross_entropy_with_logits`: `-t log s(x) - (1 - t) log s(-x)`, and its gradient by the
/// logits.
pub fn bce_with_logits(logits: &[f64], targets: &[f64], reduction: Reduction) -> (f64, Vec<f64>) {
    let row = |x: f64, t: f64| {
        let loss = x.max(0.0) - x * t + (-x.abs()).exp().ln_1p();
        (loss, sigmoid(x) * (1.0 - t) - sigmoid(-x) * t)
    };
    reduce(logits, targets, row, reduction)
}

/// `torch.nn.functional.mse_loss`: `(x - t)^2`, and its gradient by `x`.
pub fn mse(predictions: &[f64], targets: &[f64], reduction: Reduction) -> (f64, Vec<f64>) {
    reduce(predictions, targets, |x, t| ((x - t).powi(2), 2.0 * (x - t)), reduction)
}

fn reduce(x: &[f64], t: &[f64], row: fn(f64, f64) -> (f64, f64), reduction: Reduction) -> (f64, Vec<f64>) {
    assert_eq!(x.len(), t.len(), "one target a value");
    let divisor = if reduction == Reduction::Mean { x.len() as f64 } else { 1.0 };
    let rows: Vec<(f64, f64)> = x.iter().zip(t).map(|(&x, &t)| row(x, t)).collect();
    let loss = rows.iter().map(|r| r.0).sum::<f64>() / divisor;
    (loss, rows.iter().map(|r| r.1 / divisor).collect())
}

/// `torch.nn.functional.linear`: `y = W x + b` for each row of `x`; `weight` is (outputs, `inputs`).
pub fn dense_forward(x: &[f64], weight: &[f64], bias: Option<&[f64]>, inputs: usize) -> Vec<f64> {
    check_rows(x, inputs);
    check_rows(weight, inputs);
    let output = |x: &[f64], (j, w): (usize, &[f64])| -> f64 {
        x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + bias.map_or(0.0, |b| b[j])
    };
    let row = |x| weight.chunks_exact(inputs).enumerate().map(move |w| output(x, w));
    x.chunks_exact(inputs).flat_map(row).collect()
}

/// The gradients of [`dense_forward`].
#[derive(Clone, Debug, PartialEq)]
pub struct DenseGradients {
    /// Of the shape of `x`.
    pub x: Vec<f64>,
    /// Of the shape of `weight`.
    pub weight: Vec<f64>,
    /// One value an output.
    pub bias: Vec<f64>,
}

/// `dx = W^T dy`, `dW = sum dy x^T`, `db = sum dy`.
pub fn dense_backward(x: &[f64], weight: &[f64], inputs: usize, dy: &[f64]) -> DenseGradients {
    check_rows(x, inputs);
    check_rows(weight, inputs);
    let outputs = weight.len() / inputs;
    assert_eq!(x.len() / inputs * outputs, dy.len(), "dy");
    let mut g = DenseGradients { x: vec![0.0; x.len()], weight: vec![0.0; weight.len()], bias: vec![0.0; outputs] };
    for row in 0..x.len() / inputs {
        for j in 0..outputs {
            let d = dy[row * outputs + j];
            g.bias[j] += d;
            for k in 0..inputs {
                g.x[row * inputs + k] += weight[j * inputs + k] * d;
                g.weight[j * inputs + k] += d * x[row * inputs + k];
            }
        }
    }
    g
}

fn check_rows(values: &[f64], width: usize) {
    assert!(width > 0 && values.len().is_multiple_of(width), "{} values in rows of {width}", values.len());
}
