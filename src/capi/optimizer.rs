//! # Optimizers
//!
//! SGD, Adam, AdamW and RMSprop with PyTorch's semantics. srnn_optimizer_step updates a whole model, a list of modules with
//! their gradients. Piece by piece, a step is srnn_optimizer_begin_step, then one update for every parameter array. A slot
//! holds the state of one of them, is created by the slot's first update, and counts its own updates: a module's slot is
//! its place in the list, and the caller numbers the pieces.

use super::args::{self, Arrays};
use super::call;
use super::dense::srnn_dense;
use super::embedding::{srnn_embedding, srnn_embedding_grads};
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::pool::{self, srnn_pool};
use super::rnn::srnn_rnn;
use super::structs::{self, Growing};
use super::train::srnn_grads;
use crate::error::{Result, err};
use crate::nn::{AdamConfig, NonFinite, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig};

/// Optimizers.
#[repr(C)]
pub enum srnn_optimizer_kind {
    /// Stochastic gradient descent (torch.optim.SGD).
    SRNN_OPTIMIZER_SGD = 0,
    /// Adam (torch.optim.Adam).
    SRNN_OPTIMIZER_ADAM = 1,
    /// Adam with decoupled weight decay (torch.optim.AdamW).
    SRNN_OPTIMIZER_ADAMW = 2,
    /// RMSprop (torch.optim.RMSprop).
    SRNN_OPTIMIZER_RMSPROP = 3,
}

const SGD: i32 = srnn_optimizer_kind::SRNN_OPTIMIZER_SGD as i32;
const ADAM: i32 = srnn_optimizer_kind::SRNN_OPTIMIZER_ADAM as i32;
const ADAMW: i32 = srnn_optimizer_kind::SRNN_OPTIMIZER_ADAMW as i32;
const RMSPROP: i32 = srnn_optimizer_kind::SRNN_OPTIMIZER_RMSPROP as i32;

/// What becomes of a step whose loss or gradients are NaN or infinite. It is decided before anything changes.
#[repr(C)]
pub enum srnn_non_finite {
    /// The call fails with SRNN_ERROR_NON_FINITE, as if it had never been made.
    SRNN_NON_FINITE_STOP = 0,
    /// The step is left out: parameters and the optimizer's state stay, and a count tells of it.
    SRNN_NON_FINITE_SKIP = 1,
    /// The step is taken with what came out: NaN goes into parameters and state.
    SRNN_NON_FINITE_CONTINUE = 2,
}

const _: () = {
    assert!(srnn_non_finite::SRNN_NON_FINITE_STOP as i32 == NonFinite::Stop as i32);
    assert!(srnn_non_finite::SRNN_NON_FINITE_SKIP as i32 == NonFinite::Skip as i32);
    assert!(srnn_non_finite::SRNN_NON_FINITE_CONTINUE as i32 == NonFinite::Continue as i32);
};

/// Hyperparameters, with PyTorch's names. A kind reads only its own. Fill it in with srnn_optimizer_config_init, then
/// change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_optimizer_config {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// An srnn_optimizer_kind.
    pub kind: i32,
    /// Learning rate. Default 1e-3; RMSprop 1e-2.
    pub lr: f64,
    /// Added to the gradient times the parameter; AdamW takes it off the parameter times lr. Default 0; AdamW 1e-2.
    pub weight_decay: f64,
    /// SGD, RMSprop: momentum. Default 0, none.
    pub momentum: f64,
    /// SGD: the gradient enters the momentum times 1 - dampening. Default 0.
    pub dampening: f64,
    /// Adam, AdamW: decay rate of the running mean of gradients, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Adam, AdamW: decay rate of the running mean of their squares, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// RMSprop: decay rate of the running mean of squares, in [0, 1]. Default 0.99.
    pub alpha: f64,
    /// Adam, AdamW, RMSprop: added to the denominator. Default 1e-8.
    pub eps: f64,
    /// SGD: 1 for Nesterov's momentum. Default 0.
    pub nesterov: i32,
    /// RMSprop: 1 to divide by the standard deviation. Default 0.
    pub centered: i32,
    /// An srnn_non_finite: what an update does with a gradient that is not finite, and a trainer's step with such a loss or
    /// norm. Default SRNN_NON_FINITE_STOP.
    pub non_finite: i32,
    /// Zero.
    pub reserved: [u32; 7],
}

