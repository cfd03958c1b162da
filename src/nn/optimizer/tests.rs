use super::*;
use crate::error::ErrorKind;
use crate::random::Random;

pub(super) fn normal(seed: u64, n: usize) -> Vec<f32> {
    let mut r = Random::new(seed, 0);
    (0..n).map(|_| r.normal() as f32).collect()
}

pub(super) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

pub(super) fn sgd() -> SgdConfig {
    SgdConfig { lr: 0.1, ..SgdConfig::default() }
}

/// Every branch of every rule.
pub(super) fn all() -> Vec<OptimizerConfig> {
    let rms = RmsPropConfig { lr: 0.01, ..RmsPropConfig::default() };
    let momentum = SgdConfig { momentum: 0.9, ..sgd() };
    let adam = AdamConfig { lr: 0.01, ..AdamConfig::default() };
    vec![
        OptimizerConfig::Sgd(sgd()),
        OptimizerConfig::Sgd(SgdConfig { weight_decay: 0.01, ..sgd() }),
        OptimizerConfig::Sgd(momentum),
        OptimizerConfig::Sgd(SgdConfig { dampening: 0.3, weight_decay: 0.01, ..momentum }),
        OptimizerConfig::Sgd(SgdConfig { nesterov: true, weight_decay: 0.01, ..momentum }),
        OptimizerConfig::Adam(adam),
        OptimizerConfig::Adam(AdamConfig { betas: [0.4, 0.9], weight_decay: 0.1, eps: 1e-3, ..adam }),
        OptimizerConfig::Adam(AdamConfig { lr: 0.01, ..AdamConfig::adamw() }),
        OptimizerConfig::Adam(AdamConfig { lr: 0.01, betas: [0.0, 0.99], weight_decay: 0.3, ..AdamConfig::adamw() }),
        OptimizerConfig::RmsProp(rms),
        OptimizerConfig::RmsProp(RmsPropConfig { momentum: 0.5, alpha: 0.9, ..rms }),
        OptimizerConfig::RmsProp(RmsPropConfig { centered: true, weight_decay: 0.1, ..rms }),
        OptimizerConfig::RmsProp(RmsPropConfig { centered: true, momentum: 0.5, alpha: 0.4, ..rms }),
    ]
}

/// One value's state in f64, and the update as the papers write it.
#[derive(Clone, Copy, Default)]
pub(super) struct Plain {
    a: f64,
    b: f64,
    c: f64,
}

pub(super) fn plain_update(config: &OptimizerConfig, t: i32, p: f64, g: f64, s: &mut Plain) -> f64 {
    match config {
        OptimizerConfig::Sgd(c) => {
            let g = g + c.weight_decay * p;
            if c.momentum == 0.0 {
                return p - c.lr * g;
            }
            s.a = if t == 1 { g } else { c.momentum * s.a + (1.0 - c.dampening) * g };
            p - c.lr * if c.nesterov { g + c.momentum * s.a } else { s.a }
        }
        OptimizerConfig::Adam(c) => {
            let (p, g) =
                if c.decoupled_weight_decay { (p - c.lr * c.weight_decay * p, g) } else { (p, g + c.weight_decay * p) };
            s.a = c.betas[0] * s.a + (1.0 - c.betas[0]) * g;
            s.b = c.betas[1] * s.b + (1.0 - c.betas[1]) * g * g;
            let m = s.a / (1.0 - c.betas[0].powi(t));
            let v = s.b / (1.0 - c.betas[1].powi(t));
            p - c.lr * m / (v.sqrt() + c.eps)
        }
        OptimizerConfig::RmsProp(c) => {
            let g = g + c.weight_decay * p;
            s.a = c.alpha * s.a + (1.0 - c.alpha) * g * g;
            s.b = c.alpha * s.b + (1.0 - c.alpha) * g;
            let v = if c.centered { s.a - s.b * s.b } else { s.a };
            s.c = c.momentum * s.c + g / (v.sqrt() + c.eps);
            p - c.lr * s.c
        }
    }
}

