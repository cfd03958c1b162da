//! # Text classifiers
//!
//! Tokens, embedding, recurrent layers, pooling, dense layer, softmax or sigmoid; saved with vocabulary and labels in one
//! file.

use super::args::{self, Arrays};
use super::call;
use super::dataset::{copy_label, srnn_dataset, srnn_dataset_options};
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::pool::{self, srnn_pool};
use super::rnn::copy;
use super::structs::{self, Growing};
use super::vocab::srnn_vocab;
use crate::buffer::try_strings;
use crate::error::{Result, check_len, ensure, product};
use crate::rnn::{Cell, Session};
use crate::text::{
    ClassifierConfig, ClassifierSession, Dataset, DatasetOptions, LabelMode, Pooling, TextClassifier, trainer,
};
use std::ffi::c_char;

/// How the outputs of all steps become one vector.
#[repr(C)]
pub enum srnn_pooling {
    /// The final hidden states of the last layer, both directions side by side.
    SRNN_POOLING_LAST = 0,
    /// The mean of the last layer's outputs over a text's tokens.
    SRNN_POOLING_MEAN = 1,
    /// Their maximum.
    SRNN_POOLING_MAX = 2,
}

const _: () = {
    assert!(srnn_pooling::SRNN_POOLING_LAST as i32 == Pooling::Last as i32);
    assert!(srnn_pooling::SRNN_POOLING_MEAN as i32 == Pooling::Mean as i32);
    assert!(srnn_pooling::SRNN_POOLING_MAX as i32 == Pooling::Max as i32);
};

/// The shape of a classifier. Fill it in with srnn_classifier_config_init, then change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_classifier_config {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// An srnn_cell. Default SRNN_CELL_LSTM.
    pub cell: i32,
    /// Features of a token. Default 64.
    pub embedding_dim: u64,
    /// Features of a hidden state, per direction. Default 64.
    pub hidden_size: u64,
    /// Recurrent layers. Default 1.
    pub num_layers: u64,
    /// 1 if layers read the text in both directions. Default 1.
    pub bidirectional: i32,
    /// An srnn_pooling. Default SRNN_POOLING_LAST.
    pub pooling: i32,
    /// Dropout, in training, of embedded tokens, between layers, and before the dense layer. Default 0.3.
    pub dropout: f32,
    /// Zero.
    pub reserved_flag: i32,
    /// The most tokens that are read of a text, in training and in use; 0 for all. What is cut is counted. Default 0.
    pub max_tokens: u64,
    /// Zero.
    pub reserved: [u64; 3],
}

// SAFETY: numbers without padding, the size first.
unsafe impl Growing for srnn_classifier_config {
    const NAME: &'static str = "srnn_classifier_config";

    fn defaults() -> Self {
        let c = ClassifierConfig::default();
        Self {
            struct_size: size_of::<Self>() as u32,
            cell: c.cell as i32,
            embedding_dim: c.embedding_dim as u64,
            hidden_size: c.hidden_size as u64,
            num_layers: c.num_layers as u64,
            bidirectional: c.bidirectional.into(),
            pooling: c.pooling as i32,
            dropout: c.dropout,
            reserved_flag: 0,
            max_tokens: 0,
            reserved: [0; 3],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 3] && self.reserved_flag == 0
    }
}

impl srnn_classifier_config {
    fn to_rust(self, labels: LabelMode) -> Result<ClassifierConfig> {
        Ok(ClassifierConfig {
            cell: Cell::from_number(self.cell)?,
            embedding_dim: args::size("embedding_dim", self.embedding_dim)?,
            hidden_size: args::size("hidden_size", self.hidden_size)?,
            num_layers: args::size("num_layers", self.num_layers)?,
            bidirectional: args::flag("bidirectional", self.bidirectional)?,
            pooling: Pooling::from_number(self.pooling)?,
            dropout: self.dropout,
            labels,
            max_tokens: Some(args::size("max_tokens", self.max_tokens)?).filter(|&n| n > 0),
        })
    }
}

/// A classifier of texts. Any number of threads may use one at once, each with its own session, as long as none trains it.
pub struct srnn_classifier(pub(super) TextClassifier);

/// One caller's memory for running a classifier, kept from call to call.
pub struct srnn_classifier_session(ClassifierSession);

/// Fills in `config` with defaults. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_config_init(config: *mut srnn_classifier_config) {
    // SAFETY: the header's contract.
    unsafe { structs::init(config, srnn_classifier_config::defaults()) }
}

/// Creates a classifier with random weights, the same for the same `seed` on every machine, for the labels of `dataset`
/// (one a text: softmax; any number: a sigmoid each) and a copy of `vocab`, which says how texts are normalized. The caller
/// destroys it.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT, naming the field, for a configuration that makes no sense, and for a dataset that
/// was read with another vocabulary;
/// SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_create(
    config: *const srnn_classifier_config,
    vocab: *const srnn_vocab,
    dataset: *const srnn_dataset,
    seed: u64,
    classifier: *mut *mut srnn_classifier,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (config, vocab, dataset, classifier) = unsafe {
            let (vocab, dataset) = (handle::shared("vocab", vocab)?, handle::shared("dataset", dataset)?);
            (structs::read(config)?, &vocab.0, &dataset.0, Arrays::new().out("classifier", classifier)?)
        };
        let config = config.to_rust(dataset.mode())?;
        dataset.check_vocab(vocab)?;
        let new = TextClassifier::new(&config, vocab.try_clone()?, try_strings(dataset.labels())?, seed)?;
        classifier.write(handle::create(srnn_classifier(new))?);
        Ok(())
    })
}

