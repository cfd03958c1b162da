//! Where a forward call's outputs go.

use super::batch::Plan;
use super::config::RnnConfig;
use crate::kernel::mat::{Mat, Scattered};

/// The arrays that a call writes; threads write the rows of different sequences.
#[derive(Clone, Copy)]
pub(crate) struct Outputs<'a> {
    pub(crate) y: Option<Mat<'a>>,
    pub(crate) hn: Option<Mat<'a>>,
    pub(crate) cn: Option<Mat<'a>>,
}

impl<'a> Outputs<'a> {
    /// Panics unless they have a row for every step and sequence, or pass and sequence, of the plan's arrays.
    pub(crate) fn new(
        config: &RnnConfig,
        plan: &Plan,
        y: Option<&'a mut [f32]>,
        y_row_stride: usize,
        hn: Option<&'a mut [f32]>,
        cn: Option<&'a mut [f32]>,
    ) -> Self {
        let rows = |values: Option<&'a mut [f32]>, rows: usize, width: usize, stride: usize| {
            values.map(|values| {
                assert!(stride >= width, "rows do not overlap");
                assert!(rows == 0 || values.len() >= (rows - 1) * stride + width, "the array has all rows");
                Mat::new(values, stride)
            })
        };
        let (features, states) = (config.output_size(), config.passes() * plan.in_arrays);
        let stride = if y_row_stride == 0 { features } else { y_row_stride };
        Self {
            y: rows(y, plan.user_rows(), features, stride),
            hn: rows(hn, states, config.state_size(), config.state_size()),
            cn: rows(cn, states, config.hidden_size, config.hidden_size),
        }
    }
}

/// Where hidden states go: rows in the user's order or in packed order, with the directions' features side by side, each
/// written by its own thread.
pub(crate) struct OutputRows<'a> {
    rows: Mat<'a>,
    config: &'a RnnConfig,
    plan: &'a Plan,
    is_packed: bool,
}

impl<'a> OutputRows<'a> {
    /// The user's `y`, whose rows past the ends of the plan's sequences become zero.
    ///
    /// # Safety
    /// Nobody else touches the rows of the plan's sequences.
    pub(crate) unsafe fn user(y: Mat<'a>, config: &'a RnnConfig, plan: &'a Plan) -> Self {
        plan.for_each_padding(|t, j| {
            // SAFETY: the array has a row for each step and sequence, and the caller's contract.
            unsafe { y.row(plan.user_offset(config, t, j, 1)).write_bytes(0, config.output_size()) };
        });
        Self { rows: y, config, plan, is_packed: false }
    }

    /// The next layer's input, in packed order.
    pub(crate) fn packed(rows: Mat<'a>, config: &'a RnnConfig, plan: &'a Plan) -> Self {
        assert!(rows.stride() == config.output_size() && rows.len() >= plan.rows * rows.stride());
        Self { rows, config, plan, is_packed: true }
    }

    /// Where the features of `direction` of row (t, sorted place j) go.
    #[inline]
    pub(crate) fn row(&self, t: usize, j: usize, direction: usize) -> *mut f32 {
        // SAFETY: the offset lies within the array.
        unsafe { self.rows.values().add(self.offset(t, j, direction)) }
    }

    /// The rows at some offsets.
    pub(crate) fn at<'o>(&self, offsets: &'o [usize]) -> Scattered<'o>
    where
        'a: 'o,
    {
        self.rows.scattered(offsets)
    }

    /// As [`OutputRows::row`], as an offset.
    #[inline]
    pub(crate) fn offset(&self, t: usize, j: usize, direction: usize) -> usize {
        let (config, plan) = (self.config, self.plan);
        assert!(j < plan.count(t) && direction < config.direction.count());
        // There are as many rows as asserted, as long as all directions' features.
        let row = if self.is_packed { plan.start(t) + j } else { plan.user_offset(config, t, j, 1) };
        row * self.rows.stride() + direction * config.state_size()
    }
}
