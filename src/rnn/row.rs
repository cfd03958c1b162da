//! One sequence, or one step of a few, through a layer: what the row kernel is handed.

use super::config::{Cell, RnnConfig};
use super::weights::ForwardWeights;
use crate::kernel::gates::Flush;
use crate::kernel::gates::elman::Elman;
use crate::kernel::gates::gru::ResetAfter;
use crate::kernel::gates::lstm::Lstm;
use crate::kernel::row::{Weights, run};
pub(crate) use crate::kernel::row::Rows;
use crate::simd::Ops;

/// Whether the row kernel knows such layers: the others need a product that waits for all units of the one before.
#[inline]
pub(crate) fn serves(config: &RnnConfig) -> bool {
    config.cell != Cell::GruResetBefore && config.proj_size == 0
}

/// Runs `count` rows through a layer that the kernel [`serves`], with the input product if `with_input`.
///
/// # Safety
/// As [`run`]'s, for all units of the layer.
#[inline(always)]
pub(crate) unsafe fn run_layer<S: Ops>(
    s: S,
    config: &RnnConfig,
    weights: &ForwardWeights,
    with_input: bool,
    rows: Rows,
    count: usize,
) {
    let flush = Flush::new(config.flush_small_states);
    let blocks = 0..config.hidden_size.div_ceil(S::LANES);
    let weights = Weights { input: with_input.then(|| weights.input.view()), recurrent: weights.recurrent[0].view() };
    // SAFETY: the caller's contract; the panels are those of the cell.
    unsafe {
        match config.cell {
            Cell::ElmanTanh => run(s, Elman { relu: false }, weights, rows, count, blocks, flush, || ()),
            Cell::ElmanRelu => run(s, Elman { relu: true }, weights, rows, count, blocks, flush, || ()),
            Cell::Lstm => run(s, Lstm, weights, rows, count, blocks, flush, || ()),
            Cell::Gru => run(s, ResetAfter, weights, rows, count, blocks, flush, || ()),
            Cell::GruResetBefore => unreachable!("the row kernel does not serve this cell"),
        }
    }
}
