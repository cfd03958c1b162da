//! # Embeddings from word vectors
//!
//! An embedding for a vocabulary, or a classifier's, from a file of word vectors, and what was found of the vocabulary.

use super::args::{self, Arrays};
use super::call;
use super::classifier::srnn_classifier;
use super::dataset::srnn_dataset;
use super::embedding::srnn_embedding;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::structs;
use super::vectors::{one_of, srnn_vectors_options};
use super::vocab::srnn_vocab;
use crate::error::{Result, check_len};
use crate::nn::vectors::{Coverage, Match, WordVectors};
use std::ffi::c_char;

/// Where a word's vector comes from, in the order of trying.
#[repr(C)]
pub enum srnn_match {
    /// The same word.
    SRNN_MATCH_EXACT = 0,
    /// Its lower case.
    SRNN_MATCH_LOWER = 1,
    /// A word that equals it but for case; only with fold_case.
    SRNN_MATCH_FOLDED = 2,
    /// Its subwords.
    SRNN_MATCH_SUBWORDS = 3,
    /// Nothing was found.
    SRNN_MATCH_MISSING = 4,
    /// It is the padding.
    SRNN_MATCH_PADDING = 5,
}

const MATCHES: [Match; 6] =
    [Match::Exact, Match::Lower, Match::Folded, Match::Subwords, Match::Missing, Match::Padding];

const _: () = {
    assert!(srnn_match::SRNN_MATCH_EXACT as i32 == Match::Exact as i32);
    assert!(srnn_match::SRNN_MATCH_LOWER as i32 == Match::Lower as i32);
    assert!(srnn_match::SRNN_MATCH_FOLDED as i32 == Match::Folded as i32);
    assert!(srnn_match::SRNN_MATCH_SUBWORDS as i32 == Match::Subwords as i32);
    assert!(srnn_match::SRNN_MATCH_MISSING as i32 == Match::Missing as i32);
    assert!(srnn_match::SRNN_MATCH_PADDING as i32 == Match::Padding as i32);
};

/// What was found of a vocabulary.
pub struct srnn_coverage(Coverage);

/// Makes an embedding of the vectors that the words of `vocab` have in a file, row by row; only those are kept while
/// reading. For each word: itself, else its lower case, else (options.fold_case) a word that equals it but for case, else
/// its subwords, else options.unknown. Row 0 is the padding and zero. The caller destroys the embedding and the coverage.
///
/// - counts: how often each word occurs, srnn_vocab_word_count of them, for the coverage; or NULL and 0
/// - options: NULL for the defaults
/// - coverage: what was found; may be NULL
///
/// Errors: as srnn_vectors_open; SRNN_ERROR_SHAPE_MISMATCH for the number of counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_open_vectors(
    path: *const c_char,
    vocab: *const srnn_vocab,
    counts: *const u64,
    counts_len: usize,
    options: *const srnn_vectors_options,
    embedding: *mut *mut srnn_embedding,
    coverage: *mut *mut srnn_coverage,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (path, vocab, counts, options, embedding) = unsafe {
            let counts = a.read_optional("counts", counts, counts_len)?;
            let vocab = &handle::shared("vocab", vocab)?.0;
            let options = structs::read_optional(options)?;
            (a.path("path", path)?, vocab, counts, options, a.out("embedding", embedding)?)
        };
        let words = vocab.words()?;
        if let Some(counts) = counts {
            check_len("counts", counts.len(), words.len())?;
        }
        // SAFETY: the header's contract.
        let read = unsafe { options.read(&mut a) }?;
        let (fill, frozen) = (options.fill()?, args::flag("frozen", options.frozen)?);
        // SAFETY: the header's contract.
        unsafe {
            report(&mut a, coverage, || {
                let vectors = WordVectors::open_for(path, &words, &read)?;
                let (mut table, found) = vectors.embedding(&words, counts, &fill)?;
                table.set_frozen(frozen);
                embedding.write(handle::create(srnn_embedding(table))?);
                Ok(found)
            })
        }
    })
}

