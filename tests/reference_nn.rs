//! The f64 losses, activations and dense layer of the reference.

mod common;

use common::random::SplitMix64;
use common::reference::nn::*;
use common::relative_error;

/// Logits, one row with a target to ignore and one whose target's probability rounds to 1.
const LOGITS: [f64; 12] = [1.5, -0.25, 0.75, -2.0, 3.0, 0.5, 0.0, 0.0, -1.0, 30.0, -30.0, 2.0];
const TARGETS: [i64; 4] = [0, 2, -100, 0];
const CLASS_WEIGHTS: [f64; 3] = [0.25, 1.0, 2.0];

/// What PyTorch 2's float64 says. In the last row it is itself only right to 1e-16 absolutely.
const LOG_SOFTMAX: [f64; 12] = [
    -0.4984334547431499,
    -2.2484334547431497,
    -1.24843345474315,
    -5.08509724636431,
    -0.08509724636430994,
    -2.58509724636431,
    -0.8619948040582511,
    -0.8619948040582511,
    -1.8619948040582512,
    -6.914468997363085e-13,
    -60.00000000000069,
    -28.000000000000693,
];
const SUM_GRADIENT: [f64; 12] = [
    -0.3925184379379415,
    0.10556446661296023,
    0.2869539713249813,
    0.006188285272800039,
    0.9184229667642034,
    -0.9246112520370033,
    0.0,
    0.0,
    0.0,
    -6.914468997365475e-13,
    8.756510762690485e-27,
    6.914400106935413e-13,
];

#[test]
fn log_softmax_is_torchs() {
    let found = log_softmax(&LOGITS, 3);
    for (a, b) in found.iter().zip(LOG_SOFTMAX) {
        assert!((a - b).abs() <= 2e-16 * b.abs().max(1.0), "{a:e}, expected {b:e}");
    }
    for (p, log_p) in softmax(&LOGITS, 3).into_iter().zip(found) {
        assert_eq!(p, log_p.exp());
    }
}

#[test]
fn cross_entropy_is_torchs() {
    for (weights, sum, total_weight) in
        [(None, 3.083530701108151, 3.0), (Some(&CLASS_WEIGHTS[..]), 5.294802856414581, 2.5)]
    {
        let gradient: Vec<f64> = SUM_GRADIENT
            .iter()
            .enumerate()
            .map(|(i, g)| g * weights.map_or(1.0, |w| TARGETS[i / 3].try_into().map_or(0.0, |t: usize| w[t])))
            .collect();
        for (reduction, divisor) in [(Reduction::Sum, 1.0), (Reduction::Mean, total_weight)] {
            let (loss, found) = cross_entropy(&LOGITS, &TARGETS, 3, weights, Some(-100), reduction);
            assert!((loss * divisor - sum).abs() < 1e-14, "{weights:?} {reduction:?}: {loss}");
            let expected: Vec<f64> = gradient.iter().map(|g| g / divisor).collect();
            let error = relative_error(&found, &expected);
            assert!(error < 1e-15, "{weights:?} {reduction:?}: {error:e}");
        }
    }
}

#[test]
fn cross_entropy_of_nothing_is_torchs() {
    let (loss, gradient) = cross_entropy(&LOGITS[..3], &[7], 3, None, Some(7), Reduction::Mean);
    assert!(loss.is_nan());
    assert_eq!(gradient, [0.0; 3]);
    assert_eq!(cross_entropy(&LOGITS[..3], &[7], 3, None, Some(7), Reduction::Sum), (0.0, vec![0.0; 3]));
}

#[test]
#[should_panic(expected = "a target below the classes")]
fn a_target_out_of_range_panics() {
    cross_entropy(&LOGITS[..3], &[-100], 3, None, None, Reduction::Mean);
}

#[test]
fn bce_and_mse_are_torchs() {
    let x = [0.5, -1.5, 40.0, -40.0, 0.0];
    let t = [1.0, 0.25, 1.0, 1.0, 0.0];
    let bce_gradient = [-0.3775406687981454, -0.06757447619364365, 0.0, -1.0, 0.5];
    let mse_gradient = [-1.0, -3.5, 78.0, -82.0, 0.0];
    for (reduction, divisor) in [(Reduction::Sum, 1.0), (Reduction::Mean, 5.0)] {
        for ((loss, gradient), sum, expected) in [
            (bce_with_logits(&x, &t, reduction), 41.74363744272281, bce_gradient),
            (mse(&x, &t, reduction), 3205.3125, mse_gradient),
        ] {
            assert!((loss * divisor - sum).abs() <= 4.0 * f64::EPSILON * sum, "{loss}");
            let expected = expected.map(|g| g / divisor);
            assert!(relative_error(&gradient, &expected) < 1e-15, "{gradient:?}, expected {expected:?}");
        }
    }
}

