//! Training forward: what it records for backward.

use super::batch::{Batch, Plan};
use super::config::RnnConfig;
use super::dropout::{DropoutPosition, Mask};
use super::model::Rnn;
use super::pass::{History, Pass, StepScratch, lanes};
use super::session::{Blocks, ForwardArgs, Session, block_rows, copy_states, input_rows, write_outputs, zero_padding};
use crate::buffer::{AlignedBuf, try_grow};
use crate::error::{Result, product};
use crate::kernel::rows::{Left, Rows};
use crate::parallel::{Team, enter};
use crate::simd::{Isa, Kernel, Ops, dispatch};

/// What a training forward recorded. With R the sum of the lengths and B the batch size, each layer holds R rows of
/// its input and each pass R rows of pre-activations (LSTM and GRU 4, GRU with reset before 3, Elman 1 times the
/// hidden size, padded to whole vectors plus one) and B + R rows of hidden, for LSTM also of cell states (padded to a
/// multiple of 16), all f32. Memory is reused by the next forward.
#[derive(Default)]
pub struct Tape {
    pub(crate) recorded: Option<Recorded>,
    pub(crate) plan: Plan,
    /// For each layer, its input rows in packed order, after dropout.
    pub(crate) inputs: Vec<AlignedBuf<f32>>,
    /// For each pass, all its steps.
    pub(crate) histories: Vec<History>,
    x_offsets: AlignedBuf<usize>,
}

/// The model that a tape belongs to.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) config: RnnConfig,
    pub(crate) isa: Isa,
    pub(crate) version: u64,
    pub(crate) dropout: DropoutPosition,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.inputs.iter().map(|b| size_of_val(&**b)).sum::<usize>()
            + self.histories.iter().map(History::bytes).sum::<usize>()
            + size_of_val(&*self.x_offsets)
    }

    fn reserve(&mut self, rnn: &Rnn) -> Result<()> {
        let (config, rows) = (rnn.config(), self.plan.rows);
        try_grow(&mut self.inputs, config.num_layers, AlignedBuf::new)?;
        try_grow(&mut self.histories, config.passes(), History::new)?;
        for layer in 0..config.num_layers {
            self.inputs[layer].resize(product("a layer's input", &[rows, config.layer_input_size(layer)])?)?;
        }
        for history in &mut self.histories[..config.passes()] {
            history.reserve(config, lanes(rnn.isa()), self.plan.batch, rows)?;
        }
        self.x_offsets.resize(rows)
    }
}

impl Rnn {
    /// [`Rnn::forward`] in training: applies dropout between layers and records on `tape` what backward needs.
    /// After an error the tape holds nothing.
    pub fn forward_train(
        &self,
        session: &mut Session,
        tape: &mut Tape,
        batch: &Batch<'_>,
        args: ForwardArgs<'_>,
        dropout: DropoutPosition,
    ) -> Result<()> {
        let config = self.config();
        tape.recorded = None;
        args.check(config, batch)?;
        tape.plan.set(batch)?;
        tape.reserve(self)?;
        session.scratch.step.reserve(config, batch.batch_size)?;
        let recorded = Recorded { config: config.clone(), isa: self.isa(), version: self.version(), dropout };
        let step = &mut session.scratch.step;
        enter(session.pool.as_ref(), |team| {
            dispatch(self.isa(), ForwardTrain { rnn: self, step, tape, args, dropout, team });
        });
        tape.recorded = Some(recorded);
        Ok(())
    }
}

struct ForwardTrain<'a> {
    rnn: &'a Rnn,
    step: &'a mut StepScratch,
    tape: &'a mut Tape,
    args: ForwardArgs<'a>,
    dropout: DropoutPosition,
    team: Team,
}

impl Kernel for ForwardTrain<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let config = self.rnn.config();
        let Tape { plan, inputs, histories, x_offsets, .. } = self.tape;
        let mut args = self.args;
        if let Some(y) = &mut args.y {
            zero_padding(config, plan, y);
        }
        if plan.rows > 0 {
            let x = input_rows(config, plan, &(0..plan.steps), args.x, x_offsets);
            for (i, row) in inputs[0].chunks_exact_mut(config.input_size).enumerate() {
                row.copy_from_slice(x.row(i));
            }
            debug_assert_eq!(x.count() * config.input_size, inputs[0].len());
        }
        let (directions, mask) = (config.direction.count(), Mask::new(self.dropout, config.dropout));
        for layer in 0..config.num_layers {
            let (input, above) = inputs[layer..config.num_layers].split_first_mut().expect("every layer has an input");
            let features = config.layer_input_size(layer);
            for direction in 0..directions {
                let pass = layer * directions + direction;
                let reverse = config.is_reverse(direction);
                let history = &mut histories[pass];
                history.set_initial(config, plan, pass, args.h0, args.c0);
                (history.base, history.steps) = (0, 0..plan.steps);
                let weights = self.rnn.forward_weights(pass);
                for block in Blocks::new(plan, reverse, self.team) {
                    let first = plan.start(block.start);
                    let rows = Rows::strided(&input[first * features..], block_rows(plan, &block), features, features);
                    let pass = Pass { config, weights, plan, reverse };
                    pass.run(s, self.team, block, rows, history, self.step);
                }
                history.write_final(config, plan, pass, reverse, args.hn.as_deref_mut(), args.cn.as_deref_mut());
                match above.first_mut() {
                    Some(next) => {
                        copy_states(config, plan, history, direction, next.chunks_exact_mut(config.output_size()));
                    }
                    None => {
                        if let (Some(y), true) = (&mut args.y, plan.steps > 0) {
                            write_outputs(config, plan, &(0..plan.steps), history, direction, y);
                        }
                    }
                }
            }
            if let (Some(next), Some(mask)) = (above.first_mut(), &mask) {
                mask_rows(mask, plan, layer, next, config.output_size());
            }
        }
    }
}

/// Applies the dropout of `layer`'s outputs to packed rows: to the outputs in forward, to their gradient in backward.
pub(crate) fn mask_rows(mask: &Mask, plan: &Plan, layer: usize, rows: &mut [f32], features: usize) {
    for t in 0..plan.steps {
        for j in 0..plan.count(t) {
            let row = (plan.start(t) + j) * features;
            mask.apply(layer, t, plan.order[j], &mut rows[row..row + features]);
        }
    }
}
