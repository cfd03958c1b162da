//! What a training forward records for backward.

use super::batch::Plan;
use super::config::RnnConfig;
use super::dropout::DropoutPosition;
use super::history::History;
use crate::buffer::{AlignedBuf, push, try_grow};
use crate::error::{Result, product};
use crate::kernel::panel::Geometry;
use crate::simd::Isa;

/// What a training forward recorded. With R the sum of the lengths and B the batch size, each layer holds R rows of
/// its input and each pass R rows of pre-activations (LSTM and GRU 4, GRU with reset before 3, Elman 1 times the
/// hidden size, padded to whole vectors plus one) and B + R rows of hidden, for LSTM also of cell states (padded to a
/// multiple of 16), all f32. Memory is reused by the next forward; where that needs more, the old memory is kept until the
/// new is there.
///
/// ```
/// use simdrnn::nn::{Optimizer, OptimizerConfig, SgdConfig, mse_loss, Reduction};
/// use simdrnn::rnn::{BackwardArgs, Batch, Cell, DropoutPosition, ForwardArgs, Grads, Init, Rnn, RnnConfig, Session, Tape};
///
/// let mut rnn = Rnn::new(&RnnConfig::new(Cell::ElmanTanh, 1, 4))?;
/// rnn.init(Init::TorchUniform, 3)?;
/// let (mut session, mut tape, mut grads) = (Session::new(), Tape::new(), Grads::new(&rnn)?);
/// let mut optimizer = Optimizer::new(&OptimizerConfig::Sgd(SgdConfig { lr: 0.5, ..SgdConfig::default() }))?;
/// let batch = Batch::new(1, 6);
/// let (x, target) = ([0.5; 6], [0.25; 6 * 4]);
/// let (mut y, mut dy, mut losses) = ([0.0; 6 * 4], [0.0; 6 * 4], Vec::new());
/// for _ in 0..20 {
///     let args = ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() };
///     rnn.forward_train(&mut session, &mut tape, &batch, args, DropoutPosition::default())?;
///     losses.push(mse_loss(Reduction::Mean, &y, &target, Some(&mut dy))?);
///     grads.zero();
///     let args = BackwardArgs { dy: Some(&dy), ..BackwardArgs::default() };
///     rnn.backward(&mut session, &tape, args, Some(&mut grads), None)?;
///     optimizer.begin_step();
///     rnn.optimize(&mut optimizer, 0, &grads)?;
/// }
/// assert!(losses[19] < losses[0] / 4.0);
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Default)]
pub struct Tape {
    pub(crate) recorded: Option<Recorded>,
    pub(crate) plan: Plan,
    /// For each layer, its input rows in packed order, after dropout.
    pub(crate) inputs: Vec<AlignedBuf<f32>>,
    /// For each pass, all its steps.
    pub(crate) histories: Vec<History>,
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
        self.inputs.iter().map(AlignedBuf::bytes).sum::<usize>()
            + self.histories.iter().map(History::bytes).sum::<usize>()
            + self.plan.bytes()
    }

    /// Sequences of the forward that it holds; 0 while it holds none.
    pub fn batch_size(&self) -> usize {
        self.recorded.as_ref().map_or(0, |_| self.plan.batch)
    }

    /// Time steps that the arrays of that forward have room for; 0 while it holds none.
    pub fn seq_len(&self) -> usize {
        self.recorded.as_ref().map_or(0, |_| self.plan.seq_len)
    }

    /// Makes room for a forward of `plan`, which becomes the tape's. After an error the tape holds what it held.
    pub(super) fn reserve(&mut self, config: &RnnConfig, isa: Isa, plan: &Plan) -> Result<()> {
        let lanes = Geometry::of(isa).lanes;
        try_grow(&mut self.inputs, config.num_layers, AlignedBuf::new)?;
        try_grow(&mut self.histories, config.passes(), History::new)?;
        let (inputs, histories) = (&mut self.inputs, &mut self.histories);
        let mut each = |f: &mut dyn FnMut(&mut AlignedBuf<f32>, usize) -> Result<()>| {
            for (layer, input) in inputs[..config.num_layers].iter_mut().enumerate() {
                f(input, product("a layer's input", &[plan.rows, config.layer_input_size(layer)])?)?;
            }
            histories[..config.passes()].iter_mut().try_for_each(|history| {
                let lens = History::lens(config, lanes, plan.batch, plan.rows)?;
                history.buffers().into_iter().zip(lens).try_for_each(|(buffer, len)| f(buffer, len))
            })
        };
        self.plan.become_after(plan, || {
            let mut grown = Vec::new();
            each(&mut |buffer, len| buffer.grown(len)?.map_or(Ok(()), |new| push(&mut grown, new)))?;
            let mut grown = grown.into_iter();
            each(&mut |buffer, len| {
                let new = if buffer.has_room(len) { None } else { grown.next() };
                buffer.adopt(new, len);
                Ok(())
            })
        })
    }
}
