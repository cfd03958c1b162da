//! A layer's rows one at a time: the path of a single sequence, and of a stream's step.

use super::config::{Cell, RnnConfig};
use super::weights::ForwardWeights;
use crate::kernel::gates::Flush;
use crate::kernel::gates::elman::Elman;
use crate::kernel::gates::gru::ResetAfter;
use crate::kernel::gates::lstm::Lstm;
pub(crate) use crate::kernel::row::{Rows, States, Walk};
use crate::kernel::row::{Weights, run};
use crate::simd::Ops;
use std::ops::Range;

/// Whether the row kernel serves such layers. Others have a second product in each step, which waits for all units of
/// the first.
#[inline]
pub(crate) fn serves(config: &RnnConfig) -> bool {
    !config.has_second_product()
}

/// Runs all units of rows through a layer of a kind that the kernel [`serves`]; `with_input` says whether the input
/// product is still to be taken.
///
/// # Safety
/// As [`run`]'s, for all units of the layer.
#[inline(always)]
pub(crate) unsafe fn run_layer<S: Ops>(
    s: S,
    config: &RnnConfig,
    weights: &ForwardWeights,
    with_input: bool,
    rows: &Rows,
) {
    let blocks = 0..config.hidden_size.div_ceil(S::LANES);
    // SAFETY: the caller's contract.
    unsafe { run_blocks(s, config, weights, with_input, rows, blocks, || ()) }
}

/// As [`run_layer`], for some blocks of units; `done` is called after each row.
///
/// # Safety
/// As [`run`]'s.
#[inline(always)]
pub(crate) unsafe fn run_blocks<S: Ops>(
    s: S,
    config: &RnnConfig,
    weights: &ForwardWeights,
    with_input: bool,
    rows: &Rows,
    blocks: Range<usize>,
    done: impl Fn(),
) {
    let flush = Flush::new(config.flush_small_states);
    let weights = Weights { input: with_input.then(|| weights.input.view()), recurrent: weights.recurrent[0].view() };
    // SAFETY: the caller's contract; the panels are those of the cell.
    unsafe {
        match config.cell {
            Cell::ElmanTanh => run(s, Elman { relu: false }, weights, rows, blocks, flush, done),
            Cell::ElmanRelu => run(s, Elman { relu: true }, weights, rows, blocks, flush, done),
            Cell::Lstm => run(s, Lstm, weights, rows, blocks, flush, done),
            Cell::Gru => run(s, ResetAfter, weights, rows, blocks, flush, done),
            Cell::GruResetBefore => unreachable!("the row kernel does not serve this cell"),
        }
    }
}
