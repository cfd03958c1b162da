//! # Losses
//!
//! Each writes its value and, on request, the gradient of that value. Sums run in double in a fixed order, so a finite
//! loss has the same bits on every machine. NaN or infinite inputs are not hidden: they reach the loss and the gradient.

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use super::structs::{self, Growing};
use crate::error::ensure;
use crate::nn::{BceWithLogits, CrossEntropy, Reduction, mse_loss};
use std::ptr::null;

/// How the losses of single rows or values become one.
#[repr(C)]
pub enum srnn_reduction {
    /// Their mean; where classes have weights, the weighted mean.
    SRNN_REDUCTION_MEAN = 0,
    /// Their sum.
    SRNN_REDUCTION_SUM = 1,
}

const _: () = {
    assert!(srnn_reduction::SRNN_REDUCTION_MEAN as i32 == Reduction::Mean as i32);
    assert!(srnn_reduction::SRNN_REDUCTION_SUM as i32 == Reduction::Sum as i32);
};

/// Options of the losses. Where a loss takes NULL, that means what srnn_loss_options_init fills in.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_loss_options {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// An srnn_reduction. Default SRNN_REDUCTION_MEAN.
    pub reduction: i32,
    /// Cross-entropy: rows with this target take no part. Default -100.
    pub ignore_index: i64,
    /// One finite value >= 0 for each class: cross-entropy's weight, or binary cross-entropy's pos_weight. Default NULL,
    /// all 1.
    pub weight: *const f32,
    /// The number of classes if there are weights, else 0.
    pub weight_len: usize,
    /// Zero.
    pub reserved: [u64; 2],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_loss_options {
    const NAME: &'static str = "srnn_loss_options";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            reduction: Reduction::default() as i32,
            ignore_index: CrossEntropy::default().ignore_index,
            weight: null(),
            weight_len: 0,
            reserved: [0; 2],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 2]
    }
}

/// Fills in `options` with PyTorch's defaults. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_loss_options_init(options: *mut srnn_loss_options) {
    // SAFETY: the header's contract.
    unsafe { structs::init(options, srnn_loss_options::defaults()) }
}

/// Softmax cross-entropy over class indices (torch.nn.CrossEntropyLoss).
///
/// - logits: (targets_len, classes)
/// - targets: for each row a class, or ignore_index
/// - loss: receives the loss; with a weighted mean, divided by the sum of the targets' weights
/// - dlogits: receives the gradient of logits; NULL if it is not wanted
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a target that is no class, a weight
/// that is negative or not finite, and a mean over nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_cross_entropy(
    options: *const srnn_loss_options,
    classes: usize,
    logits: *const f32,
    logits_len: usize,
    targets: *const i64,
    targets_len: usize,
    loss: *mut f64,
    dlogits: *mut f32,
    dlogits_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let options = structs::read_optional(options)?;
            let weight = a.read_optional("weight", options.weight, options.weight_len)?;
            let logits = a.read("logits", logits, logits_len)?;
            let targets = a.read("targets", targets, targets_len)?;
            let loss = a.out("loss", loss)?;
            let dlogits = a.write_optional("dlogits", dlogits, dlogits_len)?;
            let reduction = Reduction::from_number(options.reduction)?;
            let entropy = CrossEntropy { weight, ignore_index: options.ignore_index, reduction };
            loss.write(entropy.evaluate(classes, logits, targets, dlogits)?);
        }
        Ok(())
    })
}

/// Sigmoid binary cross-entropy on logits, for any number of labels a row (torch.nn.BCEWithLogitsLoss).
///
/// - logits: (rows, classes)
/// - targets: the same shape, each in [0, 1]
/// - loss: receives the loss; a mean is over all values
/// - dlogits: receives the gradient of logits; NULL if it is not wanted
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a target outside [0, 1], a weight that
/// is negative or not finite, and a mean over nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_bce_with_logits(
    options: *const srnn_loss_options,
    classes: usize,
    logits: *const f32,
    logits_len: usize,
    targets: *const f32,
    targets_len: usize,
    loss: *mut f64,
    dlogits: *mut f32,
    dlogits_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let options = structs::read_optional(options)?;
            let pos_weight = a.read_optional("weight", options.weight, options.weight_len)?;
            let logits = a.read("logits", logits, logits_len)?;
            let targets = a.read("targets", targets, targets_len)?;
            let loss = a.out("loss", loss)?;
            let dlogits = a.write_optional("dlogits", dlogits, dlogits_len)?;
            let bce = BceWithLogits { pos_weight, reduction: Reduction::from_number(options.reduction)? };
            loss.write(bce.evaluate(classes, logits, targets, dlogits)?);
        }
        Ok(())
    })
}

/// Mean squared error (torch.nn.MSELoss).
///
/// - prediction, target: of one length
/// - loss: receives the loss
/// - dprediction: receives the gradient of prediction; NULL if it is not wanted
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for options with weights, which this loss
/// does not have, and a mean over nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_mse_loss(
    options: *const srnn_loss_options,
    prediction: *const f32,
    prediction_len: usize,
    target: *const f32,
    target_len: usize,
    loss: *mut f64,
    dprediction: *mut f32,
    dprediction_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let options = structs::read_optional(options)?;
            ensure!(
                options.weight.is_null() && options.weight_len == 0,
                InvalidArgument,
                "weight is given, but the mean squared error has no classes"
            );
            let prediction = a.read("prediction", prediction, prediction_len)?;
            let target = a.read("target", target, target_len)?;
            let loss = a.out("loss", loss)?;
            let dprediction = a.write_optional("dprediction", dprediction, dprediction_len)?;
            loss.write(mse_loss(Reduction::from_number(options.reduction)?, prediction, target, dprediction)?);
        }
        Ok(())
    })
}