/// Gives what `work` found to the caller, if it is wanted. The memory comes first, so that nothing fails after `work`.
///
/// # Safety
/// `coverage` is NULL or has room for a pointer.
unsafe fn report(
    a: &mut Arrays,
    coverage: *mut *mut srnn_coverage,
    work: impl FnOnce() -> Result<Coverage>,
) -> Result<()> {
    if coverage.is_null() {
        return work().map(drop);
    }
    // SAFETY: the caller's promise.
    let place = unsafe { a.out("coverage", coverage) }?;
    let report = handle::create(srnn_coverage(Coverage::default()))?;
    // SAFETY: a fresh handle that is the caller's or, after an error, nobody's.
    unsafe {
        (*report).0 = work().inspect_err(|_| handle::destroy(report))?;
    }
    place.write(report);
    Ok(())
}

/// Replaces a classifier's token table with the vectors that its words have in a file, as srnn_embedding_open_vectors, and
/// freezes it or sets it free as options.frozen says.
///
/// - dataset: where words are counted for the coverage; may be NULL
/// - options: NULL for the defaults
/// - coverage: what was found; may be NULL. The caller destroys it.
///
/// Errors: as srnn_vectors_open; SRNN_ERROR_SHAPE_MISMATCH for vectors of other than the classifier's embedding_dim values,
/// and for an options.dim that is neither that nor 0; SRNN_ERROR_INVALID_ARGUMENT for a dataset with word numbers beyond the
/// classifier's vocabulary.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_load_vectors(
    classifier: *mut srnn_classifier,
    path: *const c_char,
    dataset: *const srnn_dataset,
    options: *const srnn_vectors_options,
    coverage: *mut *mut srnn_coverage,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (classifier, path, dataset, options) = unsafe {
            let dataset = handle::shared_optional("dataset", dataset)?.map(|dataset| &dataset.0);
            let classifier = &mut handle::exclusive("classifier", classifier)?.0;
            (classifier, a.path("path", path)?, dataset, structs::read_optional(options)?)
        };
        let counts = dataset.map(|d| d.word_counts(classifier.vocab().len())).transpose()?;
        // SAFETY: the header's contract.
        let read = unsafe { options.read(&mut a) }?;
        let (fill, frozen) = (options.fill()?, args::flag("frozen", options.frozen)?);
        // SAFETY: the header's contract.
        unsafe {
            report(&mut a, coverage, || {
                let found = classifier.load_embeddings(path, &read, counts.as_deref(), &fill)?;
                classifier.embedding_mut().set_frozen(frozen);
                Ok(found)
            })
        }
    })
}

/// Freezes a classifier's token table (1), so that training leaves it as it is, or sets it free (0): for all of a training
/// or for its first epochs.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for another number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_set_embeddings_frozen(
    classifier: *mut srnn_classifier,
    frozen: i32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let classifier = unsafe { handle::exclusive("classifier", classifier) }?;
        classifier.0.embedding_mut().set_frozen(args::flag("frozen", frozen)?);
        Ok(())
    })
}

/// Destroys a coverage. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_coverage_destroy(coverage: *mut srnn_coverage) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(coverage) }
}

/// Words of the vocabulary with that srnn_match; 0 for NULL or another number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_coverage_word_count(coverage: *const srnn_coverage, kind: i32) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(coverage, 0, |c| one_of("kind", kind, &MATCHES).map_or(0, |kind| c.0.words(kind))) }
}

/// Occurrences of words with that srnn_match; 0 for NULL or another number, and where nothing was counted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_coverage_token_count(coverage: *const srnn_coverage, kind: i32) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(coverage, 0, |c| one_of("kind", kind, &MATCHES).map_or(0, |kind| c.0.tokens(kind))) }
}

/// Rows of the file that were left out since they cannot be used; see srnn_vectors_options.skip_bad_rows. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_coverage_skipped_row_count(coverage: *const srnn_coverage) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(coverage, 0, |c| c.0.skipped_rows()) }
}

/// Copies the numbers, in the vocabulary, of words without a vector to `ids`: as many as it has places, the most frequent
/// first; and to `count` how many there are in all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_coverage_missing(
    coverage: *const srnn_coverage,
    ids: *mut u32,
    ids_len: usize,
    count: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (coverage, ids, count) = unsafe {
            let ids = a.write("ids", ids, ids_len)?;
            (&handle::shared("coverage", coverage)?.0, ids, a.out("count", count)?)
        };
        let missing = coverage.missing()?;
        ids.iter_mut().zip(&missing).for_each(|(id, &place)| *id = place as u32);
        count.write(missing.len());
        Ok(())
    })
}
