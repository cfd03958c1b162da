//! Slots of different ages, and numbers at the ends: beside the formulas in f64, or by bits.

use super::tests::{Plain, all, bits, normal, plain_update, sgd};
use super::*;

/// A slot that joins late, or pauses, goes by its own updates: its first gradient is its momentum whole, and Adam's
/// correction is of its own age. The later ones stand before and behind the first in the optimizer's order.
#[test]
fn slots_of_any_age_follow_the_formulas() {
    const ROW: usize = 3;
    let n = 6 * ROW;
    let takes_part = |slot: usize, step: u64| match slot {
        5 => true,
        2 => step >= 4,
        _ => step >= 3 && !step.is_multiple_of(3),
    };
    for config in all() {
        let mut o = Optimizer::new(&config).unwrap();
        let mut slots = [5, 2, 9].map(|slot| {
            let p = normal(slot as u64, n);
            let plain: Vec<f64> = p.iter().map(|&v| f64::from(v)).collect();
            (slot, p, plain, vec![Plain::default(); n], 0)
        });
        for step in 1..=20 {
            o.begin_step();
            for (slot, p, plain, state, age) in &mut slots {
                if !takes_part(*slot, step) {
                    continue;
                }
                *age += 1;
                let mut g = normal(100 * *slot as u64 + step, n);
                if *slot == 9 {
                    // By rows, of which every other has a gradient.
                    let rows: Vec<u32> = (0..6).filter(|row| (u64::from(*row) + step).is_multiple_of(2)).collect();
                    let values: Vec<f32> =
                        rows.iter().flat_map(|&row| g[row as usize * ROW..][..ROW].to_vec()).collect();
                    o.update_rows(*slot, p, ROW, &rows, &values).unwrap();
                    (0..6).filter(|row| !rows.contains(row)).for_each(|row| g[row as usize * ROW..][..ROW].fill(0.0));
                } else {
                    o.update(*slot, p, &g).unwrap();
                }
                for i in 0..n {
                    plain[i] = plain_update(&config, *age, plain[i], f64::from(g[i]), &mut state[i]);
                    let error = (f64::from(p[i]) - plain[i]).abs();
                    // As for slots from the start.
                    let bound = 4e-7 * f64::from(*age) * (1.0 + plain[i].abs());
                    assert!(error < bound, "{config:?} slot {slot}, step {step}: {error:e}");
                }
            }
        }
        assert_eq!([5, 2, 9].map(|slot| o.updates(slot)), [20, 17, 12]);
    }
}

/// Without `eps` a first step is the same whatever the gradient's size; where there is no gradient it is 0/0, as PyTorch's,
/// in rows that are not named too.
#[test]
fn steps_without_eps() {
    let adam = AdamConfig { lr: 0.125, eps: 0.0, ..AdamConfig::default() };
    let rms = RmsPropConfig { lr: 0.125, eps: 0.0, alpha: 0.75, ..RmsPropConfig::default() };
    for (config, step) in [(OptimizerConfig::Adam(adam), 0.125), (OptimizerConfig::RmsProp(rms), 0.25)] {
        let g = [1e-17, -1e-3, 1.0, -1e17];
        let mut p = [0f32; 4];
        let mut o = Optimizer::new(&config).unwrap();
        o.begin_step();
        o.update(0, &mut p, &g).unwrap();
        for (p, g) in p.iter().zip(g) {
            let error = (p + step * g.signum()).abs();
            assert!(error <= 4.0 * f32::EPSILON * step, "{config:?} {g:e}: {p}");
        }
        let (mut dense, mut sparse) = ([1f32; 3], [1f32; 3]);
        o.update(1, &mut dense, &[0.0, 2.0, 0.0]).unwrap();
        o.update_rows(2, &mut sparse, 1, &[1], &[2.0]).unwrap();
        for p in [dense, sparse] {
            assert!(p[0].is_nan() && (p[1] - (1.0 - step)).abs() < 1e-6 && p[2].is_nan(), "{config:?} {p:?}");
        }
    }
}

