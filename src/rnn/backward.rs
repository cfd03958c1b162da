//! Backpropagation through time.
//!
//! A pass is walked against its own order of time. Steps only compute gate gradients and carry the state's gradient;
//! after each block of steps, one product per block gives the input's gradient and two sums of outer products those of
//! the weights. Their rows are taken in the order in which backward visits them: steps against the pass's order, and
//! within a step sequences from the longest to the shortest. Each weight's gradient is one chain in that order.

use super::backward_pass::{BLOCK_ROWS, OutputGradients, PassBackward, PassScratch, backward_load, reserve_outer};
use super::batch::Plan;
use super::config::{Direction, RnnConfig};
use super::dropout::Mask;
use super::flow::{GradientFlow, norms_per_pass};
use super::grads::Grads;
use super::history::Strides;
use super::model::Rnn;
use super::session::{Blocks, Session};
use super::tape::{Tape, mask_rows};
use super::weights::{BackwardWeights, Layout, PassParams};
use crate::buffer::{AlignedBuf, try_grow};
use crate::error::{Result, check_len, ensure, err, product};
use crate::kernel::gates::Mat;
use crate::kernel::outer::OuterScratch;
use crate::kernel::panel::Geometry;
use crate::parallel::{Elements, Pool, Team, Wavefront, enter};
use crate::simd::{Kernel, Ops, dispatch};
use std::ops::Range;

/// The arrays of a backward call, in the layouts of [`super::ForwardArgs`].
#[derive(Default)]
pub struct BackwardArgs<'a> {
    /// Gradient of `y`; `None` for zero. Values past a sequence's end are ignored.
    pub dy: Option<&'a [f32]>,
    /// Gradient of `hn`; `None` for zero.
    pub dhn: Option<&'a [f32]>,
    /// Gradient of `cn`; `None` for zero.
    pub dcn: Option<&'a [f32]>,
    /// Receives the gradient of `x`, zero past a sequence's end.
    pub dx: Option<&'a mut [f32]>,
    /// Receives the gradient of `h0`.
    pub dh0: Option<&'a mut [f32]>,
    /// Receives the gradient of `c0`.
    pub dc0: Option<&'a mut [f32]>,
}

#[derive(Default)]
pub(crate) struct BackwardScratch {
    /// Gradient of a layer's outputs, packed rows; the last layer's is the caller's.
    outputs: AlignedBuf<f32>,
    /// Gradient of a layer's inputs, packed rows.
    inputs: AlignedBuf<f32>,
    /// The second direction's part of it.
    second: AlignedBuf<f32>,
    /// In a wavefront, the gradients of the inputs of each layer but the first.
    between: Vec<AlignedBuf<f32>>,
    /// One for each direction; in a wavefront, for each layer.
    passes: Vec<PassScratch>,
    /// For the weight gradients of each direction.
    outer: [OuterScratch; 2],
}

impl BackwardScratch {
    fn reserve(
        &mut self,
        config: &RnnConfig,
        plan: &Plan,
        wants_dx: bool,
        wants_norms: bool,
        threads: usize,
        wavefront: Option<Wavefront>,
    ) -> Result<()> {
        let (layers, directions) = (config.num_layers, config.direction.count());
        let between = || product("output gradients", &[plan.rows, config.output_size()]);
        if wavefront.is_some() {
            try_grow(&mut self.between, layers - 1, AlignedBuf::new)?;
            for rows in &mut self.between[..layers - 1] {
                rows.resize(between()?)?;
            }
        } else if layers > 1 {
            // The two change places from layer to layer.
            self.outputs.resize(between()?)?;
            self.inputs.resize(between()?)?;
        }
        if wants_dx && !writes_directly(config, plan) {
            let len = product("input gradients", &[plan.rows, config.input_size])?;
            // An even number of layers swaps them an odd number of times before the first.
            let swapped = wavefront.is_none() && layers.is_multiple_of(2);
            let last = if swapped { &mut self.outputs } else { &mut self.inputs };
            last.resize(len.max(last.len()))?;
        }
        if directions > 1 {
            let below = if wants_dx { config.input_size } else { 0 };
            let widest = below.max(if layers > 1 { config.output_size() } else { 0 });
            self.second.resize(product("input gradients", &[plan.rows, widest])?)?;
        }
        let threads = if directions > 1 && directions_at_once(threads) { threads / 2 } else { threads };
        let passes = if wavefront.is_some() { layers } else { directions };
        try_grow(&mut self.passes, passes, PassScratch::default)?;
        self.passes[..passes].iter_mut().try_for_each(|pass| pass.reserve(config, plan, threads, wants_norms))?;
        self.outer[..directions].iter_mut().try_for_each(|outer| reserve_outer(outer, config, plan, threads))
    }

