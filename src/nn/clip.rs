//! Gradient clipping (Pascanu et al. 2013), by global norm and by value.
//!
//! A sparse gradient takes part through its stored rows: the zeros elsewhere add nothing.

use crate::error::{Result, ensure};
use crate::kernel::reduce::sum_of_squares;

/// The L2 norm of all gradients together, in f64: sums of squares slice by slice, in the order given. Its bits depend on
/// the values and on that order alone. NaN or infinite where a gradient is.
pub fn grad_norm(grads: &[&[f32]]) -> f64 {
    norm(grads.iter().copied())
}

fn norm<'a>(grads: impl Iterator<Item = &'a [f32]>) -> f64 {
    grads.fold(0.0, |sum, g| sum + sum_of_squares(g)).sqrt()
}

/// Scales all gradients together so that their L2 norm is at most `max_norm`
/// (`torch.nn.utils.clip_grad_norm_`), and returns the norm from before.
///
/// The factor is `max_norm / (norm + 1e-6)`, at most 1. A norm that is not finite is `NonFinite` if `error_if_nonfinite`
/// says so; else it is returned and the gradients stay as they are (PyTorch would turn them into zeros and NaN): a step
/// with them can then be skipped. An infinite `max_norm` only measures.
///
/// Errors, with nothing changed: `InvalidArgument` for a `max_norm` that is negative or NaN; `NonFinite`.
///
/// ```
/// let (mut a, mut b) = ([3.0, 0.0], [4.0]);
/// let norm = simdrnn::nn::clip_grad_norm(&mut [&mut a, &mut b], 1.0, true)?;
/// assert_eq!(norm, 5.0);
/// assert!((a[0] - 0.6).abs() < 1e-6 && (b[0] - 0.8).abs() < 1e-6);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub fn clip_grad_norm(grads: &mut [&mut [f32]], max_norm: f64, error_if_nonfinite: bool) -> Result<f64> {
    ensure!((0.0..).contains(&max_norm), InvalidArgument, "max_norm is {max_norm}, expected a value >= 0");
    let norm = norm(grads.iter().map(|g| &**g));
    ensure!(
        norm.is_finite() || !error_if_nonfinite,
        NonFinite,
        "the norm of the gradients is {norm}, expected a finite one"
    );
    let factor = max_norm / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        for value in grads.iter_mut().flat_map(|g| g.iter_mut()) {
            // In f64, because the factor of a huge norm would be subnormal in f32.
            *value = (f64::from(*value) * factor) as f32;
        }
    }
    Ok(norm)
}

/// Limits every gradient value to `-clip_value..=clip_value` (`torch.nn.utils.clip_grad_value_`). NaN stays NaN.
///
/// `InvalidArgument` for a `clip_value` that is negative or NaN.
pub fn clip_grad_value(grads: &mut [&mut [f32]], clip_value: f32) -> Result<()> {
    ensure!((0.0..).contains(&clip_value), InvalidArgument, "clip_value is {clip_value}, expected a value >= 0");
    for value in grads.iter_mut().flat_map(|g| g.iter_mut()) {
        let low = if *value < -clip_value { -clip_value } else { *value };
        *value = if low > clip_value { clip_value } else { low };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::random::Random;

    fn normal(seed: u64, n: usize) -> Vec<f32> {
        let mut r = Random::new(seed, 0);
        (0..n).map(|_| r.normal() as f32).collect()
    }

    #[test]
    fn the_norm_is_global_and_scaling_is_torch_s() {
        let (a, b) = (normal(1, 1000), normal(2, 17));
        let plain = a.iter().chain(&b).map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        for max_norm in [0.0, 0.5, plain * 2.0, f64::INFINITY] {
            let (mut c, mut d) = (a.clone(), b.clone());
            let norm = clip_grad_norm(&mut [&mut c, &mut [], &mut d], max_norm, true).unwrap();
            assert!((norm - plain).abs() < 1e-13 * plain);
            assert_eq!(norm.to_bits(), grad_norm(&[&a, &b]).to_bits());
            let factor = (max_norm / (norm + 1e-6)).min(1.0);
            let scaled = |v: f32| (f64::from(v) * factor) as f32;
            assert!(c.iter().zip(&a).all(|(&c, &a)| c == scaled(a)), "{max_norm}");
            assert!(d.iter().zip(&b).all(|(&d, &b)| d == scaled(b)), "{max_norm}");
            let after = grad_norm(&[&c, &d]);
            assert!(after <= max_norm.min(plain) * (1.0 + 1e-6), "{after}");
            assert!(max_norm < plain || after == norm);
        }
    }

    #[test]
    fn a_norm_that_is_not_finite_changes_nothing() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut g = [3.0, bad, -4.0];
            let norm = clip_grad_norm(&mut [&mut g], 1.0, false).unwrap();
            assert!(!norm.is_finite());
            let e = clip_grad_norm(&mut [&mut g], 1.0, true).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::NonFinite);
            assert!(e.message().contains(&norm.to_string()), "{e}");
            assert_eq!((g[0], g[2]), (3.0, -4.0));
        }
        let mut huge = [f32::MAX; 20];
        assert!(clip_grad_norm(&mut [&mut huge], 1.0, true).unwrap().is_finite());
        assert!((grad_norm(&[&huge]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn values_are_clamped() {
        let mut g = [3.0, -3.0, 0.5, f32::NAN, f32::INFINITY, -0.0];
        clip_grad_value(&mut [&mut g], 1.0).unwrap();
        assert_eq!(g[..3], [1.0, -1.0, 0.5]);
        assert!(g[3].is_nan() && g[4] == 1.0 && g[5].to_bits() == (-0f32).to_bits());
    }

    #[test]
    fn limits_are_checked() {
        let mut g = [3f32];
        for bad in [-1.0, f64::NAN] {
            assert_eq!(clip_grad_norm(&mut [&mut g], bad, false).unwrap_err().kind(), ErrorKind::InvalidArgument);
            assert!(clip_grad_value(&mut [&mut g], bad as f32).is_err());
        }
        assert_eq!(g, [3.0]);
    }
}
