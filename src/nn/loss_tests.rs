use super::*;
use crate::error::ErrorKind;
use crate::random::Random;

fn normal(seed: u64, n: usize, scale: f64) -> Vec<f32> {
    let mut r = Random::new(seed, 0);
    (0..n).map(|_| (r.normal() * scale) as f32).collect()
}

fn uniform(seed: u64, n: usize) -> Vec<f32> {
    let mut r = Random::new(seed, 0);
    (0..n).map(|_| r.uniform()).collect()
}

/// The gradient of `loss` at `x` by central differences.
fn differences(x: &[f32], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
    let h = 1e-5;
    (0..x.len())
        .map(|i| {
            let v = x[i];
            x[i] = v + h;
            let up = loss(&x);
            x[i] = v - h;
            let down = loss(&x);
            x[i] = v;
            (up - down) / (2.0 * h)
        })
        .collect()
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(f) - e).abs() <= tolerance, "{i}: {f} {e}");
    }
}

fn plain_cross_entropy(loss: &CrossEntropy, classes: usize, x: &[f64], targets: &[i64]) -> f64 {
    let (mut total, mut weights) = (0.0, 0.0);
    for (row, &t) in x.chunks(classes).zip(targets) {
        if t != loss.ignore_index {
            let w = loss.weight.map_or(1.0, |w| f64::from(w[t as usize]));
            let sum: f64 = row.iter().map(|v| v.exp()).sum();
            total += w * (sum.ln() - row[t as usize]);
            weights += w;
        }
    }
    if loss.reduction == Reduction::Mean { total / weights } else { total }
}

#[test]
fn cross_entropy_and_gradient() {
    for classes in [2, 3, 16, 33, 300] {
        let rows = 7;
        let x = normal(classes as u64, rows * classes, 2.0);
        let weight = uniform(3, classes);
        let mut r = Random::new(5, 0);
        let mut targets: Vec<i64> = (0..rows).map(|_| i64::from(r.below(classes as u32))).collect();
        targets[2] = 1;
        for (weight, ignore_index) in [(None, -100), (Some(&weight[..]), -100), (Some(&weight[..]), 1)] {
            for reduction in [Reduction::Mean, Reduction::Sum] {
                let loss = CrossEntropy { weight, ignore_index, reduction };
                let mut first = vec![9f32; x.len()];
                let value = loss.evaluate_on(Isa::Scalar, classes, &x, &targets, Some(&mut first)).unwrap();
                let plain = |x: &[f64]| plain_cross_entropy(&loss, classes, x, &targets);
                let x64: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
                assert!((value - plain(&x64)).abs() < 1e-6 * plain(&x64).abs(), "{value} {}", plain(&x64));
                assert_close(&first, &differences(&x, plain), 3e-7);
                if ignore_index == 1 {
                    assert!(first[2 * classes..3 * classes].iter().all(|&v| v.to_bits() == 0));
                }
                for isa in Isa::available() {
                    let mut d = vec![9f32; x.len()];
                    let again = loss.evaluate_on(isa, classes, &x, &targets, Some(&mut d)).unwrap();
                    let alone = loss.evaluate_on(isa, classes, &x, &targets, None).unwrap();
                    assert_eq!(again.to_bits(), value.to_bits());
                    assert_eq!(alone.to_bits(), value.to_bits());
                    assert!(d.iter().zip(&first).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", isa.name());
                }
            }
        }
    }
}

/// Computed by hand: log(1 + e^-20) and the matching probability.
#[test]
fn an_almost_certain_target_keeps_its_digits() {
    let mut d = [0f32; 2];
    let loss = CrossEntropy::default().evaluate_on(Isa::Scalar, 2, &[20.0, 0.0], &[0], Some(&mut d)).unwrap();
    let e = (-20f64).exp();
    assert!((loss - e).abs() < 1e-6 * e, "{loss:e}");
    assert!((f64::from(d[0]) + e).abs() < 1e-6 * e && (f64::from(d[1]) - e).abs() < 1e-6 * e, "{d:?}");
}

#[test]
fn infinite_and_nan_logits_are_not_hidden() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let mut d = [0f32; 4];
    let ce = CrossEntropy::default();
    let loss = ce.evaluate_on(Isa::Scalar, 2, &[-inf, 0.0, 1.0, 2.0], &[0, 1], Some(&mut d)).unwrap();
    assert_eq!(loss, f64::INFINITY);
    assert_eq!(d[..2], [-0.5, 0.5]);
    let loss = ce.evaluate_on(Isa::Scalar, 2, &[nan, 0.0, 1.0, 1.0], &[0, 1], Some(&mut d)).unwrap();
    assert!(loss.is_nan() && d[0].is_nan() && d[1].is_nan());
    assert_eq!(d[2..], [0.25, -0.25]);
}

