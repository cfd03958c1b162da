//! The memory of a backward, reused from call to call.

use super::batch::Plan;
use super::config::RnnConfig;
use super::history::Strides;
use super::load::gate_row;
use super::walk::{GATHERED_ROWS, Walk};
use crate::buffer::{AlignedBuf, try_grow};
use crate::error::{Result, product};
use crate::kernel::outer::OuterScratch;
use crate::parallel::MOST_SHARED;

#[derive(Default)]
pub(crate) struct BackwardScratch {
    /// Gradients of layers' inputs, packed rows: that of layer `n` in place `n`, modulo their number.
    pub(super) between: Vec<AlignedBuf<f32>>,
    /// The second direction's part of them.
    pub(super) second: AlignedBuf<f32>,
    /// One for each direction; in a wavefront, for each layer.
    pub(super) passes: Vec<PassScratch>,
    /// For the weight gradients of each direction.
    pub(super) outer: [OuterScratch; 2],
}

/// What a backward is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) dx: bool,
    pub(crate) norms: bool,
}

impl BackwardScratch {
    pub(super) fn reserve(
        &mut self,
        config: &RnnConfig,
        plan: &Plan,
        walk: &Walk,
        threads: usize,
        wanted: Wanted,
    ) -> Result<()> {
        let (layers, directions) = (config.num_layers, config.direction.count());
        let needs_rows = |layer: usize| layer > 0 || wanted.dx && !writes_directly(config, plan);
        let width = |layer: usize| if needs_rows(layer) { config.layer_input_size(layer) } else { 0 };
        let count = between_count(config, walk);
        try_grow(&mut self.between, count, AlignedBuf::new)?;
        for (first, rows) in self.between[..count].iter_mut().enumerate() {
            let widest = (first..layers).step_by(count).map(width).max().unwrap_or(0);
            rows.resize(product("input gradients", &[plan.rows, widest])?)?;
        }
        if directions > 1 {
            let below = if wanted.dx { config.input_size } else { 0 };
            let widest = below.max(if layers > 1 { config.output_size() } else { 0 });
            self.second.resize(product("input gradients", &[plan.rows, widest])?)?;
        }
        let threads = walk.threads_of_a_pass(threads);
        let passes = if walk.is_wavefront() { layers } else { directions };
        try_grow(&mut self.passes, passes, PassScratch::default)?;
        self.passes[..passes].iter_mut().try_for_each(|pass| pass.reserve(config, plan, threads, wanted.norms))?;
        let widest = config.input_size.max(config.output_size()).max(config.hidden_size);
        let columns = gate_row(config).max(config.state_size());
        self.outer[..directions]
            .iter_mut()
            .try_for_each(|outer| outer.reserve(most_rows(plan), columns, widest, threads))
    }

    /// Memory for the products of weight gradients, for layers of other kinds.
    pub(crate) fn outer(&mut self) -> &mut OuterScratch {
        &mut self.outer[0]
    }

    pub(crate) fn bytes(&self) -> usize {
        let rows = self.between.iter().chain([&self.second]);
        rows.map(AlignedBuf::bytes).sum::<usize>()
            + self.passes.iter().map(PassScratch::bytes).sum::<usize>()
            + self.outer.iter().map(OuterScratch::bytes).sum::<usize>()
    }
}

/// Buffers for gradients of layers' inputs: one layer's inputs are another's outputs, so two take turns where no wave needs
/// all.
pub(super) fn between_count(config: &RnnConfig, walk: &Walk) -> usize {
    config.num_layers.min(if walk.is_wavefront() { config.num_layers } else { 2 })
}

/// Whether packed rows of `dx` lie as the caller's do.
pub(super) fn writes_directly(config: &RnnConfig, plan: &Plan) -> bool {
    plan.is_dense() && !config.batch_first
}

/// The memory of one pass.
#[derive(Default)]
pub(super) struct PassScratch {
    /// Gradient of the states of all sequences.
    pub(super) dh: AlignedBuf<f32>,
    pub(super) dc: AlignedBuf<f32>,
    /// A step's gradient of what precedes the projection, or of the second product's operand.
    pub(super) step: AlignedBuf<f32>,
    /// Gathered gate gradients.
    pub(super) gates: AlignedBuf<f32>,
    /// Gathered operands of the second product, or hidden states before projection.
    pub(super) hidden: AlignedBuf<f32>,
    /// Gathered gradients of projected states.
    pub(super) projected: AlignedBuf<f32>,
    /// For each gathered row, the sum of the squares of its state's gradient.
    pub(super) squares: AlignedBuf<f64>,
    /// The same of its cell state's gradient.
    pub(super) cell_squares: AlignedBuf<f64>,
    /// A step's gradients of cell states, for their norms.
    pub(super) cells: AlignedBuf<f32>,
    pub(super) h_offsets: AlignedBuf<usize>,
    pub(super) c_offsets: AlignedBuf<usize>,
    /// Gathered rows in the order of visit: where each row's operands start.
    pub(super) visit: [AlignedBuf<usize>; 5],
    /// Sums of gate gradients on top of what the gradients of `bias_ih` and `bias_hh` were before.
    pub(super) sums: [AlignedBuf<f32>; 2],
}

impl PassScratch {
    fn reserve(&mut self, config: &RnnConfig, plan: &Plan, threads: usize, wants_norms: bool) -> Result<()> {
        let strides = Strides::of(config, 1);
        let (block, gate_row) = (most_rows(plan), gate_row(config));
        self.dh.resize(product("state gradients", &[plan.batch, strides.h])?)?;
        self.dc.resize(product("state gradients", &[plan.batch, strides.c])?)?;
        self.step.resize(product("state gradients", &[plan.batch, strides.c])?)?;
        self.gates.resize(product("gate gradients", &[block, gate_row])?)?;
        if config.has_second_product() {
            self.hidden.resize(product("hidden states", &[block, strides.c])?)?;
        }
        self.projected.resize(product("projected states", &[block, config.proj_size])?)?;
        self.squares.resize(block)?;
        if wants_norms && config.cell.has_cell_state() {
            self.cell_squares.resize(block)?;
            self.cells.resize(product("cell state gradients", &[plan.batch, strides.c])?)?;
        }
        // Members that share sequences each have their offsets.
        self.h_offsets.resize(plan.batch + MOST_SHARED * threads)?;
        self.c_offsets.resize(plan.batch + MOST_SHARED * threads)?;
        for offsets in &mut self.visit {
            offsets.resize(block)?;
        }
        for sums in &mut self.sums {
            sums.resize(gate_row)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let floats = [&self.dh, &self.dc, &self.step, &self.gates, &self.hidden, &self.projected, &self.cells];
        let offsets = self.visit.iter().chain([&self.h_offsets, &self.c_offsets]);
        floats.into_iter().chain(&self.sums).map(|b| b.bytes()).sum::<usize>()
            + offsets.map(|b| b.bytes()).sum::<usize>()
            + self.squares.bytes()
            + self.cell_squares.bytes()
    }
}

/// The most rows that are gathered: the last step may bring a whole batch.
fn most_rows(plan: &Plan) -> usize {
    plan.rows.min(GATHERED_ROWS + plan.batch)
}
