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
/// Queries beside them, where the registers hold the chains of all pairs.
const QUERIES: usize = 4;
/// Values of rows that stay in the first-level cache while queries pass.
const BLOCK: usize = 1 << 12;
/// Values that are asked for ahead of a single query.
const AHEAD: usize = 1 << 10;

/// The inner products of `Q` queries with `R` rows.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "one number picks a vector of the sums, and of every row or query")]
fn dots<S: Ops, const Q: usize, const R: usize>(s: S, queries: [&[f32]; Q], rows: [&[f32]; R]) -> [[f32; R]; Q] {
    let len = queries[0].len();
    queries.iter().chain(&rows).for_each(|values| assert_eq!(values.len(), len));
    // `CHAINS / LANES` vectors a pair; the arrays are as long as the narrowest instruction set needs.
    let mut sums = [[[s.splat(0.0); CHAINS]; R]; Q];
    let whole = len - len % CHAINS;
    let mut i = 0;
    while i < whole {
        for lane in 0..CHAINS / S::LANES {
            let at = i + lane * S::LANES;
            // SAFETY: `at + LANES <= whole <= len`, the length of all slices.
            let row = rows.map(|row| unsafe { s.load(row.as_ptr().add(at)) });
            for q in 0..Q {
                // SAFETY: as above.
                let query = unsafe { s.load(queries[q].as_ptr().add(at)) };
                for r in 0..R {
                    sums[q][r][lane] = s.fma(query, row[r], sums[q][r][lane]);
                }
            }
        }
        if Q == 1 {
            rows.iter().for_each(|row| s.prefetch(row.as_ptr().wrapping_add(i + AHEAD)));
        }
        i += CHAINS;
    }
    if whole < len {
        for lane in 0..CHAINS / S::LANES {
            let at = (whole + lane * S::LANES).min(len);
            let n = (len - at).min(S::LANES);
            // SAFETY: `at + n <= len`, the length of all slices.
            let row = rows.map(|row| unsafe { s.load_first(row.as_ptr().add(at), n) });
            for q in 0..Q {
                // SAFETY: as above.
                let query = unsafe { s.load_first(queries[q].as_ptr().add(at), n) };
                for r in 0..R {
                    sums[q][r][lane] = s.fma(query, row[r], sums[q][r][lane]);
                }
            }
        }
    }
    let mut chains = [[[0f32; CHAINS]; R]; Q];
    for q in 0..Q {
        for r in 0..R {
            for lane in 0..CHAINS / S::LANES {
                // SAFETY: `(lane + 1) * LANES <= CHAINS`.
                unsafe { s.store(chains[q][r].as_mut_ptr().add(lane * S::LANES), sums[q][r][lane]) };
            }
        }
    }
    chains.map(|row| row.map(tree))
}

/// The sum of all chains: `i` and `i + 8`, `i + 4`, `i + 2`, `i + 1`.
#[inline(always)]
fn tree(chains: [f32; CHAINS]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| chains[i] + chains[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The inner product of two vectors of the same length.
pub(crate) fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    struct Dot<'a>(&'a [f32], &'a [f32]);
    impl Kernel for Dot<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Ops>(self, s: S) -> f32 {
            dots(s, [self.0], [self.1])[0][0]
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
    /// A score that is less changes nothing.
    floor: f32,
}

impl Best {
    pub(crate) fn new(count: usize) -> Result<Self> {
        Ok(Self { count, worst_first: try_with_capacity(count)?.into(), floor: f32::NEG_INFINITY })
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
        if let Some(worst) = self.worst_first.peek()
            && self.worst_first.len() == self.count
        {
            self.floor = worst.0.0;
        }
    }

    /// Numbers and scores, the best first.
    pub(crate) fn into_sorted(self) -> impl Iterator<Item = (usize, f32)> {
        self.worst_first.into_sorted_vec().into_iter().map(|Reverse(Scored(score, index))| (index, score))
    }
}

/// Offers `best[q]` every row's inner product with query `q` times the row's factor. Rows are numbered from `first`; those
/// in `without[q]` are left out. `queries` are one after another, of `dim` values each.
pub(crate) fn scan(
    isa: Isa,
    dim: usize,
    queries: &[f32],
    rows: &[f32],
    factors: &[f32],
    first: usize,
    without: &[&[usize]],
    best: &mut [Best],
) {
    assert_eq!((rows.len(), queries.len()), (dim * factors.len(), dim * best.len()));
    assert_eq!(without.len(), best.len());
    dispatch(isa, Scan { dim, queries, rows, factors, first, without, best });
}

struct Scan<'a> {
    dim: usize,
    queries: &'a [f32],
    rows: &'a [f32],
    factors: &'a [f32],
    first: usize,
    without: &'a [&'a [usize]],
    best: &'a mut [Best],
}