    /// Memory for the products of weight gradients, for layers of other kinds.
    pub(crate) fn outer(&mut self) -> &mut OuterScratch {
        &mut self.outer[0]
    }

    pub(crate) fn bytes(&self) -> usize {
        let rows = [&self.outputs, &self.inputs, &self.second].into_iter().chain(&self.between);
        rows.map(AlignedBuf::bytes).sum::<usize>()
            + self.passes.iter().map(PassScratch::bytes).sum::<usize>()
            + self.outer.iter().map(OuterScratch::bytes).sum::<usize>()
    }
}

/// Whether both directions run at once, each with half of the threads: an odd number would share unevenly.
fn directions_at_once(threads: usize) -> bool {
    threads.is_multiple_of(2)
}

/// Whether packed rows of `dx` lie as the caller's do.
fn writes_directly(config: &RnnConfig, plan: &Plan) -> bool {
    plan.is_dense() && !config.batch_first
}

impl Rnn {
    /// Gradients of a loss through the forward that `tape` recorded. Writes those of `x`, `h0` and `c0` where asked,
    /// adds those of the weights to `grads`, and fills `flow`. Nothing is written unless the call succeeds.
    ///
    /// The weights must still be those of the forward.
    pub fn backward(
        &self,
        session: &mut Session,
        tape: &Tape,
        args: BackwardArgs<'_>,
        grads: Option<&mut Grads>,
        flow: Option<&mut GradientFlow>,
    ) -> Result<()> {
        if let Some(recorded) = &tape.recorded {
            ensure!(
                recorded.version == self.version(),
                InvalidState,
                "the weights have changed since the tape was recorded, expected backward before the update"
            );
        }
        self.backward_with_current_weights(session, tape, args, grads, flow)
    }

    /// [`Rnn::backward`] through a tape that may have been recorded before the last update, as truncated
    /// backpropagation over several chunks does.
    pub(crate) fn backward_with_current_weights(
        &self,
        session: &mut Session,
        tape: &Tape,
        args: BackwardArgs<'_>,
        grads: Option<&mut Grads>,
        mut flow: Option<&mut GradientFlow>,
    ) -> Result<()> {
        self.check_backward(tape, &args, grads.as_deref())?;
        let weights = self.backward_weights()?;
        let (threads, wavefront) = self.reserve_backward(session, tape, args.dx.is_some(), flow.is_some())?;
        if let Some(flow) = &mut flow {
            // The last that may fail: what the caller sees changes only with the call's success.
            flow.reserve(self.config(), tape.plan.seq_len)?;
        }
        let Session { pool, backward: scratch, .. } = session;
        let flow_norms = flow.as_deref_mut().map(GradientFlow::norms_mut);
        let grads = grads.map(Grads::values_mut);
        enter(pool.as_ref().filter(|_| threads > 1), |team| {
            let passes = Passes { rnn: self, weights, tape };
            dispatch(self.isa(), Backward { passes, scratch, args, grads, flow_norms, team, wavefront });
        });
        if let Some(flow) = flow {
            flow.measure(self, tape);
        }
        Ok(())
    }

    /// Whether a backward through `tape` makes sense.
    pub(crate) fn check_backward(&self, tape: &Tape, args: &BackwardArgs<'_>, grads: Option<&Grads>) -> Result<()> {
        let recorded = tape
            .recorded
            .as_ref()
            .ok_or_else(|| err!(InvalidState, "the tape holds no forward, expected a training forward first"))?;
        ensure!(
            recorded.config == *self.config() && recorded.isa == self.isa(),
            InvalidState,
            "the tape was recorded by a model of another configuration"
        );
        args.check(self.config(), &tape.plan)?;
        grads.map_or(Ok(()), |grads| grads.check(self))
    }

