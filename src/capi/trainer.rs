//! # Training of text classifiers

use super::args::Arrays;
use super::call;
use super::classifier::srnn_classifier;
use super::dataset::srnn_dataset;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::optimizer::srnn_optimizer_config;
use super::pool::srnn_pool;
use super::session::with_pool;
use super::structs;
use crate::text::{Trainer, TrainerConfig};

/// A training run: optimizer, gradients, and memory that is kept from step to step.
pub struct srnn_trainer(Trainer);

/// What one training step found.
#[repr(C)]
pub struct srnn_step_report {
    /// The mean loss over the batch, before the step.
    pub loss: f64,
    /// The gradients' global norm before clipping.
    pub grad_norm: f64,
    /// Texts whose most probable class was right, or of which all labels were.
    pub correct: u64,
    /// Tokens in the batch.
    pub tokens: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

/// Creates a trainer for `classifier`, or for another of the same shape; it does not keep it. Work is spread over the
/// threads of `pool`, if it is not NULL. The caller destroys it.
///
/// - optimizer: the optimizer and its learning rate
/// - clip_norm: gradients are scaled down to this global norm; infinite for no clipping
/// - seed: decides dropout
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a configuration that makes no sense; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_create(
    classifier: *const srnn_classifier,
    optimizer: *const srnn_optimizer_config,
    clip_norm: f64,
    seed: u64,
    pool: *const srnn_pool,
    trainer: *mut *mut srnn_trainer,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (classifier, optimizer, session, trainer) = unsafe {
            let classifier = handle::shared("classifier", classifier)?;
            (classifier, structs::read(optimizer)?, with_pool(pool)?, Arrays::new().out("trainer", trainer)?)
        };
        let config = TrainerConfig { optimizer: optimizer.to_rust()?, clip_norm, seed };
        trainer.write(handle::create(srnn_trainer(Trainer::new(&classifier.0, &config, session)?))?);
        Ok(())
    })
}

/// Destroys a trainer. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_destroy(trainer: *mut srnn_trainer) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(trainer) }
}

/// Sets the learning rate from the next step on.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for one that is negative or not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_set_lr(
    trainer: *mut srnn_trainer,
    lr: f64,
    error: *mut srnn_error,
) -> srnn_status {
    // SAFETY: the header's contract.
    call(error, || unsafe { handle::exclusive("trainer", trainer) }?.0.optimizer_mut().set_lr(lr))
}

/// One training step on some `examples` of `dataset`, by their numbers, as srnn_batches_get gives them. What it found goes
/// to `report`, which may be NULL.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT if there are no examples or one does not exist, or if the dataset has other labels
/// than the classifier; SRNN_ERROR_OUT_OF_MEMORY. The classifier does not change, unless memory for the optimizer's state runs out in the very first
/// step: some parts may then have moved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_step(
    trainer: *mut srnn_trainer,
    classifier: *mut srnn_classifier,
    dataset: *const srnn_dataset,
    examples: *const u32,
    examples_len: usize,
    report: *mut srnn_step_report,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (trainer, classifier, dataset, examples, report) = unsafe {
            let (trainer, dataset) = (handle::exclusive("trainer", trainer)?, handle::shared("dataset", dataset)?);
            let (examples, report) = (a.read("examples", examples, examples_len)?, a.out_optional("report", report)?);
            (trainer, handle::exclusive("classifier", classifier)?, dataset, examples, report)
        };
        let found = trainer.0.step(&mut classifier.0, &dataset.0, examples)?;
        if let Some(report) = report {
            report.write(srnn_step_report {
                loss: found.loss,
                grad_norm: found.grad_norm,
                correct: found.correct as u64,
                tokens: found.tokens as u64,
                reserved: [0; 4],
            });
        }
        Ok(())
    })
}
