//! What a pass has to do, in the terms of the schedule.

use super::batch::Plan;
use super::config::RnnConfig;
use crate::parallel::Load;
use std::ops::Range;

/// That of a pass with `input` features in the steps `block`, forward; `panel_width` is the columns of a packed panel.
pub(crate) fn forward(config: &RnnConfig, panel_width: usize, input: usize, plan: &Plan, block: &Range<usize>) -> Load {
    Load {
        gates: config.cell.gates(),
        units: config.hidden_size,
        state: config.state_size(),
        input,
        steps: block.len(),
        rows: plan.rows_of(block),
        most: plan.count(block.start),
        pieces: config.hidden_size.div_ceil(panel_width),
        meetings: if config.has_second_product() { 2 } else { 1 },
        exchanged: config.state_size(),
    }
}

/// The same backward, but for the gradients of the weights.
pub(crate) fn backward(
    config: &RnnConfig,
    panel_width: usize,
    input: usize,
    plan: &Plan,
    block: &Range<usize>,
    wants_norms: bool,
) -> Load {
    let load = Load { exchanged: gate_row(config), ..forward(config, panel_width, input, plan, block) };
    // Norms are of whole rows, and so are further products' operands.
    let pieces = if wants_norms || config.has_second_product() { 1 } else { load.pieces };
    Load { pieces, ..load }
}

/// Values in a row of gate gradients.
pub(crate) fn gate_row(config: &RnnConfig) -> usize {
    config.cell.properties().gradients * config.hidden_size
}
