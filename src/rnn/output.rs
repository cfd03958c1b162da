//! Where a forward call's outputs go.

use super::batch::Plan;
use super::config::RnnConfig;
use super::pass::{History, Strides};
use super::session::block_rows;
use crate::kernel::gates::Mat;
use crate::parallel::{FEWEST_COPIES, Team};
use std::ops::Range;

/// Where hidden states go: rows in the user's order or in packed order, with the directions' features side by side, each
/// written by its own thread.
pub(crate) struct Target<'a> {
    rows: Mat,
    config: &'a RnnConfig,
    plan: &'a Plan,
    is_packed: bool,
}

impl<'a> Target<'a> {
    /// The user's `y`.
    pub(crate) fn user(y: &'a mut [f32], config: &'a RnnConfig, plan: &'a Plan) -> Self {
        assert!(y.len() >= plan.batch * plan.seq_len * config.output_size());
        Self { rows: Mat::new(y, config.output_size()), config, plan, is_packed: false }
    }

    /// The next layer's input.
    pub(crate) fn packed(rows: &'a mut [f32], config: &'a RnnConfig, plan: &'a Plan) -> Self {
        assert!(rows.len() >= plan.rows * config.output_size());
        Self { rows: Mat::new(rows, config.output_size()), config, plan, is_packed: true }
    }

    /// Writes a block's hidden states as the features of `direction`, which nobody else writes meanwhile.
    pub(crate) fn write(&self, team: Team<'_>, block: &Range<usize>, history: &History, direction: usize) {
        let (config, plan) = (self.config, self.plan);
        if block.is_empty() {
            return;
        }
        let (size, stride) = (config.state_size(), Strides::of(config, 1).h);
        assert!(direction < config.direction.count());
        let fewest = FEWEST_COPIES * block.len() / (block_rows(plan, block) * size);
        team.split(block.clone(), fewest, &|steps: Range<usize>| {
            for t in steps {
                for j in 0..plan.count(t) {
                    let row = plan.start(t) + j;
                    let from = history.index(plan, row) * stride;
                    let to = if self.is_packed { row } else { plan.user_offset(config, t, j, 1) };
                    let source = &history.h[from..from + size];
                    // SAFETY: the rows are as long as all directions' features, and there are as many as asserted.
                    unsafe {
                        let target = self.rows.row(to).add(direction * size);
                        std::ptr::copy_nonoverlapping(source.as_ptr(), target, size);
                    }
                }
            }
        });
    }
}

/// Zeroes `y` past each sequence's end.
pub(crate) fn zero_padding(config: &RnnConfig, plan: &Plan, y: &mut [f32]) {
    let features = config.output_size();
    plan.for_each_padding(|t, j| y[plan.user_offset(config, t, j, features)..][..features].fill(0.0));
}
