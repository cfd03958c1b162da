//! Dropout between layers. A value's fate depends on the seed and on where it stands (layer, step, sequence, feature)
//! alone, so threads, instruction sets and the cutting of batches or sequences change nothing.

use super::batch::Plan;
use crate::kernel::mat::Mat;
use crate::parallel::{FEWEST_COPIES, Team};
use crate::random::philox;
use std::ops::Range;

/// Where a training forward draws its dropout from; without effect unless the configuration has dropout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropoutPosition {
    /// The generator's seed; a new one for every training step.
    pub seed: u64,
    /// The step that the batch's first step is, for sequences that are cut into chunks.
    pub first_step: u32,
    /// The sequence that the batch's first sequence is, for batches that are cut into smaller ones.
    pub first_sequence: u32,
    /// Whether nothing is dropped after all: gradients of a model as it is used, not as it is trained.
    pub off: bool,
}

/// The factor of values that are kept; dropped ones become zero.
pub(crate) struct Mask {
    position: DropoutPosition,
    threshold: u64,
    scale: f32,
}

impl Mask {
    /// A mask that drops with probability `p`, or `None` if nothing is dropped.
    pub(crate) fn new(position: DropoutPosition, p: f32) -> Option<Self> {
        (p > 0.0 && !position.off).then(|| Self {
            position,
            threshold: (f64::from(p) * 4_294_967_296.0) as u64,
            scale: 1.0 / (1.0 - p),
        })
    }

    /// Scales or zeroes the features of the outputs of `layer` at step `t` of sequence `b`.
    pub(crate) fn apply(&self, layer: usize, t: usize, b: usize, features: &mut [f32]) {
        let step = self.position.first_step.wrapping_add(t as u32);
        let sequence = self.position.first_sequence.wrapping_add(b as u32);
        for (block, chunk) in features.chunks_mut(4).enumerate() {
            let words = philox(self.position.seed, [block as u32, layer as u32, step, sequence]);
            for (v, word) in chunk.iter_mut().zip(words) {
                *v = if u64::from(word) < self.threshold { 0.0 } else { *v * self.scale };
            }
        }
    }

    /// Applies the dropout of `layer`'s outputs to the packed rows of some steps: to the outputs in forward, to their
    /// gradient in backward.
    ///
    /// # Safety
    /// There are rows for all steps of the plan, and nobody else touches those of these steps.
    pub(crate) unsafe fn apply_to_rows(
        &self,
        team: Team<'_>,
        plan: &Plan,
        layer: usize,
        steps: Range<usize>,
        rows: Mat<'_>,
    ) {
        let features = rows.stride();
        let fewest = FEWEST_COPIES * steps.len() / (plan.rows_of(&steps) * features).max(1);
        team.split(steps, fewest, &|steps: Range<usize>| {
            for t in steps {
                for j in 0..plan.count(t) {
                    // SAFETY: threads have other steps, and the caller's contract.
                    let row = unsafe { rows.slice_mut(plan.start(t) + j, features) };
                    self.apply(layer, t, plan.order[j], row);
                }
            }
        });
    }
}
