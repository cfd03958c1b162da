//! A layer's rows one at a time: the path of a single sequence, and of a stream's step.

use super::config::{Cell, RnnConfig};
use super::weights::ForwardWeights;
use crate::buffer::try_box;
use crate::error::Result;
pub(crate) use crate::kernel::ahead::{Ahead, MOST_AHEAD};
use crate::kernel::gates::Flush;
use crate::kernel::gates::elman::Elman;
use crate::kernel::gates::gru::ResetAfter;
use crate::kernel::gates::lstm::Lstm;
pub(crate) use crate::kernel::row::{AnyLayer, Row, Rows, States, Walk};
use crate::kernel::row::{Layer, Weights};
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::ops::Range;

/// Whether the row kernel serves such layers. Others have a second product in each step, which waits for all units of
/// the first.
#[inline]
pub(crate) fn serves(config: &RnnConfig) -> bool {
    !config.has_second_product()
}

/// `$body` with `$cell` the cell of `$config`, of a kind that the kernel [`serves`].
macro_rules! with_cell {
    ($config:expr, $cell:ident => $body:expr) => {
        match $config.cell {
            Cell::ElmanTanh => with_cell!(@ $cell, Elman { relu: false }, $body),
            Cell::ElmanRelu => with_cell!(@ $cell, Elman { relu: true }, $body),
            Cell::Lstm => with_cell!(@ $cell, Lstm, $body),
            Cell::Gru => with_cell!(@ $cell, ResetAfter, $body),
            Cell::GruResetBefore => unreachable!("the row kernel does not serve this cell"),
        }
    };
    (@ $cell:ident, $value:expr, $body:expr) => {{
        let $cell = $value;
        $body
    }};
}

/// All units of the layers of `config`, of a kind that the kernel [`serves`].
pub(crate) fn units(config: &RnnConfig, isa: Isa) -> Result<Box<dyn AnyLayer>> {
    struct Make<'a>(&'a RnnConfig);
    impl Kernel for Make<'_> {
        type Output = Result<Box<dyn AnyLayer>>;
        fn run<S: Ops>(self, s: S) -> Self::Output {
            let Make(config) = self;
            let blocks = 0..config.hidden_size.div_ceil(S::LANES);
            let flush = Flush::new(config.flush_small_states);
            with_cell!(config, cell => Ok(try_box(Layer::new(s, cell, blocks, flush))?))
        }
    }
    dispatch(isa, Make(config))
}

/// The weights of a layer whose rows start at the bias.
#[inline]
pub(crate) fn weights(weights: &ForwardWeights) -> Weights<'_> {
    Weights { input: Some(weights.input.view().into()), recurrent: weights.recurrent[0].view().into() }
}

/// Runs rows through some blocks of units of a layer; their input product has been taken, or, with `ahead`, that of the first
/// window of rows. `done` is called after each.
///
/// # Safety
/// As [`Layer::rows`]'s.
pub(crate) unsafe fn run<S: Ops, X: Fn(usize) -> *const f32>(
    s: S,
    config: &RnnConfig,
    weights: &ForwardWeights,
    rows: &Rows,
    ahead: Option<&Ahead<'_, X>>,
    blocks: Range<usize>,
    done: impl Fn(),
) {
    let flush = Flush::new(config.flush_small_states);
    let weights = Weights { input: None, recurrent: weights.recurrent[0].view().into() };
    // SAFETY: the caller's contract; the panels are those of the cell.
    with_cell!(config, cell => unsafe { Layer::new(s, cell, blocks, flush).rows(&weights, rows, ahead, done) });
}
