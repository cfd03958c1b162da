//! # Training steps
//!
//! What a training step does to all modules of a model together: it zeroes their gradients, clips them, and updates the
//! parameters. Between the first two come forward, the loss and backward.
//!
//!   srnn_modules_zero_grad, srnn_rnn_forward, srnn_rnn_backward, srnn_modules_clip_grad_norm, srnn_optimizer_step

use super::args::{self, Arrays};
use super::call;
use super::dense::srnn_dense;
use super::embedding::{srnn_embedding, srnn_embedding_grads};
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::optimizer::srnn_optimizer;
use super::rnn::srnn_rnn;
use super::structs::{self, Growing};
use super::train::srnn_grads;
use crate::buffer::try_with_capacity;
use crate::error::{Result, ensure, product};
use crate::nn::{Module, clip_module_grads, zero_grads};
use std::ptr::null_mut;

/// A module with its gradients: exactly one of `rnn`, `embedding`, `dense` and `values`. Fill it in with srnn_module_init, then
/// change fields. A model is an array of them, in the same order every step. A module without gradients is passed over and
/// keeps its place.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_module {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// Zero.
    pub reserved0: u32,
    /// Recurrent layers.
    pub rnn: *mut srnn_rnn,
    /// Their gradients.
    pub rnn_grads: *mut srnn_grads,
    /// An embedding. While it is frozen, its gradients count nowhere.
    pub embedding: *mut srnn_embedding,
    /// Its gradient.
    pub embedding_grads: *mut srnn_embedding_grads,
    /// A dense layer.
    pub dense: *mut srnn_dense,
    /// Parameters of the caller's own.
    pub values: *mut f32,
    /// Values of `values`.
    pub values_len: usize,
    /// Gradients of `dense`, srnn_dense_value_count of them, or of `values`.
    pub grads: *mut f32,
    /// Values of `grads`.
    pub grads_len: usize,
    /// Zero.
    pub reserved: [u64; 2],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_module {
    const NAME: &'static str = "srnn_module";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            reserved0: 0,
            rnn: null_mut(),
            rnn_grads: null_mut(),
            embedding: null_mut(),
            embedding_grads: null_mut(),
            dense: null_mut(),
            values: null_mut(),
            values_len: 0,
            grads: null_mut(),
            grads_len: 0,
            reserved: [0; 2],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved == [0; 2]
    }
}

/// Fills in `module` with nothing. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_module_init(module: *mut srnn_module) {
    // SAFETY: the header's contract.
    unsafe { structs::init(module, srnn_module::defaults()) }
}

/// Sets all gradients to zero (torch.nn.Module.zero_grad).
///
/// - modules: a model, `modules_len` structs of the same size
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a struct with no module or several, gradients of another kind, and a handle or an
/// array that is there twice; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_modules_zero_grad(
    modules: *const srnn_module,
    modules_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        zero_grads(&mut unsafe { read(Arrays::new(), modules, modules_len) }?);
        Ok(())
    })
}

/// Scales all gradients together so that their L2 norm is at most `max_norm` (torch.nn.utils.clip_grad_norm_), and writes the
/// norm from before to `norm`, which may be NULL. Gradients whose norm is not finite stay as they are: with
/// `error_if_nonfinite` 1 the call fails, with 0 the optimizer's `non_finite` decides. An infinite `max_norm` only measures.
///
/// Errors: as srnn_modules_zero_grad; SRNN_ERROR_INVALID_ARGUMENT for a max_norm that is negative or NaN;
/// SRNN_ERROR_NON_FINITE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_modules_clip_grad_norm(
    modules: *const srnn_module,
    modules_len: usize,
    max_norm: f64,
    error_if_nonfinite: i32,
    norm: *mut f64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (norm, mut modules) = unsafe { (a.out_optional("norm", norm)?, read(a, modules, modules_len)?) };
        let found = clip_module_grads(&mut modules, max_norm, args::flag("error_if_nonfinite", error_if_nonfinite)?)?;
        norm.map(|norm| norm.write(found));
        Ok(())
    })
}

/// One training step (torch.optim.Optimizer.step): updates the parameters of all modules with their gradients, each as the slot
/// of its place in `modules`. Whether all gradients are finite is seen before anything changes, and the configuration's
/// `non_finite` says what follows, for the whole step.
///
/// Errors: as srnn_modules_zero_grad; SRNN_ERROR_SHAPE_MISMATCH for gradients of another model or length and for a slot that
/// was created for another length; SRNN_ERROR_NON_FINITE, if that is the configuration's choice. After each, parameters and
/// optimizer are as if the call had not been made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_step(
    optimizer: *mut srnn_optimizer,
    modules: *const srnn_module,
    modules_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, mut modules) =
            unsafe { (handle::exclusive("optimizer", optimizer)?, read(Arrays::new(), modules, modules_len)?) };
        optimizer.0.step(&mut modules)
    })
}

