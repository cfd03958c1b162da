//! What turns logits into probabilities.

use crate::error::{Result, check_len, ensure};
use crate::kernel;
use crate::simd::Isa;

fn check_rows(cols: usize, x: &[f32], out: &[f32]) -> Result<()> {
    ensure!(
        x.is_empty() || (cols > 0 && x.len().is_multiple_of(cols)),
        ShapeMismatch,
        "x has {} values, expected a multiple of the {cols} columns",
        x.len()
    );
    check_len("out", out.len(), x.len())
}

/// Softmax of every row of `x` (rows × `cols`, row-major) into `out` (the same shape).
///
/// A row with NaN, with +inf, or with nothing but -inf becomes NaN, as in PyTorch; any other -inf gives 0.
/// `ShapeMismatch` where the lengths do not fit; then nothing is written.
///
/// ```
/// let mut p = [0.0; 4];
/// simdrnn::nn::softmax(2, &[1.0, 1.0, 0.0, 200.0], &mut p)?;
/// assert_eq!(p, [0.5, 0.5, 0.0, 1.0]);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub fn softmax(cols: usize, x: &[f32], out: &mut [f32]) -> Result<()> {
    softmax_on(Isa::choose()?, cols, x, out)
}

pub(crate) fn softmax_on(isa: Isa, cols: usize, x: &[f32], out: &mut [f32]) -> Result<()> {
    check_rows(cols, x, out)?;
    kernel::softmax::softmax(isa, cols, x, out);
    Ok(())
}

/// The natural logarithm of [`softmax`], computed without cancellation. Shapes and errors are the same.
pub fn log_softmax(cols: usize, x: &[f32], out: &mut [f32]) -> Result<()> {
    check_rows(cols, x, out)?;
    kernel::softmax::log_softmax(Isa::choose()?, cols, x, out);
    Ok(())
}

/// The logistic function `1 / (1 + exp(-x))` of every value, in place.
pub fn sigmoid(x: &mut [f32]) -> Result<()> {
    kernel::activation::sigmoid(Isa::choose()?, x);
    Ok(())
}

/// The hyperbolic tangent of every value, in place: a dense layer's usual companion, in the cells' own precision
/// (docs/accuracy.md), with the same bits on every instruction set.
///
/// ```
/// let mut x = [-20.0, 0.0, 20.0];
/// simdrnn::nn::tanh(&mut x)?;
/// assert_eq!(x, [-1.0, 0.0, 1.0]);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub fn tanh(x: &mut [f32]) -> Result<()> {
    kernel::activation::tanh(Isa::choose()?, x);
    Ok(())
}

/// `max(x, 0)` of every value, in place. NaN stays NaN.
pub fn relu(x: &mut [f32]) {
    for v in x {
        *v = if *v < 0.0 { 0.0 } else { *v };
    }
}

/// Backward of [`sigmoid`]: turns the gradient `d` of its results `y` into that of its inputs, `d * y * (1 - y)`, in place.
///
/// `ShapeMismatch` for another length, with nothing written.
pub fn sigmoid_backward(y: &[f32], d: &mut [f32]) -> Result<()> {
    backward(y, d, |y, d| d * (y * (1.0 - y)))
}

/// Backward of [`tanh`]: turns the gradient `d` of its results `y` into that of its inputs, `d * (1 - y * y)`, in place.
///
/// `ShapeMismatch` for another length, with nothing written.
///
/// ```
/// let mut y = [0.5];
/// simdrnn::nn::tanh(&mut y)?; // forward keeps its result
/// let mut d = [2.0]; // the loss's gradient by it
/// simdrnn::nn::tanh_backward(&y, &mut d)?; // now by tanh's input
/// assert!((d[0] - 2.0 / 0.5f32.cosh().powi(2)).abs() < 1e-6);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub fn tanh_backward(y: &[f32], d: &mut [f32]) -> Result<()> {
    backward(y, d, |y, d| d * (1.0 - y * y))
}

/// Backward of [`relu`]: keeps the gradient `d` where the result `y` is above 0, and makes it 0 elsewhere, in place. The
/// slope at 0 is 0, as in PyTorch.
///
/// `ShapeMismatch` for another length, with nothing written.
pub fn relu_backward(y: &[f32], d: &mut [f32]) -> Result<()> {
    // A NaN's gradient is let through, so that it does not vanish.
    backward(y, d, |y, d| if y <= 0.0 { 0.0 } else { d })
}

/// One operation after another, in f32: the same bits everywhere.
fn backward(y: &[f32], d: &mut [f32], gradient: impl Fn(f32, f32) -> f32) -> Result<()> {
    check_len("d", d.len(), y.len())?;
    for (d, &y) in d.iter_mut().zip(y) {
        *d = gradient(y, *d);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn lengths_are_checked() {
        let mut out = [7f32; 5];
        for (cols, n, m) in [(2, 5, 5), (0, 5, 5), (5, 5, 4)] {
            let error = softmax(cols, &[0.0; 5][..n], &mut out[..m]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ShapeMismatch);
            assert!(log_softmax(cols, &[0.0; 5][..n], &mut out[..m]).is_err());
        }
        for backward in [sigmoid_backward, tanh_backward, relu_backward] {
            let error = backward(&[0.5; 4], &mut out).unwrap_err();
            assert_eq!(error.message(), "d has 5 values, expected 4");
        }
        assert_eq!(out, [7.0; 5]);
        softmax(5, &[0.0; 5], &mut out).unwrap();
        assert_eq!(out, [0.2; 5]);
        softmax(0, &[], &mut []).unwrap();
        sigmoid(&mut out[..0]).unwrap();
        tanh(&mut out[..0]).unwrap();
    }

    #[test]
    fn relu_at_its_ends() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let mut x = [-1.0, 0.0, 2.0, -inf, inf, nan];
        relu(&mut x);
        assert_eq!(x[..5], [0.0, 0.0, 2.0, 0.0, inf]);
        assert!(x[5].is_nan());
        let mut d = [3.0; 6];
        relu_backward(&x, &mut d).unwrap();
        assert_eq!(d, [0.0, 0.0, 3.0, 0.0, 3.0, 3.0]);
    }

    /// Against central differences of the functions in f64.
    #[test]
    fn backward_is_the_slope() {
        type Triple = (fn(&mut [f32]) -> Result<()>, fn(&[f32], &mut [f32]) -> Result<()>, fn(f64) -> f64);
        let functions: [Triple; 2] =
            [(sigmoid, sigmoid_backward, |x| 1.0 / (1.0 + (-x).exp())), (tanh, tanh_backward, f64::tanh)];
        let x: Vec<f32> = (-40..=40).map(|i| i as f32 / 10.0).collect();
        for (function, backward, exact) in functions {
            let (mut y, mut d) = (x.clone(), vec![2.0; x.len()]);
            function(&mut y).unwrap();
            backward(&y, &mut d).unwrap();
            for (&x, &d) in x.iter().zip(&d) {
                let (x, h) = (f64::from(x), 1e-5);
                let slope = (exact(x + h) - exact(x - h)) / h;
                // y is off by 1.5 ulp of a value up to 1, which the slope 1 - y doubles.
                assert!((f64::from(d) - slope).abs() < 8.0 * f64::from(f32::EPSILON), "{x}: {d} {slope}");
            }
        }
    }
}
