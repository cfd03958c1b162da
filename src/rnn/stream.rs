//! Live state for step-by-step use.

use super::batch::{Batch, Plan};
use super::config::{Direction, RnnConfig};
use super::history::{History, Kept, Strides};
use super::inference::{Arrays, Inference, Initial};
use super::input::ForwardArgs;
use super::live::LiveStates;
use super::model::Rnn;
use super::output::Outputs;
use super::pass::Pass;
use super::scratch::Buffers;
use super::walk::{HOISTED_ROWS, Walk, is_worth_sharing, pool_for};
use crate::buffer::probe;
use crate::error::{Result, check_len, ensure, product};
use crate::kernel::cell::Flush;
use crate::kernel::lhs::Rows;
use crate::kernel::panel::Geometry;
use crate::kernel::single_row::{AnyLayer, Row, Weights};
use crate::parallel::{Pool, Team, enter};
use crate::simd::{Isa, Kernel, Ops, dispatch};

/// Multiply-adds of a step up to which several lanes take it one after another. Beyond, it pays that they share each read
/// of the weights.
const ROW_PRODUCTS: usize = 1 << 15;

/// The states of one or more parallel sequences that go on for as long as the caller likes. The calls
/// [`Stream::step`] and [`Stream::process`] allocate nothing. Unless the stream has a pool, they lock nothing, make no system
/// call and wait for nobody. Finite results are, bit for bit, those of one long forward.
///
/// A step's instructions do not depend on the data. Their time does only where the processor takes longer over subnormal
/// numbers: while states or inputs lie below 2^-50 but are not zero (`flush_small_states` keeps states from it), and where
/// gates are shut so far (pre-activations below about -80) that what they let through is subnormal.
///
/// ```
/// use simdrnn::rnn::{Cell, Init, Rnn, RnnConfig, Stream};
///
/// let mut rnn = Rnn::new(&RnnConfig::new(Cell::Gru, 1, 4))?;
/// rnn.init(Init::TorchUniform, 7)?;
/// let mut stream = Stream::new(&rnn, 1)?;
/// let (mut first, mut y) = ([0.0; 4], [0.0; 4]);
/// stream.step(&rnn, &[1.0], &mut first)?;
/// stream.step(&rnn, &[1.0], &mut y)?;
/// assert_ne!(first, y); // the state lives on
/// stream.reset();
/// stream.step(&rnn, &[1.0], &mut y)?;
/// assert_eq!(first, y);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct Stream {
    config: RnnConfig,
    isa: Isa,
    memory: Memory,
    /// What takes steps row by row, if they are.
    units: Option<Box<dyn AnyLayer>>,
    pool: Option<Pool>,
    /// Whether there is a pool and a single step is work enough for it.
    shares_steps: bool,
    /// The version of the last model that was checked: one that has it need not be checked again.
    checked: u64,
}

/// What depends on the number of threads.
struct Memory {
    plan: Plan,
    states: LiveStates,
    buffers: Buffers,
}

impl Stream {
    /// Zero states of `lanes` sequences for models like `rnn`: stacks of forward layers. The stream does not keep
    /// `rnn`; every call takes the model, whose weights may have changed in between.
    pub fn new(rnn: &Rnn, lanes: usize) -> Result<Self> {
        let config = rnn.config();
        ensure!(
            config.direction == Direction::Forward,
            InvalidArgument,
            "a stream needs forward layers: a reverse direction would have to know the future"
        );
        ensure!(lanes > 0, InvalidArgument, "lanes is 0, expected at least 1");
        let memory = Memory::new(config, rnn.isa(), lanes, 1)?;
        let products = lanes.saturating_mul(rnn.values().len() / config.num_layers);
        let by_rows = !config.has_second_product() && (lanes == 1 || products <= ROW_PRODUCTS);
        let units = if by_rows { Some(dispatch(rnn.isa(), AllUnits(config))?) } else { None };
        let (config, isa, checked) = (config.clone(), rnn.isa(), rnn.version());
        Ok(Self { config, isa, memory, units, pool: None, shares_steps: false, checked })
    }

