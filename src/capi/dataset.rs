//! # Labelled texts
//!
//! Files with a line for each example, in UTF-8: "label TAB text", or whatever columns there are.

use super::args::{self, Arrays};
use super::error::{srnn_error, srnn_status};
use super::structs::{self, Growing};
use super::vocab::{srnn_vocab, tokenizer};
use super::{call, handle};
use crate::buffer::try_string;
use crate::error::{Result, check_len, ensure, err};
use crate::text::{Batches, Column, Dataset, DatasetOptions, LabelMode, VocabOptions};
use std::ffi::c_char;
use std::ptr;

/// How a line's label field is read.
#[repr(C)]
pub enum srnn_label_mode {
    /// One label, whatever it contains.
    SRNN_LABEL_MODE_SINGLE = 0,
    /// One or more different labels, separated by commas.
    SRNN_LABEL_MODE_MULTI = 1,
}

const _: () = {
    assert!(srnn_label_mode::SRNN_LABEL_MODE_SINGLE as i32 == LabelMode::Single as i32);
    assert!(srnn_label_mode::SRNN_LABEL_MODE_MULTI as i32 == LabelMode::Multi as i32);
};

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

/// How a file of labelled texts is read. Fill it in with srnn_dataset_options_init, then change fields: the defaults are
/// lines of "label TAB text", one label each, without a header.
///
/// The file is UTF-8; LF or CR LF ends a line and may be missing after the last; a byte order mark and lines with nothing
/// but spaces are skipped; spaces around a label do not count. Every line has as many columns as the first one, except that
/// without `quotes` a text in the last column may have delimiters in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_dataset_options {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// An srnn_label_mode. Default SRNN_LABEL_MODE_SINGLE.
    pub mode: i32,
    /// The character between two columns, in ASCII: a tab, a comma, a semicolon. Default a tab, 9.
    pub delimiter: i32,
    /// 1 if columns may stand in double quotes (RFC 4180), and then have delimiters, line ends and doubled quotes in them; 0
    /// if a quote is a character as any other. Default 0.
    pub quotes: i32,
    /// 1 if the first line has the columns' names. Default 0.
    pub header: i32,
    /// 1 if lines that cannot be used are left out and counted instead of being an error: another number of columns, an
    /// empty label, one that comes twice, one that is not among those of training, no token in the text, a NUL, or bytes
    /// that are not UTF-8. Default 0.
    pub skip_bad_lines: i32,
    /// The label's column, from 0, where label_name is NULL. Default 0.
    pub label_column: u64,
    /// The text's column, from 0, where text_name is NULL. Default 1.
    pub text_column: u64,
    /// The label's column by its name in the header, in UTF-8, or NULL. Default NULL.
    pub label_name: *const c_char,
    /// The text's column by its name in the header, in UTF-8, or NULL. Default NULL.
    pub text_name: *const c_char,
    /// Tokens of a text that are kept, from its start on; 0 for all. Default 0.
    pub max_tokens: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: numbers and pointers without padding (asserted below), the size first.
unsafe impl Growing for srnn_dataset_options {
    const NAME: &'static str = "srnn_dataset_options";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            mode: 0,
            delimiter: b'\t'.into(),
            quotes: 0,
            header: 0,
            skip_bad_lines: 0,
            label_column: 0,
            text_column: 1,
            label_name: ptr::null(),
            text_name: ptr::null(),
            max_tokens: 0,
            reserved: [0; 4],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 4]
    }
}

const _: () = assert!(size_of::<srnn_dataset_options>() == 24 + 2 * 8 + 2 * size_of::<usize>() + 8 + 32);

