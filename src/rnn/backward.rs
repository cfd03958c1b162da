//! Backpropagation through time.
//!
//! A pass is walked against its own order of time. Steps only compute gate gradients and carry the state's gradient;
//! after each block of steps, one product per block gives the input's gradient and two sums of outer products those of
//! the weights. Their rows are taken in the order in which backward visits them: steps against the pass's order, and
//! within a step sequences from the longest to the shortest. Each weight's gradient is one chain in that order.

use super::backward_pass::{BLOCK_ROWS, OutputGradients, PassBackward, PassScratch};
use super::batch::Plan;
use super::config::RnnConfig;
use super::dropout::Mask;
use super::flow::GradientFlow;
use super::grads::Grads;
use super::history::Strides;
use super::model::Rnn;
use super::session::{Blocks, Session};
use super::tape::{Tape, mask_rows};
use super::weights::{BackwardWeights, Layout, PassParams};
use crate::buffer::AlignedBuf;
use crate::error::{Result, check_len, ensure, err, product};
use crate::kernel::gates::Mat;
use crate::kernel::outer::OuterScratch;
use crate::parallel::{Pool, Team, enter};
use crate::simd::{Kernel, Ops, dispatch};

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
    /// One for each direction.
    passes: [PassScratch; 2],
}

impl BackwardScratch {
    fn reserve(&mut self, config: &RnnConfig, plan: &Plan, wants_dx: bool, threads: usize) -> Result<()> {
        if config.num_layers > 1 {
            // The two change places from layer to layer.
            self.outputs.resize(product("output gradients", &[plan.rows, config.output_size()])?)?;
            self.inputs.resize(product("input gradients", &[plan.rows, config.output_size()])?)?;
        }
        if wants_dx && !writes_directly(config, plan) {
            let len = product("input gradients", &[plan.rows, config.input_size])?;
            // An even number of layers swaps them an odd number of times before the first.
            let last = if config.num_layers.is_multiple_of(2) { &mut self.outputs } else { &mut self.inputs };
            last.resize(len.max(last.len()))?;
        }
        if config.direction.count() > 1 {
            let below = if wants_dx { config.input_size } else { 0 };
            let widest = below.max(if config.num_layers > 1 { config.output_size() } else { 0 });
            self.second.resize(product("input gradients", &[plan.rows, widest])?)?;
        }
        let directions = config.direction.count();
        let threads = if directions > 1 && directions_at_once(threads) { threads / 2 } else { threads };
        for pass in &mut self.passes[..directions] {
            pass.reserve(config, plan, threads)?;
        }
        Ok(())
    }

    /// Memory for the products of weight gradients, for layers of other kinds.
    pub(crate) fn outer(&mut self) -> &mut OuterScratch {
        &mut self.passes[0].outer
    }

    pub(crate) fn bytes(&self) -> usize {
        let rows = [&self.outputs, &self.inputs, &self.second].map(AlignedBuf::bytes);
        rows.iter().sum::<usize>() + self.passes.iter().map(PassScratch::bytes).sum::<usize>()
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
        let config = self.config();
        let recorded = tape
            .recorded
            .as_ref()
            .ok_or_else(|| err!(InvalidState, "the tape holds no forward, expected a training forward first"))?;
        ensure!(
            recorded.config == *config && recorded.isa == self.isa(),
            InvalidState,
            "the tape was recorded by a model of another configuration"
        );
        args.check(config, &tape.plan)?;
        if let Some(grads) = &grads {
            grads.check(self)?;
        }
        if let Some(flow) = &mut flow {
            flow.reserve(config, tape.plan.seq_len)?;
        }
        let weights = self.backward_weights()?;
        let scratch = &mut session.backward;
        let pool = self.pool_for(&tape.plan, session.pool.as_ref());
        scratch.reserve(config, &tape.plan, args.dx.is_some(), pool.map_or(1, Pool::threads))?;
        let flow_norms = flow.as_deref_mut().map(GradientFlow::norms_mut);
        let grads = grads.map(Grads::values_mut);
        enter(pool, |team| {
            dispatch(self.isa(), Backward { rnn: self, weights, tape, scratch, args, grads, flow_norms, team });
        });
        if let Some(flow) = flow {
            flow.measure(self, tape);
        }
        Ok(())
    }
}