impl srnn_optimizer_config {
    /// The defaults of a kind; those of SGD for an unknown one.
    fn of_kind(kind: i32) -> Self {
        let adam = if kind == ADAMW { AdamConfig::adamw() } else { AdamConfig::default() };
        let (sgd, rms) = (SgdConfig::default(), RmsPropConfig::default());
        let (lr, weight_decay, momentum) = match kind {
            ADAM | ADAMW => (adam.lr, adam.weight_decay, 0.0),
            RMSPROP => (rms.lr, rms.weight_decay, rms.momentum),
            _ => (sgd.lr, sgd.weight_decay, sgd.momentum),
        };
        Self {
            struct_size: size_of::<Self>() as u32,
            kind,
            lr,
            weight_decay,
            momentum,
            dampening: sgd.dampening,
            beta1: adam.betas[0],
            beta2: adam.betas[1],
            alpha: rms.alpha,
            eps: if kind == RMSPROP { rms.eps } else { adam.eps },
            nesterov: sgd.nesterov.into(),
            centered: rms.centered.into(),
            non_finite: NonFinite::default() as i32,
            reserved: [0; 7],
        }
    }

    /// The present hyperparameters, as they would be given.
    pub(super) fn of(config: &OptimizerConfig, non_finite: NonFinite) -> Self {
        let kind = match config {
            OptimizerConfig::Sgd(_) => SGD,
            OptimizerConfig::Adam(c) if c.decoupled_weight_decay => ADAMW,
            OptimizerConfig::Adam(_) => ADAM,
            OptimizerConfig::RmsProp(_) => RMSPROP,
        };
        let defaults = Self { lr: config.lr(), non_finite: non_finite as i32, ..Self::of_kind(kind) };
        match *config {
            OptimizerConfig::Sgd(SgdConfig { momentum, dampening, weight_decay, nesterov, .. }) => {
                Self { momentum, dampening, weight_decay, nesterov: nesterov.into(), ..defaults }
            }
            OptimizerConfig::Adam(AdamConfig { betas: [beta1, beta2], eps, weight_decay, .. }) => {
                Self { beta1, beta2, eps, weight_decay, ..defaults }
            }
            OptimizerConfig::RmsProp(RmsPropConfig { alpha, eps, weight_decay, momentum, centered, .. }) => {
                Self { alpha, eps, weight_decay, momentum, centered: centered.into(), ..defaults }
            }
        }
    }

    pub(super) fn to_rust(self) -> Result<OptimizerConfig> {
        let Self { lr, weight_decay, momentum, dampening, eps, .. } = self;
        Ok(match self.kind {
            SGD => {
                let nesterov = args::flag("nesterov", self.nesterov)?;
                OptimizerConfig::Sgd(SgdConfig { lr, momentum, dampening, weight_decay, nesterov })
            }
            ADAM | ADAMW => OptimizerConfig::Adam(AdamConfig {
                lr,
                betas: [self.beta1, self.beta2],
                eps,
                weight_decay,
                decoupled_weight_decay: self.kind == ADAMW,
            }),
            RMSPROP => {
                let centered = args::flag("centered", self.centered)?;
                OptimizerConfig::RmsProp(RmsPropConfig { lr, alpha: self.alpha, eps, weight_decay, momentum, centered })
            }
            kind => {
                return Err(err!(
                    InvalidArgument,
                    "unknown optimizer {kind}, expected 0 (sgd), 1 (adam), 2 (adamw) or 3 (rmsprop)"
                ));
            }
        })
    }
}

// SAFETY: numbers without padding, the size first.
unsafe impl Growing for srnn_optimizer_config {
    const NAME: &'static str = "srnn_optimizer_config";

    fn defaults() -> Self {
        Self::of_kind(SGD)
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 7]
    }
}

/// An optimizer and its state.
pub struct srnn_optimizer(pub(super) Optimizer);

/// Fills in `config` with PyTorch's defaults for `kind` (an srnn_optimizer_kind). Values are checked by
/// srnn_optimizer_create. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_config_init(config: *mut srnn_optimizer_config, kind: i32) {
    // SAFETY: the header's contract.
    unsafe { structs::init(config, srnn_optimizer_config::of_kind(kind)) }
}

/// Creates an optimizer without slots. The caller destroys it.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT, naming the field, for a value that the optimizer cannot work with;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_create(
    config: *const srnn_optimizer_config,
    optimizer: *mut *mut srnn_optimizer,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (config, optimizer) = unsafe { (structs::read(config)?, Arrays::new().out("optimizer", optimizer)?) };
        let mut new = Optimizer::new(&config.to_rust()?)?;
        new.set_non_finite(NonFinite::from_number(config.non_finite)?);
        optimizer.write(handle::create(srnn_optimizer(new))?);
        Ok(())
    })
}

