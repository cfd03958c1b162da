//! # Pretrained word vectors
//!
//! Word2Vec, GloVe, fastText and Navec files, recognized by content, gzip, xz and zip unpacked, as a table to look words up in.
//! Words are NUL-terminated bytes; a word with a NUL inside cannot be asked for.

use super::args::{self, Arrays};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::structs::{self, Growing};
use crate::buffer::try_string;
use crate::error::{Result, err};
use crate::io::vectors::{BadRows, Duplicates, Format, InvalidUtf8, ReadOptions};
use crate::nn::vectors::{FillOptions, Unknown, WordVectors};
use crate::parallel::Pool;
use std::ffi::c_char;

/// A file format of word vectors.
#[repr(C)]
pub enum srnn_vectors_format {
    /// Recognized by content.
    SRNN_VECTORS_FORMAT_ANY = 0,
    /// Word2Vec's binary form.
    SRNN_VECTORS_FORMAT_WORD2VEC_BINARY = 1,
    /// Word2Vec's text form, which is fastText's .vec too.
    SRNN_VECTORS_FORMAT_WORD2VEC_TEXT = 2,
    /// GloVe's text form: without a first line of counts.
    SRNN_VECTORS_FORMAT_GLOVE = 3,
    /// A fastText model (.bin, quantized .ftz), with vectors of unknown words from their subwords.
    SRNN_VECTORS_FORMAT_FASTTEXT = 4,
    /// Navec's archive.
    SRNN_VECTORS_FORMAT_NAVEC = 5,
    /// The library's own form: a safetensors file.
    SRNN_VECTORS_FORMAT_SAFETENSORS = 6,
}

/// What becomes of a file's words that are not UTF-8.
#[repr(C)]
pub enum srnn_invalid_utf8 {
    /// They keep their bytes.
    SRNN_INVALID_UTF8_KEEP = 0,
    /// What is invalid becomes U+FFFD.
    SRNN_INVALID_UTF8_REPLACE = 1,
    /// They are errors.
    SRNN_INVALID_UTF8_REFUSE = 2,
}

/// The vector of a vocabulary's word that has none in the file.
#[repr(C)]
pub enum srnn_unknown_vector {
    /// Zeros.
    SRNN_UNKNOWN_VECTOR_ZERO = 0,
    /// The mean of the vectors found for the vocabulary.
    SRNN_UNKNOWN_VECTOR_MEAN = 1,
    /// Normal values as large as those found, from the seed.
    SRNN_UNKNOWN_VECTOR_RANDOM = 2,
}

const _: () = {
    assert!(srnn_vectors_format::SRNN_VECTORS_FORMAT_WORD2VEC_BINARY as i32 == Format::Word2VecBinary as i32);
    assert!(srnn_vectors_format::SRNN_VECTORS_FORMAT_WORD2VEC_TEXT as i32 == Format::Word2VecText as i32);
    assert!(srnn_vectors_format::SRNN_VECTORS_FORMAT_GLOVE as i32 == Format::Glove as i32);
    assert!(srnn_vectors_format::SRNN_VECTORS_FORMAT_FASTTEXT as i32 == Format::FastText as i32);
    assert!(srnn_vectors_format::SRNN_VECTORS_FORMAT_NAVEC as i32 == Format::Navec as i32);
    assert!(srnn_vectors_format::SRNN_VECTORS_FORMAT_SAFETENSORS as i32 == Format::Safetensors as i32);
    assert!(srnn_invalid_utf8::SRNN_INVALID_UTF8_KEEP as i32 == InvalidUtf8::Keep as i32);
    assert!(srnn_invalid_utf8::SRNN_INVALID_UTF8_REPLACE as i32 == InvalidUtf8::Replace as i32);
    assert!(srnn_invalid_utf8::SRNN_INVALID_UTF8_REFUSE as i32 == InvalidUtf8::Refuse as i32);
    assert!(srnn_unknown_vector::SRNN_UNKNOWN_VECTOR_ZERO as i32 == Unknown::Zero as i32);
    assert!(srnn_unknown_vector::SRNN_UNKNOWN_VECTOR_MEAN as i32 == Unknown::Mean as i32);
    assert!(srnn_unknown_vector::SRNN_UNKNOWN_VECTOR_RANDOM as i32 == Unknown::Random as i32);
};