impl BackwardArgs<'_> {
    fn check(&self, config: &RnnConfig, plan: &Plan) -> Result<()> {
        let steps = plan.batch * plan.seq_len;
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

struct Backward<'a> {
    rnn: &'a Rnn,
    weights: &'a [BackwardWeights],
    tape: &'a Tape,
    scratch: &'a mut BackwardScratch,
    args: BackwardArgs<'a>,
    grads: Option<&'a mut [f32]>,
    flow_norms: Option<&'a mut [f64]>,
    team: Team<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();
    fn run<S: Ops>(mut self, s: S) {
        let (config, plan) = (self.rnn.config(), &self.tape.plan);
        let mask = self.tape.recorded.as_ref().and_then(|r| Mask::new(r.dropout, config.dropout));
        for layer in (0..config.num_layers).rev() {
            self.layer(s, layer);
            if layer > 0 {
                std::mem::swap(&mut self.scratch.outputs, &mut self.scratch.inputs);
                if let Some(mask) = &mask {
                    mask_rows(self.team, mask, plan, layer - 1, &mut self.scratch.outputs, config.output_size());
                }
            }
        }
        if config.num_layers.is_multiple_of(2) {
            // As the next call finds room for them.
            std::mem::swap(&mut self.scratch.outputs, &mut self.scratch.inputs);
        }
        if let Some(dx) = &mut self.args.dx {
            let features = config.input_size;
            plan.for_each_padding(|t, j| dx[plan.user_offset(config, t, j, features)..][..features].fill(0.0));
        }
    }
}

impl Backward<'_> {
    /// One layer in its directions, which may run at the same time: each makes its own part of the input's gradient.
    fn layer<S: Ops>(&mut self, s: S, layer: usize) {
        let (rnn, tape, team) = (self.rnn, self.tape, self.team);
        let (config, plan) = (rnn.config(), &tape.plan);
        let (directions, features) = (config.direction.count(), config.layer_input_size(layer));
        let BackwardScratch { outputs, inputs, second: second_inputs, passes } = &mut *self.scratch;
        let outputs = match self.args.dy {
            _ if layer + 1 < config.num_layers => OutputGradients::Packed(outputs),
            Some(dy) => OutputGradients::User(dy),
            None => OutputGradients::Zero,
        };
        let packed = |buffer: &mut AlignedBuf<f32>| Mat::new(&mut buffer[..plan.rows * features], features);
        // Packed rows, and where they are to be copied from there.
        let (rows, user) = match &mut self.args.dx {
            _ if layer > 0 => (Some(packed(inputs)), None),
            Some(dx) if writes_directly(config, plan) => {
                (Some(Mat::new(&mut dx[..plan.rows * features], features)), None)
            }
            Some(dx) => (Some(packed(inputs)), Some(Mat::new(dx, features))),
            None => (None, None),
        };
        let [first, second] = passes;
        let first_pass = layer * directions;
        let params = |direction: usize| rnn.pass_params(first_pass + direction);
        let (mut grads, mut norms) = (self.grads.as_deref_mut(), self.flow_norms.as_deref_mut());
        if let Some(all) = grads.take() {
            grads = Some(&mut all[params(0).range().start..params(directions - 1).range().end]);
        }
        if let Some(all) = norms.take() {
            norms = Some(&mut all[first_pass * plan.seq_len..][..directions * plan.seq_len]);
        }
        let (dhn, dcn) = (self.args.dhn, self.args.dcn);
        let mut walk = |direction: usize, scratch| {
            let pass = first_pass + direction;
            let params = params(direction);
            let strides = Strides::of(config, S::LANES);
            let walk = Walk {
                pass: PassBackward {
                    config,
                    plan,
                    reverse: config.is_reverse(direction),
                    direction,
                    layout: Layout::of(config.cell),
                    weights: &self.weights[pass],
                    history: &tape.histories[pass],
                    inputs: &tape.inputs[layer],
                    strides,
                    outputs,
                },
                grads: take_front(&mut grads, params.range().len()),
                norms: take_front(&mut norms, plan.seq_len),
                scratch,
                params,
            };
            load_states(&mut walk.scratch.dh, strides.h, plan, pass, config.state_size(), dhn);
            load_states(&mut walk.scratch.dc, strides.c, plan, pass, config.hidden_size, dcn);
            if let Some(grads) = &walk.grads {
                walk.pass.load_biases(walk.scratch, &walk.params, grads);
            }
            walk
        };
        let mut first = walk(0, first);
        if directions == 1 {
            first.run(s, team, rows, user);
        } else {
            let mut second = walk(1, second);
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
    /// Those of the pass's parameters.
    grads: Option<&'a mut [f32]>,
    norms: Option<&'a mut [f64]>,
}

impl Walk<'_> {
    /// Walks back through all steps. The input's gradient goes to `rows`, then from there to `user`.
    fn run<S: Ops>(&mut self, s: S, team: Team<'_>, rows: Option<Mat>, user: Option<Mat>) {
        let (pass, scratch) = (&self.pass, &mut *self.scratch);
        for block in Blocks::of_rows(pass.plan, !pass.reverse, BLOCK_ROWS) {
            pass.steps(s, team, &block, scratch, self.norms.is_some(), rows);
            if let Some(norms) = self.norms.as_deref_mut() {
                pass.norms(&block, scratch, norms);
            }
            if let (Some(rows), Some(user)) = (rows, user) {
                pass.unpack(team, &block, rows, user);
            }
            if let Some(grads) = self.grads.as_deref_mut() {
                pass.weight_gradients(s, team, &block, scratch, &self.params, grads);
            }
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
