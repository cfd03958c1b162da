//! Inner products of one vector with many rows, and the greatest of them.
//!
//! An inner product has 16 chains of fused multiply-adds, value `i` in chain `i % 16`, each from zero with `i` ascending
//! (the last block filled up with zeros), and then one pairwise tree: chains `i` and `i + 8`, `i + 4`, `i + 2`, `i + 1`. So
//! the bits are the same for every instruction set.

use crate::buffer::{AlignedBuf, try_with_capacity};
use crate::error::Result;
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

const CHAINS: usize = 16;
/// Rows that one query reads side by side, so that their chains hide each other's latency.
const ROWS: usize = 4;
/// Queries of a tile.
const QUERIES: usize = 4;
/// Room for a tile's pairs.
const PAIRS: usize = 16;
/// Values of rows that stay in the first-level cache while queries pass.
const BLOCK: usize = 1 << 12;
/// Values that are asked for ahead of a single query.
const AHEAD: usize = 1 << 10;

/// The inner products of one query with `R` rows, up to the tree over a vector's lanes.
#[inline(always)]
fn products<S: Ops, const R: usize>(s: S, query: &[f32], rows: [&[f32]; R]) -> [S::f32s; R] {
    let len = query.len();
    rows.iter().for_each(|values| assert_eq!(values.len(), len));
    // `CHAINS / LANES` vectors a row; the arrays are as long as the narrowest instruction set needs.
    let mut sums = [[s.splat(0.0); CHAINS]; R];
    let whole = len - len % CHAINS;
    let mut i = 0;
    while i < whole {
        for lane in 0..CHAINS / S::LANES {
            let at = i + lane * S::LANES;
            // SAFETY: `at + LANES <= whole <= len`, the length of all slices.
            let query = unsafe { s.load(query.as_ptr().add(at)) };
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                sums[lane] = s.fma(query, unsafe { s.load(row.as_ptr().add(at)) }, sums[lane]);
            }
        }
        rows.iter().for_each(|row| s.prefetch(row.as_ptr().wrapping_add(i + AHEAD)));
        i += CHAINS;
    }
    if whole < len {
        for lane in 0..CHAINS / S::LANES {
            let at = (whole + lane * S::LANES).min(len);
            let n = (len - at).min(S::LANES);
            // SAFETY: `at + n <= len`, the length of all slices.
            let query = unsafe { s.load_first(query.as_ptr().add(at), n) };
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                sums[lane] = s.fma(query, unsafe { s.load_first(row.as_ptr().add(at), n) }, sums[lane]);
            }
        }
    }
    let mut products = [s.splat(0.0); R];
    for r in 0..R {
        products[r] = fold(s, sums[r]);
    }
    products
}

/// Adds chains `i` and `i + 8`, ..., until one vector is left.
#[inline(always)]
fn fold<S: Ops>(s: S, mut sums: [S::f32s; CHAINS]) -> S::f32s {
    let mut n = CHAINS / S::LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            sums[i] = s.add(sums[i], sums[i + n]);
        }
    }
    sums[0]
}

/// The inner products of [`QUERIES`] queries with `R` rows, up to the tree over a vector's lanes, query by query. Both are
/// packed: 16 values of each, then the next 16.
#[inline(always)]
fn tile<S: Ops, const R: usize>(s: S, queries: &[f32], rows: &[f32]) -> [S::f32s; PAIRS] {
    // As `fold` does.
    match CHAINS / S::LANES {
        1 => chains::<S, R>(s, queries, rows, 0),
        2 => add(s, chains::<S, R>(s, queries, rows, 0), chains::<S, R>(s, queries, rows, 1)),
        4 => {
            let even = add(s, chains::<S, R>(s, queries, rows, 0), chains::<S, R>(s, queries, rows, 2));
            add(s, even, add(s, chains::<S, R>(s, queries, rows, 1), chains::<S, R>(s, queries, rows, 3)))
        }
        _ => unreachable!("there are no tiles without vectors"),
    }
}

#[inline(always)]
fn add<S: Ops>(s: S, mut a: [S::f32s; PAIRS], b: [S::f32s; PAIRS]) -> [S::f32s; PAIRS] {
    for i in 0..PAIRS {
        a[i] = s.add(a[i], b[i]);
    }
    a
}

/// Vector number `part` of the chains of each of a tile's pairs: one vector a pair at a time, so that registers hold all.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "one number picks a vector of the sums, and of a row or query")]
fn chains<S: Ops, const R: usize>(s: S, queries: &[f32], rows: &[f32], part: usize) -> [S::f32s; PAIRS] {
    const { assert!(QUERIES * R <= PAIRS) };
    let steps = rows.len() / (R * CHAINS);
    assert!(queries.len() >= steps * QUERIES * CHAINS && (part + 1) * S::LANES <= CHAINS);
    let mut sums = [s.splat(0.0); PAIRS];
    for step in 0..steps {
        let mut row = [s.splat(0.0); R];
        for r in 0..R {
            // SAFETY: `steps` times 16 values of each row are there.
            row[r] = unsafe { s.load(rows.as_ptr().add((step * R + r) * CHAINS + part * S::LANES)) };
        }
        for q in 0..QUERIES {
            // SAFETY: as many of each query.
            let query = unsafe { s.load(queries.as_ptr().add((step * QUERIES + q) * CHAINS + part * S::LANES)) };
            for r in 0..R {
                sums[q * R + r] = s.fma(query, row[r], sums[q * R + r]);
            }
        }
    }
    sums
}

