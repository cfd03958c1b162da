//! Backpropagation through time.
//!
//! A pass is walked against its own order of time. Steps only compute gate gradients and carry the state's gradient;
//! after each block of steps, one product per block gives the input's gradient and two sums of outer products those of
//! the weights. Their rows are taken in the order in which backward visits them: steps against the pass's order, and
//! within a step sequences from the longest to the shortest. Each weight's gradient is one chain in that order, from what
//! it was before; a bias's is a chain from zero, added to what it was before.

use super::batch::Plan;
use super::config::{Cell, RnnConfig};
use super::dropout::Mask;
use super::flow::GradientFlow;
use super::grads::Grads;
use super::model::Rnn;
use super::pass::{History, Strides};
use super::session::{Blocks, Session, block_rows};
use super::tape::{Tape, mask_rows};
use super::weights::{BackwardWeights, Layout, PassParams};
use crate::buffer::AlignedBuf;
use crate::error::{Result, check_len, ensure, err, product};
use crate::kernel::gates::{Mat, Previous, Span, elman, gru, lstm};
use crate::kernel::gemm::{Output, Start, gemm};
use crate::kernel::outer::OuterScratch;
use crate::kernel::rows::Rows;
use crate::parallel::{FEWEST_PRODUCTS, Team, enter};
use crate::simd::{Kernel, Ops, dispatch};
use std::ops::Range;

/// Rows whose gradients are gathered before the products over them run: the depth of the weight gradients' products.
const BLOCK_ROWS: usize = 256;

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
    /// Gradient of a layer's outputs, packed rows.
    outputs: AlignedBuf<f32>,
    /// Gradient of a layer's inputs, packed rows.
    inputs: AlignedBuf<f32>,
    /// Gradient of the states of all sequences.
    dh: AlignedBuf<f32>,
    dc: AlignedBuf<f32>,
    /// A step's gradient of what precedes the projection, or of `r h`.
    step: AlignedBuf<f32>,
    /// A block's gate gradients.
    gates: AlignedBuf<f32>,
    /// A block's `r h`, or hidden states before projection.
    hidden: AlignedBuf<f32>,
    /// A block's gradients of projected states.
    projected: AlignedBuf<f32>,
    /// For each row of a block, the sum of the squares of its state's gradient.
    squares: AlignedBuf<f64>,
    h_offsets: AlignedBuf<usize>,
    c_offsets: AlignedBuf<usize>,
    /// A block's rows in the order of visit: where each row's operands start.
    visit: [AlignedBuf<usize>; 5],
    pub(crate) outer: OuterScratch,
    /// Sums of a pass's gate gradients.
    sums: AlignedBuf<f32>,
}

impl BackwardScratch {
    fn reserve(&mut self, config: &RnnConfig, plan: &Plan) -> Result<()> {
        let strides = Strides::of(config, 1);
        let block = plan.rows.min(BLOCK_ROWS + plan.batch);
        let widest = config.input_size.max(config.output_size());
        let gate_row = Layout::of(config.cell).gradient_gates * config.hidden_size;
        // The two change places from layer to layer.
        self.outputs.resize(product("output gradients", &[plan.rows, widest])?)?;
        self.inputs.resize(product("input gradients", &[plan.rows, widest])?)?;
        self.dh.resize(product("state gradients", &[plan.batch, strides.h])?)?;
        self.dc.resize(product("state gradients", &[plan.batch, strides.c])?)?;
        self.step.resize(product("state gradients", &[plan.batch, strides.c])?)?;
        self.gates.resize(product("gate gradients", &[block, gate_row])?)?;
        if config.proj_size > 0 || config.cell == Cell::GruResetBefore {
            self.hidden.resize(product("hidden states", &[block, strides.c])?)?;
        }
        self.projected.resize(product("projected states", &[block, config.proj_size])?)?;
        self.squares.resize(block)?;
        self.h_offsets.resize(plan.batch)?;
        self.c_offsets.resize(plan.batch)?;
        for offsets in &mut self.visit {
            offsets.resize(block)?;
        }
        self.sums.resize(gate_row)?;
        self.outer.reserve(block, gate_row.max(config.state_size()), widest.max(config.hidden_size))
    }

