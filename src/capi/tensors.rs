//! # Weight files
//!
//! Named tensors in the safetensors format, as PyTorch programs write them. Files are written to a temporary name,
//! ".NAME.simdrnn-0.tmp" beside the file or with another number, flushed to the disk and renamed: a failed save leaves an
//! existing file as it was, and the next save removes what a killed one left. An existing file keeps its permissions, and a
//! symbolic link leads to the file that is written, also if that does not exist yet.

use super::args::{self, Arrays};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::optimizer::srnn_optimizer;
use super::rnn::srnn_rnn;
use super::structs::{self, Growing};
use crate::buffer::{AlignedBuf, push, try_copy, try_string};
use crate::error::{Result, err};
use crate::io::safetensors::{Finite, TensorFile, TensorWriter};
use crate::io::{LoadOptions, SaveOptions};
use crate::shown::Excerpt;
use std::ffi::c_char;

/// How strictly tensors are loaded. Fill it in with srnn_load_options_init, then change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_load_options {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// 1 to take NaN and infinite values. Default 0: they are errors.
    pub allow_non_finite: i32,
    /// 1 to pass over tensors that stay unused. Default 0: they are errors.
    pub allow_unused: i32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

impl srnn_load_options {
    pub(super) fn to_rust(self) -> Result<LoadOptions> {
        Ok(LoadOptions {
            allow_non_finite: args::flag("allow_non_finite", self.allow_non_finite)?,
            allow_unused: args::flag("allow_unused", self.allow_unused)?,
        })
    }
}

// SAFETY: numbers without padding, the size first.
unsafe impl Growing for srnn_load_options {
    const NAME: &'static str = "srnn_load_options";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            allow_non_finite: 0,
            allow_unused: 0,
            reserved0: 0,
            reserved: [0; 2],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved == [0; 2]
    }
}

/// How strictly tensors are saved. Fill it in with srnn_save_options_init, then change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_save_options {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// 1 to write NaN and infinite values. Default 0: they are errors, as loading refuses them.
    pub allow_non_finite: i32,
    /// Zero.
    pub reserved: [u64; 2],
}

// SAFETY: numbers without padding, the size first.
unsafe impl Growing for srnn_save_options {
    const NAME: &'static str = "srnn_save_options";

    fn defaults() -> Self {
        Self { struct_size: size_of::<Self>() as u32, allow_non_finite: 0, reserved: [0; 2] }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 2]
    }
}

/// Fills in `options`: strict. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_load_options_init(options: *mut srnn_load_options) {
    // SAFETY: the header's contract.
    unsafe { structs::init(options, srnn_load_options::defaults()) }
}

/// Fills in `options`: strict. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_save_options_init(options: *mut srnn_save_options) {
    // SAFETY: the header's contract.
    unsafe { structs::init(options, srnn_save_options::defaults()) }
}

/// Reads all parameters of `rnn` from the file at `path`, in which their torch.nn names follow `prefix` ("lstm.", or ""),
/// as f32, f64, f16 or bf16; as srnn_rnn_load_tensors with the defaults. The weights change only if all could be read.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_INVALID_DATA for a damaged file, for
/// values that are not finite and for tensors of the module that stay unused; SRNN_ERROR_SHAPE_MISMATCH for another shape;
/// SRNN_ERROR_OUT_OF_MEMORY.
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
/// Errors, with an existing file as it was: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for weights that are not finite;
/// SRNN_ERROR_OUT_OF_MEMORY.
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
/// Errors, with an existing file as it was: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for states that are not finite;
/// SRNN_ERROR_OUT_OF_MEMORY.
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

/// Makes `optimizer` what the file at `path` holds, as srnn_optimizer_load_tensors with the defaults; its pool stays.
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
pub struct srnn_tensor_file(pub(super) TensorFile);

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

/// Takes a safetensors file from memory: a copy of `bytes`. `name` is for error texts. The caller destroys it.
///
/// Errors: SRNN_ERROR_INVALID_DATA for bytes that are not whole and consistent; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_open_memory(
    bytes: *const u8,
    bytes_len: usize,
    name: *const c_char,
    file: *mut *mut srnn_tensor_file,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (bytes, name, file) =
            unsafe { (a.read("bytes", bytes, bytes_len)?, a.text("name", name)?, a.out("file", file)?) };
        file.write(handle::create(srnn_tensor_file(TensorFile::from_bytes(try_copy(bytes)?, name)?))?);
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
/// Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_INVALID_DATA for another type and,
/// unless `options` (NULL for the defaults) allow them, for values that are not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_file_read(
    file: *const srnn_tensor_file,
    name: *const c_char,
    options: *const srnn_load_options,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (file, name, options, values) = unsafe {
            let file = handle::shared("file", file)?;
            let options = structs::read_optional(options)?.to_rust()?;
            (file, a.text("name", name)?, options, a.write("values", values, values_len)?)
        };
        let finite = if options.allow_non_finite { Finite::Any } else { Finite::Required };
        file.0.read_f32(name, file.0.shape(name)?, finite, values)
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
            let found = found.ok_or_else(|| err!(NotFound, "the metadata has no entry '{}'", Excerpt(key, 80)))?;
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
    /// Adds copies of everything, or nothing.
    pub(super) fn add_all(&mut self, more: &TensorWriter<'_>) -> Result<()> {
        let (tensors, metadata) = (self.tensors.len(), self.metadata.len());
        let added = self.copy_all(more).and_then(|()| self.writer(SaveOptions::default()).map(|_| ()));
        if added.is_err() {
            self.tensors.truncate(tensors);
            self.metadata.truncate(metadata);
        }
        added
    }

    fn copy_all(&mut self, more: &TensorWriter<'_>) -> Result<()> {
        for (name, shape, values) in more.tensors() {
            let mut buffer = AlignedBuf::zeroed(values.len())?;
            buffer.copy_from_slice(values);
            push(&mut self.tensors, Tensor { name: try_string(name)?, shape: try_copy(shape)?, values: buffer })?;
        }
        for (key, text) in more.texts() {
            push(&mut self.metadata, (try_string(key)?, try_string(text)?))?;
        }
        Ok(())
    }

    fn writer(&self, options: SaveOptions) -> Result<TensorWriter<'_>> {
        let mut writer = TensorWriter::with_options(options);
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
    push(list(writer), entry)?;
    let whole = writer.writer(SaveOptions::default()).map(|_| ());
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
pub unsafe extern "C" fn srnn_tensor_writer_add_metadata(
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
/// Errors, with an existing file as it was: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for values that are not finite, unless
/// `options` (NULL for the defaults) allow them; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_tensor_writer_save(
    writer: *const srnn_tensor_writer,
    path: *const c_char,
    options: *const srnn_save_options,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (writer, path, options) = unsafe {
            let (writer, path) = (handle::shared("writer", writer)?, Arrays::new().path("path", path)?);
            (writer, path, structs::read_optional(options)?)
        };
        let allow_non_finite = args::flag("allow_non_finite", options.allow_non_finite)?;
        writer.writer(SaveOptions { allow_non_finite })?.save(path)
    })
}