/// The inner product of two vectors of the same length.
pub(crate) fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    struct Dot<'a>(&'a [f32], &'a [f32]);
    impl Kernel for Dot<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Ops>(self, s: S) -> f32 {
            let mut all = [s.splat(0.0); 16];
            all[0] = products(s, self.0, [self.1])[0];
            let mut sums = [0f32; 16];
            // SAFETY: `LANES <= 16`.
            unsafe { s.store(sums.as_mut_ptr(), s.sum_lanes(&all)) };
            sums[0]
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
        let floor = if count == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Ok(Self { count, worst_first: try_with_capacity(count)?.into(), floor })
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
///
/// # Errors
/// `OutOfMemory`.
pub(crate) fn scan(
    isa: Isa,
    dim: usize,
    queries: &[f32],
    rows: &[f32],
    factors: &[f32],
    first: usize,
    without: &[&[usize]],
    best: &mut [Best],
) -> Result<()> {
    assert_eq!((rows.len(), queries.len()), (dim * factors.len(), dim * best.len()));
    assert_eq!(without.len(), best.len());
    dispatch(isa, Scan { dim, queries, rows, factors, first, without, best })
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
    type Output = Result<()>;
    #[inline(always)]
    fn run<S: Ops>(mut self, s: S) -> Result<()> {
        // Few queries wait for memory, and without vectors copies bring nothing. 32 registers hold the sums of 16 pairs, 16
        // those of 12.
        if self.best.len() < QUERIES || S::LANES == 1 {
            self.one_by_one(s);
            Ok(())
        } else if S::REGISTERS >= 32 {
            self.tiles::<S, 4>(s)
        } else {
            self.tiles::<S, 3>(s)
        }
    }
}

impl Scan<'_> {
    /// Each query with rows where they lie.
    #[inline(always)]
    fn one_by_one<S: Ops>(&mut self, s: S) {
        let count = self.factors.len();
        let block = (BLOCK / self.dim.max(1)).next_multiple_of(CHAINS);
        for start in (0..count).step_by(block) {
            let end = (start + block).min(count);
            for q in 0..self.best.len() {
                for i in (start..end).step_by(S::LANES) {
                    self.one(s, q, i, (end - i).min(S::LANES));
                }
            }
        }
    }

    /// Query `q` with `n` rows from `i` on, at most a vector of them.
    #[inline(always)]
    fn one<S: Ops>(&mut self, s: S, q: usize, i: usize, n: usize) {
        let (rows, dim) = (self.rows, self.dim);
        let row = |r: usize| &rows[(i + r) * dim..][..dim];
        let query = &self.queries[q * dim..][..dim];
        let mut all = [s.splat(0.0); 16];
        let mut r = 0;
        while n - r >= ROWS {
            all[r..r + ROWS].copy_from_slice(&products::<S, ROWS>(s, query, std::array::from_fn(|k| row(r + k))));
            r += ROWS;
        }
        while r < n {
            all[r] = products(s, query, [row(r)])[0];
            r += 1;
        }
        // SAFETY: there are `n` factors from `i` on.
        let factors = unsafe { s.load_first(self.factors[i..i + n].as_ptr(), n) };
        let scores = s.mul(s.sum_lanes(&all), factors);
        if s.any(s.le(s.splat(self.best[q].floor), scores)) {
            let mut lanes = [0f32; 16];
            // SAFETY: `LANES <= 16`.
            unsafe { s.store(lanes.as_mut_ptr(), scores) };
            lanes[..n].iter().zip(i..).for_each(|(&score, i)| self.offer(q, i, score));
        }
    }

    /// Tiles of [`QUERIES`] queries and `R` rows, both copied: reads are aligned and in order then.
    #[inline(always)]
    fn tiles<S: Ops, const R: usize>(&mut self, s: S) -> Result<()> {
        let (count, dim) = (self.factors.len(), self.dim);
        let (groups, packed) = (self.best.len().div_ceil(QUERIES), dim.next_multiple_of(CHAINS));
        let block = (BLOCK / packed.max(1) / R * R).max(R);
        let mut scratch =
            AlignedBuf::<f32>::zeroed((groups * QUERIES + block) * packed + (groups + block / R) * PAIRS)?;
        let (queries, scratch) = scratch.split_at_mut(groups * QUERIES * packed);
        let (rows, scratch) = scratch.split_at_mut(block * packed);
        let (floors, factors) = scratch.split_at_mut(groups * PAIRS);
        pack::<S, QUERIES>(s, dim, self.queries, queries);
        (0..groups).for_each(|group| self.floors::<R>(group, &mut floors[group * PAIRS..][..PAIRS]));
        // Lines of the next block that are asked for before each group of queries.
        let share = (block * dim).div_ceil(groups).div_ceil(CHAINS);
        for start in (0..count).step_by(block) {
            let n = block.min(count - start);
            pack::<S, R>(s, dim, &self.rows[start * dim..][..n * dim], rows);
            // A row that is not there gets no score.
            let factor = |r: usize| if r < n { self.factors[start + r] } else { f32::NAN };
            for (i, factors) in factors.chunks_exact_mut(PAIRS).enumerate() {
                factors.iter_mut().enumerate().for_each(|(pair, to)| *to = factor(i * R + pair % R));
            }
            let next = self.rows.as_ptr().wrapping_add((start + block) * dim);
            for group in 0..groups {
                (group * share..(group + 1) * share).for_each(|line| s.prefetch(next.wrapping_add(line * CHAINS)));
                let queries = &queries[group * QUERIES * packed..][..QUERIES * packed];
                let floors = &mut floors[group * PAIRS..][..PAIRS];
                for (i, factors) in factors.chunks_exact(PAIRS).enumerate().take(n.div_ceil(R)) {
                    let products = tile::<S, R>(s, queries, &rows[i * R * packed..][..R * packed]);
                    self.offer_tile::<S, R>(s, group, start + i * R, &products, factors, floors);
                }
            }
        }
        Ok(())
    }

    /// The floor of each pair's query; no score reaches that of a query that is not there.
    fn floors<const R: usize>(&self, group: usize, floors: &mut [f32]) {
        for (pair, floor) in floors.iter_mut().enumerate() {
            let best = self.best.get(group * QUERIES + pair / R).filter(|_| pair < QUERIES * R);
            *floor = best.map_or(f32::INFINITY, |best| best.floor);
        }
    }

    /// Offers what a tile of the group's queries and the rows from `start` on found.
    #[inline(always)]
    fn offer_tile<S: Ops, const R: usize>(
        &mut self,
        s: S,
        group: usize,
        start: usize,
        products: &[S::f32s; PAIRS],
        factors: &[f32],
        floors: &mut [f32],
    ) {
        assert!(factors.len() == PAIRS && floors.len() == PAIRS);
        let mut scores = [0f32; PAIRS];
        let mut any = false;
        for first in (0..QUERIES * R).step_by(S::LANES) {
            let mut all = [s.splat(0.0); 16];
            all[..S::LANES].copy_from_slice(&products[first..first + S::LANES]);
            // SAFETY: `first + LANES <= PAIRS`, the length of all three.
            unsafe {
                let found = s.mul(s.sum_lanes(&all), s.load(factors.as_ptr().add(first)));
                any |= s.any(s.le(s.load(floors.as_ptr().add(first)), found));
                s.store(scores.as_mut_ptr().add(first), found);
            }
        }
        if any {
            self.offer_pairs::<R>(group, start, &scores, floors);
        }
    }

    #[cold]
    #[inline(never)]
    fn offer_pairs<const R: usize>(&mut self, group: usize, start: usize, scores: &[f32; PAIRS], floors: &mut [f32]) {
        for pair in 0..QUERIES * R {
            if scores[pair] >= floors[pair] {
                self.offer(group * QUERIES + pair / R, start + pair % R, scores[pair]);
            }
        }
        self.floors::<R>(group, floors);
    }

    /// Row `i` of those here.
    #[inline]
    fn offer(&mut self, q: usize, i: usize, score: f32) {
        let row = self.first + i;
        if score >= self.best[q].floor && !self.without[q].contains(&row) {
            self.best[q].offer(row, score);
        }
    }
}

/// Copies rows of `dim` values in groups of `R`: 16 values of each, zeros behind the last, then the next 16.
#[inline(always)]
fn pack<S: Ops, const R: usize>(s: S, dim: usize, from: &[f32], to: &mut [f32]) {
    let steps = dim.div_ceil(CHAINS);
    for (i, row) in from.chunks_exact(dim).enumerate() {
        let to = &mut to[i / R * R * steps * CHAINS..][..R * steps * CHAINS];
        for at in (0..steps * CHAINS).step_by(S::LANES) {
            let n = S::LANES.min(dim.saturating_sub(at));
            let place = (at / CHAINS * R + i % R) * CHAINS + at % CHAINS;
            // SAFETY: `min(at, dim) + n <= dim`, and `place + LANES <= R * steps * CHAINS`: a vector never crosses 16 values.
            unsafe {
                let from = row.as_ptr().add(at.min(dim));
                s.store(to.as_mut_ptr().add(place), if n == S::LANES { s.load(from) } else { s.load_first(from, n) });
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
        for (count, dim) in [(1, 3), (5, 16), (103, 19), (64, 1), (301, 20)] {
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
                    scan(isa, dim, queries, &rows, &factors, 7, without, &mut best).unwrap();
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
