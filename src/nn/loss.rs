//! Losses: each returns its value in f64 and, on request, writes the gradient of that value.
//!
//! Logits and gradients are row-major, rows × classes. Sums run in f64 in a fixed order, so that a finite loss has the same bits
//! on every machine. NaN or infinite logits are not hidden: they reach the loss and that row's gradient.

use crate::error::{Result, check_len, ensure, err, product};
use crate::kernel::reduce::Stripes;
use crate::kernel::softmax::{exp_sum, exp_sum_only, row_max};
use crate::simd::{Isa, Kernel, Ops, dispatch};

/// How the losses of single rows or values become one.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean; where classes have weights, the weighted mean.
    #[default]
    Mean = 0,
    /// Their sum.
    Sum = 1,
}

impl Reduction {
    /// The reduction with that number.
    pub fn from_number(number: i32) -> Result<Reduction> {
        match number {
            0 => Ok(Reduction::Mean),
            1 => Ok(Reduction::Sum),
            _ => Err(err!(InvalidArgument, "unknown reduction {number}, expected 0 (mean) or 1 (sum)")),
        }
    }
}

/// Weights are finite and not negative.
fn check_weights(what: &str, weights: Option<&[f32]>, classes: usize) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    check_len(what, weights.len(), classes)?;
    for (i, &w) in weights.iter().enumerate() {
        ensure!(w.is_finite() && w >= 0.0, InvalidArgument, "{what}[{i}] is {w}, expected a finite value >= 0");
    }
    Ok(())
}

/// Softmax cross-entropy over class indices (`torch.nn.CrossEntropyLoss`).
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    /// One weight a class; none: all 1.
    pub weight: Option<&'a [f32]>,
    /// Rows with this target take no part: no loss, zero gradient. It need not be a class.
    pub ignore_index: i64,
    /// `Mean` divides by the sum of the weights of the targets, as PyTorch does.
    pub reduction: Reduction,
}

impl Default for CrossEntropy<'_> {
    /// PyTorch's: no weights, `ignore_index` -100, mean.
    fn default() -> Self {
        Self { weight: None, ignore_index: -100, reduction: Reduction::Mean }
    }
}

impl CrossEntropy<'_> {
    /// The loss of `logits` (`targets.len()` × `classes`) and its gradient in `dlogits` (the same shape).
    ///
    /// Errors, with nothing written: `ShapeMismatch` for lengths; `InvalidArgument` for a target outside `0..classes`
    /// that is not `ignore_index`, for a weight that is negative or not finite, and for a mean over nothing (no rows,
    /// all rows ignored, or weights that sum to zero), where PyTorch returns NaN.
    ///
    /// ```
    /// use simdrnn::nn::CrossEntropy;
    /// let mut d = [0.0; 4];
    /// let loss = CrossEntropy::default().evaluate(2, &[0.0, 0.0, 2.0, -2.0], &[1, 0], Some(&mut d))?;
    /// assert!((loss - (2f64.ln() + (1.0 + (-4f64).exp()).ln()) / 2.0).abs() < 1e-6);
    /// assert_eq!(d[..2], [0.25, -0.25]);
    /// # Ok::<(), simdrnn::Error>(())
    /// ```
    pub fn evaluate(
        &self,
        classes: usize,
        logits: &[f32],
        targets: &[i64],
        dlogits: Option<&mut [f32]>,
    ) -> Result<f64> {
        self.evaluate_on(Isa::choose()?, classes, logits, targets, dlogits)
    }

    /// The same bits for every `isa`.
    pub(crate) fn evaluate_on(
        &self,
        isa: Isa,
        classes: usize,
        logits: &[f32],
        targets: &[i64],
        dlogits: Option<&mut [f32]>,
    ) -> Result<f64> {
        let len = product("logits", &[targets.len(), classes])?;
        check_len("logits", logits.len(), len)?;
        if let Some(d) = &dlogits {
            check_len("dlogits", d.len(), len)?;
        }
        check_weights("weight", self.weight, classes)?;
        let mut total_weight = 0f64;
        for (row, &target) in targets.iter().enumerate() {
            if target == self.ignore_index {
                continue;
            }
            ensure!(
                usize::try_from(target).is_ok_and(|t| t < classes),
                InvalidArgument,
                "the target of row {row} is {target}, expected 0 to {} or the ignored {}",
                classes.wrapping_sub(1) as isize,
                self.ignore_index
            );
            total_weight += self.weight_of(target as usize);
        }
        let scale = match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => {
                ensure!(
                    total_weight != 0.0,
                    InvalidArgument,
                    "the mean over {} rows has no weight: every target is ignored or weighs zero",
                    targets.len()
                );
                1.0 / total_weight
            }
        };
        if len == 0 {
            return Ok(0.0);
        }
        Ok(dispatch(isa, CrossEntropyKernel { loss: self, classes, logits, targets, dlogits, scale }))
    }

    #[inline(always)]
    fn weight_of(&self, class: usize) -> f64 {
        self.weight.map_or(1.0, |w| f64::from(w[class]))
    }
}