#[test]
fn cross_entropy_errors_write_nothing() {
    let x = [0f32; 6];
    let mut d = [7f32; 6];
    let ce = CrossEntropy::default();
    let e = ce.evaluate_on(Isa::Scalar, 3, &x, &[0, 3], Some(&mut d)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    assert_eq!(e.message(), "the target of row 1 is 3, expected 0 to 2 or the ignored -100");
    assert!(ce.evaluate_on(Isa::Scalar, 3, &x, &[0, -1], Some(&mut d)).is_err());
    assert!(ce.evaluate_on(Isa::Scalar, 3, &x, &[-100, -100], Some(&mut d)).is_err());
    assert!(ce.evaluate_on(Isa::Scalar, 3, &[], &[], None).is_err());
    let e = ce.evaluate_on(Isa::Scalar, 3, &x[..5], &[0, 0], Some(&mut d)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
    let e = ce.evaluate_on(Isa::Scalar, 3, &x, &[0, 0], Some(&mut d[..3])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
    let e = ce.evaluate_on(Isa::Scalar, usize::MAX, &x, &[0, 0], None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SizeOverflow);
    for weight in [[1.0, f32::NAN, 1.0], [1.0, -1.0, 1.0], [0.0, 1.0, 1.0]] {
        let ce = CrossEntropy { weight: Some(&weight), ..ce };
        assert!(ce.evaluate_on(Isa::Scalar, 3, &x, &[0, 0], Some(&mut d)).is_err(), "{weight:?}");
    }
    assert_eq!(d, [7.0; 6]);
    let sum = CrossEntropy { reduction: Reduction::Sum, ..ce };
    assert_eq!(sum.evaluate_on(Isa::Scalar, 3, &x, &[-100, -100], Some(&mut d)).unwrap(), 0.0);
    assert_eq!(d, [0.0; 6]);
    assert_eq!(sum.evaluate_on(Isa::Scalar, 3, &[], &[], None).unwrap(), 0.0);
}

fn plain_bce(loss: &BceWithLogits, classes: usize, x: &[f64], y: &[f32]) -> f64 {
    let mut total = 0.0;
    for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
        let (y, w) = (f64::from(y), loss.pos_weight.map_or(1.0, |w| f64::from(w[i % classes])));
        let p = 1.0 / (1.0 + (-x).exp());
        total -= w * y * p.ln() + (1.0 - y) * (1.0 - p).ln();
    }
    if loss.reduction == Reduction::Mean { total / x.len() as f64 } else { total }
}

#[test]
fn binary_cross_entropy_and_gradient() {
    let (rows, classes) = (5, 4);
    let x = normal(11, rows * classes, 3.0);
    let mut y = uniform(12, rows * classes);
    y[..8].copy_from_slice(&[0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    let weight = [0.5, 3.0, 0.0, 1.0];
    for pos_weight in [None, Some(&weight[..])] {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            let loss = BceWithLogits { pos_weight, reduction };
            let mut d = vec![9f32; x.len()];
            let value = loss.evaluate(classes, &x, &y, Some(&mut d)).unwrap();
            assert_eq!(value.to_bits(), loss.evaluate(classes, &x, &y, None).unwrap().to_bits());
            let plain = |x: &[f64]| plain_bce(&loss, classes, x, &y);
            let x64: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            assert!((value - plain(&x64)).abs() < 1e-12 * plain(&x64).abs(), "{value} {}", plain(&x64));
            assert_close(&d, &differences(&x, plain), 3e-7);
        }
    }
}

#[test]
fn binary_cross_entropy_at_the_ends() {
    let sum = BceWithLogits { reduction: Reduction::Sum, ..BceWithLogits::default() };
    let mut d = [9f32; 1];
    for (x, y, loss, gradient) in [
        (1e30, 1.0, 0.0, 0.0),
        (1e30, 0.0, f64::from(1e30f32), 1.0),
        (-1e30, 0.0, 0.0, 0.0),
        (-1e30, 1.0, f64::from(1e30f32), -1.0),
        (f32::INFINITY, 1.0, 0.0, 0.0),
        (f32::NEG_INFINITY, 1.0, f64::INFINITY, -1.0),
        (-80.0, 0.0, (-80f64).exp(), (-80f64).exp() as f32),
    ] {
        let found = sum.evaluate(1, &[x], &[y], Some(&mut d)).unwrap();
        assert!(found == loss || (found - loss).abs() < 1e-14 * loss, "{x} {y}: {found:e}");
        assert!((d[0] - gradient).abs() <= 1e-6 * gradient.abs(), "{x} {y}: {:e}", d[0]);
    }
    assert!(sum.evaluate(1, &[f32::NAN], &[0.0], Some(&mut d)).unwrap().is_nan() && d[0].is_nan());
}

#[test]
fn binary_cross_entropy_errors_write_nothing() {
    let mut d = [7f32; 4];
    let bce = BceWithLogits::default();
    for bad in [-0.1, 1.1, f32::NAN] {
        let e = bce.evaluate(2, &[0.0; 4], &[0.0, 1.0, 0.0, bad], Some(&mut d)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        assert_eq!(e.message(), format!("the target of row 1, class 1 is {bad}, expected 0 to 1"));
    }
    for (classes, x, y) in [(3, 4, 4), (0, 4, 4), (2, 4, 3)] {
        let e = bce.evaluate(classes, &[0.0; 4][..x], &[0.0; 4][..y], Some(&mut d)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
    }
    assert!(bce.evaluate(2, &[0.0; 4], &[0.0; 4], Some(&mut d[..2])).is_err());
    assert!(bce.evaluate(2, &[], &[], None).is_err());
    let weighted = BceWithLogits { pos_weight: Some(&[1.0]), ..bce };
    assert!(weighted.evaluate(2, &[0.0; 4], &[0.0; 4], Some(&mut d)).is_err());
    assert_eq!(d, [7.0; 4]);
}

#[test]
fn mean_squared_error_and_gradient() {
    let (p, t) = (normal(21, 53, 1.0), normal(22, 53, 1.0));
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let mut d = vec![9f32; p.len()];
        let value = mse_loss(reduction, &p, &t, Some(&mut d)).unwrap();
        assert_eq!(value.to_bits(), mse_loss(reduction, &p, &t, None).unwrap().to_bits());
        let n = if reduction == Reduction::Mean { p.len() as f64 } else { 1.0 };
        let plain = p.iter().zip(&t).map(|(&p, &t)| (f64::from(p) - f64::from(t)).powi(2)).sum::<f64>() / n;
        assert!((value - plain).abs() < 1e-14 * plain);
        let gradient: Vec<f64> = p.iter().zip(&t).map(|(&p, &t)| 2.0 * (f64::from(p) - f64::from(t)) / n).collect();
        assert_close(&d, &gradient, 3e-7);
    }
    let mut d = [7f32; 2];
    assert!(mse_loss(Reduction::Mean, &[], &[], None).is_err());
    assert!(mse_loss(Reduction::Mean, &[1.0; 2], &[1.0; 3], Some(&mut d)).is_err());
    assert!(mse_loss(Reduction::Mean, &[1.0; 3], &[1.0; 3], Some(&mut d)).is_err());
    assert_eq!(d, [7.0; 2]);
}

#[test]
fn reductions_have_numbers() {
    for r in [Reduction::Mean, Reduction::Sum] {
        assert_eq!(Reduction::from_number(r as i32).unwrap(), r);
    }
    assert!(Reduction::from_number(2).is_err());
}
