//! # Training of text classifiers

use super::args::Arrays;
use super::call;
use super::classifier::srnn_classifier;
use super::dataset::srnn_dataset;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::optimizer::srnn_optimizer_config;
use super::pool::{self, srnn_pool};
use super::structs;
use crate::error::{Result, ensure};
use crate::nn::NonFinite;
use crate::rnn::Session;
use crate::text::{Trainer, TrainerConfig, TrainingPosition};
use std::ffi::c_char;

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
    /// Tokens read of the batch.
    pub tokens: u64,
    /// 1 if the step was left out, because loss or norm is not finite and SRNN_NON_FINITE_SKIP is chosen.
    pub skipped: u64,
    /// Texts of which only the classifier's first max_tokens were read.
    pub truncated: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

/// Where a run over shuffled batches stands: what srnn_batches_create needs to make them again, and the next to come.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_training_position {
    /// Examples in a batch.
    pub batch_size: u64,
    /// Decides the order.
    pub seed: u64,
    /// The batch of this epoch that comes next, from 0; their number once the epoch is done.
    pub batch: u64,
    /// The epoch, from 0.
    pub epoch: u32,
    /// Zero.
    pub reserved: [u32; 7],
}

impl srnn_training_position {
    fn to_rust(self) -> Result<TrainingPosition> {
        let Self { batch_size, seed, batch, epoch, reserved } = self;
        ensure!(reserved == [0; 7], InvalidArgument, "srnn_training_position has a reserved field that is not zero");
        Ok(TrainingPosition { batch_size, seed, epoch, batch })
    }
}

/// Creates a trainer for `classifier`, or for another of the same shape; it does not keep it. The caller destroys it.
///
/// - optimizer: the optimizer and its learning rate, and what a step does that is not finite
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
    trainer: *mut *mut srnn_trainer,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (classifier, optimizer, trainer) = unsafe {
            let classifier = handle::shared("classifier", classifier)?;
            (classifier, structs::read(optimizer)?, Arrays::new().out("trainer", trainer)?)
        };
        let non_finite = NonFinite::from_number(optimizer.non_finite)?;
        let config = TrainerConfig { optimizer: optimizer.to_rust()?, clip_norm, seed, non_finite };
        trainer.write(handle::create(srnn_trainer(Trainer::new(&classifier.0, &config, Session::new())?))?);
        Ok(())
    })
}

/// Destroys a trainer. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_destroy(trainer: *mut srnn_trainer) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(trainer) }
}

/// Spreads the trainer's work over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may be
/// destroyed before the trainer. The number of threads changes no bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_set_pool(
    trainer: *mut srnn_trainer,
    pool: *const srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (trainer, pool) = unsafe { (handle::exclusive("trainer", trainer)?, pool::optional(pool)?) };
        trainer.0.set_pool(pool);
        Ok(())
    })
}

/// The learning rate; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_lr(trainer: *const srnn_trainer) -> f64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(trainer, 0.0, |t| t.0.optimizer().lr()) }
}

/// Steps taken; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_step_count(trainer: *const srnn_trainer) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(trainer, 0, |t| t.0.optimizer().step_count()) }
}

/// Steps that SRNN_NON_FINITE_SKIP left out; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_skipped_count(trainer: *const srnn_trainer) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(trainer, 0, |t| t.0.skipped()) }
}

/// Fills in `config` with the optimizer's kind and hyperparameters, with the present learning rate.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_get_optimizer_config(
    trainer: *const srnn_trainer,
    config: *mut srnn_optimizer_config,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (trainer, config) = unsafe { (handle::shared("trainer", trainer)?, Arrays::new().out("config", config)?) };
        let found = trainer.0.config();
        config.write(srnn_optimizer_config::of(&found.optimizer, found.non_finite));
        Ok(())
    })
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

/// Writes `classifier` and the whole state of its training to one safetensors file, from which srnn_trainer_open goes on
/// bit for bit. srnn_classifier_open reads the classifier in it.
///
/// - position: where the run stands among its batches; NULL for a position of zeros
///
/// Errors: SRNN_ERROR_IO, with an existing file as it was; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_save(
    trainer: *const srnn_trainer,
    classifier: *const srnn_classifier,
    position: *const srnn_training_position,
    path: *const c_char,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (trainer, classifier, position, path) = unsafe {
            let (trainer, classifier) =
                (handle::shared("trainer", trainer)?, handle::shared("classifier", classifier)?);
            let mut a = Arrays::new();
            let position = if position.is_null() { &[][..] } else { a.read("position", position, 1)? };
            (&trainer.0, &classifier.0, position, a.path("path", path)?)
        };
        let position = position.first().map_or(Ok(TrainingPosition::default()), |p| p.to_rust())?;
        trainer.save(classifier, &position, path)
    })
}

/// Reads what srnn_trainer_save wrote: a trainer, its classifier, and where the run stood (`position` may be NULL). The caller
/// destroys trainer and classifier.
///
/// Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for a file that is damaged or holds no classifier; SRNN_ERROR_NOT_FOUND
/// for one that holds no training run; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_trainer_open(
    path: *const c_char,
    trainer: *mut *mut srnn_trainer,
    classifier: *mut *mut srnn_classifier,
    position: *mut srnn_training_position,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (path, trainer, classifier, position) = unsafe {
            let mut a = Arrays::new();
            let path = a.path("path", path)?;
            let (trainer, classifier) = (a.out("trainer", trainer)?, a.out("classifier", classifier)?);
            (path, trainer, classifier, a.out_optional("position", position)?)
        };
        let (run, model, found) = Trainer::load(path, Session::new())?;
        let run = handle::create(srnn_trainer(run))?;
        let model = handle::create(srnn_classifier(model)).inspect_err(|_| {
            // SAFETY: made above, and known to nobody.
            unsafe { handle::destroy(run) }
        })?;
        trainer.write(run);
        classifier.write(model);
        if let Some(position) = position {
            let TrainingPosition { batch_size, seed, epoch, batch } = found;
            position.write(srnn_training_position { batch_size, seed, batch, epoch, reserved: [0; 7] });
        }
        Ok(())
    })
}

/// One training step on some `examples` of `dataset`, by their numbers, as srnn_batches_get gives them. What it found goes
/// to `report`, which may be NULL. Whether loss and gradients are finite is seen before anything changes, and the optimizer
/// configuration's `non_finite` says what follows. A step that is left out changes neither classifier nor optimizer, but
/// the next one draws other dropout masks.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT if there are no examples or one does not exist, if the dataset has other labels than
/// the classifier, or words that it has not; SRNN_ERROR_SHAPE_MISMATCH for a classifier of another shape than the
/// trainer's; SRNN_ERROR_NON_FINITE; SRNN_ERROR_OUT_OF_MEMORY. After each, trainer and classifier are as if the call had not
/// been made.
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
                skipped: found.skipped.into(),
                truncated: found.truncated as u64,
                reserved: [0; 2],
            });
        }
        Ok(())
    })
}