    /// Makes room for a backward through `tape`, and tells how many threads it takes and how they share it. Done again, after
    /// other tapes, it cannot fail: memory that is there is kept.
    pub(crate) fn reserve_backward(
        &self,
        session: &mut Session,
        tape: &Tape,
        wants_dx: bool,
        wants_norms: bool,
    ) -> Result<(usize, Option<Wavefront>)> {
        let threads = self.pool_for(&tape.plan, session.pool.as_ref()).map_or(1, Pool::threads);
        let wavefront = self.backward_wavefront(&tape.plan, threads, wants_norms);
        session.backward.reserve(self.config(), &tape.plan, wants_dx, wants_norms, threads, wavefront)?;
        Ok((threads, wavefront))
    }

    /// The wavefront in which a backward of `plan` goes through the layers, if it does: anew for each block of steps, whose
    /// weight gradients follow.
    fn backward_wavefront(&self, plan: &Plan, threads: usize, wants_norms: bool) -> Option<Wavefront> {
        let (config, Geometry { lanes, panel_vectors }) = (self.config(), Geometry::of(self.isa()));
        if config.direction == Direction::Bidirectional {
            return None;
        }
        let block = Blocks::of_rows(plan, !config.is_reverse(0), BLOCK_ROWS).next()?;
        let load = backward_load(config, lanes * panel_vectors, config.state_size(), plan, &block, wants_norms);
        Wavefront::choose(threads, config.num_layers, &load)
    }
}

impl BackwardArgs<'_> {
    fn check(&self, config: &RnnConfig, plan: &Plan) -> Result<()> {
        let steps = plan.user_rows();
        let states = config.passes() * plan.batch * config.state_size();
        let cells = config.passes() * plan.batch * config.hidden_size;
        let lens = [
            ("dy", self.dy.map(<[f32]>::len), steps * config.output_size()),
            ("dhn", self.dhn.map(<[f32]>::len), states),
            ("dcn", self.dcn.map(<[f32]>::len), cells),
            ("dx", self.dx.as_ref().map(|v| v.len()), steps * config.input_size),
            ("dh0", self.dh0.as_ref().map(|v| v.len()), states),
            ("dc0", self.dc0.as_ref().map(|v| v.len()), cells),
        ];
        for (name, len, expected) in lens {
            let Some(len) = len else { continue };
            ensure!(
                !name.starts_with("dc") || config.cell.has_cell_state(),
                InvalidArgument,
                "{name} is given, but only an LSTM has cell states"
            );
            check_len(name, len, expected)?;
        }
        Ok(())
    }
}

/// What a backward reads.
#[derive(Clone, Copy)]
struct Passes<'a> {
    rnn: &'a Rnn,
    weights: &'a [BackwardWeights],
    tape: &'a Tape,
}

impl<'a> Passes<'a> {
    /// The pass of a layer in a direction.
    fn pass<S: Ops>(self, layer: usize, direction: usize, outputs: OutputGradients<'a>) -> PassBackward<'a> {
        let config = self.rnn.config();
        let pass = layer * config.direction.count() + direction;
        PassBackward {
            config,
            plan: &self.tape.plan,
            reverse: config.is_reverse(direction),
            direction,
            layout: Layout::of(config.cell),
            weights: &self.weights[pass],
            history: &self.tape.histories[pass],
            inputs: &self.tape.inputs[layer],
            strides: Strides::of(config, S::LANES),
            outputs,
        }
    }
}

struct Backward<'a> {
    passes: Passes<'a>,
    scratch: &'a mut BackwardScratch,
    args: BackwardArgs<'a>,
    grads: Option<&'a mut [f32]>,
    flow_norms: Option<&'a mut [f64]>,
    team: Team<'a>,
    wavefront: Option<Wavefront>,
}

