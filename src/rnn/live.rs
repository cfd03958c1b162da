//! The states of a stream between its calls.

use super::batch::Plan;
use super::config::RnnConfig;
use super::history::History;
use super::output::Outputs;
use super::scratch::reserve_histories;
use crate::error::Result;
use crate::simd::Isa;

/// A history for each layer, whose rows of states begin with one a lane and at least one more: blocks of steps begin at the
/// first ones, and steps that are taken row by row go to and fro between the two.
pub(crate) struct LiveStates {
    histories: Vec<History>,
    home: Home,
}

/// Which of the two rows a lane has the states.
#[derive(Clone, Copy, PartialEq)]
enum Home {
    First,
    Second,
}

impl LiveStates {
    /// Zero states, with room for blocks of `rows` rows.
    pub(super) fn new(config: &RnnConfig, isa: Isa, plan: &Plan, rows: usize) -> Result<Self> {
        let mut histories = Vec::new();
        reserve_histories(&mut histories, config.num_layers, config, isa, plan.batch, rows.max(plan.batch))?;
        let mut states = Self { histories, home: Home::First };
        states.set(config, plan, None, None);
        Ok(states)
    }

    /// The histories, with the states where a block of steps begins; it has to leave the new ones there.
    pub(super) fn for_blocks(&mut self, config: &RnnConfig, plan: &Plan) -> &mut [History] {
        if self.home == Home::Second {
            self.histories.iter_mut().for_each(|history| history.move_states(config, plan.batch, 0, plan.batch));
            self.home = Home::First;
        }
        &mut self.histories
    }

    /// The histories, and for each lane's rows of states the first one's index before a step that is taken row by row, and
    /// after it; whether states went fro before.
    pub(super) fn for_rows(&mut self, plan: &Plan) -> (&mut [History], usize, usize, bool) {
        let (from, to, home) = match self.home {
            Home::First => (0, plan.batch, Home::Second),
            Home::Second => (plan.batch, 0, Home::First),
        };
        self.home = home;
        (&mut self.histories, from, to, home == Home::First)
    }

    /// Copies the states out.
    pub(super) fn write(&self, config: &RnnConfig, plan: &Plan, outputs: &Outputs<'_>) {
        let first = if self.home == Home::First { 0 } else { plan.batch };
        for (layer, history) in self.histories.iter().enumerate() {
            history.write(config, plan, layer, outputs, |lane| first + lane);
        }
    }

    /// Replaces the states; what is `None` becomes zero.
    pub(super) fn set(&mut self, config: &RnnConfig, plan: &Plan, h: Option<&[f32]>, c: Option<&[f32]>) {
        self.home = Home::First;
        for (layer, history) in self.histories.iter_mut().enumerate() {
            history.set_initial(config, plan, layer, h, c);
        }
    }

    /// Zeroes the states of one lane.
    pub(super) fn zero_lane(&mut self, config: &RnnConfig, plan: &Plan, lane: usize) {
        self.for_blocks(config, plan).iter_mut().for_each(|history| history.zero_initial(config, lane));
    }

    /// Takes the states of others, with equal lanes.
    pub(super) fn take_from(&mut self, other: &mut Self, config: &RnnConfig, plan: &Plan) {
        let own = self.for_blocks(config, plan).iter_mut();
        own.zip(other.for_blocks(config, plan)).for_each(|(own, other)| other.carry_to(own, config, plan, false));
    }

    pub(super) fn bytes(&self) -> usize {
        self.histories.iter().map(History::bytes).sum()
    }
}