struct CrossEntropyKernel<'a, 'w> {
    loss: &'a CrossEntropy<'w>,
    classes: usize,
    logits: &'a [f32],
    targets: &'a [i64],
    dlogits: Option<&'a mut [f32]>,
    scale: f64,
}

impl Kernel for CrossEntropyKernel<'_, '_> {
    type Output = f64;
    /// With `e = exp(x - max)` and `S` its sum, a row's loss is `log(S) + max - x[target]`, and its gradient is `e / S`,
    /// less 1 at the target: there `(e - S) / S`, which does not cancel in f64 when the target is almost certain.
    #[inline(always)]
    fn run<S: Ops>(mut self, s: S) -> f64 {
        let mut total = 0.0;
        for (i, (row, &target)) in self.logits.chunks_exact(self.classes).zip(self.targets).enumerate() {
            let d = self.dlogits.as_deref_mut().map(|d| &mut d[i * self.classes..][..self.classes]);
            if target == self.loss.ignore_index {
                if let Some(d) = d {
                    d.fill(0.0);
                }
                continue;
            }
            let target = target as usize;
            let weight = self.loss.weight_of(target);
            let max = row_max(row);
            let sum = match d {
                None => exp_sum_only(s, row, max),
                Some(d) => {
                    let sum = exp_sum(s, row, max, d);
                    let at_target = f64::from(d[target]) - sum;
                    let factor = weight * self.scale / sum;
                    let narrow = factor as f32;
                    for e in d.iter_mut() {
                        *e *= narrow;
                    }
                    d[target] = (at_target * factor) as f32;
                    sum
                }
            };
            total += weighted(weight, libm::log(sum) + (f64::from(max) - f64::from(row[target])));
        }
        total * self.scale
    }
}

/// Sigmoid binary cross-entropy on logits for any number of labels a row (`torch.nn.BCEWithLogitsLoss`).
///
/// ```
/// use simdrnn::nn::{BceWithLogits, Reduction};
///
/// let bce = BceWithLogits { pos_weight: Some(&[1.0, 3.0]), reduction: Reduction::Sum };
/// let loss = bce.evaluate(2, &[0.0, 0.0], &[1.0, 1.0], None)?; // one row, both labels
/// assert!((loss - 4.0 * 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BceWithLogits<'a> {
    /// What a positive counts for, one value a class; none: all 1.
    pub pos_weight: Option<&'a [f32]>,
    /// `Mean` divides by rows × classes, as PyTorch does.
    pub reduction: Reduction,
}

