//! # Modules in weight files
//!
//! Recurrent and dense layers, embeddings, optimizers and classifiers read their tensors from an opened file, so that one
//! file serves several, and add them to a writer that becomes one file. Tensors have PyTorch's names, after a prefix such as
//! "encoder.lstm.", or "". Loading is strict: tensors whose names follow the prefix without another dot and which the
//! module does not take are errors, and so are NaN and infinite values; srnn_load_options allow them. A failed load changes
//! nothing.

use super::args::Arrays;
use super::call;
#[cfg(feature = "text")]
use super::classifier::srnn_classifier;
use super::dense::srnn_dense;
use super::embedding::srnn_embedding;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::optimizer::srnn_optimizer;
use super::rnn::srnn_rnn;
use super::structs;
use super::tensors::{srnn_load_options, srnn_tensor_file, srnn_tensor_writer};
use crate::io::safetensors::TensorWriter;
#[cfg(feature = "text")]
use crate::text::TextClassifier;
use std::ffi::c_char;

/// Reads all parameters of `rnn` from tensors of `file` whose names follow `prefix`, under torch.nn's names; one layer in one direction may also have those of
/// torch.nn.LSTMCell and its kin, without "_l0".
///
/// Errors: SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_SHAPE_MISMATCH for another shape;
/// SRNN_ERROR_INVALID_DATA for another type and, unless `options` (NULL for the defaults) allow them, for values that are
/// not finite and tensors that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_load_tensors(
    rnn: *mut srnn_rnn,
    file: *const srnn_tensor_file,
    prefix: *const c_char,
    options: *const srnn_load_options,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (rnn, file, prefix, options) = unsafe {
            let (rnn, file) = (handle::exclusive("rnn", rnn)?, handle::shared("file", file)?);
            (rnn, file, a.text("prefix", prefix)?, structs::read_optional(options)?.to_rust()?)
        };
        rnn.0.read_params(&file.0, prefix, &options)
    })
}

/// Adds all parameters of `rnn` to `writer`: copies, as f32, under `prefix` and the names that srnn_rnn_load_tensors reads.
///
/// Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_save_tensors(
    rnn: *const srnn_rnn,
    writer: *mut srnn_tensor_writer,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (rnn, writer, prefix) = unsafe {
            let (rnn, writer) = (handle::shared("rnn", rnn)?, handle::exclusive("writer", writer)?);
            (rnn, writer, a.text("prefix", prefix)?)
        };
        let mut own = TensorWriter::new();
        rnn.0.write_params(&mut own, prefix)?;
        writer.add_all(&own)
    })
}

/// Reads weights and bias of `dense` from tensors of `file` whose names follow `prefix`: "weight", (out_features, in_features), and, if
/// the layer has a bias, "bias".
///
/// Errors: SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_SHAPE_MISMATCH for another shape;
/// SRNN_ERROR_INVALID_DATA for another type and, unless `options` (NULL for the defaults) allow them, for values that are
/// not finite and tensors that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_load_tensors(
    dense: *mut srnn_dense,
    file: *const srnn_tensor_file,
    prefix: *const c_char,
    options: *const srnn_load_options,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (dense, file, prefix, options) = unsafe {
            let (dense, file) = (handle::exclusive("dense", dense)?, handle::shared("file", file)?);
            (dense, file, a.text("prefix", prefix)?, structs::read_optional(options)?.to_rust()?)
        };
        dense.0.read_params(&file.0, prefix, &options)
    })
}

/// Adds weights and bias of `dense` to `writer`: copies, as f32, under `prefix` and the names that srnn_dense_load_tensors reads.
///
/// Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_save_tensors(
    dense: *const srnn_dense,
    writer: *mut srnn_tensor_writer,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (dense, writer, prefix) = unsafe {
            let (dense, writer) = (handle::shared("dense", dense)?, handle::exclusive("writer", writer)?);
            (dense, writer, a.text("prefix", prefix)?)
        };
        let mut own = TensorWriter::new();
        dense.0.write_params(&mut own, prefix)?;
        writer.add_all(&own)
    })
}

/// Reads weights and bias of `dense` from the safetensors file at `path`, as srnn_dense_load_tensors with the defaults.
///
/// Errors: as there and as srnn_tensor_file_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_load_safetensors(
    dense: *mut srnn_dense,
    path: *const c_char,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (dense, path, prefix) =
            unsafe { (handle::exclusive("dense", dense)?, a.path("path", path)?, a.text("prefix", prefix)?) };
        dense.0.load_safetensors(path, prefix)
    })
}

/// Writes weights and bias of `dense` to the safetensors file at `path`, under `prefix`.
///
/// Errors: as srnn_tensor_writer_save with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dense_save_safetensors(
    dense: *const srnn_dense,
    path: *const c_char,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (dense, path, prefix) =
            unsafe { (handle::shared("dense", dense)?, a.path("path", path)?, a.text("prefix", prefix)?) };
        dense.0.save_safetensors(path, prefix)
    })
}

