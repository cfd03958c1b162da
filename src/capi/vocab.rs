//! # Vocabularies
//!
//! Words by number: 0 is padding, 1 stands for unknown words, the others start at 2. Texts are UTF-8 and are cut into words
//! and other characters.

use super::args::{self, Arrays};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use crate::error::{Result, ensure, err};
use crate::text::{Tokenizer, Vocab};
use std::ffi::c_char;

/// A fixed list of words, and how texts are normalized before they are cut into words.
pub struct srnn_vocab(pub(super) Vocab);

pub(super) fn tokenizer(lowercase: i32, nfc: i32) -> Result<Tokenizer> {
    Ok(Tokenizer { lowercase: args::flag("lowercase", lowercase)?, nfc: args::flag("nfc", nfc)? })
}

/// Creates a vocabulary of `count` words, numbered from 2 on. The caller destroys it.
///
/// - lowercase: 1 if texts are put in lower case
/// - nfc: 1 if texts are brought to Unicode's form NFC, so that an accented letter as one character and as two is the same
///
/// Errors: SRNN_ERROR_INVALID_DATA for a word that is empty, comes twice, is "<pad>" or "<unk>", or that no text can have
/// since it is not in lower case or in NFC; SRNN_ERROR_INVALID_ARGUMENT for one that is not UTF-8 and for truth values other
/// than 0 and 1; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_create(
    words: *const *const c_char,
    count: usize,
    lowercase: i32,
    nfc: i32,
    vocab: *mut *mut srnn_vocab,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (words, vocab) = unsafe { (a.read("words", words, count)?, a.out("vocab", vocab)?) };
        // SAFETY: the header's contract.
        let words = unsafe { a.texts("a word", words) }?;
        let tokenizer = tokenizer(lowercase, nfc)?;
        vocab.write(handle::create(srnn_vocab(Vocab::from_words(words, &tokenizer)?))?);
        Ok(())
    })
}

/// Destroys a vocabulary. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_destroy(vocab: *mut srnn_vocab) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(vocab) }
}

/// Writes how texts are normalized: 1 to `lowercase` if they are put in lower case, and 1 to `nfc` if they are brought to NFC;
/// 0 otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_get_normalization(
    vocab: *const srnn_vocab,
    lowercase: *mut i32,
    nfc: *mut i32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vocab, lowercase, nfc) =
            unsafe { (handle::shared("vocab", vocab)?, a.out("lowercase", lowercase)?, a.out("nfc", nfc)?) };
        lowercase.write(vocab.0.tokenizer().lowercase.into());
        nfc.write(vocab.0.tokenizer().nfc.into());
        Ok(())
    })
}

/// Number of words, the two special ones included; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_word_count(vocab: *const srnn_vocab) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(vocab, 0, |v| v.0.len()) }
}

/// Writes the number of `word` to `id`: 1 for an unknown one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_id(
    vocab: *const srnn_vocab,
    word: *const c_char,
    id: *mut u32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vocab, word, id) = unsafe { (handle::shared("vocab", vocab)?, a.text("word", word)?, a.out("id", id)?) };
        id.write(vocab.0.id(word));
        Ok(())
    })
}

/// Copies word number `id` and a closing NUL to `text`, which has room for `text_size` bytes, and its length without the
/// NUL to `text_len`. With NULL and 0 it only measures.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a number without a word; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_word(
    vocab: *const srnn_vocab,
    id: u32,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let vocab = handle::shared("vocab", vocab)?;
            let word = vocab.0.word(id);
            let word = word.ok_or_else(|| err!(InvalidArgument, "word {id}, expected less than {}", vocab.0.len()))?;
            Arrays::new().copy_text(word, text, text_size, text_len)
        }
    })
}

/// Cuts `text` into tokens, normalized as the vocabulary says, and copies their numbers to `ids`, which has room for
/// `ids_len` of them, and how many there are to `count`. With NULL and 0 it only counts.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for too little room; SRNN_ERROR_INVALID_ARGUMENT for a text that is not UTF-8;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_vocab_encode(
    vocab: *const srnn_vocab,
    text: *const c_char,
    ids: *mut u32,
    ids_len: usize,
    count: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (vocab, text, ids, count) = unsafe {
            let vocab = handle::shared("vocab", vocab)?;
            (vocab, a.text("text", text)?, a.write("ids", ids, ids_len)?, a.out("count", count)?)
        };
        let mut tokens = Vec::new();
        vocab.0.encode(text, &mut tokens)?;
        if !ids.is_empty() {
            ensure!(
                tokens.len() <= ids.len(),
                ShapeMismatch,
                "ids has room for {} tokens, expected {}",
                ids.len(),
                tokens.len()
            );
            ids[..tokens.len()].copy_from_slice(&tokens);
        }
        count.write(tokens.len());
        Ok(())
    })
}
