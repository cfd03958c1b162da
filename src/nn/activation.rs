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
pub fn softmax(isa: Isa, cols: usize, x: &[f32], out: &mut [f32]) -> Result<()> {
    check_rows(cols, x, out)?;
    kernel::softmax::softmax(isa, cols, x, out);
    Ok(())
}

/// The natural logarithm of [`softmax`], computed without cancellation. Shapes and errors are the same.
pub fn log_softmax(isa: Isa, cols: usize, x: &[f32], out: &mut [f32]) -> Result<()> {
    check_rows(cols, x, out)?;
    kernel::softmax::log_softmax(isa, cols, x, out);
    Ok(())
}

/// The logistic function `1 / (1 + exp(-x))` of every value, in place.
pub fn sigmoid(isa: Isa, x: &mut [f32]) {
    kernel::sigmoid::sigmoid(isa, x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn lengths_are_checked() {
        let mut out = [7f32; 5];
        for (cols, n, m) in [(2, 5, 5), (0, 5, 5), (5, 5, 4)] {
            let error = softmax(Isa::Scalar, cols, &[0.0; 5][..n], &mut out[..m]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ShapeMismatch);
            assert!(log_softmax(Isa::Scalar, cols, &[0.0; 5][..n], &mut out[..m]).is_err());
        }
        assert_eq!(out, [7.0; 5]);
        softmax(Isa::Scalar, 5, &[0.0; 5], &mut out).unwrap();
        assert_eq!(out, [0.2; 5]);
        softmax(Isa::Scalar, 0, &[], &mut []).unwrap();
        sigmoid(Isa::Scalar, &mut out[..0]);
    }
}