/// Destroys an optimizer. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_destroy(optimizer: *mut srnn_optimizer) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(optimizer) }
}

/// The learning rate; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_lr(optimizer: *const srnn_optimizer) -> f64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(optimizer, 0.0, |o| o.0.lr()) }
}

/// Sets the learning rate from the next update on.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for one that is negative or not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_set_lr(
    optimizer: *mut srnn_optimizer,
    lr: f64,
    error: *mut srnn_error,
) -> srnn_status {
    // SAFETY: the header's contract.
    call(error, || unsafe { handle::exclusive("optimizer", optimizer) }?.0.set_lr(lr))
}

/// Spreads large updates, and the packing of the updated weights, over the threads of `pool` from now on; NULL for the
/// caller's thread alone. The pool may be destroyed before the optimizer. The number of threads changes no bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_set_pool(
    optimizer: *mut srnn_optimizer,
    pool: *const srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, pool) = unsafe { (handle::exclusive("optimizer", optimizer)?, pool::optional(pool)?) };
        optimizer.0.set_pool(pool);
        Ok(())
    })
}

/// Steps begun so far, those that were left out not counted; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_step_count(optimizer: *const srnn_optimizer) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(optimizer, 0, |o| o.0.step_count()) }
}

/// Updates that SRNN_NON_FINITE_SKIP left out; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_skipped_count(optimizer: *const srnn_optimizer) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(optimizer, 0, |o| o.0.skipped()) }
}

/// Begins the next step: every slot may be updated once more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_begin_step(
    optimizer: *mut srnn_optimizer,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe { handle::exclusive("optimizer", optimizer) }?.0.begin_step();
        Ok(())
    })
}

/// Updates all parameters of `rnn` with their gradients, as slot `slot`.
///
/// Errors: SRNN_ERROR_INVALID_STATE before the first begin_step and for a slot that this step already updated;
/// SRNN_ERROR_SHAPE_MISMATCH for another model's grads and for a slot that was created for another length;
/// SRNN_ERROR_NON_FINITE, if that is the configuration's choice; SRNN_ERROR_OUT_OF_MEMORY. After each, parameters and
/// optimizer are as if the call had not been made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_update_rnn(
    optimizer: *mut srnn_optimizer,
    slot: usize,
    rnn: *mut srnn_rnn,
    grads: *const srnn_grads,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, rnn, grads) = unsafe {
            (
                handle::exclusive("optimizer", optimizer)?,
                handle::exclusive("rnn", rnn)?,
                handle::shared("grads", grads)?,
            )
        };
        rnn.0.optimize(&mut optimizer.0, slot, &grads.0)
    })
}

/// Updates weights and bias of `dense` with `grads`, srnn_dense_value_count of them, as slot `slot`. Errors are those of
/// srnn_optimizer_update_rnn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_update_dense(
    optimizer: *mut srnn_optimizer,
    slot: usize,
    dense: *mut srnn_dense,
    grads: *const f32,
    grads_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        unsafe {
            let (optimizer, dense) = (handle::exclusive("optimizer", optimizer)?, handle::exclusive("dense", dense)?);
            dense.0.optimize(&mut optimizer.0, slot, Arrays::new().read("grads", grads, grads_len)?)
        }
    })
}

/// Updates the table of `embedding`, unless it is frozen, as slot `slot`. Rows without a gradient move where the
/// optimizer says so, bit for bit as with a dense gradient, but without weight decay only rows that ever had a gradient
/// are visited. Errors are those of srnn_optimizer_update_rnn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_update_embedding(
    optimizer: *mut srnn_optimizer,
    slot: usize,
    embedding: *mut srnn_embedding,
    grads: *const srnn_embedding_grads,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (optimizer, embedding, grads) = unsafe {
            (
                handle::exclusive("optimizer", optimizer)?,
                handle::exclusive("embedding", embedding)?,
                handle::shared("grads", grads)?,
            )
        };
        embedding.0.optimize(&mut optimizer.0, slot, &grads.0)
    })
}

/// Updates the caller's own parameters `values` with `grads`, of the same length, as slot `slot`. Errors are those of
/// srnn_optimizer_update_rnn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_optimizer_update(
    optimizer: *mut srnn_optimizer,
    slot: usize,
    values: *mut f32,
    values_len: usize,
    grads: *const f32,
    grads_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let optimizer = handle::exclusive("optimizer", optimizer)?;
            let values = a.write("values", values, values_len)?;
            optimizer.0.update(slot, values, a.read("grads", grads, grads_len)?)
        }
    })
}
