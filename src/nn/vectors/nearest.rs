//! Neighbours by cosine, analogies and similarities.

use super::WordVectors;
use crate::buffer::{try_box, try_vec, try_with_capacity};
use crate::error::{Result, check_len, ensure};
use crate::kernel::nearest::{self, Best};
use crate::kernel::reduce::sum_of_squares;
use crate::parallel::{Pool, enter};
use crate::simd::Isa;
use std::sync::Mutex;

/// A word near a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The word's number.
    pub index: usize,
    /// The cosine between its vector and the query; 0 where one of them is zero or too short for one over its norm.
    pub similarity: f32,
}

/// Values worth a thread's while.
const FEWEST_VALUES: usize = 1 << 17;

/// Values of queries that one pass over the table compares: they stay in the second-level cache.
const MOST_QUERY_VALUES: usize = 1 << 17;

fn bests(several: usize, count: usize) -> Result<Vec<Best>> {
    let mut bests = try_with_capacity(several)?;
    for _ in 0..several {
        bests.push(Best::new(count)?);
    }
    Ok(bests)
}

/// One over the norm; 0 for a vector too short to have one.
fn inverse_norm(values: &[f32]) -> f32 {
    let inverse = (1.0 / sum_of_squares(values).sqrt()) as f32;
    if inverse.is_finite() { inverse } else { 0.0 }
}

impl WordVectors {
    /// One over each word's norm.
    fn inverse_norms(&self) -> Result<&[f32]> {
        if let Some(norms) = self.inverse_norms.get() {
            return Ok(norms);
        }
        let mut norms = try_with_capacity(self.len())?;
        norms.extend(self.values.chunks_exact(self.dim.max(1)).map(inverse_norm));
        Ok(self.inverse_norms.publish(try_box(norms)?))
    }

    /// The `count` words whose vectors have the greatest cosines with `query`, without those in `without`; the greatest
    /// first, equal ones in the table's order. A word whose inner product with the query is beyond f32's range is none of
    /// them. Work is spread over the pool, if there is one; no bit depends on that, nor on
    /// the instruction set.
    ///
    /// # Errors
    /// `ShapeMismatch` if `query` has not [`dim`](Self::dim) values; `InvalidArgument` if one is not finite; `InvalidState`
    /// if there are no words; `OutOfMemory`.
    pub fn nearest(
        &self,
        query: &[f32],
        count: usize,
        without: &[usize],
        pool: Option<&Pool>,
    ) -> Result<Vec<Neighbour>> {
        check_len("query", query.len(), self.dim)?;
        let mut found = self.nearest_batch(query, count, &[without], pool)?;
        Ok(found.pop().unwrap_or_default())
    }

    /// [`nearest`](Self::nearest) for several queries, one after another in `queries`, in fewer passes over the table: the
    /// same bits in less time. `without` is empty, or has the words that each query leaves out.
    ///
    /// # Errors
    /// As [`nearest`](Self::nearest); `ShapeMismatch` also if `without` has neither no list nor one for each query.
    pub fn nearest_batch(
        &self,
        queries: &[f32],
        count: usize,
        without: &[&[usize]],
        pool: Option<&Pool>,
    ) -> Result<Vec<Vec<Neighbour>>> {
        self.check_not_empty()?;
        ensure!(
            queries.len().is_multiple_of(self.dim),
            ShapeMismatch,
            "queries has {} values, expected a multiple of {}",
            queries.len(),
            self.dim
        );
        ensure!(queries.iter().all(|v| v.is_finite()), InvalidArgument, "the query has a value that is not finite");
        let several = queries.len() / self.dim;
        let nothing = try_vec(if without.is_empty() { several } else { 0 }, &[][..])?;
        let without = if without.is_empty() { &nothing } else { without };
        check_len("without", without.len(), several)?;
        let mut out = try_with_capacity(several)?;
        let at_once = (MOST_QUERY_VALUES / self.dim).max(1);
        for (queries, without) in queries.chunks(at_once * self.dim).zip(without.chunks(at_once)) {
            self.nearest_at_once(queries, count, without, pool, &mut out)?;
        }
        Ok(out)
    }

