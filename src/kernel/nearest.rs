//! Inner products of one vector with many rows, and the greatest of them.
//!
//! An inner product has 16 chains of fused multiply-adds, value `i` in chain `i % 16`, each from zero with `i` ascending
//! (the last block filled up with zeros), and then one pairwise tree: chains `i` and `i + 8`, `i + 4`, `i + 2`, `i + 1`. So
//! the bits are the same for every instruction set.

use crate::buffer::try_with_capacity;
use crate::error::Result;
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

const CHAINS: usize = 16;
/// Rows read side by side, so that their chains hide each other's latency.
const ROWS: usize = 4;

/// The inner products of `query` with `R` rows.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "one number picks a vector of the sums and of every row")]
fn dots<S: Ops, const R: usize>(s: S, query: &[f32], rows: [&[f32]; R]) -> [f32; R] {
    let len = query.len();
    rows.iter().for_each(|row| assert_eq!(row.len(), len));
    // `CHAINS / LANES` vectors a row; the array is as long as the narrowest instruction set needs.
    let mut sums = [[s.splat(0.0); CHAINS]; R];
    let whole = len - len % CHAINS;
    let mut i = 0;
    while i < whole {
        for lane in 0..CHAINS / S::LANES {
            let at = i + lane * S::LANES;
            // SAFETY: `at + LANES <= whole <= len`, the length of all slices.
            let q = unsafe { s.load(query.as_ptr().add(at)) };
            for r in 0..R {
                // SAFETY: as above.
                sums[r][lane] = s.fma(q, unsafe { s.load(rows[r].as_ptr().add(at)) }, sums[r][lane]);
            }
        }
        i += CHAINS;
    }
    if whole < len {
        for lane in 0..CHAINS / S::LANES {
            let at = (whole + lane * S::LANES).min(len);
            let n = (len - at).min(S::LANES);
            // SAFETY: `at + n <= len`, the length of all slices.
            let q = unsafe { s.load_first(query.as_ptr().add(at), n) };
            for r in 0..R {
                // SAFETY: as above.
                sums[r][lane] = s.fma(q, unsafe { s.load_first(rows[r].as_ptr().add(at), n) }, sums[r][lane]);
            }
        }
    }
    let mut out = [0.0; R];
    for r in 0..R {
        let mut chains = [0f32; CHAINS];
        for lane in 0..CHAINS / S::LANES {
            // SAFETY: `(lane + 1) * LANES <= CHAINS`.
            unsafe { s.store(chains.as_mut_ptr().add(lane * S::LANES), sums[r][lane]) };
        }
        let mut half = CHAINS / 2;
        while half > 0 {
            for i in 0..half {
                chains[i] += chains[i + half];
            }
            half /= 2;
        }
        out[r] = chains[0];
    }
    out
}

/// The inner product of two vectors of the same length.
pub(crate) fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    struct Dot<'a>(&'a [f32], &'a [f32]);
    impl Kernel for Dot<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Ops>(self, s: S) -> f32 {
            dots(s, self.0, [self.1])[0]
        }
    }
    dispatch(isa, Dot(a, b))
}

/// A row and its score; the better one is the greater.
#[derive(Clone, Copy, PartialEq)]
struct Scored(f32, usize);

impl Eq for Scored {}
impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(other.1.cmp(&self.1))
    }
}

/// The rows with the greatest scores; of equal ones those with the lowest numbers. NaN and infinity are no scores.
pub(crate) struct Best {
    count: usize,
    worst_first: BinaryHeap<Reverse<Scored>>,
}

impl Best {
    pub(crate) fn new(count: usize) -> Result<Self> {
        Ok(Self { count, worst_first: try_with_capacity(count)?.into() })
    }