    /// Spreads steps of large layers, from about a megabyte of recurrent weights on, over the threads of `pool` from now on, or
    /// with `None` over no others. Calls then wait for the pool's threads, and for their turn if others use it. The states
    /// stay, and the number of threads changes no bit. After an error nothing has changed.
    pub fn set_pool(&mut self, pool: Option<&Pool>) -> Result<()> {
        let mut memory = Memory::new(&self.config, self.isa, self.lanes(), pool.map_or(1, Pool::threads))?;
        memory.states.take_from(&mut self.memory.states, &self.config, &self.memory.plan);
        self.shares_steps = pool.is_some() && is_worth_sharing(&self.config, self.isa, &memory.plan);
        (self.memory, self.pool) = (memory, pool.cloned());
        Ok(())
    }

    /// Number of parallel sequences.
    pub fn lanes(&self) -> usize {
        self.memory.plan.batch
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let Memory { plan, states, buffers } = &self.memory;
        plan.bytes() + states.bytes() + buffers.bytes()
    }

    /// One step of every lane: `x` is (lanes, input_size), `y` (lanes, S) with S the state size. A failed call leaves
    /// the states as they were.
    pub fn step(&mut self, rnn: &Rnn, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.check_model(rnn)?;
        check_len("x", x.len(), self.lanes() * self.config.input_size)?;
        check_len("y", y.len(), self.lanes() * self.config.state_size())?;
        match &self.units {
            Some(units) if !self.shares_steps => step_by_rows(&**units, rnn, &mut self.memory, x, y),
            _ => self.step_together(rnn, x, y),
        }
        Ok(())
    }

    /// A step of all lanes together, by the pool's threads if it is worth it. Apart: small steps take no longer than a call.
    #[inline(never)]
    fn step_together(&mut self, rnn: &Rnn, x: &[f32], y: &mut [f32]) {
        let memory = &mut self.memory;
        enter(self.pool.as_ref().filter(|_| self.shares_steps), |team| {
            dispatch(self.isa, Step { rnn, memory, x, y, team });
        });
    }

    /// `steps` steps of every lane: `x` is (steps, lanes, input_size), `y` (steps, lanes, S); with `batch_first`
    /// lanes come before steps. Without `y` only the states advance. A failed call leaves them as they were.
    pub fn process(&mut self, rnn: &Rnn, steps: usize, x: &[f32], y: Option<&mut [f32]>) -> Result<()> {
        self.check_model(rnn)?;
        let batch = Batch::new(self.lanes(), steps);
        let args = ForwardArgs { x, y, ..ForwardArgs::default() };
        args.check(&self.config, &batch)?;
        if steps == 0 {
            return Ok(());
        }
        let Memory { plan, states, buffers } = &mut self.memory;
        // Lanes stay in their order, so the states are found with any number of steps.
        plan.set(&batch)?;
        let histories = states.for_blocks(&self.config, plan);
        let pool = pool_for(&self.config, self.isa, plan, self.pool.as_ref());
        let walk = Walk::by_blocks(&self.config, self.isa, plan, pool.map_or(1, Pool::threads));
        enter(pool, |team| dispatch(self.isa, Process { rnn, walk: &walk, plan, histories, buffers, args, team }));
        Ok(())
    }

    /// Copies the states out: `h` is (num_layers, lanes, S), `c`, for LSTM, (num_layers, lanes, hidden_size).
    pub fn state(&self, h: Option<&mut [f32]>, c: Option<&mut [f32]>) -> Result<()> {
        self.check_states(h.as_deref(), c.as_deref())?;
        let Memory { plan, states, .. } = &self.memory;
        states.write(&self.config, plan, &Outputs::new(&self.config, plan, None, 0, h, c));
        Ok(())
    }