    /// One pass over the table.
    fn nearest_at_once(
        &self,
        queries: &[f32],
        count: usize,
        without: &[&[usize]],
        pool: Option<&Pool>,
        out: &mut Vec<Vec<Neighbour>>,
    ) -> Result<()> {
        let (norms, isa) = (self.inverse_norms()?, Isa::choose()?);
        let count = count.min(self.len());
        let all = Mutex::new(Ok(bests(without.len(), count)?));
        let scan = |range: std::ops::Range<usize>| {
            let parts = bests(without.len(), count.min(range.len())).and_then(|mut parts| {
                let values = &self.values[range.start * self.dim..range.end * self.dim];
                let norms = &norms[range.clone()];
                nearest::scan(isa, self.dim, queries, values, norms, range.start, without, &mut parts)?;
                Ok(parts)
            });
            let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&mut *all, parts) {
                (Ok(all), Ok(parts)) => all.iter_mut().zip(parts).for_each(|(all, part)| {
                    part.into_sorted().for_each(|(index, score)| all.offer(index, score));
                }),
                (all, Err(e)) => *all = Err(e),
                (Err(_), Ok(_)) => {}
            }
        };
        // Waking the pool is not free.
        let pool = pool.filter(|_| self.values.len().saturating_mul(without.len()) >= 2 * FEWEST_VALUES);
        let fewest = FEWEST_VALUES.div_ceil(queries.len().max(1));
        enter(pool, |team| team.split(0..self.len(), fewest, &scan));
        let all = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
        for (best, query) in all.into_iter().zip(queries.chunks_exact(self.dim)) {
            let (mut neighbours, scale) = (try_with_capacity(count)?, inverse_norm(query));
            let sorted = best.into_sorted();
            neighbours.extend(sorted.map(|(index, score)| Neighbour { index, similarity: score * scale }));
            out.push(neighbours);
        }
        Ok(())
    }

    /// The cosine between the vectors of two words, by number; 0 where one of them is zero or too short for one
    /// over its norm, or where their inner product is beyond f32's range.
    ///
    /// # Errors
    /// `InvalidArgument` for a number without a word; `OutOfMemory`.
    pub fn similarity(&self, a: usize, b: usize) -> Result<f32> {
        let (a, b) = (self.checked(a)?, self.checked(b)?);
        let similarity = nearest::dot(Isa::choose()?, a, b) * inverse_norm(b) * inverse_norm(a);
        Ok(if similarity.is_finite() { similarity } else { 0.0 })
    }

    /// The `count` words nearest to a sum of unit vectors: those of `plus` added, those of `minus` taken away; none of
    /// these words themselves. `analogy(&[king, woman], &[man], ..)` asks what is to woman as king is to man (Mikolov et
    /// al. 2013).
    ///
    /// # Errors
    /// `InvalidArgument` for a number without a word, or no number at all; `OutOfMemory`.
    pub fn analogy(
        &self,
        plus: &[usize],
        minus: &[usize],
        count: usize,
        pool: Option<&Pool>,
    ) -> Result<Vec<Neighbour>> {
        ensure!(!plus.is_empty() || !minus.is_empty(), InvalidArgument, "no words to add or take away");
        let mut query = try_vec(self.dim, 0f32)?;
        let mut without = try_with_capacity(plus.len() + minus.len())?;
        for (words, sign) in [(plus, 1.0), (minus, -1.0)] {
            for &word in words {
                let values = self.checked(word)?;
                let scale = sign * inverse_norm(values);
                query.iter_mut().zip(values).for_each(|(q, v)| *q += scale * v);
                without.push(word);
            }
        }
        self.nearest(&query, count, &without, pool)
    }

    fn checked(&self, index: usize) -> Result<&[f32]> {
        ensure!(index < self.len(), InvalidArgument, "word {index}, expected less than {}", self.len());
        Ok(&self.values[index * self.dim..][..self.dim])
    }
}