#[test]
fn fifty_steps_follow_the_formulas() {
    for config in all() {
        let n = 37;
        let mut p = normal(1, n);
        let mut plain: Vec<f64> = p.iter().map(|&v| f64::from(v)).collect();
        let mut state = vec![Plain::default(); n];
        let mut o = Optimizer::new(&config).unwrap();
        for t in 1..=50 {
            let g = normal(100 + t as u64, n);
            o.begin_step();
            o.update(3, &mut p, &g).unwrap();
            for i in 0..n {
                plain[i] = plain_update(&config, t, plain[i], f64::from(g[i]), &mut state[i]);
                let error = (f64::from(p[i]) - plain[i]).abs();
                // A few roundings a step, of parameters and steps of size about 1.
                assert!(error < 4e-7 * f64::from(t) * (1.0 + plain[i].abs()), "{config:?} step {t}: {error:e}");
            }
        }
        assert_eq!((o.step_count(), o.updates(3), o.updates(2)), (50, 50, 0));
    }
}

/// The first steps of Adam by hand: with a constant gradient every step is `lr`, whatever the gradient's size.
#[test]
fn adam_corrects_its_bias() {
    let mut o = Optimizer::new(&OptimizerConfig::Adam(AdamConfig { lr: 0.125, ..AdamConfig::default() })).unwrap();
    let mut p = [1f32, 1.0];
    for t in 1..=3 {
        o.begin_step();
        o.update(0, &mut p, &[1e-3, -1e3]).unwrap();
        let step = 0.125 * t as f32;
        assert!((p[0] - (1.0 - step)).abs() < 1e-5 && (p[1] - (1.0 + step)).abs() < 1e-5, "{p:?}");
    }
    // A slot that joins late is corrected by its own age.
    let mut late = [1f32];
    o.begin_step();
    o.update(9, &mut late, &[5.0]).unwrap();
    assert!((late[0] - 0.875).abs() < 1e-6, "{late:?}");
}

#[test]
fn same_bits_on_every_isa_and_however_split() {
    for config in all() {
        let n = 101;
        let run = |isa: Isa, cut: usize| {
            let mut o = Optimizer::new(&config).unwrap();
            o.isa = isa;
            let mut p = normal(1, n);
            for t in 0..10 {
                let g = normal(100 + t, n);
                o.begin_step();
                o.update(0, &mut p[..cut], &g[..cut]).unwrap();
                o.update(1, &mut p[cut..], &g[cut..]).unwrap();
            }
            bits(&p)
        };
        let first = run(Isa::Scalar, n);
        for isa in Isa::available() {
            for cut in [0, 3, 50, n] {
                assert_eq!(run(isa, cut), first, "{config:?} {} {cut}", isa.name());
            }
        }
    }
}

#[test]
fn sparse_rows_are_a_dense_gradient_with_zeros() {
    for config in all() {
        for (rows, dim, everything) in [(30, 3, true), (700, 5, false), (700, 5, true)] {
            let mut dense = Optimizer::new(&config).unwrap();
            let mut sparse = Optimizer::new(&config).unwrap();
            let mut p = normal(1, rows * dim);
            let mut q = p.clone();
            let mut r = Random::new(2, 0);
            for t in 0..12 {
                // Nothing, everything, the ends, or every row with a chance of one in 32.
                let touched: Vec<u32> = (0..rows as u32)
                    .filter(|&row| match t {
                        3 => false,
                        4 if everything => true,
                        5 => row == 0 || row == rows as u32 - 1,
                        _ => r.below(32) == 0,
                    })
                    .collect();
                let values = normal(50 + t, touched.len() * dim);
                let mut g = vec![0f32; rows * dim];
                for (&row, v) in touched.iter().zip(values.chunks(dim)) {
                    g[row as usize * dim..][..dim].copy_from_slice(v);
                }
                dense.begin_step();
                sparse.begin_step();
                dense.update(0, &mut p, &g).unwrap();
                if t == 7 {
                    // Another row length and a dense update: what is known about rows has to be found again.
                    sparse.update_rows(0, &mut q, 1, &(0..g.len() as u32).collect::<Vec<_>>(), &g).unwrap();
                } else if t == 9 {
                    sparse.update(0, &mut q, &g).unwrap();
                } else {
                    sparse.update_rows(0, &mut q, dim, &touched, &values).unwrap();
                }
                assert_eq!(bits(&p), bits(&q), "{config:?} step {t}");
                for (a, b) in dense.state_tensors().zip(sparse.state_tensors()) {
                    assert_eq!((a.slot, a.name, bits(a.values)), (b.slot, b.name, bits(b.values)));
                }
            }
        }
    }
}