    pub(crate) fn bytes(&self) -> usize {
        let floats = [&self.outputs, &self.inputs, &self.dh, &self.dc, &self.step, &self.gates, &self.hidden, &self.sums];
        let offsets = self.visit.iter().chain([&self.h_offsets, &self.c_offsets]);
        floats.iter().map(|b| size_of_val(&***b)).sum::<usize>()
            + offsets.map(|b| size_of_val(&**b)).sum::<usize>()
            + size_of_val(&*self.projected)
            + size_of_val(&*self.squares)
            + self.outer.bytes()
    }
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
        scratch.reserve(config, &tape.plan)?;
        let flow_norms = flow.as_deref_mut().map(GradientFlow::norms_mut);
        let grads = grads.map(Grads::values_mut);
        enter(session.pool.as_ref(), |team| {
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
    team: Team,
}

impl Kernel for Backward<'_> {
    type Output = ();
    fn run<S: Ops>(mut self, s: S) {
        let (config, plan) = (self.rnn.config(), &self.tape.plan);
        let mask = self.tape.recorded.as_ref().and_then(|r| Mask::new(r.dropout, config.dropout));
        let directions = config.direction.count();
        self.gather_output_gradients();
        for layer in (0..config.num_layers).rev() {
            for direction in 0..directions {
                let wants_input = layer > 0 || self.args.dx.is_some();
                self.pass(s, layer, direction, wants_input);
            }
            if layer > 0 {
                std::mem::swap(&mut self.scratch.outputs, &mut self.scratch.inputs);
                if let Some(mask) = &mask {
                    mask_rows(mask, plan, layer - 1, &mut self.scratch.outputs, config.output_size());
                }
            }
        }
        if let Some(dx) = &mut self.args.dx {
            let features = config.input_size;
            plan.for_each_padding(|t, j| dx[plan.user_offset(config, t, j, features)..][..features].fill(0.0));
            for t in 0..plan.steps {
                for j in 0..plan.count(t) {
                    let from = (plan.start(t) + j) * features;
                    let to = plan.user_offset(config, t, j, features);
                    dx[to..to + features].copy_from_slice(&self.scratch.inputs[from..from + features]);
                }
            }
        }
    }
}

impl Backward<'_> {
    /// Packs the rows of `dy`.
    fn gather_output_gradients(&mut self) {
        let (config, plan) = (self.rnn.config(), &self.tape.plan);
        let features = config.output_size();
        let outputs = &mut self.scratch.outputs;
        let Some(dy) = self.args.dy else {
            outputs[..plan.rows * features].fill(0.0);
            return;
        };
        for t in 0..plan.steps {
            for j in 0..plan.count(t) {
                let to = (plan.start(t) + j) * features;
                let from = plan.user_offset(config, t, j, features);
                outputs[to..to + features].copy_from_slice(&dy[from..from + features]);
            }
        }
    }

    /// One layer in one direction, over all steps.
    fn pass<S: Ops>(&mut self, s: S, layer: usize, direction: usize, wants_input: bool) {
        let (config, plan) = (self.rnn.config(), &self.tape.plan);
        let pass = layer * config.direction.count() + direction;
        let reverse = config.is_reverse(direction);
        let (size, hidden) = (config.state_size(), config.hidden_size);
        let strides = Strides::of(config, S::LANES);
        load_states(&mut self.scratch.dh, strides.h, plan, pass, size, self.args.dhn);
        load_states(&mut self.scratch.dc, strides.c, plan, pass, hidden, self.args.dcn);
        let walk = PassBackward {
            config,
            plan,
            reverse,
            direction,
            layout: Layout::of(config.cell),
            weights: &self.weights[pass],
            history: &self.tape.histories[pass],
            strides,
            team: self.team,
            wants_norms: self.flow_norms.is_some(),
        };
        let params = self.rnn.pass_params(pass);
        self.scratch.sums.fill(0.0);
        let mut norms = self.flow_norms.as_deref_mut().map(|n| &mut n[pass * plan.seq_len..(pass + 1) * plan.seq_len]);
        for block in Blocks::of_rows(plan, !reverse, BLOCK_ROWS) {
            walk.steps(s, &block, self.scratch);
            if let Some(norms) = norms.as_deref_mut() {
                walk.norms(&block, self.scratch, norms);
            }
            if wants_input {
                walk.input_gradient(s, &block, self.scratch);
            }
            if let Some(grads) = self.grads.as_deref_mut() {
                walk.weight_gradients(s, &block, self.scratch, &self.tape.inputs[layer], &params, grads);
            }
        }
        if let Some(grads) = self.grads.as_deref_mut() {
            walk.bias_gradients(&self.scratch.sums, &params, grads);
        }
        store_states(&self.scratch.dh, strides.h, plan, pass, size, self.args.dh0.as_deref_mut());
        store_states(&self.scratch.dc, strides.c, plan, pass, hidden, self.args.dc0.as_deref_mut());
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

struct PassBackward<'a> {
    config: &'a RnnConfig,
    plan: &'a Plan,
    reverse: bool,
    direction: usize,
    layout: &'static Layout,
    weights: &'a BackwardWeights,
    history: &'a History,
    strides: Strides,
    team: Team,
    /// Whether steps leave the squares of their states' gradients.
    wants_norms: bool,
}

/// The buffers of a block as threads share them: each writes the rows of its own sequences.
struct Memory<'a> {
    outputs: &'a [f32],
    dh: Mat,
    dc: Mat,
    step: Mat,
    gates: Mat,
    hidden: Mat,
    projected: Mat,
    h_offsets: *mut usize,
    c_offsets: *mut usize,
    squares: *mut f64,
    /// The block's first packed row.
    first: usize,
}

