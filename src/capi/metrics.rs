//! # Scores
//!
//! How good predictions are: counted for each class, and averaged.

use super::args::Arrays;
use super::dataset::{label_mode, srnn_dataset};
use super::error::{srnn_error, srnn_status};
use super::{call, handle};
use crate::buffer::try_with_capacity;
use crate::error::{Result, check_len, ensure, err, product};
use crate::text::metrics::{ClassCounts, above, best_thresholds};
use crate::text::trainer::argmax;
use crate::text::{Averaging, Confusion, Dataset, LabelMode, LabelScores, Scores};

/// How the scores of several classes become one.
#[repr(C)]
pub enum srnn_averaging {
    /// Of the counts of all classes together.
    SRNN_AVERAGING_MICRO = 0,
    /// The mean over all classes, those without an example too.
    SRNN_AVERAGING_MACRO = 1,
    /// The mean weighted by the classes' support.
    SRNN_AVERAGING_WEIGHTED = 2,
}

const _: () = {
    assert!(srnn_averaging::SRNN_AVERAGING_MICRO as i32 == Averaging::Micro as i32);
    assert!(srnn_averaging::SRNN_AVERAGING_MACRO as i32 == Averaging::Macro as i32);
    assert!(srnn_averaging::SRNN_AVERAGING_WEIGHTED as i32 == Averaging::Weighted as i32);
};

fn averaging(number: i32) -> Result<Averaging> {
    [Averaging::Micro, Averaging::Macro, Averaging::Weighted].into_iter().find(|&a| a as i32 == number).ok_or_else(
        || err!(InvalidArgument, "unknown averaging {number}, expected 0 (micro), 1 (macro) or 2 (weighted)"),
    )
}

/// Scores of a class, or averages; each is 0 where there is nothing to divide by.
#[repr(C)]
pub struct srnn_scores {
    /// Share of the predictions that are true.
    pub precision: f64,
    /// Share of the true ones that were predicted.
    pub recall: f64,
    /// Harmonic mean of both; of an average the mean of the classes'.
    pub f1: f64,
    /// Examples of the class, or of all: where examples have several labels, their labels.
    pub support: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

fn to_c(scores: Scores, support: u64) -> srnn_scores {
    srnn_scores { precision: scores.precision, recall: scores.recall, f1: scores.f1, support, reserved: [0; 4] }
}

/// Counts of true and predicted classes.
pub struct srnn_metrics(Counts);

enum Counts {
    Single(Confusion),
    Multi(LabelScores),
}

impl Counts {
    fn with_classes<T>(&self, look: impl FnOnce(&[ClassCounts]) -> T) -> Result<T> {
        Ok(match self {
            Counts::Single(confusion) => look(&confusion.classes()?),
            Counts::Multi(scores) => look(scores.classes()),
        })
    }
}

/// Creates counts for `classes` classes; for one label an example they take 8 bytes for each pair of classes. The caller
/// destroys them.
///
/// - mode: an srnn_label_mode
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown mode; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_create(
    classes: usize,
    mode: i32,
    metrics: *mut *mut srnn_metrics,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let metrics = unsafe { Arrays::new().out("metrics", metrics)? };
        let counts = match label_mode(mode)? {
            LabelMode::Single => Counts::Single(Confusion::new(classes)?),
            LabelMode::Multi => Counts::Multi(LabelScores::new(classes)?),
        };
        metrics.write(handle::create(srnn_metrics(counts))?);
        Ok(())
    })
}

/// Destroys counts. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_destroy(metrics: *mut srnn_metrics) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(metrics) }
}

/// Counts one example: its classes and the predicted ones, both ascending; one each with SRNN_LABEL_MODE_SINGLE.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for classes that are not there or not ascending; SRNN_ERROR_SHAPE_MISMATCH for more or
/// fewer than one where one is expected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_add(
    metrics: *mut srnn_metrics,
    targets: *const u32,
    targets_len: usize,
    predicted: *const u32,
    predicted_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (metrics, targets, predicted) = unsafe {
            let targets = a.read("targets", targets, targets_len)?;
            (handle::exclusive("metrics", metrics)?, targets, a.read("predicted", predicted, predicted_len)?)
        };
        match &mut metrics.0 {
            Counts::Single(confusion) => {
                check_len("targets", targets.len(), 1)?;
                check_len("predicted", predicted.len(), 1)?;
                confusion.add(targets[0], predicted[0])
            }
            Counts::Multi(scores) => scores.add(targets, predicted),
        }
    })
}

/// Counts all examples of `dataset`, given the probabilities, (examples, labels), that srnn_classifier_predict wrote: with
/// SRNN_LABEL_MODE_SINGLE the most probable class is predicted, the first of equals; otherwise all whose probability is above
/// their threshold.
///
/// - thresholds: one for all labels or one for each; none, NULL and 0, for 0.5, and with SRNN_LABEL_MODE_SINGLE
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for data of another label mode or number of labels; SRNN_ERROR_SHAPE_MISMATCH for the
/// lengths; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_add_dataset(
    metrics: *mut srnn_metrics,
    dataset: *const srnn_dataset,
    probabilities: *const f32,
    probabilities_len: usize,
    thresholds: *const f32,
    thresholds_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (metrics, data, probabilities, thresholds) = unsafe {
            let probabilities = a.read("probabilities", probabilities, probabilities_len)?;
            let thresholds = a.read("thresholds", thresholds, thresholds_len)?;
            let data = &handle::shared("dataset", dataset)?.0;
            (handle::exclusive("metrics", metrics)?, data, probabilities, thresholds)
        };
        let labels = data.labels().len();
        let (mode, classes) = match &metrics.0 {
            Counts::Single(confusion) => (LabelMode::Single, confusion.len()),
            Counts::Multi(scores) => (LabelMode::Multi, scores.classes().len()),
        };
        ensure!(
            mode == data.mode() && classes == labels,
            InvalidArgument,
            "the data have label mode {} and {labels} labels, expected {} and {classes}",
            data.mode() as i32,
            mode as i32
        );
        check_len("probabilities", probabilities.len(), product("probabilities", &[data.len(), labels])?)?;
        add_all(&mut metrics.0, data, probabilities, thresholds)
    })
}

