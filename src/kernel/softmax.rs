//! Softmax and log-softmax over rows: exponentials in vectors, sums in [`Stripes`], so the bits are the same for every
//! instruction set and every number of rows.
//!
//! `e = exp(x - max)` in f32, its sum in f64; softmax is `e / sum`, log-softmax `(x - max) - log(sum)` rounded once from
//! f64. A row with NaN, with +inf, or with nothing but -inf becomes NaN, as in PyTorch; another -inf gives 0 (-inf in
//! log-softmax).

use super::reduce::{STRIPES, Stripes};
use crate::simd::{Isa, Kernel, Ops, dispatch, math};

/// Exponentials kept on the stack where the caller has no row for them; a multiple of [`STRIPES`].
const BLOCK: usize = 256;
const _: () = assert!(BLOCK.is_multiple_of(STRIPES));

/// The largest value, NaN ignored: the exponentials bring it back.
#[inline(always)]
pub(crate) fn row_max(row: &[f32]) -> f32 {
    let larger = |max: f32, &v: &f32| if v > max { v } else { max };
    let (blocks, rest) = row.as_chunks::<STRIPES>();
    let max = rest.iter().fold(f32::NEG_INFINITY, larger);
    if blocks.is_empty() {
        return max;
    }
    let mut stripes = [f32::NEG_INFINITY; STRIPES];
    for block in blocks {
        for (max, &v) in stripes.iter_mut().zip(block) {
            *max = if v > *max { v } else { *max };
        }
    }
    stripes.iter().fold(max, larger)
}

/// `out = exp(row - max)`.
#[inline(always)]
fn exp_minus<S: Ops>(s: S, row: &[f32], max: f32, out: &mut [f32]) {
    assert_eq!(row.len(), out.len());
    let max = s.splat(max);
    let whole = row.len() - row.len() % S::LANES;
    let mut i = 0;
    while i < whole {
        // SAFETY: `i + LANES <= whole <=` both lengths.
        unsafe {
            let e = math::exp(s, s.sub(s.load(row.as_ptr().add(i)), max));
            s.store(out.as_mut_ptr().add(i), e);
        }
        i += S::LANES;
    }
    let rest = row.len() - whole;
    if rest > 0 {
        // SAFETY: `rest` values are left in both.
        unsafe {
            let e = math::exp(s, s.sub(s.load_first(row.as_ptr().add(whole), rest), max));
            s.store_first(out.as_mut_ptr().add(whole), e, rest);
        }
    }
}

/// `out = exp(row - max)`, and its sum.
#[inline(always)]
pub(crate) fn exp_sum<S: Ops>(s: S, row: &[f32], max: f32, out: &mut [f32]) -> f64 {
    exp_minus(s, row, max, out);
    let mut sum = Stripes::new();
    sum.add(out, |e| e);
    sum.total()
}

/// The sum that [`exp_sum`] gives, without the exponentials.
#[inline(always)]
pub(crate) fn exp_sum_only<S: Ops>(s: S, row: &[f32], max: f32) -> f64 {
    let mut sum = Stripes::new();
    let mut block = [0f32; BLOCK];
    for part in row.chunks(BLOCK) {
        let e = &mut block[..part.len()];
        exp_minus(s, part, max, e);
        sum.add(e, |e| e);
    }
    sum.total()
}

/// Rows of `cols` values become their softmax. `x` is a whole number of rows.
pub(crate) fn softmax(isa: Isa, cols: usize, x: &[f32], out: &mut [f32]) {
    struct Softmax<'a>(usize, &'a [f32], &'a mut [f32]);
    impl Kernel for Softmax<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Ops>(self, s: S) {
            let Self(cols, x, out) = self;
            for (row, out) in x.chunks_exact(cols).zip(out.chunks_exact_mut(cols)) {
                let sum = exp_sum(s, row, row_max(row), out) as f32;
                for e in out {
                    *e /= sum;
                }
            }
        }
    }
    assert_eq!(x.len(), out.len());
    if cols > 0 {
        dispatch(isa, Softmax(cols, x, out));
    }
}