    #[inline]
    pub(crate) fn offer(&mut self, index: usize, score: f32) {
        // Minus zero would be less than zero.
        let new = Scored(score + 0.0, index);
        if !score.is_finite() {
        } else if self.worst_first.len() < self.count {
            self.worst_first.push(Reverse(new));
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && new > worst.0
        {
            *worst = Reverse(new);
        }
    }

    /// A score that is less than this changes nothing.
    #[inline]
    fn floor(&self) -> f32 {
        match self.worst_first.peek() {
            Some(worst) if self.worst_first.len() == self.count => worst.0.0,
            _ => f32::NEG_INFINITY,
        }
    }

    /// Numbers and scores, the best first.
    pub(crate) fn into_sorted(self) -> impl Iterator<Item = (usize, f32)> {
        self.worst_first.into_sorted_vec().into_iter().map(|Reverse(Scored(score, index))| (index, score))
    }
}

/// Offers `best` every row's inner product with `query` times its factor. Rows are numbered from `first`; those in
/// `without` are left out.
pub(crate) fn scan(
    isa: Isa,
    query: &[f32],
    rows: &[f32],
    factors: &[f32],
    first: usize,
    without: &[usize],
    best: &mut Best,
) {
    struct Scan<'a>(&'a [f32], &'a [f32], &'a [f32], usize, &'a [usize], &'a mut Best);
    impl Kernel for Scan<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Ops>(self, s: S) {
            let Self(query, rows, factors, first, without, best) = self;
            let dim = query.len();
            let mut floor = best.floor();
            let mut offer = |i: usize, dot: f32| {
                let score = dot * factors[i];
                if score >= floor && !without.contains(&(first + i)) {
                    best.offer(first + i, score);
                    floor = best.floor();
                }
            };
            let whole = factors.len() - factors.len() % ROWS;
            for i in (0..whole).step_by(ROWS) {
                let row = |r: usize| &rows[(i + r) * dim..][..dim];
                let dots = dots(s, query, [row(0), row(1), row(2), row(3)]);
                dots.into_iter().enumerate().for_each(|(r, dot)| offer(i + r, dot));
            }
            for i in whole..factors.len() {
                offer(i, dots(s, query, [&rows[i * dim..][..dim]])[0]);
            }
        }
    }
    assert_eq!(rows.len(), query.len() * factors.len());
    dispatch(isa, Scan(query, rows, factors, first, without, best));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::simd::Isa;

    fn normal(seed: u64, n: usize) -> Vec<f32> {
        let mut random = Random::new(seed, 0);
        (0..n).map(|_| random.normal() as f32).collect()
    }

    /// The documented order, one value after another.
    fn plain(a: &[f32], b: &[f32]) -> f32 {
        let mut chains = [0f32; CHAINS];
        for i in 0..a.len().next_multiple_of(CHAINS) {
            let at = |x: &[f32]| x.get(i).copied().unwrap_or(0.0);
            chains[i % CHAINS] = at(a).mul_add(at(b), chains[i % CHAINS]);
        }
        let eight: Vec<f32> = (0..8).map(|i| chains[i] + chains[i + 8]).collect();
        let four: Vec<f32> = (0..4).map(|i| eight[i] + eight[i + 4]).collect();
        (four[0] + four[2]) + (four[1] + four[3])
    }

    #[test]
    fn inner_products_have_the_documented_bits() {
        for len in (0..70).chain([100, 300, 301]) {
            let (a, b) = (normal(1, len), normal(2, len));
            let expected = plain(&a, &b);
            let exact: f64 = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let size: f64 = a.iter().zip(&b).map(|(&a, &b)| (f64::from(a) * f64::from(b)).abs()).sum();
            // A value passes through its chain's additions and four of the tree.
            let bound = (len.div_ceil(CHAINS) + 4) as f64 * f64::from(f32::EPSILON) * size;
            assert!((f64::from(expected) - exact).abs() <= bound, "{len}");
            for isa in Isa::available() {
                assert_eq!(dot(isa, &a, &b).to_bits(), expected.to_bits(), "{} {len}", isa.name());
            }
        }
    }

    #[test]
    fn the_best_rows_are_found() {
        for (count, dim) in [(1, 3), (5, 16), (103, 19), (64, 1)] {
            let (query, mut rows) = (normal(3, dim), normal(4, count * dim));
            let factors: Vec<f32> = (0..count).map(|i| 1.0 + (i % 3) as f32).collect();
            // Equal rows have equal scores.
            rows.copy_within(0..dim, (count - 1) * dim);
            let mut expected: Vec<(usize, f32)> = rows
                .chunks(dim)
                .zip(&factors)
                .enumerate()
                .map(|(i, (row, f))| (7 + i, plain(&query, row) * f))
                .filter(|(i, _)| *i != 9)
                .collect();
            expected.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
            for isa in Isa::available() {
                for k in [0, 1, 4, count, count + 5] {
                    let mut best = Best::new(k).unwrap();
                    scan(isa, &query, &rows, &factors, 7, &[9], &mut best);
                    let found: Vec<(usize, f32)> = best.into_sorted().collect();
                    assert_eq!(found, expected[..k.min(expected.len())], "{} {count} {k}", isa.name());
                }
            }
        }
    }

    #[test]
    fn no_score_is_none() {
        let mut best = Best::new(4).unwrap();
        for (i, score) in [f32::NAN, -0.0, 0.0, f32::INFINITY, f32::NEG_INFINITY].into_iter().enumerate() {
            best.offer(i, score);
        }
        assert_eq!(best.into_sorted().collect::<Vec<_>>(), [(1, 0.0), (2, 0.0)]);
    }
}