    /// Replaces the states, in the layout of [`Stream::state`]; what is `None` becomes zero.
    pub fn set_state(&mut self, h: Option<&[f32]>, c: Option<&[f32]>) -> Result<()> {
        self.check_states(h, c)?;
        self.memory.states.set(&self.config, &self.memory.plan, h, c);
        Ok(())
    }

    /// Zeroes the states of all lanes.
    pub fn reset(&mut self) {
        self.memory.states.set(&self.config, &self.memory.plan, None, None);
    }

    /// Zeroes the states of one lane.
    pub fn reset_lane(&mut self, lane: usize) -> Result<()> {
        ensure!(lane < self.lanes(), InvalidArgument, "lane {lane}, expected less than {}", self.lanes());
        self.memory.states.zero_lane(&self.config, &self.memory.plan, lane);
        Ok(())
    }

    #[inline]
    fn check_model(&mut self, rnn: &Rnn) -> Result<()> {
        if rnn.version() == self.checked { Ok(()) } else { self.check_new_model(rnn) }
    }

    #[cold]
    fn check_new_model(&mut self, rnn: &Rnn) -> Result<()> {
        ensure!(
            *rnn.config() == self.config && rnn.isa() == self.isa,
            InvalidState,
            "the stream was made for a model of another configuration"
        );
        self.checked = rnn.version();
        Ok(())
    }

    fn check_states(&self, h: Option<&[f32]>, c: Option<&[f32]>) -> Result<()> {
        let places = self.config.passes() * self.lanes();
        if let Some(h) = h {
            check_len("h", h.len(), places * self.config.state_size())?;
        }
        if let Some(c) = c {
            ensure!(self.config.cell.has_cell_state(), InvalidArgument, "c is given, but only an LSTM has cell states");
            check_len("c", c.len(), places * self.config.hidden_size)?;
        }
        Ok(())
    }
}

impl Memory {
    /// For so many threads, with zero states.
    fn new(config: &RnnConfig, isa: Isa, lanes: usize, threads: usize) -> Result<Self> {
        let rows = lanes.saturating_add(HOISTED_ROWS * threads);
        let layer: usize = History::lens(config, Geometry::of(isa).lanes, lanes, rows)?.iter().sum();
        probe(product("a stream's states", &[size_of::<f32>(), config.num_layers, layer])?)?;
        let mut plan = Plan::new();
        plan.set(&Batch::new(lanes, 1))?;
        let states = LiveStates::new(config, isa, &plan, rows)?;
        let mut buffers = Buffers::default();
        let walk = Walk::by_blocks(config, isa, &plan, threads);
        buffers.reserve(config, &plan, &walk, rows, threads)?;
        Ok(Self { plan, states, buffers })
    }
}

/// All units of a layer, for the row kernel; the cell has one product.
struct AllUnits<'a>(&'a RnnConfig);

impl Kernel for AllUnits<'_> {
    type Output = Result<Box<dyn AnyLayer>>;
    fn run<S: Ops>(self, s: S) -> Self::Output {
        let AllUnits(config) = self;
        let kernels = config.cell.kernels::<S>().single_row().expect("a cell with one product");
        kernels.layer(s, 0..config.hidden_size.div_ceil(S::LANES), Flush::new(config.flush_small_states))
    }
}