/// Reads the table of `embedding` from tensors of `file` whose names follow `prefix`: "weight", (num_embeddings, embedding_dim).
///
/// Errors: SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_SHAPE_MISMATCH for another shape;
/// SRNN_ERROR_INVALID_DATA for another type and, unless `options` (NULL for the defaults) allow them, for values that are
/// not finite and tensors that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_load_tensors(
    embedding: *mut srnn_embedding,
    file: *const srnn_tensor_file,
    prefix: *const c_char,
    options: *const srnn_load_options,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (embedding, file, prefix, options) = unsafe {
            let (embedding, file) = (handle::exclusive("embedding", embedding)?, handle::shared("file", file)?);
            (embedding, file, a.text("prefix", prefix)?, structs::read_optional(options)?.to_rust()?)
        };
        embedding.0.read_params(&file.0, prefix, &options)
    })
}

/// Adds the table of `embedding` to `writer`: copies, as f32, under `prefix` and the names that srnn_embedding_load_tensors reads.
///
/// Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_save_tensors(
    embedding: *const srnn_embedding,
    writer: *mut srnn_tensor_writer,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (embedding, writer, prefix) = unsafe {
            let (embedding, writer) = (handle::shared("embedding", embedding)?, handle::exclusive("writer", writer)?);
            (embedding, writer, a.text("prefix", prefix)?)
        };
        let mut own = TensorWriter::new();
        embedding.0.write_params(&mut own, prefix)?;
        writer.add_all(&own)
    })
}

/// Reads the table of `embedding` from the safetensors file at `path`, as srnn_embedding_load_tensors with the defaults.
///
/// Errors: as there and as srnn_tensor_file_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_load_safetensors(
    embedding: *mut srnn_embedding,
    path: *const c_char,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (embedding, path, prefix) =
            unsafe { (handle::exclusive("embedding", embedding)?, a.path("path", path)?, a.text("prefix", prefix)?) };
        embedding.0.load_safetensors(path, prefix)
    })
}

/// Writes the table of `embedding` to the safetensors file at `path`, under `prefix`.
///
/// Errors: as srnn_tensor_writer_save with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_embedding_save_safetensors(
    embedding: *const srnn_embedding,
    path: *const c_char,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (embedding, path, prefix) =
            unsafe { (handle::shared("embedding", embedding)?, a.path("path", path)?, a.text("prefix", prefix)?) };
        embedding.0.save_safetensors(path, prefix)
    })
}

/// Makes `optimizer` what `file` holds, whatever its kind was before; its pool stays.
///
/// Errors: SRNN_ERROR_NOT_FOUND, SRNN_ERROR_SHAPE_MISMATCH, SRNN_ERROR_INVALID_ARGUMENT and SRNN_ERROR_INVALID_DATA for a
/// file that holds no optimizer or a damaged one and, unless `options` (NULL for the defaults) allow them, for states that
/// are not finite and tensors under "optimizer." that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_load_tensors(
    optimizer: *mut srnn_optimizer,
    file: *const srnn_tensor_file,
    options: *const srnn_load_options,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, file, options) = unsafe {
            let (optimizer, file) = (handle::exclusive("optimizer", optimizer)?, handle::shared("file", file)?);
            (optimizer, file, structs::read_optional(options)?.to_rust()?)
        };
        optimizer.0.read_state(&file.0, &options)
    })
}

/// Adds the whole state of `optimizer` to `writer`: tensors under "optimizer." and metadata.
///
/// Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_save_tensors(
    optimizer: *const srnn_optimizer,
    writer: *mut srnn_tensor_writer,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, writer) =
            unsafe { (handle::shared("optimizer", optimizer)?, handle::exclusive("writer", writer)?) };
        let mut own = TensorWriter::new();
        optimizer.0.save(&mut own)?;
        writer.add_all(&own)
    })
}

/// Creates the classifier that `file` holds, as srnn_classifier_save wrote it. The caller destroys it.
///
/// Errors: SRNN_ERROR_NOT_FOUND, SRNN_ERROR_SHAPE_MISMATCH and SRNN_ERROR_INVALID_DATA for a file that is damaged or holds
/// no classifier and, unless `options` (NULL for the defaults) allow them, for weights that are not finite and tensors of
/// the file, but for those under "optimizer." and "trainer.", that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
#[cfg(feature = "text")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_open_tensors(
    file: *const srnn_tensor_file,
    options: *const srnn_load_options,
    classifier: *mut *mut srnn_classifier,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (file, options, classifier) = unsafe {
            let (file, options) = (handle::shared("file", file)?, structs::read_optional(options)?.to_rust()?);
            (file, options, a.out("classifier", classifier)?)
        };
        classifier.write(handle::create(srnn_classifier(TextClassifier::read(&file.0, &options)?))?);
        Ok(())
    })
}

/// Adds weights, configuration, vocabulary and labels of `classifier` to `writer`.
///
/// Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
#[cfg(feature = "text")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_classifier_save_tensors(
    classifier: *const srnn_classifier,
    writer: *mut srnn_tensor_writer,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (classifier, writer) =
            unsafe { (handle::shared("classifier", classifier)?, handle::exclusive("writer", writer)?) };
        let mut own = TensorWriter::new();
        classifier.0.write(&mut own)?;
        writer.add_all(&own)
    })
}
