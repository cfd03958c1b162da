use super::*;
use crate::error::ErrorKind;
use crate::nn::{AdamConfig, OptimizerConfig};

fn table(rows: usize, dim: usize) -> Vec<f32> {
    (0..rows * dim).map(|i| i as f32).collect()
}

fn normal(seed: u64, n: usize) -> Vec<f32> {
    let mut r = Random::new(seed, 0);
    (0..n).map(|_| r.normal() as f32).collect()
}

#[test]
fn forward_copies_rows() {
    let e = Embedding::from_table(5, 3, Some(0), &table(5, 3)).unwrap();
    let mut out = [0f32; 9];
    e.forward(&[4, 0, 4], &mut out).unwrap();
    assert_eq!(out, [12.0, 13.0, 14.0, 0.0, 1.0, 2.0, 12.0, 13.0, 14.0]);
    e.forward(&[], &mut []).unwrap();
}

#[test]
fn bad_indices_write_nothing() {
    let e = Embedding::from_table(5, 3, None, &table(5, 3)).unwrap();
    let mut out = [7f32; 6];
    let error = e.forward(&[1, 5], &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "indices[1] is 5, expected less than 5");
    assert_eq!(e.forward(&[1], &mut out).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    assert_eq!(out, [7.0; 6]);
    let mut g = EmbeddingGrads::new(&e).unwrap();
    g.accumulate(&[2], &[1.0; 3]).unwrap();
    assert!(g.accumulate(&[1, u32::MAX], &[1.0; 6]).is_err());
    assert!(g.accumulate(&[1, 1], &[1.0; 5]).is_err());
    assert_eq!((g.rows(), g.values()), (&[2][..], &[1.0; 3][..]));
}

#[test]
fn bad_sizes_are_errors() {
    let kind = |r: Result<Embedding>| r.err().unwrap().kind();
    assert_eq!(kind(Embedding::new(5, 0, None)), ErrorKind::InvalidArgument);
    assert_eq!(kind(Embedding::new(5, 2, Some(5))), ErrorKind::InvalidArgument);
    assert_eq!(kind(Embedding::new(u32::MAX as usize, 1, None)), ErrorKind::InvalidArgument);
    assert_eq!(kind(Embedding::new(1 << 31, 1 << 40, None)), ErrorKind::SizeOverflow);
    assert_eq!(kind(Embedding::from_table(5, 2, None, &[0.0; 9])), ErrorKind::ShapeMismatch);
    Embedding::new(0, 1, None).unwrap();
}

#[test]
fn initial_tables() {
    let mut e = Embedding::new(50, 40, Some(3)).unwrap();
    assert!(e.table().iter().all(|&v| v == 0.0));
    let n = 49.0 * 40.0;
    let moments = |e: &Embedding| {
        let sum = |f: fn(f64) -> f64| e.table().iter().map(|&v| f(f64::from(v))).sum::<f64>() / n;
        (sum(|v| v), sum(|v| v * v))
    };
    e.init_normal(1);
    let (mean, square) = moments(&e);
    assert!(mean.abs() < 6.0 / f64::sqrt(n) && (square - 1.0).abs() < 6.0 * f64::sqrt(2.0 / n), "{mean} {square}");
    assert!(e.table()[120..160].iter().all(|&v| v == 0.0));
    let first = e.table().to_vec();
    e.init_normal(1);
    assert_eq!(e.table(), first);
    e.init_normal(2);
    assert_ne!(e.table(), first);
    e.init_uniform(0.5, 1).unwrap();
    assert!(e.table().iter().all(|v| (-0.5..0.5).contains(v)));
    let (mean, square) = moments(&e);
    assert!(mean.abs() < 6.0 * f64::sqrt(0.25 / 3.0 / n) && (square - 0.25 / 3.0).abs() < 0.01, "{mean} {square}");
    assert!(e.table()[120..160].iter().all(|&v| v == 0.0));
    assert!(e.init_uniform(f32::NAN, 1).is_err());
}

/// The gradient as a dense table: sums in order of appearance.
fn dense(rows: usize, dim: usize, padding: Option<usize>, calls: &[(Vec<u32>, Vec<f32>)]) -> Vec<f32> {
    let mut g = vec![0f32; rows * dim];
    for (indices, dy) in calls {
        for (&i, dy) in indices.iter().zip(dy.chunks(dim)) {
            if Some(i as usize) != padding {
                for (g, d) in g[i as usize * dim..].iter_mut().zip(dy) {
                    *g += d;
                }
            }
        }
    }
    g
}

fn random_calls(seed: u64, rows: usize, dim: usize, counts: &[usize]) -> Vec<(Vec<u32>, Vec<f32>)> {
    let mut r = Random::new(seed, 1);
    let indices = |n, r: &mut Random| (0..n).map(|_| r.below(rows as u32)).collect::<Vec<_>>();
    counts.iter().map(|&n| (indices(n, &mut r), normal(seed + n as u64, n * dim))).collect()
}

#[test]
fn gradients_are_the_dense_ones() {
    let (rows, dim) = (40, 3);
    for padding in [None, Some(7)] {
        let e = Embedding::new(rows, dim, padding).unwrap();
        let mut g = EmbeddingGrads::new(&e).unwrap();
        for seed in 0..20 {
            let calls = random_calls(seed, rows, dim, &[5, 0, 20, 1, 60]);
            g.clear();
            assert!(g.rows().is_empty() && g.values().is_empty());
            for (i, (indices, dy)) in calls.iter().enumerate() {
                g.accumulate(indices, dy).unwrap();
                let expected = dense(rows, dim, padding, &calls[..=i]);
                assert!(g.rows().is_sorted_by(|a, b| a < b));
                let mut found = vec![0f32; rows * dim];
                for (&row, values) in g.rows().iter().zip(g.values().chunks(dim)) {
                    found[row as usize * dim..][..dim].copy_from_slice(values);
                }
                assert!(found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{seed} {i}");
                let mut used: Vec<u32> = calls[..=i].iter().flat_map(|c| c.0.iter().copied()).collect();
                used.retain(|&r| Some(r as usize) != padding);
                used.sort_unstable();
                used.dedup();
                assert_eq!(g.rows(), used);
            }
        }
    }
}

#[test]
fn memory_is_reused() {
    let e = Embedding::new(1000, 4, None).unwrap();
    let mut g = EmbeddingGrads::new(&e).unwrap();
    let mut places = None;
    for seed in 0..5 {
        for (indices, dy) in random_calls(seed, if seed == 0 { 2 } else { 1000 }, 4, &[50]) {
            g.accumulate(&indices, &dy).unwrap();
        }
        let now = (g.rows.as_ptr(), g.values.as_ptr());
        assert_eq!(*places.get_or_insert(now), now);
        g.clear();
    }
}

#[test]
fn frozen_tables_stay_and_others_move() {
    let mut e = Embedding::from_table(5, 3, Some(0), &table(5, 3)).unwrap();
    let mut g = EmbeddingGrads::new(&e).unwrap();
    g.accumulate(&[4, 0, 1], &normal(3, 9)).unwrap();
    let mut o = Optimizer::new(&OptimizerConfig::Adam(AdamConfig::default())).unwrap();
    o.begin_step();
    e.set_frozen(true);
    e.optimize(&mut o, 0, &g).unwrap();
    assert_eq!(e.table(), table(5, 3));
    e.set_frozen(false);
    e.optimize(&mut o, 0, &g).unwrap();
    let moved: Vec<bool> = e.table().chunks(3).zip(table(5, 3).chunks(3)).map(|(a, b)| a != b).collect();
    assert_eq!(moved, [false, true, false, false, true]);
    let mut other = Embedding::new(5, 2, None).unwrap();
    assert_eq!(other.optimize(&mut o, 1, &g).unwrap_err().kind(), ErrorKind::ShapeMismatch);
}