impl Kernel for Scan<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Ops>(mut self, s: S) {
        let (count, queries) = (self.factors.len(), self.best.len());
        let block = (BLOCK / self.dim.max(1) / ROWS * ROWS).max(ROWS);
        for start in (0..count).step_by(block) {
            let end = (start + block).min(count);
            let mut q = 0;
            // A vector of 16 lanes holds all chains of a pair, and there are 32 of them.
            while S::LANES == CHAINS && queries - q >= QUERIES {
                self.queries_by_rows::<S, QUERIES, ROWS>(s, q, start, end);
                q += QUERIES;
            }
            while S::LANES < CHAINS && queries - q >= 2 {
                self.queries_by_rows::<S, 2, 2>(s, q, start, end);
                q += 2;
            }
            while q < queries {
                self.queries_by_rows::<S, 1, ROWS>(s, q, start, end);
                q += 1;
            }
        }
    }
}

impl Scan<'_> {
    /// `Q` queries from `q` on with rows `start..end`, `R` at a time.
    #[inline(always)]
    fn queries_by_rows<S: Ops, const Q: usize, const R: usize>(&mut self, s: S, q: usize, start: usize, end: usize) {
        let mut i = start;
        while end - i >= R {
            self.tile::<S, Q, R>(s, q, i);
            i += R;
        }
        while i < end {
            self.tile::<S, Q, 1>(s, q, i);
            i += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Ops, const Q: usize, const R: usize>(&mut self, s: S, q: usize, i: usize) {
        let queries: [&[f32]; Q] = std::array::from_fn(|k| &self.queries[(q + k) * self.dim..][..self.dim]);
        let rows: [&[f32]; R] = std::array::from_fn(|k| &self.rows[(i + k) * self.dim..][..self.dim]);
        let dots = dots(s, queries, rows);
        for (q, dots) in (q..).zip(dots) {
            let best = &mut self.best[q];
            for (i, dot) in (i..).zip(dots) {
                let (score, row) = (dot * self.factors[i], self.first + i);
                if score >= best.floor && !self.without[q].contains(&row) {
                    best.offer(row, score);
                }
            }
        }
    }
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
            // Every remainder of the queries' groups.
            let (queries, mut rows) = (normal(3, 7 * dim), normal(4, count * dim));
            let factors: Vec<f32> = (0..count).map(|i| 1.0 + (i % 3) as f32).collect();
            // Equal rows have equal scores.
            rows.copy_within(0..dim, (count - 1) * dim);
            let expected: Vec<Vec<(usize, f32)>> = (0..7)
                .map(|q| {
                    let query = &queries[q * dim..][..dim];
                    let scored = rows.chunks(dim).zip(&factors).map(|(row, f)| plain(query, row) * f);
                    let mut all: Vec<(usize, f32)> = (7..).zip(scored).filter(|(i, _)| *i != 9 + q).collect();
                    all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
                    all
                })
                .collect();
            let without: Vec<[usize; 1]> = (0..7).map(|q| [9 + q]).collect();
            let without: Vec<&[usize]> = without.iter().map(|w| &w[..]).collect();
            for isa in Isa::available() {
                for (k, several) in [0, 1, 4, count, count + 5].into_iter().flat_map(|k| (0..8).map(move |n| (k, n))) {
                    let mut best: Vec<Best> = (0..several).map(|_| Best::new(k).unwrap()).collect();
                    let (queries, without) = (&queries[..several * dim], &without[..several]);
                    scan(isa, dim, queries, &rows, &factors, 7, without, &mut best);
                    for (best, expected) in best.into_iter().zip(&expected) {
                        let found: Vec<(usize, f32)> = best.into_sorted().collect();
                        assert_eq!(found, expected[..k.min(expected.len())], "{} {count} {k} {several}", isa.name());
                    }
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