/// Counts nothing where it fails.
fn add_all(counts: &mut Counts, data: &Dataset, probabilities: &[f32], thresholds: &[f32]) -> Result<()> {
    let labels = data.labels().len();
    let rows = probabilities.chunks_exact(labels).enumerate();
    match counts {
        Counts::Single(confusion) => {
            check_len("thresholds", thresholds.len(), 0)?;
            for (i, row) in rows {
                confusion.add(data.targets(i)[0], argmax(row) as u32)?;
            }
        }
        Counts::Multi(scores) => {
            let thresholds = if thresholds.is_empty() { &[0.5] } else { thresholds };
            if thresholds.len() != 1 {
                check_len("thresholds", thresholds.len(), labels)?;
            }
            // Room for all, so that nothing fails below.
            let mut predicted = try_with_capacity(labels)?;
            for (i, row) in rows {
                predicted.clear();
                above(row, thresholds, &mut predicted)?;
                scores.add(data.targets(i), &predicted)?;
            }
        }
    }
    Ok(())
}

/// Writes the scores of one class to `scores`.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for a class that does not exist; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_class(
    metrics: *const srnn_metrics,
    index: usize,
    scores: *mut srnn_scores,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (metrics, scores) = unsafe { (handle::shared("metrics", metrics)?, Arrays::new().out("scores", scores)?) };
        let counts = metrics.0.with_classes(|classes| match classes.get(index) {
            Some(counts) => Ok(*counts),
            None => Err(err!(InvalidArgument, "class {index}, expected less than {}", classes.len())),
        })??;
        scores.write(to_c(Scores::average(&[counts], Averaging::Micro), counts.support()));
        Ok(())
    })
}

/// Writes the scores of all classes as one to `scores`. With one label an example, the micro averages are all the accuracy.
///
/// - averaging: an srnn_averaging
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown averaging; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_average(
    metrics: *const srnn_metrics,
    averaging: i32,
    scores: *mut srnn_scores,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (metrics, scores) = unsafe { (handle::shared("metrics", metrics)?, Arrays::new().out("scores", scores)?) };
        let how = self::averaging(averaging)?;
        scores.write(metrics.0.with_classes(|classes| {
            to_c(Scores::average(classes, how), classes.iter().map(ClassCounts::support).sum())
        })?);
        Ok(())
    })
}

/// Writes the share of examples whose labels were all predicted right, and no other, to `accuracy`; 0 if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_accuracy(
    metrics: *const srnn_metrics,
    accuracy: *mut f64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (metrics, accuracy) =
            unsafe { (handle::shared("metrics", metrics)?, Arrays::new().out("accuracy", accuracy)?) };
        accuracy.write(match &metrics.0 {
            Counts::Single(confusion) => confusion.accuracy(),
            Counts::Multi(scores) => scores.exact_share(),
        });
        Ok(())
    })
}

/// Writes how often an example of class `target` was predicted as `predicted` to `count`.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for classes that do not exist, and where examples have several labels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_metrics_confusion(
    metrics: *const srnn_metrics,
    target: u32,
    predicted: u32,
    count: *mut u64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (metrics, count) = unsafe { (handle::shared("metrics", metrics)?, Arrays::new().out("count", count)?) };
        let Counts::Single(confusion) = &metrics.0 else {
            return Err(err!(InvalidArgument, "there is no confusion of examples with several labels"));
        };
        let n = confusion.len();
        ensure!(
            (target as usize) < n && (predicted as usize) < n,
            InvalidArgument,
            "classes {target} (true) and {predicted} (predicted), expected both below {n}"
        );
        count.write(confusion.count(target, predicted));
        Ok(())
    })
}

/// Writes for each label of `dataset` the threshold with the largest F1 on its examples to `thresholds`, one a label, given
/// the probabilities, (examples, labels), that srnn_classifier_predict wrote: half way between two probabilities that occur,
/// of equal ones the largest; 0.5 for a label without an example. To be chosen on other texts than those that it is then judged by.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for examples with one label each; SRNN_ERROR_SHAPE_MISMATCH for the lengths;
/// SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_dataset_best_thresholds(
    dataset: *const srnn_dataset,
    probabilities: *const f32,
    probabilities_len: usize,
    thresholds: *mut f32,
    thresholds_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (data, probabilities, thresholds) = unsafe {
            let probabilities = a.read("probabilities", probabilities, probabilities_len)?;
            let thresholds = a.write("thresholds", thresholds, thresholds_len)?;
            (&handle::shared("dataset", dataset)?.0, probabilities, thresholds)
        };
        check_len("thresholds", thresholds.len(), data.labels().len())?;
        thresholds.copy_from_slice(&best_thresholds(data, probabilities)?);
        Ok(())
    })
}