#[test]
fn misuse_changes_nothing() {
    let mut o = Optimizer::new(&OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..sgd() })).unwrap();
    let mut p = [1f32; 6];
    let g = [1f32; 6];
    assert_eq!(o.update(0, &mut p, &g).unwrap_err().kind(), ErrorKind::InvalidState);
    o.begin_step();
    assert_eq!(o.update(0, &mut p, &g[..5]).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    assert_eq!(p, [1.0; 6]);
    o.update(7, &mut p, &g).unwrap();
    let moved = p;
    assert_ne!(moved, [1.0; 6]);
    let e = o.update(7, &mut p, &g).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidState);
    assert_eq!(e.message(), "optimizer slot 7 was already updated in step 1");
    o.begin_step();
    let e = o.update(7, &mut p[..4], &g[..4]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
    assert_eq!(e.message(), "optimizer slot 7 was created for 6 values, found 4");
    for (row_len, rows, values) in [(4, &[0][..], 4), (2, &[0], 3), (0, &[0], 0), (usize::MAX, &[0, 1], 2)] {
        let e = o.update_rows(7, &mut p, row_len, rows, &g[..values]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ShapeMismatch, "{e}");
    }
    for rows in [[0, 3], [1, 1], [2, 0]] {
        let e = o.update_rows(7, &mut p, 2, &rows, &g[..4]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}");
    }
    assert_eq!(p, moved);
    o.update_rows(7, &mut p, 2, &[], &[]).unwrap();
    o.update_rows(8, &mut [], 0, &[], &[]).unwrap();
    o.update(usize::MAX, &mut [], &[]).unwrap();
}

#[test]
fn the_learning_rate_can_change() {
    let mut o = Optimizer::new(&OptimizerConfig::Sgd(sgd())).unwrap();
    assert_eq!(o.lr(), 0.1);
    let mut p = [1f32];
    o.set_lr(0.5).unwrap();
    o.begin_step();
    o.update(0, &mut p, &[1.0]).unwrap();
    assert_eq!(p, [0.5]);
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(o.set_lr(bad).is_err());
    }
    assert_eq!(o.lr(), 0.5);
    assert!(Optimizer::new(&OptimizerConfig::Sgd(SgdConfig { lr: -1.0, ..sgd() })).is_err());
}

#[test]
fn a_bad_gradient_goes_on_where_that_is_chosen() {
    for config in all() {
        let mut o = Optimizer::new(&config).unwrap();
        o.set_non_finite(NonFinite::Continue);
        let mut p = [1f32, 1.0];
        o.begin_step();
        o.update(0, &mut p, &[f32::NAN, 0.5]).unwrap();
        assert!(p[0].is_nan() && p[1].is_finite(), "{config:?} {p:?}");
    }
}

/// Without gradients running means decay; in f32 they would get stuck among the slow subnormals.
#[test]
fn state_is_never_subnormal() {
    let config = OptimizerConfig::Adam(AdamConfig { betas: [0.9, 0.95], ..AdamConfig::default() });
    let momentum = RmsPropConfig { momentum: 0.9, centered: true, alpha: 0.95, ..RmsPropConfig::default() };
    for config in
        [config, OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..sgd() }), OptimizerConfig::RmsProp(momentum)]
    {
        let mut o = Optimizer::new(&config).unwrap();
        let mut p = normal(1, 20);
        for t in 0..2000 {
            o.begin_step();
            o.update(0, &mut p, &if t == 0 { normal(2, 20) } else { vec![0.0; 20] }).unwrap();
            for tensor in o.state_tensors() {
                assert!(tensor.values.iter().all(|v| !v.is_subnormal()), "{} at step {t}", tensor.name);
            }
        }
        for tensor in o.state_tensors() {
            assert!(tensor.values.iter().all(|&v| v == 0.0), "{}", tensor.name);
        }
    }
}