/// How a file is read, and an embedding made of it. Fill it in with srnn_vectors_options_init, then change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_vectors_options {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// An srnn_vectors_format. Default SRNN_VECTORS_FORMAT_ANY.
    pub format: i32,
    /// An srnn_invalid_utf8. Default SRNN_INVALID_UTF8_KEEP.
    pub invalid_utf8: i32,
    /// 1 if a word that comes again is an error (for embeddings, one of those kept); 0 if its first vector counts. Default 0.
    pub refuse_duplicates: i32,
    /// 1 if a fastText model that is read as a whole keeps its n-grams. Default 1.
    pub subwords: i32,
    /// For embeddings: 1 if a word may be matched by one that equals it but for case. Default 0.
    pub fold_case: i32,
    /// For embeddings: an srnn_unknown_vector. Default SRNN_UNKNOWN_VECTOR_RANDOM.
    pub unknown: i32,
    /// For embeddings: 1 if the table is frozen. Default 0.
    pub frozen: i32,
    /// Values that vectors must have; 0 for any. Default 0.
    pub dim: u64,
    /// Only so many first words of the file; 0 for all. Default 0.
    pub limit: u64,
    /// The most bytes that packed data (gzip, xz, zip), and product-quantized data, may unpack to. Default 2^34.
    pub max_decompressed: u64,
    /// For embeddings: decides random vectors. Default 0.
    pub seed: u64,
    /// The name of the member of a zip archive that holds the vectors. Default NULL: there is only one, not counting
    /// directories and what macOS adds.
    pub member: *const c_char,
    /// Zero.
    pub reserved1: usize,
    /// 1 if rows that cannot be used are left out and counted (srnn_vectors_skipped_row_count): lines without a word, with too few or
    /// too many numbers or with something else than finite numbers; empty words; with invalid_utf8 = refuse those that are
    /// not UTF-8. For embeddings only the numbers of words that are kept are looked at. 0 if they are errors. Default 0.
    pub skip_bad_rows: i32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_vectors_options {
    const NAME: &'static str = "srnn_vectors_options";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            format: srnn_vectors_format::SRNN_VECTORS_FORMAT_ANY as i32,
            invalid_utf8: 0,
            refuse_duplicates: 0,
            subwords: 1,
            fold_case: 0,
            unknown: srnn_unknown_vector::SRNN_UNKNOWN_VECTOR_RANDOM as i32,
            frozen: 0,
            dim: 0,
            limit: 0,
            max_decompressed: ReadOptions::default().max_decompressed,
            seed: 0,
            member: std::ptr::null(),
            reserved1: 0,
            skip_bad_rows: 0,
            reserved0: 0,
            reserved: [0; 4],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved1 == 0 && self.reserved == [0; 4]
    }
}

/// One of a few values by its number.
pub(super) fn one_of<T: Copy>(what: &str, number: i32, values: &[T]) -> Result<T> {
    let value = usize::try_from(number).ok().and_then(|n| values.get(n)).copied();
    value.ok_or_else(|| err!(InvalidArgument, "{what} is {number}, expected 0 to {}", values.len() - 1))
}

impl srnn_vectors_options {
    /// # Safety
    /// `member` is NULL or a NUL-terminated text.
    pub(super) unsafe fn read(&self, a: &mut Arrays) -> Result<ReadOptions> {
        // SAFETY: the caller's promise.
        let member = if self.member.is_null() { None } else { Some(unsafe { a.text("member", self.member) }?) };
        let some = |what, n| Ok(Some(args::size(what, n)?).filter(|n| *n != 0));
        Ok(ReadOptions {
            format: if self.format == 0 { None } else { Some(Format::from_number(self.format)?) },
            dim: some("dim", self.dim)?,
            limit: some("limit", self.limit)?,
            invalid_utf8: one_of(
                "invalid_utf8",
                self.invalid_utf8,
                &[InvalidUtf8::Keep, InvalidUtf8::Replace, InvalidUtf8::Refuse],
            )?,
            duplicates: if args::flag("refuse_duplicates", self.refuse_duplicates)? {
                Duplicates::Refuse
            } else {
                Duplicates::KeepFirst
            },
            subwords: args::flag("subwords", self.subwords)?,
            fold_case: args::flag("fold_case", self.fold_case)?,
            max_decompressed: self.max_decompressed,
            bad_rows: if args::flag("skip_bad_rows", self.skip_bad_rows)? { BadRows::Skip } else { BadRows::Refuse },
            member: member.map(try_string).transpose()?,
        })
    }

    pub(super) fn fill(&self) -> Result<FillOptions> {
        Ok(FillOptions {
            unknown: one_of("unknown", self.unknown, &[Unknown::Zero, Unknown::Mean, Unknown::Random])?,
            seed: self.seed,
            fold_case: args::flag("fold_case", self.fold_case)?,
            padding: Some(0),
        })
    }
}

/// Words and their vectors. Any number of threads may use them at once.
pub struct srnn_vectors(pub(super) WordVectors, pub(super) Option<Pool>);

/// Fills in `options` with defaults. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_options_init(options: *mut srnn_vectors_options) {
    // SAFETY: the header's contract.
    unsafe { structs::init(options, srnn_vectors_options::defaults()) }
}