impl BceWithLogits<'_> {
    /// The loss of `logits` (rows × `classes`) against `targets` (the same shape, each in `[0, 1]`) and its gradient in
    /// `dlogits` (the same shape).
    ///
    /// Errors, with nothing written: `ShapeMismatch` for lengths; `InvalidArgument` for a target outside `[0, 1]`, for
    /// a weight that is negative or not finite, and for a mean over nothing, where PyTorch returns NaN.
    pub fn evaluate(
        &self,
        classes: usize,
        logits: &[f32],
        targets: &[f32],
        mut dlogits: Option<&mut [f32]>,
    ) -> Result<f64> {
        ensure!(
            logits.is_empty() || (classes > 0 && logits.len().is_multiple_of(classes)),
            ShapeMismatch,
            "logits has {} values, expected a multiple of the {classes} classes",
            logits.len()
        );
        check_len("targets", targets.len(), logits.len())?;
        if let Some(d) = &dlogits {
            check_len("dlogits", d.len(), logits.len())?;
        }
        check_weights("pos_weight", self.pos_weight, classes)?;
        for (i, &y) in targets.iter().enumerate() {
            ensure!(
                (0.0..=1.0).contains(&y),
                InvalidArgument,
                "the target of row {}, class {} is {y}, expected 0 to 1",
                i / classes,
                i % classes
            );
        }
        let scale = mean_scale(self.reduction, logits.len())?;
        let mut total = 0.0;
        for (i, (&x, &y)) in logits.iter().zip(targets).enumerate() {
            let (x, y) = (f64::from(x), f64::from(y));
            let pos = self.pos_weight.map_or(1.0, |w| f64::from(w[i % classes]));
            // Both halves of the logistic function and both logarithms come from one exponential without cancellation.
            let e = libm::exp(-x.abs());
            let log = libm::log1p(e);
            let (small, large) = (e / (1.0 + e), 1.0 / (1.0 + e));
            // -log sigmoid(x), -log sigmoid(-x), sigmoid(x), sigmoid(-x).
            let (loss1, loss0, p1, p0) =
                if x < 0.0 { (log - x, log, small, large) } else { (log, log + x, large, small) };
            total += weighted(1.0 - y, loss0) + weighted(pos * y, loss1);
            if let Some(d) = &mut dlogits {
                d[i] = (((1.0 - y) * p1 - pos * y * p0) * scale) as f32;
            }
        }
        Ok(total * scale)
    }
}

/// `weight * loss`, where a weight of zero also silences an infinite loss, as a label's absence should.
fn weighted(weight: f64, loss: f64) -> f64 {
    if weight == 0.0 && loss == f64::INFINITY { 0.0 } else { weight * loss }
}

/// Mean squared error (`torch.nn.MSELoss`): `prediction` and `target` of one shape, and the gradient of the loss by
/// `prediction` in `dprediction` (the same shape).
///
/// Errors, with nothing written: `ShapeMismatch` for lengths; `InvalidArgument` for a mean over nothing, where PyTorch
/// returns NaN.
///
/// ```
/// use simdrnn::nn::{Reduction, mse_loss};
///
/// let mut d = [0.0; 2];
/// assert_eq!(mse_loss(Reduction::Sum, &[1.0, 3.0], &[0.0, 1.0], Some(&mut d))?, 5.0);
/// assert_eq!(d, [2.0, 4.0]);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub fn mse_loss(
    reduction: Reduction,
    prediction: &[f32],
    target: &[f32],
    dprediction: Option<&mut [f32]>,
) -> Result<f64> {
    check_len("target", target.len(), prediction.len())?;
    if let Some(d) = &dprediction {
        check_len("dprediction", d.len(), prediction.len())?;
    }
    let scale = mean_scale(reduction, prediction.len())?;
    let mut sum = Stripes::new();
    sum.add_pairs(prediction, target, |p, t| (p - t) * (p - t));
    if let Some(d) = dprediction {
        for ((d, &p), &t) in d.iter_mut().zip(prediction).zip(target) {
            *d = ((f64::from(p) - f64::from(t)) * (2.0 * scale)) as f32;
        }
    }
    Ok(sum.total() * scale)
}

/// What a sum over `n` values is multiplied with.
fn mean_scale(reduction: Reduction, n: usize) -> Result<f64> {
    match reduction {
        Reduction::Sum => Ok(1.0),
        Reduction::Mean => {
            ensure!(n > 0, InvalidArgument, "the mean over no values does not exist");
            Ok(1.0 / n as f64)
        }
    }
}

#[cfg(test)]
#[path = "loss_tests.rs"]
mod tests;