impl srnn_dataset_options {
    /// # Safety
    /// Names are NULL or as for [`Arrays::text`].
    pub(super) unsafe fn to_rust(self, a: &mut Arrays) -> Result<DatasetOptions> {
        let mut column = |what: &'static str, column: &'static str, place: u64, name: *const c_char| {
            if name.is_null() {
                return Ok(Column::Index(args::size(what, place)?));
            }
            // SAFETY: the caller's promise.
            Ok(Column::Name(try_string(unsafe { a.text(column, name) }?)?))
        };
        let delimiter = u8::try_from(self.delimiter);
        Ok(DatasetOptions {
            mode: label_mode(self.mode)?,
            delimiter: delimiter
                .map_err(|_| err!(InvalidArgument, "delimiter is {}, expected an ASCII character", self.delimiter))?,
            quotes: args::flag("quotes", self.quotes)?,
            header: args::flag("header", self.header)?,
            label: column("label_column", "label_name", self.label_column, self.label_name)?,
            text: column("text_column", "text_name", self.text_column, self.text_name)?,
            skip_bad_lines: args::flag("skip_bad_lines", self.skip_bad_lines)?,
            max_tokens: Some(args::size("max_tokens", self.max_tokens)?).filter(|&n| n > 0),
        })
    }
}

/// Fills in `options` with defaults. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_options_init(options: *mut srnn_dataset_options) {
    // SAFETY: the header's contract.
    unsafe { structs::init(options, srnn_dataset_options::defaults()) }
}

/// How a vocabulary is made of the texts of a training file. Fill it in with srnn_vocab_options_init, then change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_vocab_options {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// 1 if texts are put in lower case, from now on and for ever: the vocabulary keeps it. Default 1.
    pub lowercase: i32,
    /// 1 if texts are brought to Unicode's form NFC, also for ever. Default 0.
    pub nfc: i32,
    /// Zero.
    pub reserved_flag: i32,
    /// Words seen less often are unknown ones. Default 1.
    pub min_count: u64,
    /// The most words, the two special ones included. Default UINT64_MAX.
    pub max_size: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: numbers without padding, the size first.
unsafe impl Growing for srnn_vocab_options {
    const NAME: &'static str = "srnn_vocab_options";

    fn defaults() -> Self {
        let VocabOptions { tokenizer, min_count, .. } = VocabOptions::default();
        Self {
            struct_size: size_of::<Self>() as u32,
            lowercase: tokenizer.lowercase.into(),
            nfc: tokenizer.nfc.into(),
            reserved_flag: 0,
            min_count,
            max_size: u64::MAX,
            reserved: [0; 4],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 4] && self.reserved_flag == 0
    }
}

impl srnn_vocab_options {
    fn to_rust(self) -> Result<VocabOptions> {
        Ok(VocabOptions {
            tokenizer: tokenizer(self.lowercase, self.nfc)?,
            min_count: self.min_count,
            // More than memory can hold is no limit.
            max_size: usize::try_from(self.max_size).unwrap_or(usize::MAX),
        })
    }
}

/// Fills in `options` with defaults. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_options_init(options: *mut srnn_vocab_options) {
    // SAFETY: the header's contract.
    unsafe { structs::init(options, srnn_vocab_options::defaults()) }
}

/// Reads a training file and builds the labels (in byte order) and the vocabulary from it: words in the order of their
/// frequency, the most frequent first, equally frequent ones in byte order. The caller destroys both.
///
/// - options: how the file is read; NULL for the defaults
/// - vocab_options: which words count and how texts are normalized; NULL for the defaults
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA, with the line's number, for a line that cannot be used and is not skipped,
/// a quote that is never closed, and a header without the columns' names, and for fewer than two labels;
/// SRNN_ERROR_INVALID_ARGUMENT, naming the field, for options that make no sense; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_open_train(
    path: *const c_char,
    options: *const srnn_dataset_options,
    vocab_options: *const srnn_vocab_options,
    dataset: *mut *mut srnn_dataset,
    vocab: *mut *mut srnn_vocab,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (path, dataset, vocab) =
            unsafe { (a.path("path", path)?, a.out("dataset", dataset)?, a.out("vocab", vocab)?) };
        // SAFETY: the header's contract.
        let (options, vocab_options) = unsafe {
            (structs::read_optional(options)?.to_rust(&mut a)?, structs::read_optional(vocab_options)?.to_rust()?)
        };
        let (data, words) = Dataset::train(path, &options, &vocab_options)?;
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
pub unsafe extern "C" fn srnn_dataset_example_count(dataset: *const srnn_dataset) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(dataset, 0, |d| d.0.len()) }
}