/// Reads a file's word vectors. The caller destroys them.
///
/// - options: NULL for the defaults
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA, with the byte or line, for a damaged file; SRNN_ERROR_UNSUPPORTED for
/// contents that are not read, and for other files that are known; SRNN_ERROR_SHAPE_MISMATCH for vectors of other than
/// options.dim values; SRNN_ERROR_INVALID_ARGUMENT for options, and for a zip archive of several members where options.member
/// names none; SRNN_ERROR_NOT_FOUND where it has none of that name; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_open(
    path: *const c_char,
    options: *const srnn_vectors_options,
    vectors: *mut *mut srnn_vectors,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (path, options, vectors) = unsafe {
            (a.path("path", path)?, structs::read_optional(options)?.read(&mut a)?, a.out("vectors", vectors)?)
        };
        vectors.write(handle::create(srnn_vectors(WordVectors::open(path, &options)?, None))?);
        Ok(())
    })
}

/// Destroys word vectors. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_destroy(vectors: *mut srnn_vectors) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(vectors) }
}

/// Number of words; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_word_count(vectors: *const srnn_vectors) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(vectors, 0, |v| v.0.len()) }
}

/// Values of a vector; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_dim(vectors: *const srnn_vectors) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(vectors, 0, |v| v.0.dim()) }
}

/// The srnn_vectors_format of the file they come from; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_file_format(vectors: *const srnn_vectors) -> i32 {
    // SAFETY: the header's contract.
    unsafe { handle::get(vectors, 0, |v| v.0.format() as i32) }
}

/// Words of the file that came again and were left out; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_duplicate_count(vectors: *const srnn_vectors) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(vectors, 0, |v| v.0.duplicates()) }
}

/// Rows of the file that were left out since they cannot be used; see srnn_vectors_options.skip_bad_rows. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_skipped_row_count(vectors: *const srnn_vectors) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(vectors, 0, |v| v.0.skipped_rows()) }
}

/// Copies word number `index`, in the file's order, and a closing NUL to `text`, which has room for `text_size` bytes, and
/// its length without the NUL to `text_len`. With NULL and 0 it only measures.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a number without a word; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_word(
    vectors: *const srnn_vectors,
    index: usize,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let vectors = &handle::shared("vectors", vectors)?.0;
            let word = vectors.word(index);
            let word =
                word.ok_or_else(|| err!(InvalidArgument, "word {index}, expected less than {}", vectors.len()))?;
            Arrays::new().copy_bytes(word, text, text_size, text_len)
        }
    })
}

/// Writes the number of `word` to `index`.
///
/// Errors: SRNN_ERROR_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_find(
    vectors: *const srnn_vectors,
    word: *const c_char,
    index: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vectors, word, index) =
            unsafe { (&handle::shared("vectors", vectors)?.0, a.bytes("word", word)?, a.out("index", index)?) };
        index.write(vectors.find(word).ok_or_else(|| not_found(word))?);
        Ok(())
    })
}

fn not_found(word: &[u8]) -> crate::Error {
    err!(NotFound, "there is no vector of '{}'", crate::shown::Excerpt(word, 80))
}

/// Copies the vector of `word` to `values`: from the table, else from its subwords.
///
/// Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_get(
    vectors: *const srnn_vectors,
    word: *const c_char,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vectors, word, values) = unsafe {
            let values = a.write("values", values, values_len)?;
            (&handle::shared("vectors", vectors)?.0, a.bytes("word", word)?, values)
        };
        if vectors.vector_of(word, values)? { Ok(()) } else { Err(not_found(word)) }
    })
}

/// Writes word vectors to the file at `path`, without a fastText model's n-grams.
///
/// - format: SRNN_VECTORS_FORMAT_WORD2VEC_BINARY, _WORD2VEC_TEXT or _SAFETENSORS
///
/// Errors: SRNN_ERROR_IO, with an existing file as it was; SRNN_ERROR_INVALID_DATA for a word that the format cannot hold;
/// SRNN_ERROR_INVALID_ARGUMENT for another format.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vectors_save(
    vectors: *const srnn_vectors,
    path: *const c_char,
    format: i32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (vectors, path) = unsafe { (&handle::shared("vectors", vectors)?.0, Arrays::new().path("path", path)?) };
        match Format::from_number(format)? {
            Format::Word2VecBinary => vectors.save_word2vec_binary(path),
            Format::Word2VecText => vectors.save_word2vec_text(path),
            Format::Safetensors => vectors.save_safetensors(path),
            other => Err(err!(
                InvalidArgument,
                "format {} is only read, expected word2vec-binary, word2vec-text or safetensors",
                other.name()
            )),
        }
    })
}