/// Reads a classifier that srnn_classifier_save wrote. The caller destroys it.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for a file that is damaged or holds no classifier;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_open(
    path: *const c_char,
    classifier: *mut *mut srnn_classifier,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (path, classifier) = unsafe { (a.path("path", path)?, a.out("classifier", classifier)?) };
        classifier.write(handle::create(srnn_classifier(TextClassifier::load(path)?))?);
        Ok(())
    })
}

/// Writes weights, configuration, vocabulary and labels to the safetensors file at `path`.
///
/// Errors: SRNN_ERROR_IO, with an existing file as it was; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_save(
    classifier: *const srnn_classifier,
    path: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (classifier, path) =
            unsafe { (handle::shared("classifier", classifier)?, Arrays::new().path("path", path)?) };
        classifier.0.save(path)
    })
}

/// Destroys a classifier. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_destroy(classifier: *mut srnn_classifier) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(classifier) }
}

/// Bytes of weights and their packed forms; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_bytes(classifier: *const srnn_classifier) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(classifier, 0, |c| c.0.bytes()) }
}

/// Number of words of its vocabulary; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_word_count(classifier: *const srnn_classifier) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(classifier, 0, |c| c.0.vocab().len()) }
}

/// Number of labels; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_label_count(classifier: *const srnn_classifier) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(classifier, 0, |c| c.0.labels().len()) }
}

/// Copies the name of label `index` and a closing NUL to `text`, which has room for `text_size` bytes, and its length
/// without the NUL to `text_len`. With NULL and 0 it only measures.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a label that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_label(
    classifier: *const srnn_classifier,
    index: usize,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { copy_label(handle::shared("classifier", classifier)?.0.labels(), index, text, text_size, text_len) }
    })
}

/// Reads a file against the labels and the vocabulary of `classifier`, to evaluate it or to train it further. The caller
/// destroys the dataset.
///
/// - options: NULL for the defaults, with the classifier's label mode
///
/// Errors: as srnn_dataset_open_train, but a single label is enough; SRNN_ERROR_INVALID_DATA for a label that the classifier
/// does not have; SRNN_ERROR_INVALID_ARGUMENT for another label mode than the classifier's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_open(
    classifier: *const srnn_classifier,
    path: *const c_char,
    options: *const srnn_dataset_options,
    dataset: *mut *mut srnn_dataset,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (path, classifier, given, dataset) = unsafe {
            let classifier = handle::shared("classifier", classifier)?;
            let given = structs::read_optional(options)?.to_rust(&mut a)?;
            (a.path("path", path)?, &classifier.0, given, a.out("dataset", dataset)?)
        };
        let mode = classifier.config().labels;
        ensure!(
            options.is_null() || given.mode == mode,
            InvalidArgument,
            "the options' label mode is {}, expected the classifier's, {}",
            given.mode as i32,
            mode as i32
        );
        let options = DatasetOptions { mode, ..given };
        let data = Dataset::open(path, &options, classifier.vocab(), classifier.labels())?;
        dataset.write(handle::create(srnn_dataset(data))?);
        Ok(())
    })
}

/// Creates a session that works on the caller's thread. The caller destroys it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_session_create(
    session: *mut *mut srnn_classifier_session,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let session = unsafe { Arrays::new().out("session", session) }?;
        session.write(handle::create(srnn_classifier_session(ClassifierSession::new(Session::new())))?);
        Ok(())
    })
}

/// Destroys a session. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_session_destroy(session: *mut srnn_classifier_session) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(session) }
}

/// Spreads the session's work over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may be
/// destroyed before the session. The number of threads changes no bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_session_set_pool(
    session: *mut srnn_classifier_session,
    pool: *const srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (session, pool) = unsafe { (handle::exclusive("session", session)?, pool::optional(pool)?) };
        session.0.set_pool(pool);
        Ok(())
    })
}

/// Writes the probability of every label of `text` to `probabilities`, srnn_classifier_label_count of them. A text without
/// a token counts as one unknown word.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_INVALID_ARGUMENT for a text that is not UTF-8;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_classify(
    classifier: *const srnn_classifier,
    session: *mut srnn_classifier_session,
    text: *const c_char,
    probabilities: *mut f32,
    probabilities_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let classifier = handle::shared("classifier", classifier)?;
            let (session, text) = (handle::exclusive("session", session)?, a.text("text", text)?);
            let room = a.write("probabilities", probabilities, probabilities_len)?;
            classifier.0.classify(&mut session.0, text, room)
        }
    })
}

/// Texts so far of which only the first max_tokens were read; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_session_truncated_count(session: *const srnn_classifier_session) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(session, 0, |s| s.0.truncated()) }
}

/// Writes the probabilities, (examples, labels), of all examples of `dataset`, worked on `batch_size` at a time.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_INVALID_ARGUMENT for batch_size 0 or word numbers of
/// another vocabulary; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_predict(
    classifier: *const srnn_classifier,
    session: *mut srnn_classifier_session,
    dataset: *const srnn_dataset,
    batch_size: usize,
    probabilities: *mut f32,
    probabilities_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (classifier, session, dataset, room) = unsafe {
            let (classifier, dataset) =
                (handle::shared("classifier", classifier)?, handle::shared("dataset", dataset)?);
            let room = Arrays::new().write("probabilities", probabilities, probabilities_len)?;
            (&classifier.0, handle::exclusive("session", session)?, &dataset.0, room)
        };
        check_len("probabilities", room.len(), product("probabilities", &[dataset.len(), classifier.labels().len()])?)?;
        copy("probabilities", &trainer::predict(classifier, &mut session.0, dataset, batch_size)?, room)
    })
}