/// Gradients far below 1: plain steps take them whatever they are; running means begin at 2^-100.
#[test]
fn tiny_and_subnormal_gradients() {
    let tiny = 1.0 / (1u128 << 100) as f32;
    let below = f32::from_bits(tiny.to_bits() - 1);
    let first = |config, g: f32| {
        let mut o = Optimizer::new(&config).unwrap();
        let mut p = [0f32];
        o.begin_step();
        o.update(0, &mut p, &[g]).unwrap();
        (p[0], o.state_tensors().next().map(|t| t.values[0]))
    };
    let plain = OptimizerConfig::Sgd(SgdConfig { lr: 0.5, ..sgd() });
    let subnormal = f32::from_bits(2);
    assert_eq!(first(plain, 1e-30), (-5e-31, None));
    assert_eq!(first(plain, -subnormal), (f32::from_bits(1), None));
    let momentum = OptimizerConfig::Sgd(SgdConfig { lr: 0.5, momentum: 0.75, ..sgd() });
    assert_eq!(first(momentum, tiny), (-0.5 * tiny, Some(tiny)));
    assert_eq!(first(momentum, -tiny), (0.5 * tiny, Some(-tiny)));
    for g in [below, -below, subnormal] {
        assert_eq!(first(momentum, g), (0.0, Some(0.0)));
    }
    let close = |found: f32, expected: f64| {
        assert!((f64::from(found) - expected).abs() < 4e-7 * expected.abs(), "{found:e}, expected {expected:e}");
    };
    // Squares vanish beside `eps`, means do not.
    let adam = OptimizerConfig::Adam(AdamConfig { lr: 0.5, ..AdamConfig::default() });
    close(first(adam, 1e-20).0, -0.5 * 1e-20 / 1e-8);
    assert_eq!(first(adam, 1e-30), (0.0, Some(0.0)));
    let rms = OptimizerConfig::RmsProp(RmsPropConfig { lr: 0.5, ..RmsPropConfig::default() });
    close(first(rms, 1e-30).0, -0.5 * 1e-30 / 1e-8);
    close(first(rms, -1e-40).0, 0.5 * f64::from(1e-40f32) / 1e-8);
}

/// With a constant gradient the variance goes to zero, and rounding takes it below: there it is zero, by bits.
#[test]
fn a_centered_variance_is_never_negative() {
    let (lr, eps) = (0.25f32, 2f32.powi(-10));
    for momentum in [0.0, 0.5] {
        let config = RmsPropConfig {
            lr: f64::from(lr),
            eps: f64::from(eps),
            alpha: 0.5,
            centered: true,
            momentum,
            ..RmsPropConfig::default()
        };
        let mut o = Optimizer::new(&OptimizerConfig::RmsProp(config)).unwrap();
        let (mut p, g) = (normal(1, 64), normal(2, 64));
        let mut buffer = [0f32; 64];
        let (mut negative, mut positive) = (0, 0);
        for _ in 0..100 {
            let before = p.clone();
            o.begin_step();
            o.update(0, &mut p, &g).unwrap();
            let state: Vec<_> = o.state_tensors().map(|t| t.values).collect();
            let (squares, means) = (state[0], state[state.len() - 1]);
            let expected: Vec<f32> = (0..64)
                .map(|i| {
                    let v = squares[i] - means[i] * means[i];
                    *(if v < 0.0 { &mut negative } else { &mut positive }) += 1;
                    let root = if v < 0.0 { 0.0 } else { v.sqrt() };
                    if momentum == 0.0 {
                        return before[i] + -lr * g[i] / (root + eps);
                    }
                    buffer[i] = buffer[i] * momentum as f32 + g[i] / (root + eps);
                    before[i] + -lr * buffer[i]
                })
                .collect();
            assert_eq!(bits(&p), bits(&expected), "momentum {momentum}");
        }
        assert!(negative > 0 && positive > 0, "one case does not occur: {negative} below zero, {positive} not");
    }
}
