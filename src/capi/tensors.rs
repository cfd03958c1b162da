//! # Weight files
//!
//! Named tensors in the safetensors format, as PyTorch programs write them. Files are written to a temporary name and
//! renamed: a failed save leaves an existing file as it was.

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::optimizer::srnn_optimizer;
use super::rnn::srnn_rnn;
use crate::buffer::{AlignedBuf, try_copy, try_string};
use crate::error::{Result, err};
use crate::io::safetensors::{Finite, TensorFile, TensorWriter};
use std::ffi::c_char;

/// Reads all parameters of `rnn` from the file at `path`, in which their torch.nn names follow `prefix` ("lstm.", or ""),
/// as f32, f64, f16 or bf16. Other tensors of the file are ignored; the weights change only if all could be read.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_INVALID_DATA for a damaged file and for
/// values that are not finite; SRNN_ERROR_SHAPE_MISMATCH for another shape; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_load_safetensors(
    rnn: *mut srnn_rnn,
    path: *const c_char,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (rnn, path, prefix) =
            unsafe { (handle::exclusive("rnn", rnn)?, a.path("path", path)?, a.text("prefix", prefix)?) };
        rnn.0.load_safetensors(path, prefix)
    })
}

/// Writes all parameters of `rnn`, as f32, to the file at `path`, under `prefix` and their torch.nn names.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_save_safetensors(
    rnn: *const srnn_rnn,
    path: *const c_char,
    prefix: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (rnn, path, prefix) =
            unsafe { (handle::shared("rnn", rnn)?, a.path("path", path)?, a.text("prefix", prefix)?) };
        rnn.0.save_safetensors(path, prefix)
    })
}

/// Writes the whole state of `optimizer` to the file at `path`, from which training can go on bit for bit.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_save_safetensors(
    optimizer: *const srnn_optimizer,
    path: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, path) = unsafe { (handle::shared("optimizer", optimizer)?, Arrays::new().path("path", path)?) };
        optimizer.0.save_safetensors(path)
    })
}

/// Makes `optimizer` what the file at `path` holds, whatever its kind was before. It keeps its pool.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_NOT_FOUND and SRNN_ERROR_INVALID_DATA for a file that holds no optimizer or a damaged
/// one; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_load_safetensors(
    optimizer: *mut srnn_optimizer,
    path: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, path) =
            unsafe { (handle::exclusive("optimizer", optimizer)?, Arrays::new().path("path", path)?) };
        optimizer.0.load_safetensors(path)
    })
}

/// A safetensors file in memory, for the weights of other layers.
pub struct srnn_tensor_file(TensorFile);

/// Reads the file at `path` and checks its header. The caller destroys it.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for a file that is not whole and consistent; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_open(
    path: *const c_char,
    file: *mut *mut srnn_tensor_file,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (path, file) = unsafe { (a.path("path", path)?, a.out("file", file)?) };
        file.write(handle::create(srnn_tensor_file(TensorFile::open(path)?))?);
        Ok(())
    })
}

/// Destroys a file in memory. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_destroy(file: *mut srnn_tensor_file) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(file) }
}

/// Number of tensors; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_count(file: *const srnn_tensor_file) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(file, 0, |f| f.0.names().len()) }
}

/// Copies the name of tensor `index`, in byte order, and a closing NUL to `text`, which has room for `text_size` bytes, and
/// its length without the NUL to `text_len`. With NULL and 0 it only measures.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_name(
    file: *const srnn_tensor_file,
    index: usize,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let file = handle::shared("file", file)?;
            let mut names = file.0.names();
            let count = names.len();
            let name = names.nth(index);
            let name = name.ok_or_else(|| err!(InvalidArgument, "tensor index {index}, expected less than {count}"))?;
            Arrays::new().copy_text(name, text, text_size, text_len)
        }
    })
}

/// Copies the shape of tensor `name`, outermost dimension first, to `shape`, which has room for `shape_len` dimensions, and
/// their number to `ndim`. With NULL and 0 it only counts.
///
/// Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_shape(
    file: *const srnn_tensor_file,
    name: *const c_char,
    shape: *mut usize,
    shape_len: usize,
    ndim: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (file, name, room, ndim) = unsafe {
            let file = handle::shared("file", file)?;
            (file, a.text("name", name)?, a.write("shape", shape, shape_len)?, a.out("ndim", ndim)?)
        };
        let found = file.0.shape(name)?;
        if !room.is_empty() {
            let (len, room_len) = (found.len(), room.len());
            let room = room
                .get_mut(..len)
                .ok_or_else(|| err!(ShapeMismatch, "shape has room for {room_len} dimensions, expected {len}"))?;
            room.copy_from_slice(found);
        }
        ndim.write(found.len());
        Ok(())
    })
}