/// One step of every lane by the row kernel.
fn step_by_rows(units: &dyn AnyLayer, rnn: &Rnn, memory: &mut Memory, x: &[f32], y: &mut [f32]) {
    let config = rnn.config();
    let (lanes, (histories, from, to, is_back)) = (memory.plan.batch, memory.states.for_rows(&memory.plan));
    // The kernel serves no projections: both kinds of states have the same size.
    let (size, stride) = (config.hidden_size, Strides::of_states(config.hidden_size));
    let (mut x, mut x_stride) = (x.as_ptr(), config.input_size);
    for (layer, history) in histories.iter_mut().enumerate() {
        // So that the first row finds in the cache what the last one before has read last.
        let turned = is_back && lanes % 2 == 1;
        let h = history.h.as_mut_ptr();
        let c = if config.cell.has_cell_state() { history.c.as_mut_ptr() } else { h };
        let packed = rnn.forward_weights(layer);
        let weights = Weights { input: Some(packed.input.view().into()), recurrent: packed.recurrent.view().into() };
        let start = packed.bias.as_ptr();
        for lane in 0..lanes {
            // SAFETY: a stream's histories have at least two rows a lane; weights and rows are those of one model, and `x` has
            // been checked.
            unsafe {
                let (h_before, c_before) = (h.add((from + lane) * stride), c.add((from + lane) * stride));
                let (h, c) = (h.add((to + lane) * stride), c.add((to + lane) * stride));
                let x = x.add(lane * x_stride);
                let row = Row { start, bias: start, keep: None, x, h_before, h, c_before, c };
                units.row(&weights, &row, turned ^ (lane % 2 == 1));
            }
        }
        // SAFETY: as above.
        (x, x_stride) = (unsafe { h.add(to * stride) }, stride);
    }
    assert!(y.len() >= lanes * size);
    for lane in 0..lanes {
        // SAFETY: there is a row of states for each lane, and `y` has the room, as asserted.
        unsafe { std::ptr::copy_nonoverlapping(x.add(lane * stride), y.as_mut_ptr().add(lane * size), size) };
    }
}

/// Steps of all lanes in blocks.
struct Process<'a> {
    rnn: &'a Rnn,
    walk: &'a Walk,
    plan: &'a Plan,
    histories: &'a mut [History],
    buffers: &'a mut Buffers,
    args: ForwardArgs<'a>,
    team: Team<'a>,
}

impl Kernel for Process<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self { rnn, walk, plan, histories, buffers, args, team } = self;
        let input = args.input(rnn.config());
        let outputs = Outputs::new(rnn.config(), plan, args.y, 0, None, None);
        let arrays = Arrays { input, initial: Initial::Histories, outputs };
        // SAFETY: the array is borrowed, and the plan has all lanes.
        unsafe { Inference::new(rnn, walk, plan, histories, buffers, arrays) }.run(s, team);
    }
}

/// One step of all lanes through all layers, by products and gate kernels, without the planning that blocks of steps need.
struct Step<'a> {
    rnn: &'a Rnn,
    memory: &'a mut Memory,
    x: &'a [f32],
    y: &'a mut [f32],
    team: Team<'a>,
}

impl Kernel for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Ops>(self, s: S) {
        let config = self.rnn.config();
        let Memory { plan, states, buffers } = self.memory;
        let histories = states.for_blocks(config, plan);
        let (lanes, size, strides) = (plan.batch, config.state_size(), Strides::of(config, S::LANES));
        for layer in 0..config.num_layers {
            let (below, own) = histories.split_at_mut(layer);
            let input = match below.last() {
                None => Rows::strided(self.x, lanes, config.input_size, config.input_size),
                Some(b) => Rows::strided(&b.h[lanes * strides.h..], lanes, strides.h, size),
            };
            let history = &mut own[0];
            history.kept = Kept { base: 0, steps: 0..1 };
            let weights = self.rnn.forward_weights(layer);
            let pass = Pass { config, weights, plan, reverse: false };
            pass.run(s, self.team, 0..1, input, history, &mut buffers.steps[0], None);
        }
        for history in histories.iter_mut() {
            history.kept = Kept::NOTHING;
            history.move_states(config, lanes, 0, lanes);
        }
        let last = &histories[config.num_layers - 1].h;
        for (y, h) in self.y.chunks_exact_mut(size).zip(last.chunks_exact(strides.h)) {
            y.copy_from_slice(&h[..size]);
        }
    }
}
