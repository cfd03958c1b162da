//! # Neighbours of words
//!
//! Cosines between word vectors: similar words, the words nearest to a vector or to many, analogies.

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::pool::{self, srnn_pool};
use super::vectors::srnn_vectors;
use crate::buffer::try_with_capacity;
use crate::error::{Result, check_len, ensure, product};
use crate::nn::vectors::Neighbour;

/// Writes the cosine between the vectors of words number `a` and `b` to `similarity`; 0 where one of them is zero.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a number without a word.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_similarity(
    vectors: *const srnn_vectors,
    a: usize,
    b: usize,
    similarity: *mut f32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (vectors, similarity) =
            unsafe { (&handle::shared("vectors", vectors)?.0, Arrays::new().out("similarity", similarity)?) };
        similarity.write(vectors.similarity(a, b)?);
        Ok(())
    })
}

/// Spreads the searches for neighbours over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may
/// be destroyed before the vectors. The number of threads changes no bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_set_pool(
    vectors: *mut srnn_vectors,
    pool: *const srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (vectors, pool) = unsafe { (handle::exclusive("vectors", vectors)?, pool::optional(pool)?) };
        vectors.1 = pool.cloned();
        Ok(())
    })
}

/// Where neighbours go: as many as there are places.
struct Places<'a> {
    indices: &'a mut [usize],
    similarities: &'a mut [f32],
    count: &'a mut std::mem::MaybeUninit<usize>,
}

impl<'a> Places<'a> {
    /// # Safety
    /// The arrays and the count are as the header asks.
    unsafe fn new(
        a: &mut Arrays,
        (indices, indices_len): (*mut usize, usize),
        (similarities, similarities_len): (*mut f32, usize),
        count: *mut usize,
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        unsafe {
            Ok(Self {
                indices: a.write("indices", indices, indices_len)?,
                similarities: a.write("similarities", similarities, similarities_len)?,
                count: a.out("count", count)?,
            })
        }
    }

    fn len(&self) -> Result<usize> {
        let (a, b) = (self.indices.len(), self.similarities.len());
        ensure!(a == b, ShapeMismatch, "similarities has room for {b} values, expected {a} as indices");
        Ok(a)
    }

    fn write(self, neighbours: &[Neighbour]) {
        put(neighbours, self.indices, self.similarities);
        self.count.write(neighbours.len());
    }
}

fn put(neighbours: &[Neighbour], indices: &mut [usize], similarities: &mut [f32]) {
    for ((index, similarity), neighbour) in indices.iter_mut().zip(similarities).zip(neighbours) {
        (*index, *similarity) = (neighbour.index, neighbour.similarity);
    }
}

/// Finds the words whose vectors have the greatest cosines with `query`, as many as `indices` has places, without those
/// whose numbers are in `without`. Writes their numbers and cosines, the greatest first, equal ones in the file's order,
/// and to `count` how many there are.
///
/// - query: (dim)
/// - indices, similarities: of one length
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a query that is not finite;
/// SRNN_ERROR_INVALID_STATE if there are no words; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_nearest(
    vectors: *const srnn_vectors,
    query: *const f32,
    query_len: usize,
    without: *const usize,
    without_len: usize,
    indices: *mut usize,
    indices_len: usize,
    similarities: *mut f32,
    similarities_len: usize,
    count: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vectors, query, without, places) = unsafe {
            let vectors = handle::shared("vectors", vectors)?;
            let query = a.read("query", query, query_len)?;
            let without = a.read("without", without, without_len)?;
            let places = Places::new(&mut a, (indices, indices_len), (similarities, similarities_len), count)?;
            (vectors, query, without, places)
        };
        let found = vectors.0.nearest(query, places.len()?, without, vectors.1.as_ref())?;
        places.write(&found);
        Ok(())
    })
}

/// srnn_vectors_nearest for `counts_len` queries, in fewer passes over the table: the same bits in less time. Each query
/// gets an equal part of `indices` and `similarities`, and a place of `counts`.
///
/// - queries: (counts_len, dim)
/// - without: a word's number for each query, which that query leaves out, SIZE_MAX for none; or NULL and 0
/// - indices, similarities: (counts_len, neighbours of each)
///
/// Errors: as srnn_vectors_nearest; SRNN_ERROR_SHAPE_MISMATCH also for an indices_len that is no multiple of counts_len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_nearest_batch(
    vectors: *const srnn_vectors,
    queries: *const f32,
    queries_len: usize,
    without: *const usize,
    without_len: usize,
    indices: *mut usize,
    indices_len: usize,
    similarities: *mut f32,
    similarities_len: usize,
    counts: *mut usize,
    counts_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vectors, queries, without, indices, similarities, counts) = unsafe {
            (
                handle::shared("vectors", vectors)?,
                a.read("queries", queries, queries_len)?,
                a.read("without", without, without_len)?,
                a.write("indices", indices, indices_len)?,
                a.write("similarities", similarities, similarities_len)?,
                a.write("counts", counts, counts_len)?,
            )
        };
        check_len("queries", queries.len(), product("queries", &[counts.len(), vectors.0.dim()])?)?;
        check_len("similarities", similarities.len(), indices.len())?;
        ensure!(
            indices.len().is_multiple_of(counts.len()),
            ShapeMismatch,
            "indices has room for {} neighbours, expected a multiple of {} queries",
            indices.len(),
            counts.len()
        );
        // No word has the number SIZE_MAX.
        let mut lists = try_with_capacity(without.len())?;
        lists.extend(without.iter().map(std::slice::from_ref));
        let each = indices.len().checked_div(counts.len()).unwrap_or(0);
        let found = vectors.0.nearest_batch(queries, each, &lists, vectors.1.as_ref())?;
        for (i, neighbours) in found.iter().enumerate() {
            put(neighbours, &mut indices[i * each..][..each], &mut similarities[i * each..][..each]);
            counts[i] = neighbours.len();
        }
        Ok(())
    })
}

/// Finds the words nearest to a sum of unit vectors: those of the words numbered in `plus` added, those in `minus` taken
/// away; none of these words themselves. With king and woman in `plus` and man in `minus` it asks what is to woman as king
/// is to man. Writes as srnn_vectors_nearest.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a number without a word, or no number at
/// all; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_analogy(
    vectors: *const srnn_vectors,
    plus: *const usize,
    plus_len: usize,
    minus: *const usize,
    minus_len: usize,
    indices: *mut usize,
    indices_len: usize,
    similarities: *mut f32,
    similarities_len: usize,
    count: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vectors, plus, minus, places) = unsafe {
            let vectors = handle::shared("vectors", vectors)?;
            let plus = a.read("plus", plus, plus_len)?;
            let minus = a.read("minus", minus, minus_len)?;
            let places = Places::new(&mut a, (indices, indices_len), (similarities, similarities_len), count)?;
            (vectors, plus, minus, places)
        };
        let found = vectors.0.analogy(plus, minus, places.len()?, vectors.1.as_ref())?;
        places.write(&found);
        Ok(())
    })
}
