//! The memory of a forward, reused from call to call.

use super::batch::Plan;
use super::config::RnnConfig;
use super::history::History;
use super::pass::StepScratch;
use super::walk::{Order, Walk};
use crate::buffer::{AlignedBuf, try_grow};
use crate::error::{Result, product};
use crate::kernel::panel::Geometry;
use crate::parallel::Split;
use crate::simd::Isa;

#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) plan: Plan,
    pub(super) histories: Vec<History>,
    pub(super) buffers: Buffers,
    /// Of threads that have sequences of their own.
    pub(super) parts: Vec<Scratch>,
}

/// What a forward needs beside its plan and its histories.
#[derive(Default)]
pub(crate) struct Buffers {
    /// One for each pass that runs at the same time.
    pub(super) steps: Vec<StepScratch>,
    /// For each direction, where the rows of a block's input start.
    pub(super) x_offsets: [AlignedBuf<usize>; 2],
    /// Outputs of a layer for the next one, packed rows, where a layer takes all steps before the next one starts.
    pub(super) between: [AlignedBuf<f32>; 2],
}

impl Scratch {
    /// Makes room for a walk of the scratch's plan.
    pub(super) fn reserve(&mut self, config: &RnnConfig, isa: Isa, walk: &Walk, threads: usize) -> Result<()> {
        if let Order::Parts(Split { sequences, units }) = walk.order {
            try_grow(&mut self.parts, sequences, Scratch::default)?;
            for (i, part) in self.parts[..sequences].iter_mut().enumerate() {
                part.plan.set_part(&self.plan, i, sequences)?;
                let walk = Walk::by_blocks(config, isa, &part.plan, units);
                part.reserve(config, isa, &walk, units)?;
            }
            return Ok(());
        }
        let rows = walk.block_rows(&self.plan);
        let count = match walk.order {
            Order::Layers => walk.workers(),
            _ => config.num_layers * walk.blocks_in_flight(),
        };
        reserve_histories(&mut self.histories, count, config, isa, self.plan.batch, rows)?;
        self.buffers.reserve(config, &self.plan, walk, rows, threads)
    }

    pub(super) fn bytes(&self) -> usize {
        self.plan.bytes()
            + self.histories.iter().map(History::bytes).sum::<usize>()
            + self.buffers.bytes()
            + self.parts.iter().map(Scratch::bytes).sum::<usize>()
    }
}

impl Buffers {
    /// Makes room for a walk in blocks of at most `rows` rows.
    pub(super) fn reserve(
        &mut self,
        config: &RnnConfig,
        plan: &Plan,
        walk: &Walk,
        rows: usize,
        threads: usize,
    ) -> Result<()> {
        self.reserve_steps(config, plan.batch, walk, threads)?;
        let directions = if walk.order == Order::Layers { walk.workers() } else { 1 };
        for x_offsets in &mut self.x_offsets[..directions] {
            x_offsets.resize(rows)?;
        }
        if walk.order == Order::Layers && config.num_layers > 1 {
            for between in &mut self.between {
                between.resize(product("layer outputs", &[plan.rows, config.output_size()])?)?;
            }
        }
        Ok(())
    }

    /// Makes room for the steps of passes that run at the same time, on `threads` threads together.
    pub(super) fn reserve_steps(
        &mut self,
        config: &RnnConfig,
        batch: usize,
        walk: &Walk,
        threads: usize,
    ) -> Result<()> {
        try_grow(&mut self.steps, walk.workers(), StepScratch::new)?;
        self.steps[..walk.workers()].iter_mut().try_for_each(|step| step.reserve(config, batch, threads))
    }

    pub(super) fn bytes(&self) -> usize {
        self.between.iter().map(AlignedBuf::bytes).sum::<usize>()
            + self.steps.iter().map(StepScratch::bytes).sum::<usize>()
            + self.x_offsets.iter().map(AlignedBuf::bytes).sum::<usize>()
    }
}

/// Makes room for `count` histories of `rows` rows.
pub(super) fn reserve_histories(
    histories: &mut Vec<History>,
    count: usize,
    config: &RnnConfig,
    isa: Isa,
    batch: usize,
    rows: usize,
) -> Result<()> {
    try_grow(histories, count, History::new)?;
    let lanes = Geometry::of(isa).lanes;
    histories[..count].iter_mut().try_for_each(|history| history.reserve(config, lanes, batch, rows))
}