/// Rows of `cols` values become the logarithms of their softmax. `x` is a whole number of rows.
pub(crate) fn log_softmax(isa: Isa, cols: usize, x: &[f32], out: &mut [f32]) {
    struct LogSoftmax<'a>(usize, &'a [f32], &'a mut [f32]);
    impl Kernel for LogSoftmax<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Ops>(self, s: S) {
            let Self(cols, x, out) = self;
            for (row, out) in x.chunks_exact(cols).zip(out.chunks_exact_mut(cols)) {
                let max = row_max(row);
                let log_sum = libm::log(exp_sum_only(s, row, max));
                for (y, &v) in out.iter_mut().zip(row) {
                    *y = (f64::from(v) - f64::from(max) - log_sum) as f32;
                }
            }
        }
    }
    assert_eq!(x.len(), out.len());
    if cols > 0 {
        dispatch(isa, LogSoftmax(cols, x, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn normal(seed: u64, n: usize, scale: f64) -> Vec<f32> {
        let mut r = Random::new(seed, 0);
        (0..n).map(|_| (r.normal() * scale) as f32).collect()
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn same_bits_on_every_isa_and_close_to_f64() {
        for cols in [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 100, 255, 256, 257, 1000] {
            for scale in [1.0, 20.0] {
                let rows = 5;
                let x = normal(cols as u64, rows * cols, scale);
                let (mut first, mut first_log) = (vec![0f32; x.len()], vec![0f32; x.len()]);
                softmax(Isa::Scalar, cols, &x, &mut first);
                log_softmax(Isa::Scalar, cols, &x, &mut first_log);
                for isa in Isa::available() {
                    let mut y = vec![0f32; x.len()];
                    softmax(isa, cols, &x, &mut y);
                    assert_eq!(bits(&y), bits(&first), "{} {cols}", isa.name());
                    log_softmax(isa, cols, &x, &mut y);
                    assert_eq!(bits(&y), bits(&first_log), "log {} {cols}", isa.name());
                }
                for (r, row) in x.chunks(cols).enumerate() {
                    let max = row.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
                    let sum: f64 = row.iter().map(|&v| (f64::from(v) - max).exp()).sum();
                    for (c, &v) in row.iter().enumerate() {
                        let d = f64::from(v) - max;
                        let eps = f64::from(f32::EPSILON) / 2.0;
                        let (p, l) = (d.exp() / sum, d - sum.ln());
                        // Rounding x - max moves the exponential by |d| eps; exp, the sum and the division add 2 ulp.
                        let error = (f64::from(first[r * cols + c]) - p).abs();
                        let subnormal_ulps = 2.0 * f64::from(f32::from_bits(1));
                        assert!(
                            error <= (d.abs() + 4.0) * eps * p + subnormal_ulps,
                            "{error:e} at {d}, {cols} columns"
                        );
                        let absolute = (f64::from(first_log[r * cols + c]) - l).abs();
                        assert!(absolute <= (l.abs() + 4.0) * eps, "log {absolute:e} at {d}, {cols} columns");
                    }
                }
            }
        }
    }

    #[test]
    fn special_rows_are_pytorch_s() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        for isa in Isa::available() {
            for pad in [0, 30] {
                let row = |head: [f32; 3]| {
                    let mut row = vec![-inf; 3 + pad];
                    row[..3].copy_from_slice(&head);
                    let (mut p, mut l) = (row.clone(), row.clone());
                    softmax(isa, row.len(), &row, &mut p);
                    log_softmax(isa, row.len(), &row, &mut l);
                    (p, l)
                };
                let (p, l) = row([1.0, -inf, 1.0]);
                assert_eq!(p[..3], [0.5, 0.0, 0.5]);
                assert!(p[3..].iter().all(|&v| v == 0.0));
                assert_eq!(l[1], -inf);
                assert_eq!(l[0], -std::f32::consts::LN_2);
                let (p, l) = row([3e38, -3e38, 1.0]);
                assert_eq!((p[0], p[1], l[0], l[1]), (1.0, 0.0, 0.0, -inf));
                for bad in [[0.0, nan, 1.0], [nan, nan, nan], [-inf, -inf, -inf], [inf, 0.0, 1.0]] {
                    let (p, l) = row(bad);
                    assert!(p.iter().chain(&l).all(|v| v.is_nan()), "{bad:?}: {p:?} {l:?}");
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_see_its_neighbours() {
        let x = normal(9, 40, 1.0);
        let (mut whole, mut row) = (vec![0f32; 40], vec![0f32; 10]);
        softmax(Isa::Scalar, 10, &x, &mut whole);
        softmax(Isa::Scalar, 10, &x[20..30], &mut row);
        assert_eq!(bits(&whole[20..30]), bits(&row));
        softmax(Isa::Scalar, 0, &[], &mut []);
    }
}