// SAFETY: threads work on disjoint ranges of sequences, and every row and offset belongs to one sequence.
unsafe impl Sync for Memory<'_> {}

impl PassBackward<'_> {
    /// Values in a row of gate gradients.
    fn gate_row(&self) -> usize {
        self.layout.gradient_gates * self.config.hidden_size
    }

    /// Gate gradients of a block; the states' gradients move to the step that precedes the block in the pass.
    fn steps<S: Ops>(&self, s: S, block: &Range<usize>, scratch: &mut BackwardScratch) {
        let (config, plan, strides) = (self.config, self.plan, self.strides);
        let (rows, sequences) = (block_rows(plan, block), plan.count(block.start));
        let (size, gate_row) = (config.state_size(), self.gate_row());
        let last = plan.start(block.start) + rows;
        let history = self.history;
        assert!(last * strides.pre <= history.pre.len() && (plan.batch + last) * strides.h <= history.h.len());
        assert!(rows * gate_row <= scratch.gates.len() && rows <= scratch.squares.len());
        assert!(sequences * strides.h <= scratch.dh.len() && sequences * strides.c <= scratch.dc.len());
        assert!(sequences * strides.c <= scratch.step.len() && sequences <= scratch.h_offsets.len());
        if config.cell.has_cell_state() {
            assert!((plan.batch + last) * strides.c <= history.c.len());
        }
        if config.proj_size > 0 || config.cell == Cell::GruResetBefore {
            assert!(rows * strides.c <= scratch.hidden.len() && rows * config.proj_size <= scratch.projected.len());
        }
        let memory = Memory {
            outputs: &scratch.outputs,
            dh: Mat::new(&mut scratch.dh, strides.h),
            dc: Mat::new(&mut scratch.dc, strides.c),
            step: Mat::new(&mut scratch.step, strides.c),
            gates: Mat::new(&mut scratch.gates, gate_row),
            hidden: Mat::new(&mut scratch.hidden, strides.c),
            projected: Mat::new(&mut scratch.projected, size),
            h_offsets: scratch.h_offsets.as_mut_ptr(),
            c_offsets: scratch.c_offsets.as_mut_ptr(),
            squares: scratch.squares.as_mut_ptr(),
            first: plan.start(block.start),
        };
        let fewest = (FEWEST_PRODUCTS / (gate_row * size * block.len())).max(1);
        self.team.split(0..sequences, fewest, &|part: Range<usize>| {
            let step = |t: usize| {
                let running = part.start..part.end.min(plan.count(t));
                if !running.is_empty() {
                    // SAFETY: the buffers reach to the block's last row, as asserted, and parts are disjoint.
                    unsafe { self.step(s, t, running, &memory) }
                }
            };
            if self.reverse { block.clone().for_each(step) } else { block.clone().rev().for_each(step) }
        });
    }

    /// Norms of the states' gradients of a block, from the squares that its steps left.
    fn norms(&self, block: &Range<usize>, scratch: &BackwardScratch, norms: &mut [f64]) {
        let first = self.plan.start(block.start);
        for t in block.clone() {
            let squares = &scratch.squares[self.plan.start(t) - first..][..self.plan.count(t)];
            norms[t] = squares.iter().fold(0.0, |sum, v| sum + v).sqrt();
        }
    }

    /// Step `t` of the sequences at sorted places `part`.
    ///
    /// # Safety
    /// The buffers have the rows of step `t`, and no other thread works on these sequences.
    unsafe fn step<S: Ops>(&self, s: S, t: usize, part: Range<usize>, memory: &Memory<'_>) {
        let (config, plan, history, strides) = (self.config, self.plan, self.history, self.strides);
        let (units, size, gate_row) = (config.hidden_size, config.state_size(), self.gate_row());
        let (count, first) = (part.len(), plan.start(t) + part.start);
        let (row, index) = (first - memory.first, history.index(plan, first));
        let span = Span { rows: count, blocks: 0..units.div_ceil(S::LANES), units };
        // SAFETY: rows of these sequences are this thread's; all lie within their buffers by the caller's contract;
        // the buffers are distinct, and where two operands share one the kernels allow it. The tape is only read; the
        // kernels take one kind of matrix for both.
        unsafe {
            let h_offsets = std::slice::from_raw_parts_mut(memory.h_offsets.add(part.start), count);
            let c_offsets = std::slice::from_raw_parts_mut(memory.c_offsets.add(part.start), count);
            let squares = std::slice::from_raw_parts_mut(memory.squares.add(row), count);
            let dh = memory.dh.starting_at(part.start);
            for (i, j) in part.clone().enumerate() {
                let previous = history.previous_index(plan, self.reverse, t, j);
                h_offsets[i] = previous * strides.h;
                c_offsets[i] = previous * strides.c;
                let state = std::slice::from_raw_parts_mut(dh.row(i), size);
                let dy = &memory.outputs[(first + i) * config.output_size() + self.direction * size..][..size];
                state.iter_mut().zip(dy).for_each(|(d, y)| *d += y);
                if self.wants_norms {
                    squares[i] = state.iter().fold(0.0, |sum, &v| sum + f64::from(v) * f64::from(v));
                }
            }
            let pre = Mat { values: history.pre[first * strides.pre..].as_ptr().cast_mut(), stride: strides.pre };
            let gates = memory.gates.starting_at(row);
            let previous_h = Previous { values: history.h.as_ptr(), offsets: h_offsets };
            // The product of a run of gate gradients with their recurrent weights.
            let recurrent = |run: usize, start: Start<'_>, out: Output| {
                let rows = std::slice::from_raw_parts(gates.values, count * gate_row);
                let run_gates = &self.layout.recurrent_gradients[run];
                let left = Rows::strided(rows, count, gate_row, gate_row);
                let left = left.columns(run_gates.column * units, run_gates.gates * units);
                gemm(s, left, &self.weights.recurrent[run], start, out);
            };
            let out = Output::raw(dh.values, count * strides.h, strides.h);
            let step = memory.step.starting_at(part.start);
            let step_out = Output::raw(step.values, count * strides.c, strides.c);
            match config.cell {
                Cell::ElmanTanh | Cell::ElmanRelu => {
                    elman::backward(s, span, config.cell == Cell::ElmanRelu, pre, dh, gates);
                    recurrent(0, Start::Zero, out);
                }
                Cell::Lstm => {
                    let previous_c = Previous { values: history.c.as_ptr(), offsets: c_offsets };
                    let c = Mat { values: history.c[index * strides.c..].as_ptr().cast_mut(), stride: strides.c };
                    let mut dh_hidden = dh;
                    if let Some(projection) = &self.weights.projection {
                        let dh_rows = std::slice::from_raw_parts(dh.values, count * strides.h);
                        let dh_rows = Rows::strided(dh_rows, count, strides.h, size);
                        for i in 0..count {
                            let kept = std::slice::from_raw_parts_mut(memory.projected.row(row + i), size);
                            kept.copy_from_slice(dh_rows.row(i));
                        }
                        gemm(s, dh_rows, projection, Start::Zero, step_out);
                        dh_hidden = step;
                        lstm::hidden(s, span.clone(), pre, c, memory.hidden.starting_at(row), 0.0);
                    }
                    let dc = memory.dc.starting_at(part.start);
                    lstm::backward(s, span, pre, previous_c, c, dh_hidden, dc, gates);
                    recurrent(0, Start::Zero, out);
                }
                Cell::Gru => {
                    gru::backward_after(s, span, pre, previous_h, dh, dh, gates);
                    recurrent(0, Start::Output, out);
                    recurrent(1, Start::Output, out);
                }
                Cell::GruResetBefore => {
                    gru::backward_before(s, span.clone(), pre, previous_h, dh, dh, gates);
                    recurrent(1, Start::Zero, step_out);
                    gru::backward_reset(s, span.clone(), pre, previous_h, step, dh, gates);
                    gru::reset(s, span, pre, previous_h, memory.hidden.starting_at(row));
                    recurrent(0, Start::Output, out);
                }
            }
        }
    }

    /// The input's gradient for a block; the second direction adds to the first one's.
    fn input_gradient<S: Ops>(&self, s: S, block: &Range<usize>, scratch: &mut BackwardScratch) {
        let (rows, width) = (block_rows(self.plan, block), self.weights.input.columns());
        let gates = Rows::strided(&scratch.gates, rows, self.gate_row(), self.gate_row());
        let gates = gates.columns(0, self.config.cell.gates() * self.config.hidden_size);
        let first = self.plan.start(block.start);
        let start = if self.direction == 0 { Start::Zero } else { Start::Output };
        let target = Mat::new(&mut scratch.inputs[first * width..(first + rows) * width], width);
        let fewest = (FEWEST_PRODUCTS / (self.gate_row() * width)).max(S::TILE_ROWS);
        self.team.split(0..rows, fewest, &|part: Range<usize>| {
            // SAFETY: the rows lie within `target`, and parts are disjoint.
            let out = unsafe { Output::raw(target.row(part.start), part.len() * width, width) };
            gemm(s, gates.slice(part), &self.weights.input, start, out);
        });
    }

    /// Adds a block's part of the weights' gradients.
    fn weight_gradients<S: Ops>(
        &self,
        s: S,
        block: &Range<usize>,
        scratch: &mut BackwardScratch,
        inputs: &[f32],
        params: &PassParams<'_>,
        grads: &mut [f32],
    ) {
        let (config, plan, strides) = (self.config, self.plan, self.strides);
        let (units, gate_row, size) = (config.hidden_size, self.gate_row(), config.state_size());
        let features = params.weight_ih.cols;
        let rows = block_rows(plan, block);
        let first = plan.start(block.start);
        let BackwardScratch { gates, hidden, projected, visit, outer, sums, .. } = scratch;
        let [gate_at, input_at, state_at, hidden_at, projected_at] = visit;
        let mut next = 0;
        let mut add_step = |t: usize| {
            for j in 0..plan.count(t) {
                let row = plan.start(t) + j;
                gate_at[next] = (row - first) * gate_row;
                input_at[next] = row * features;
                state_at[next] = self.history.previous_index(plan, self.reverse, t, j) * strides.h;
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
        let gate_rows = Rows::at(gates, &gate_at[..rows], gate_row);
        outer.pack_left(s, self.team, gate_rows, params.bias.is_some().then_some(&mut sums[..]));
        outer.pack_right(s, self.team, Rows::at(inputs, &input_at[..rows], features));
        let gate_count = config.cell.gates() * units;
        outer.accumulate(s, self.team, rows, 0, gate_count, features, &mut grads[params.weight_ih.range()]);

        // Reset before: the last run's right operand is `r h`, not `h`.
        let hh = &mut grads[params.weight_hh.range()];
        outer.pack_right(s, self.team, Rows::at(&self.history.h, &state_at[..rows], size));
        for (index, run) in self.layout.recurrent_gradients.iter().enumerate() {
            if config.cell == Cell::GruResetBefore && index == 1 {
                outer.pack_right(s, self.team, Rows::at(hidden, &hidden_at[..rows], units));
            }
            let target = &mut hh[run.gate * units * size..(run.gate + run.gates) * units * size];
            outer.accumulate(s, self.team, rows, run.column * units, run.gates * units, size, target);
        }

        if let Some(spec) = params.weight_hr {
            outer.pack_left(s, self.team, Rows::at(projected, &projected_at[..rows], size), None);
            outer.pack_right(s, self.team, Rows::at(hidden, &hidden_at[..rows], units));
            outer.accumulate(s, self.team, rows, 0, size, units, &mut grads[spec.range()]);
        }
    }

    /// Adds a pass's sums of gate gradients to the gradients of its biases.
    fn bias_gradients(&self, sums: &[f32], params: &PassParams<'_>, grads: &mut [f32]) {
        let Some((input, hidden)) = params.bias else { return };
        let units = self.config.hidden_size;
        let mut add = |target: Range<usize>, column: usize| {
            grads[target].iter_mut().zip(&sums[column..]).for_each(|(gradient, sum)| *gradient += sum);
        };
        add(input.range(), 0);
        for run in self.layout.recurrent_gradients {
            let first = hidden.range().start + run.gate * units;
            add(first..first + run.gates * units, run.column * units);
        }
    }
}