impl Kernel for Backward<'_> {
    type Output = ();
    fn run<S: Ops>(mut self, s: S) {
        let (config, tape) = (self.passes.rnn.config(), self.passes.tape);
        let mask = tape.recorded.as_ref().and_then(|r| Mask::new(r.dropout, config.dropout));
        match self.wavefront {
            Some(wavefront) => self.as_wavefront(s, wavefront, mask),
            None => self.layer_by_layer(s, mask),
        }
        if let Some(dx) = &mut self.args.dx {
            let features = config.input_size;
            tape.plan
                .for_each_padding(|t, j| dx[tape.plan.user_offset(config, t, j, features)..][..features].fill(0.0));
        }
    }
}

impl Backward<'_> {
    fn layer_by_layer<S: Ops>(&mut self, s: S, mask: Option<Mask>) {
        let (config, plan) = (self.passes.rnn.config(), &self.passes.tape.plan);
        for layer in (0..config.num_layers).rev() {
            self.layer(s, layer);
            if layer > 0 {
                std::mem::swap(&mut self.scratch.outputs, &mut self.scratch.inputs);
                if let Some(mask) = &mask {
                    let rows = Mat::new(&mut self.scratch.outputs, config.output_size());
                    // SAFETY: the buffer has all rows of the plan, and nobody else is at work.
                    unsafe { mask_rows(self.team, mask, plan, layer - 1, 0..plan.steps, rows) };
                }
            }
        }
        if config.num_layers.is_multiple_of(2) {
            // As the next call finds room for them.
            std::mem::swap(&mut self.scratch.outputs, &mut self.scratch.inputs);
        }
    }

    /// One layer in its directions, which may run at the same time: each makes its own part of the input's gradient.
    fn layer<S: Ops>(&mut self, s: S, layer: usize) {
        let (passes, team) = (self.passes, self.team);
        let (config, plan) = (passes.rnn.config(), &passes.tape.plan);
        let (directions, features) = (config.direction.count(), config.layer_input_size(layer));
        let BackwardScratch { outputs, inputs, second: second_inputs, passes: scratch, outer, .. } = &mut *self.scratch;
        let outputs = match self.args.dy {
            _ if layer + 1 < config.num_layers => OutputGradients::Packed(Mat::new(outputs, config.output_size())),
            Some(dy) => OutputGradients::User(dy),
            None => OutputGradients::Zero,
        };
        let packed = |buffer: &mut AlignedBuf<f32>| Mat::new(&mut buffer[..plan.rows * features], features);
        let (rows, user) = match layer {
            0 => first_inputs(config, plan, self.args.dx.as_deref_mut(), inputs),
            _ => (Some(packed(inputs)), None),
        };
        let first_pass = layer * directions;
        let params = |direction: usize| passes.rnn.pass_params(first_pass + direction);
        let (mut grads, mut norms) = (self.grads.as_deref_mut(), self.flow_norms.as_deref_mut());
        if let Some(all) = grads.take() {
            grads = Some(&mut all[params(0).range().start..params(directions - 1).range().end]);
        }
        if let Some(all) = norms.take() {
            let per_pass = norms_per_pass(config, plan.seq_len);
            norms = Some(&mut all[first_pass * per_pass..][..directions * per_pass]);
        }
        let (dhn, dcn) = (self.args.dhn, self.args.dcn);
        let mut walk = |direction: usize, scratch, outer| {
            let (pass, params) = (passes.pass::<S>(layer, direction, outputs), params(direction));
            let grads = take_front(&mut grads, params.range().len());
            let norms = take_front(&mut norms, norms_per_pass(config, plan.seq_len));
            let mut walk = Walk { pass, params, scratch, outer, grads, norms };
            walk.begin(first_pass + direction, dhn, dcn);
            walk
        };
        let [first_outer, second_outer] = outer;
        let (first, second) = scratch.split_first_mut().expect("memory for a pass");
        let mut first = walk(0, first, first_outer);
        if directions == 1 {
            first.run(s, team, rows, user);
        } else {
            let mut second = walk(1, &mut second[0], second_outer);
            let second_rows = rows.map(|_| packed(second_inputs));
            let mut ahead = |team: Team<'_>| first.run(s, team, rows, None);
            let mut back = |team: Team<'_>| second.run(s, team, second_rows, None);
            if directions_at_once(team.threads()) {
                team.join(ahead, back);
            } else {
                ahead(team);
                back(team);
            }
            if let (Some(rows), Some(second)) = (rows, second_rows) {
                first.pass.add_parts(s, team, rows, second, user);
            }
            second.finish(&mut self.args, first_pass + 1);
        }
        first.finish(&mut self.args, first_pass);
    }

    /// One direction: in each block of steps, layers on threads of their own, from the last to the first; then all threads
    /// make the weight gradients of all layers.
    fn as_wavefront<S: Ops>(&mut self, s: S, wavefront: Wavefront, mask: Option<Mask>) {
        let (passes, team) = (self.passes, self.team);
        let (config, plan) = (passes.rnn.config(), &passes.tape.plan);
        let (layers, reverse) = (config.num_layers, config.is_reverse(0));
        let BackwardScratch { inputs, between, passes: scratch, outer: [outer, _], .. } = &mut *self.scratch;
        let (scratch, between) = (&mut scratch[..layers], &between[..layers - 1]);
        let packed = |buffer: &AlignedBuf<f32>| Mat { values: buffer.shared(), stride: config.output_size() };
        assert!(between.iter().all(|rows| rows.len() == plan.rows * config.output_size()));
        let dy = self.args.dy;
        let outputs = |layer: usize| match dy {
            _ if layer + 1 < layers => OutputGradients::Packed(packed(&between[layer])),
            Some(dy) => OutputGradients::User(dy),
            None => OutputGradients::Zero,
        };
        let (first_rows, user) = first_inputs(config, plan, self.args.dx.as_deref_mut(), inputs);
        let target = |layer: usize| if layer == 0 { first_rows } else { Some(packed(&between[layer - 1])) };
        let (mut grads, mut norms) = (self.grads.as_deref_mut(), self.flow_norms.as_deref_mut());
        let wants_norms = norms.is_some();
        // A closure cannot lend what it borrows.
        macro_rules! walk {
            ($layer:expr) => {{
                let (layer, params) = ($layer, passes.rnn.pass_params($layer));
                let grads = grads.as_deref_mut().map(|grads| &mut grads[params.range()]);
                let per_pass = norms_per_pass(config, plan.seq_len);
                let norms = norms.as_deref_mut().map(|norms| &mut norms[layer * per_pass..][..per_pass]);
                let pass = passes.pass::<S>(layer, 0, outputs(layer));
                Walk { pass, params, scratch: &mut scratch[layer], outer, grads, norms }
            }};
        }
        for layer in 0..layers {
            walk!(layer).begin(layer, self.args.dhn, self.args.dcn);
        }
        for kept in Blocks::of_rows(plan, !reverse, BLOCK_ROWS) {
            let of_layers = Elements::of(scratch);
            wavefront.run(team, layers, wavefront.blocks(&kept), &|_, order, k, team| {
                let block = wavefront.block(&kept, !reverse, k);
                for layer in order.map(|place| layers - 1 - place) {
                    // SAFETY: a layer and its memory are one stage's; the layer above has done this block.
                    let scratch = unsafe { &mut *of_layers.at(layer) };
                    let (pass, target) = (passes.pass::<S>(layer, 0, outputs(layer)), target(layer));
                    pass.steps(s, team, &kept, &block, scratch, wants_norms, target);
                    if let (Some(mask), Some(rows), Some(below)) = (&mask, target, layer.checked_sub(1)) {
                        // SAFETY: as asserted, there are all rows, and those of this block are this stage's.
                        unsafe { mask_rows(team, mask, plan, below, block.clone(), rows) };
                    }
                }
            });
            for layer in (0..layers).rev() {
                let user = user.filter(|_| layer == 0);
                walk!(layer).end_block(s, team, &kept, target(layer), user);
            }
        }
        for layer in 0..layers {
            walk!(layer).finish(&mut self.args, layer);
        }
    }
}