/// What reading a file found, beside the examples.
#[repr(C)]
pub struct srnn_dataset_summary {
    /// Lines with nothing but spaces, which are no examples; with `quotes` only those that have a space.
    pub blank_lines: u64,
    /// Lines that could not be used and were left out.
    pub skipped_lines: u64,
    /// The number, from 1, of the first of them; 0 if there are none. srnn_dataset_skip_reason says why.
    pub first_skipped_line: u64,
    /// Texts that lost tokens to max_tokens.
    pub cut_texts: u64,
    /// Tokens that they lost.
    pub cut_tokens: u64,
    /// Labels that exactly one example has.
    pub labels_once: u64,
    /// 1 if nine of ten labels of a training file, or more, are had by one example only, of at least ten labels: the label's
    /// and the text's columns may have been mistaken for one another.
    pub labels_nearly_unique: u64,
    /// 1 if the first line's label is the only one that only one example has, in a training file without a header, of at
    /// least three labels: it may be a header.
    pub header_suspected: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

/// Writes what reading the file found to `summary`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_get_summary(
    dataset: *const srnn_dataset,
    summary: *mut srnn_dataset_summary,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (dataset, summary) =
            unsafe { (handle::shared("dataset", dataset)?, Arrays::new().out("summary", summary)?) };
        let s = dataset.0.summary();
        summary.write(srnn_dataset_summary {
            blank_lines: s.blank_lines,
            skipped_lines: s.skipped_lines,
            first_skipped_line: s.first_skipped_line,
            cut_texts: s.cut_texts,
            cut_tokens: s.cut_tokens,
            labels_once: s.labels_once,
            labels_nearly_unique: s.labels_nearly_unique.into(),
            header_suspected: s.header_suspected.into(),
            reserved: [0; 4],
        });
        Ok(())
    })
}

/// Copies why the first line that was left out could not be used, and a closing NUL, to `text`, which has room for
/// `text_size` bytes, and its length without the NUL, 0 if no line was left out, to `text_len`. With NULL and 0 it only
/// measures.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_skip_reason(
    dataset: *const srnn_dataset,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let reason = handle::shared("dataset", dataset)?.0.skip_reason();
            Arrays::new().copy_text(reason.map_or("", |e| e.message()), text, text_size, text_len)
        }
    })
}

/// Number of labels; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_label_count(dataset: *const srnn_dataset) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(dataset, 0, |d| d.0.labels().len()) }
}

/// Copies the name of label `index` and a closing NUL to `text`, which has room for `text_size` bytes, and its length
/// without the NUL to `text_len`. With NULL and 0 it only measures.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a label that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_label(
    dataset: *const srnn_dataset,
    index: usize,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { copy_label(handle::shared("dataset", dataset)?.0.labels(), index, text, text_size, text_len) }
    })
}

/// One of some labels, for the caller.
///
/// # Safety
/// As for [`Arrays::copy_text`].
pub(super) unsafe fn copy_label(
    labels: &[String],
    index: usize,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
) -> Result<()> {
    let label = labels.get(index);
    let label = label.ok_or_else(|| err!(InvalidArgument, "label {index}, expected less than {}", labels.len()))?;
    // SAFETY: the caller's promise.
    unsafe { Arrays::new().copy_text(label, text, text_size, text_len) }
}

/// Writes how many examples each label has to `counts`, srnn_dataset_label_count of them.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_label_counts(
    dataset: *const srnn_dataset,
    counts: *mut u64,
    counts_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (dataset, room) =
            unsafe { (&handle::shared("dataset", dataset)?.0, Arrays::new().write("counts", counts, counts_len)?) };
        check_len("counts", room.len(), dataset.labels().len())?;
        room.copy_from_slice(&dataset.label_counts()?);
        Ok(())
    })
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