/// Where PyTorch's own formulas round to 0, the reference does not.
#[test]
fn saturation_does_not_cancel() {
    let others = (-28f64).exp() + (-60f64).exp();
    let (loss, gradient) = cross_entropy(&LOGITS[9..], &[0], 3, None, None, Reduction::Mean);
    assert!((loss / others.ln_1p() - 1.0).abs() < 1e-14);
    assert!((gradient[0] / (-others / (1.0 + others)) - 1.0).abs() < 1e-13);
    let (_, gradient) = bce_with_logits(&[40.0], &[1.0], Reduction::Sum);
    assert!((gradient[0] / -(-40f64).exp() - 1.0).abs() < 1e-14);
    assert!((sigmoid_derivative(40.0) / (-40f64).exp() - 1.0).abs() < 1e-14);
    // 1 / cosh(x)^2 = 4 e^-2x / (1 + e^-2x)^2
    assert!((tanh_derivative(25.0) / (4.0 * (-50f64).exp()) - 1.0).abs() < 1e-14);
    assert_eq!(tanh_derivative(-25.0), tanh_derivative(25.0));
    assert_eq!((sigmoid(-800.0), sigmoid(0.0), sigmoid(800.0)), (0.0, 0.5, 1.0));
    assert!((sigmoid(-700.0) / (-700f64).exp() - 1.0).abs() < 1e-14);
}

#[test]
fn nan_goes_through() {
    assert!(sigmoid(f64::NAN).is_nan() && relu(f64::NAN).is_nan() && tanh_derivative(f64::NAN).is_nan());
    assert_eq!((relu(-3.0), relu(2.5)), (0.0, 2.5));
}

/// The derivatives against the five-point rule, whose error here is below 1e-12.
#[test]
fn derivatives_are_differences() {
    let e = 1.0 / 1024.0;
    let difference =
        |f: &dyn Fn(f64) -> f64, x: f64| (8.0 * (f(x + e) - f(x - e)) - (f(x + 2.0 * e) - f(x - 2.0 * e))) / (12.0 * e);
    for i in -40..=40 {
        let x = f64::from(i) / 8.0;
        assert!((difference(&sigmoid, x) - sigmoid_derivative(x)).abs() < 1e-11);
        assert!((difference(&f64::tanh, x) - tanh_derivative(x)).abs() < 1e-11);
    }
}

#[test]
fn dense_by_hand() {
    // Two rows of three inputs, two outputs.
    let (x, weight) = ([1.0, 2.0, 3.0, -1.0, 0.0, 4.0], [1.0, 0.5, -1.0, 2.0, 0.0, 3.0]);
    assert_eq!(dense_forward(&x, &weight, Some(&[10.0, 20.0]), 3), [9.0, 31.0, 5.0, 30.0]);
    assert_eq!(dense_forward(&x, &weight, None, 3), [-1.0, 11.0, -5.0, 10.0]);
}

/// The dense layer is linear in each argument: `<dy, f(u)> = <df^T dy, u>`, exactly up to rounding.
#[test]
fn dense_backward_is_the_adjoint() {
    let mut r = SplitMix64::new(5);
    let (rows, inputs, outputs) = (5, 7, 3);
    let (x, weight) = (r.values(rows * inputs, 1.0), r.values(outputs * inputs, 1.0));
    let (bias, dy) = (r.values(outputs, 1.0), r.values(rows * outputs, 1.0));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let g = dense_backward(&x, &weight, inputs, &dy);
    let product = dot(&dy, &dense_forward(&x, &weight, None, inputs));
    assert!((dot(&g.x, &x) - product).abs() < 1e-14);
    assert!((dot(&g.weight, &weight) - product).abs() < 1e-14);
    let with_bias = dot(&dy, &dense_forward(&x, &weight, Some(&bias), inputs));
    assert!((dot(&g.bias, &bias) - (with_bias - product)).abs() < 1e-14);
    // One direction alone would hide a permutation that keeps the product: probe every entry of dW and dx.
    for (k, &found) in g.weight.iter().enumerate() {
        let mut unit = vec![0.0; weight.len()];
        unit[k] = 1.0;
        assert!((found - dot(&dy, &dense_forward(&x, &unit, None, inputs))).abs() < 1e-14);
    }
    for (k, &found) in g.x.iter().enumerate() {
        let mut unit = vec![0.0; x.len()];
        unit[k] = 1.0;
        assert!((found - dot(&dy, &dense_forward(&unit, &weight, None, inputs))).abs() < 1e-14);
    }
}