/// Where the gradient of the first layer's input goes: packed rows, and where they are to be copied from there.
fn first_inputs(
    config: &RnnConfig,
    plan: &Plan,
    dx: Option<&mut [f32]>,
    inputs: &mut AlignedBuf<f32>,
) -> (Option<Mat>, Option<Mat>) {
    let features = config.input_size;
    let packed = |rows: &mut [f32]| Some(Mat::new(&mut rows[..plan.rows * features], features));
    match dx {
        Some(dx) if writes_directly(config, plan) => (packed(dx), None),
        Some(dx) => (packed(inputs), Some(Mat::new(dx, features))),
        None => (None, None),
    }
}

/// The first `len` values, which `values` no longer has then.
fn take_front<'a, T>(values: &mut Option<&'a mut [T]>, len: usize) -> Option<&'a mut [T]> {
    let (front, rest) = values.take()?.split_at_mut(len);
    *values = Some(rest);
    Some(front)
}

/// A pass and what it writes.
struct Walk<'a> {
    pass: PassBackward<'a>,
    params: PassParams<'a>,
    scratch: &'a mut PassScratch,
    outer: &'a mut OuterScratch,
    /// Those of the pass's parameters.
    grads: Option<&'a mut [f32]>,
    norms: Option<&'a mut [f64]>,
}