/// The caller's modules. No handle and no array may be there twice.
///
/// # Safety
/// The structs, and the handles and arrays in them, are as the header says.
unsafe fn read<'a>(mut a: Arrays, modules: *const srnn_module, len: usize) -> Result<Vec<Module<'a>>> {
    // SAFETY: the caller's promise.
    let structs = unsafe { read_structs(&mut a, modules, len) }?;
    // There are as many, so these products are small.
    let mut handles: Vec<usize> = try_with_capacity(2 * len)?;
    let mut pointers: Vec<*mut f32> = try_with_capacity(4 * len)?;
    let mut lengths: Vec<usize> = try_with_capacity(4 * len)?;
    for (i, m) in structs.iter().enumerate() {
        m.check().map_err(|e| e.context(format_args!("module {i}")))?;
        let all = [m.rnn.addr(), m.rnn_grads.addr(), m.embedding.addr(), m.embedding_grads.addr(), m.dense.addr()];
        handles.extend(all.into_iter().filter(|&address| address != 0).take(2));
        pointers.extend([m.values, m.grads]);
        lengths.extend([m.values_len, m.grads_len]);
        // What gradients have shown of theirs counts too.
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(grads) = handle::optional("rnn_grads", m.rnn_grads)? {
                pointers.push(grads.0.values_mut().as_mut_ptr());
                lengths.push(grads.0.values().len());
            }
            if let Some(grads) = handle::optional("embedding_grads", m.embedding_grads)? {
                pointers.extend([grads.0.values_mut().as_mut_ptr(), grads.0.rows().as_ptr().cast_mut().cast()]);
                lengths.extend([grads.0.values().len(), grads.0.rows().len()]);
            }
        }
    }
    handles.sort_unstable();
    ensure!(
        handles.windows(2).all(|pair| pair[0] != pair[1]),
        InvalidArgument,
        "a module or its gradients are there twice, expected different ones"
    );
    // SAFETY: the caller's promise; handles' memory is only looked at, and its slices end here.
    unsafe { a.write_all("an array of a module", &pointers, &lengths) }?;
    let mut found = try_with_capacity(len)?;
    for m in &structs {
        // SAFETY: the caller's promise; no handle is there twice, and arrays are checked.
        found.push(unsafe { m.to_rust() }?);
    }
    Ok(found)
}

/// The structs, of whatever size the caller knows.
///
/// # Safety
/// As for [`read`].
unsafe fn read_structs(a: &mut Arrays, modules: *const srnn_module, len: usize) -> Result<Vec<srnn_module>> {
    if len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise: the first struct tells the size of all.
    let first = unsafe { structs::read(modules) }?;
    let stride = first.struct_size as usize;
    let bytes = product("modules", &[len, stride])?;
    // SAFETY: as above.
    unsafe { a.read("modules", modules.cast::<u8>(), bytes) }?;
    let mut structs: Vec<srnn_module> = try_with_capacity(len)?;
    for i in 0..len {
        // SAFETY: within the array.
        let m = unsafe { structs::read(modules.byte_add(i * stride)) }?;
        ensure!(
            m.struct_size == first.struct_size,
            InvalidArgument,
            "modules[{i}].struct_size is {}, expected {stride} as in the first",
            m.struct_size
        );
        structs.push(m);
    }
    Ok(structs)
}

impl srnn_module {
    /// Whether there is one module, with gradients of its kind or none.
    fn check(&self) -> Result<()> {
        let given = [!self.rnn.is_null(), !self.embedding.is_null(), !self.dense.is_null(), !self.values.is_null()];
        let count = given.iter().filter(|given| **given).count();
        ensure!(count == 1, InvalidArgument, "{count} of rnn, embedding, dense and values are given, expected one");
        let [rnn, embedding, ..] = given;
        let foreign = (!self.rnn_grads.is_null() && !rnn)
            || (!self.embedding_grads.is_null() && !embedding)
            || (!self.grads.is_null() && (rnn || embedding))
            || (self.values.is_null() && self.values_len != 0);
        ensure!(!foreign, InvalidArgument, "there are gradients or a length of another kind of module");
        Ok(())
    }

    /// # Safety
    /// The handles and arrays are as the header says, checked, and used by nothing else.
    unsafe fn to_rust<'a>(self) -> Result<Module<'a>> {
        // SAFETY: the caller's promise.
        unsafe {
            let grads = array(self.grads, self.grads_len);
            Ok(if self.rnn_grads.is_null() && self.embedding_grads.is_null() && self.grads.is_null() {
                Module::Absent
            } else if !self.rnn.is_null() {
                let rnn = &mut handle::exclusive("rnn", self.rnn)?.0;
                Module::Rnn(rnn, &mut handle::exclusive("rnn_grads", self.rnn_grads)?.0)
            } else if !self.embedding.is_null() {
                let embedding = &mut handle::exclusive("embedding", self.embedding)?.0;
                Module::Embedding(embedding, &mut handle::exclusive("embedding_grads", self.embedding_grads)?.0)
            } else if !self.dense.is_null() {
                Module::Dense(&mut handle::exclusive("dense", self.dense)?.0, grads)
            } else {
                Module::Values(array(self.values, self.values_len), grads)
            })
        }
    }
}

/// # Safety
/// Checked, or empty.
unsafe fn array<'a>(ptr: *mut f32, len: usize) -> &'a mut [f32] {
    // SAFETY: the caller's promise.
    if len == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(ptr, len) } }
}