/// A step of Adam is about `lr` however small the gradients are, if `eps` is smaller still.
#[test]
fn tiny_gradients_count_where_eps_is_tiny() {
    let config = AdamConfig { lr: 0.125, eps: 1e-25, ..AdamConfig::default() };
    let mut o = Optimizer::new(&OptimizerConfig::Adam(config)).unwrap();
    let mut p = [1f32];
    for t in 1..=3 {
        o.begin_step();
        o.update(0, &mut p, &[1e-17]).unwrap();
        assert!((p[0] - (1.0 - 0.125 * t as f32)).abs() < 1e-4, "{p:?}");
    }
}

/// Dense and sparse, with parts that end between rows; momentum and centered variants included.
#[test]
fn threads_change_nothing() {
    let (row_len, count) = (300, 3 * FEWEST_VALUES / 300 + 1);
    let rows: Vec<u32> = (0..count as u32).filter(|row| row % 3 != 1).collect();
    let (start, dense) = (normal(1, count * row_len), normal(2, count * row_len));
    let sparse = normal(3, rows.len() * row_len);
    let pool = Pool::new(3).unwrap();
    for config in all() {
        let run = |pool: Option<&Pool>| {
            let mut o = Optimizer::new(&config).unwrap();
            o.set_pool(pool);
            let (mut p, mut q) = (start.clone(), start.clone());
            for _ in 0..2 {
                o.begin_step();
                o.update(0, &mut p, &dense).unwrap();
                o.update_rows(1, &mut q, row_len, &rows, &sparse).unwrap();
            }
            p.iter().chain(&q).map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        assert!(run(Some(&pool)) == run(None), "{config:?}");
    }
}

/// Every rule on arrays, state included, that end at or begin behind a page that may not be touched: any remainder of the
/// lanes, by bits what plain arrays give on the scalar path.
#[cfg(target_os = "linux")]
#[test]
fn updates_stay_within_their_arrays() {
    use crate::kernel::bounds_tests::{Compared, assert_same, guarded::Guarded, places, sizes};
    let mut compared = Compared::default();
    for config in all() {
        let mut optimizer = Optimizer::new(&config).unwrap();
        optimizer.begin_step();
        let rule = optimizer.rule(2, [0.7, 0.8]);
        for n in sizes() {
            let (p, g) = (normal(n as u64, n), normal(n as u64 + 100, n));
            let state = [0, 1, 2].map(|i| normal(n as u64 + 200 + i, n).into_iter().map(f32::abs).collect::<Vec<_>>());
            let used = rule.names().len();
            let run = |isa: Isa, p: &mut [f32], g: &[f32], [s0, s1, s2]: [&mut [f32]; 3]| {
                let part = |i: usize, s| if i < used { s } else { &mut [][..] };
                let state = [part(0, s0), part(1, s1), part(2, s2)];
                let runs = Runs::new(Gradients::Dense(g), None, 0..n);
                dispatch(isa, Update { rule, first: 0, values: p, runs, state });
            };
            let (mut want, mut want_state) = (p.clone(), state.clone());
            run(Isa::Scalar, &mut want, &g, want_state.each_mut().map(|s| &mut s[..]));
            assert_ne!(want, p);
            for (isa, side) in places() {
                let (mut found, gradients) = (Guarded::new(&p, side), Guarded::new(&g, side));
                let mut found_state = state.each_ref().map(|s| Guarded::new(s, side));
                run(isa, &mut found, &gradients, found_state.each_mut().map(|s| &mut s[..]));
                let what = format!("{config:?}, {n} values on {}, {side:?}", isa.name());
                assert_same(&found, &want, &what);
                found_state.iter().zip(&want_state).for_each(|(f, w)| assert_same(f, w, &what));
                compared.add("optimizer", isa);
            }
        }
    }
}
