//! # Labelled texts
//!
//! Files with a line "label TAB text" for each example, in UTF-8.

use super::args::{self, Arrays};
use super::error::{srnn_error, srnn_status};
use super::vocab::srnn_vocab;
use super::{call, handle};
use crate::error::{Result, ensure, err};
use crate::text::{Batches, Dataset, LabelMode, Tokenizer};
use std::ffi::c_char;

/// How a line's label field is read.
#[repr(C)]
pub enum srnn_label_mode {
    /// One label, whatever it contains.
    SRNN_LABEL_MODE_SINGLE = 0,
    /// One or more different labels, separated by commas.
    SRNN_LABEL_MODE_MULTI = 1,
}

pub(super) fn label_mode(number: i32) -> Result<LabelMode> {
    match number {
        n if n == srnn_label_mode::SRNN_LABEL_MODE_SINGLE as i32 => Ok(LabelMode::Single),
        n if n == srnn_label_mode::SRNN_LABEL_MODE_MULTI as i32 => Ok(LabelMode::Multi),
        n => Err(err!(InvalidArgument, "unknown label mode {n}, expected 0 (single) or 1 (multi)")),
    }
}

/// Labelled texts as numbers.
pub struct srnn_dataset(pub(super) Dataset);

/// A dataset's examples in batches of texts of similar length.
pub struct srnn_batches(Batches);

/// Reads a training file and builds the labels (in byte order) and the vocabulary from it: the words seen at least
/// `min_count` times, the most frequent first, at most `max_size` with the two special ones. Tokens are in lower case if
/// `lowercase` is 1; a classifier for these data must say the same. The caller destroys both.
///
/// - mode: an srnn_label_mode
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA, with the line's number, for a line without a tab, a label or a token,
/// with a repeated label, or that is not UTF-8, and for fewer than two labels; SRNN_ERROR_INVALID_ARGUMENT for an unknown
/// mode, another `lowercase`, or max_size below 2; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_read_train(
    path: *const c_char,
    mode: i32,
    lowercase: i32,
    min_count: u64,
    max_size: usize,
    dataset: *mut *mut srnn_dataset,
    vocab: *mut *mut srnn_vocab,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (path, dataset, vocab) =
            unsafe { (a.path("path", path)?, a.out("dataset", dataset)?, a.out("vocab", vocab)?) };
        let tokenizer = Tokenizer { lowercase: args::flag("lowercase", lowercase)? };
        let (data, words) = Dataset::train(path, &tokenizer, label_mode(mode)?, min_count, max_size)?;
        let data = handle::create(srnn_dataset(data))?;
        let words = handle::create(srnn_vocab(words)).inspect_err(|_| {
            // SAFETY: made above, and known to nobody.
            unsafe { handle::destroy(data) }
        })?;
        dataset.write(data);
        vocab.write(words);
        Ok(())
    })
}

/// Destroys a dataset. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_destroy(dataset: *mut srnn_dataset) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(dataset) }
}

/// Number of examples; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_size(dataset: *const srnn_dataset) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(dataset, 0, |d| d.0.len()) }
}

fn example(dataset: &Dataset, index: usize) -> Result<usize> {
    ensure!(index < dataset.len(), InvalidArgument, "example {index}, expected less than {}", dataset.len());
    Ok(index)
}

/// Writes where the word numbers of example `index` lie: memory of `dataset`, until it is destroyed.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an example that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_tokens(
    dataset: *const srnn_dataset,
    index: usize,
    tokens: *mut *const u32,
    tokens_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (dataset, tokens, len) = unsafe {
            (handle::shared("dataset", dataset)?, a.out("tokens", tokens)?, a.out("tokens_len", tokens_len)?)
        };
        let found = dataset.0.tokens(example(&dataset.0, index)?);
        tokens.write(found.as_ptr());
        len.write(found.len());
        Ok(())
    })
}

/// Writes where the classes of example `index` lie, ascending: memory of `dataset`, until it is destroyed.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an example that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_targets(
    dataset: *const srnn_dataset,
    index: usize,
    targets: *mut *const u32,
    targets_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (dataset, targets, len) = unsafe {
            (handle::shared("dataset", dataset)?, a.out("targets", targets)?, a.out("targets_len", targets_len)?)
        };
        let found = dataset.0.targets(example(&dataset.0, index)?);
        targets.write(found.as_ptr());
        len.write(found.len());
        Ok(())
    })
}

/// Creates the batches of one training epoch: shuffled, texts of similar length together, the same on every machine for
/// the same data, size, seed and epoch. They do not keep `dataset`. The caller destroys them.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for batch_size 0; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_batches_create(
    dataset: *const srnn_dataset,
    batch_size: usize,
    seed: u64,
    epoch: u32,
    batches: *mut *mut srnn_batches,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (dataset, batches) =
            unsafe { (&handle::shared("dataset", dataset)?.0, Arrays::new().out("batches", batches)?) };
        let lengths = (0..dataset.len()).map(|i| dataset.token_count(i));
        let new = Batches::shuffled(lengths, batch_size, seed, epoch)?;
        batches.write(handle::create(srnn_batches(new))?);
        Ok(())
    })
}

/// Destroys batches. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_batches_destroy(batches: *mut srnn_batches) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(batches) }
}

/// Number of batches; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_batches_count(batches: *const srnn_batches) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(batches, 0, |b| b.0.len()) }
}

/// Writes where the examples of batch `index` lie: memory of `batches`, until they are destroyed.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a batch that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_batches_get(
    batches: *const srnn_batches,
    index: usize,
    examples: *mut *const u32,
    examples_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (batches, examples, len) = unsafe {
            (handle::shared("batches", batches)?, a.out("examples", examples)?, a.out("examples_len", examples_len)?)
        };
        let found = batches.0.iter().nth(index);
        let count = batches.0.len();
        let found = found.ok_or_else(|| err!(InvalidArgument, "batch {index}, expected less than {count}"))?;
        examples.write(found.as_ptr());
        len.write(found.len());
        Ok(())
    })
}