impl Walk<'_> {
    /// Before the first block: gradients of the last states, and those of the biases so far.
    fn begin(&mut self, number: usize, dhn: Option<&[f32]>, dcn: Option<&[f32]>) {
        let PassBackward { config, plan, strides, .. } = self.pass;
        load_states(&mut self.scratch.dh, strides.h, plan, number, config.state_size(), dhn);
        load_states(&mut self.scratch.dc, strides.c, plan, number, config.hidden_size, dcn);
        if let Some(grads) = &self.grads {
            self.pass.load_biases(self.scratch, &self.params, grads);
        }
    }

    /// Walks back through all steps. The input's gradient goes to `rows`, then from there to `user`.
    fn run<S: Ops>(&mut self, s: S, team: Team<'_>, rows: Option<Mat>, user: Option<Mat>) {
        for block in Blocks::of_rows(self.pass.plan, !self.pass.reverse, BLOCK_ROWS) {
            self.pass.steps(s, team, &block, &block, self.scratch, self.norms.is_some(), rows);
            self.end_block(s, team, &block, rows, user);
        }
    }

    /// What follows the steps of a block.
    fn end_block<S: Ops>(&mut self, s: S, team: Team<'_>, block: &Range<usize>, rows: Option<Mat>, user: Option<Mat>) {
        let Self { pass, params, scratch, outer, grads, norms } = self;
        if let Some(norms) = norms.as_deref_mut() {
            pass.norms(block, scratch, norms);
        }
        if let (Some(rows), Some(user)) = (rows, user) {
            pass.unpack(team, block, rows, user);
        }
        if let Some(grads) = grads.as_deref_mut() {
            pass.weight_gradients(s, team, block, scratch, outer, params, grads);
        }
    }

    /// Writes what is known when all steps are done.
    fn finish(self, args: &mut BackwardArgs<'_>, number: usize) {
        let PassBackward { config, plan, strides, .. } = self.pass;
        if let Some(grads) = self.grads {
            self.pass.store_biases(self.scratch, &self.params, grads);
        }
        store_states(&self.scratch.dh, strides.h, plan, number, config.state_size(), args.dh0.as_deref_mut());
        store_states(&self.scratch.dc, strides.c, plan, number, config.hidden_size, args.dc0.as_deref_mut());
    }
}

/// Sorted state rows from an array (passes, batch, features), or zeros.
fn load_states(rows: &mut [f32], stride: usize, plan: &Plan, pass: usize, features: usize, source: Option<&[f32]>) {
    for (row, &b) in rows.chunks_exact_mut(stride).zip(plan.order.iter()) {
        row.fill(0.0);
        if let Some(source) = source {
            row[..features].copy_from_slice(&source[(pass * plan.batch + b) * features..][..features]);
        }
    }
}

/// Sorted state rows into an array (passes, batch, features).
fn store_states(rows: &[f32], stride: usize, plan: &Plan, pass: usize, features: usize, target: Option<&mut [f32]>) {
    let Some(target) = target else { return };
    for (row, &b) in rows.chunks_exact(stride).zip(plan.order.iter()) {
        target[(pass * plan.batch + b) * features..][..features].copy_from_slice(&row[..features]);
    }
}
