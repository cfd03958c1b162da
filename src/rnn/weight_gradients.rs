//! Gradients of a pass's weights and biases, from a block's gate gradients.

use super::backward_pass::PassBackward;
use super::backward_scratch::PassScratch;
use super::config::RnnConfig;
use super::load::gate_row;
use super::weights::PassParams;
use crate::kernel::cell::{Operand, Run};
use crate::kernel::lhs::Rows;
use crate::kernel::outer::{Accumulator, OuterScratch, Right};
use crate::parallel::Team;
use crate::simd::Ops;
use std::ops::Range;

impl PassBackward<'_> {
    /// Adds the part of gathered steps to the weights' gradients.
    pub(super) fn weight_gradients<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        block: &Range<usize>,
        scratch: &mut PassScratch,
        outer: &mut OuterScratch,
        params: &PassParams<'_>,
        grads: &mut [f32],
    ) {
        let (config, plan, strides) = (self.config, self.plan, self.strides);
        let (units, gate_row, size) = (config.hidden_size, gate_row(config), config.state_size());
        let features = params.weight_ih.cols;
        let cell = config.cell.properties();
        let rows = plan.rows_of(block);
        let first = plan.start(block.start);
        let PassScratch { gates, hidden, projected, visit, sums, .. } = scratch;
        let [gate_at, input_at, state_at, hidden_at, projected_at] = visit;
        let mut next = 0;
        let mut add_step = |t: usize| {
            for j in 0..plan.count(t) {
                let row = plan.start(t) + j;
                gate_at[next] = (row - first) * gate_row;
                input_at[next] = row * features;
                state_at[next] = self.history.kept.previous_index(plan, self.reverse, t, j) * strides.h;
                hidden_at[next] = (row - first) * strides.c;
                projected_at[next] = (row - first) * size;
                next += 1;
            }
        };
        if self.reverse {
            block.clone().for_each(&mut add_step)
        } else {
            block.clone().rev().for_each(&mut add_step)
        }
        let x = Rows::at(self.inputs, &input_at[..rows], features);
        let h = Rows::at(&self.history.h, &state_at[..rows], size);
        let gate_count = cell.gates * units;
        let [ih, hh] =
            grads.get_disjoint_mut([params.own(params.weight_ih), params.own(params.weight_hh)]).expect("apart");
        let ih = [Accumulator::new(0..gate_count, ih)];
        // Runs follow one another.
        let runs = cell.runs;
        let (one, two) = hh.split_at_mut(runs[0].gates * units * size);
        let target = |run: Option<&Run>, values| {
            let columns = run.map_or(0..0, |run| run.column * units..(run.column + run.gates) * units);
            Accumulator::new(columns, values)
        };
        let of_hidden = runs.iter().take_while(|run| run.operand == Operand::Hidden).count();
        let runs = [target(runs.first(), one), target(runs.get(1), two)];
        let (of_hidden, of_between) = runs.split_at(of_hidden);
        let between = if of_between.is_empty() || cell.second.is_empty() {
            h
        } else {
            Rows::at(hidden, &hidden_at[..rows], units)
        };
        let rights =
            [(x, &ih[..]), (h, of_hidden), (between, of_between)].map(|(rows, targets)| Right { rows, targets });
        let gates = Rows::at(gates, &gate_at[..rows], gate_row);
        match params.bias {
            Some(_) => outer.add(s, team, gates, sums.each_mut().map(|sums| &mut sums[..]), &rights),
            None => outer.add(s, team, gates, [], &rights),
        }

        if let Some(spec) = params.weight_hr {
            let hidden = Rows::at(hidden, &hidden_at[..rows], units);
            let targets = [Accumulator::new(0..size, &mut grads[params.own(spec)])];
            let projected = Rows::at(projected, &projected_at[..rows], size);
            outer.add(s, team, projected, [], &[Right { rows: hidden, targets: &targets }]);
        }
    }
}

/// Calls `copy` with every run of biases: the run in the sums of gate gradients, and in the pass's gradients.
fn for_each_bias(config: &RnnConfig, params: &PassParams<'_>, mut copy: impl FnMut(usize, Range<usize>, Range<usize>)) {
    let Some((input, hidden)) = params.bias else { return };
    let units = config.hidden_size;
    let input = params.own(input);
    copy(0, 0..input.len(), input);
    for run in config.cell.properties().runs {
        let (column, first) = (run.column * units, params.own(hidden).start + run.gate * units);
        copy(1, column..column + run.gates * units, first..first + run.gates * units);
    }
}

impl PassScratch {
    /// Begins the sums for the gradients of biases.
    pub(super) fn load_biases(&mut self, config: &RnnConfig, params: &PassParams<'_>, grads: &[f32]) {
        // Columns that are no bias's are summed too.
        self.sums.iter_mut().for_each(|sums| sums.fill(0.0));
        for_each_bias(config, params, |which, at, own| self.sums[which][at].copy_from_slice(&grads[own]));
    }

    /// Ends them.
    pub(super) fn store_biases(&self, config: &RnnConfig, params: &PassParams<'_>, grads: &mut [f32]) {
        for_each_bias(config, params, |which, at, own| grads[own].copy_from_slice(&self.sums[which][at]));
    }
}