/// Copies tensor `name`, stored as f32, f64, f16 or bf16, row-major, to `values`: as many as its shape says.
///
/// Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_INVALID_DATA for another type and
/// for values that are not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_read(
    file: *const srnn_tensor_file,
    name: *const c_char,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (file, name, values) = unsafe {
            let file = handle::shared("file", file)?;
            (file, a.text("name", name)?, a.write("values", values, values_len)?)
        };
        file.0.read_f32(name, file.0.shape(name)?, Finite::Required, values)
    })
}

/// Copies the metadata text under `key` and a closing NUL to `text`, which has room for `text_size` bytes, and its length
/// without the NUL to `text_len`. With NULL and 0 it only measures.
///
/// Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_metadata(
    file: *const srnn_tensor_file,
    key: *const c_char,
    text: *mut c_char,
    text_size: usize,
    text_len: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (file, key) = (handle::shared("file", file)?, a.text("key", key)?);
            let found = file.0.metadata(key);
            let found = found.ok_or_else(|| err!(NotFound, "the metadata has no entry '{key:.80}'"))?;
            a.copy_text(found, text, text_size, text_len)
        }
    })
}

/// Tensors and metadata that are to become a safetensors file.
#[derive(Default)]
pub struct srnn_tensor_writer {
    tensors: Vec<Tensor>,
    metadata: Vec<(String, String)>,
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: AlignedBuf<f32>,
}

impl srnn_tensor_writer {
    fn writer(&self) -> Result<TensorWriter<'_>> {
        let mut writer = TensorWriter::new();
        for Tensor { name, shape, values } in &self.tensors {
            writer.tensor(name, shape, values)?;
        }
        for (key, text) in &self.metadata {
            writer.metadata(key, text)?;
        }
        Ok(writer)
    }
}

/// Adds an entry if all of them together make a file.
fn try_push<T>(
    writer: &mut srnn_tensor_writer,
    list: fn(&mut srnn_tensor_writer) -> &mut Vec<T>,
    entry: T,
) -> Result<()> {
    crate::buffer::push(list(writer), entry)?;
    let whole = writer.writer().map(|_| ());
    if whole.is_err() {
        list(writer).pop();
    }
    whole
}

/// Creates a writer without tensors. The caller destroys it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_writer_create(
    writer: *mut *mut srnn_tensor_writer,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let writer = unsafe { Arrays::new().out("writer", writer) }?;
        writer.write(handle::create(srnn_tensor_writer::default())?);
        Ok(())
    })
}

/// Destroys a writer. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_writer_destroy(writer: *mut srnn_tensor_writer) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(writer) }
}

/// Adds a tensor, stored as f32: a copy of `values`, row-major in `shape`, outermost dimension first.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_SHAPE_MISMATCH if the shape has another number
/// of values; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_writer_add(
    writer: *mut srnn_tensor_writer,
    name: *const c_char,
    shape: *const usize,
    shape_len: usize,
    values: *const f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (writer, name, shape, values) = unsafe {
            let (writer, name) = (handle::exclusive("writer", writer)?, a.text("name", name)?);
            (writer, name, a.read("shape", shape, shape_len)?, a.read("values", values, values_len)?)
        };
        let mut buffer = AlignedBuf::zeroed(values.len())?;
        buffer.copy_from_slice(values);
        let tensor = Tensor { name: try_string(name)?, shape: try_copy(shape)?, values: buffer };
        try_push(writer, |w| &mut w.tensors, tensor)
    })
}

/// Adds a metadata text under `key`.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a key that is taken; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_writer_metadata(
    writer: *mut srnn_tensor_writer,
    key: *const c_char,
    text: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (writer, key, text) =
            unsafe { (handle::exclusive("writer", writer)?, a.text("key", key)?, a.text("text", text)?) };
        let entry = (try_string(key)?, try_string(text)?);
        try_push(writer, |w| &mut w.metadata, entry)
    })
}

/// Writes everything to the file at `path`.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_writer_save(
    writer: *const srnn_tensor_writer,
    path: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (writer, path) = unsafe { (handle::shared("writer", writer)?, Arrays::new().path("path", path)?) };
        writer.writer()?.save(path)
    })
}
