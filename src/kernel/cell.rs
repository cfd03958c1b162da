//! What a cell tells about itself: its equations on registers, forward and backward, and what the rest of the library has to
//! know about them. Each cell is one file in `cell/`; the loops that call it are in [`super::gates`] and
//! [`super::single_row`].

use crate::simd::Ops;

/// The most slots of a row of pre-activations for each unit.
pub(crate) const MOST_SLOTS: usize = 4;
/// The most columns of gate gradients for each unit.
pub(crate) const MOST_GRADIENTS: usize = 4;

/// A gate of a weight matrix (a block of rows, in PyTorch's order) and the slot of pre-activations that its product goes to.
pub(crate) type GateSlot = (usize, usize);

/// The previous state that a cell reads beside its products.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reads {
    Nothing,
    Hidden,
    /// For cells that have a cell state `c` beside `h`.
    Cell,
}

/// What a gate's pre-activation goes through; it says what saturation means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    Sigmoid,
    Tanh,
    Relu,
}

/// The right operand of a recurrent product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operand {
    /// The previous hidden state.
    Hidden,
    /// What [`SecondProduct::between`] makes of it.
    Between,
}

/// Gates that follow one another both in `weight_hh` and in a row of gate gradients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The first one's column in a row of gate gradients, in units of the hidden size.
    pub(crate) column: usize,
    /// The first one in `weight_hh`.
    pub(crate) gate: usize,
    pub(crate) gates: usize,
    pub(crate) operand: Operand,
}

impl Run {
    /// A run whose operand is the previous hidden state.
    pub(crate) const fn of_hidden(column: usize, gate: usize, gates: usize) -> Self {
        Self { column, gate, gates, operand: Operand::Hidden }
    }
}

/// A cell's equations, one vector of units at a time: registers in, registers out.
pub(crate) trait Equations: Copy + Send + Sync + 'static {
    /// Slots of a row of pre-activations for each unit.
    const SLOTS: usize;
    /// The gates of the input product; their number is that of the cell's gates.
    const INPUT: &'static [GateSlot];
    /// The gates of the recurrent product, or of the first one.
    const RECURRENT: &'static [GateSlot];
    /// What `begin` takes as `before`.
    const READS: Reads;
    /// Columns of a row of gate gradients for each unit; the first ones are the gates of the input product.
    const GRADIENTS: usize = Self::INPUT.len();
    /// How those belong to `weight_hh`. They follow one another there; the operands are the hidden state's first.
    const RUNS: &'static [Run];
    /// The activation of each gate.
    const ACTIVATIONS: &'static [Activation];
    /// The gate whose bias is said to begin at 1 (Jozefowicz et al. 2015), if there is one.
    const FORGET_GATE: Option<usize> = None;
    /// Whether the hidden state may be projected (Sak et al. 2014).
    const HAS_PROJECTION: bool = false;
    /// The column of gate gradients that [`SecondProduct::backward_between`] gives, and whether [`Equations::backward`] gives a
    /// part of it.
    const BETWEEN_GRADIENT: Option<(usize, bool)> = None;

    /// A step half done.
    type Half<S: Ops>: Copy;

    /// One that belongs to no unit, of which [`Equations::finish`] makes anything.
    fn idle<S: Ops>(self, s: S) -> Self::Half<S>;

    /// The first half of a step, from the complete pre-activations: what the second half needs, and the next cell state
    /// (anything, for a cell that has none). Loops run the second half of one block beside the first half of the next: the
    /// halves depend on each other, and an activation takes five times as long as the processor needs to begin another.
    fn begin<S: Ops>(
        self,
        s: S,
        slots: [S::f32s; MOST_SLOTS],
        before: S::f32s,
        flush: Flush,
    ) -> (Self::Half<S>, S::f32s);

    /// The second half: the next hidden state.
    fn finish<S: Ops>(self, s: S, half: Self::Half<S>, flush: Flush) -> S::f32s;

    /// The gradients of a step.
    fn backward<S: Ops>(self, s: S, step: Recorded<S>, dh: S::f32s, dc: S::f32s) -> Gradients<S>;

    /// The gradient of the cell state in all, for its norm: what came through time, `dc`, and what comes from `dh`.
    fn cell_gradient<S: Ops>(self, _: S, _: Recorded<S>, _dh: S::f32s, dc: S::f32s) -> S::f32s {
        dc
    }

    /// For cells with a projection: the hidden state before it, from the step's own cell state.
    fn unprojected<S: Ops>(self, _: S, step: Recorded<S>, _: Flush) -> S::f32s {
        step.c
    }

    /// The pre-activation of a gate, in the sense of its activation, from a unit's slots.
    fn pre_activation(gate: usize, slots: [f32; MOST_SLOTS]) -> f32 {
        slots[Self::INPUT[gate].1]
    }
}

/// A cell that has a second recurrent product, of what it makes of the previous hidden state and its first product: all units
/// of the first one come before any of the second.
pub(crate) trait SecondProduct: Equations {
    /// Its gates.
    const SECOND: &'static [GateSlot];

    /// Its right operand.
    fn between<S: Ops>(self, s: S, slots: [S::f32s; MOST_SLOTS], before: S::f32s) -> S::f32s;

    /// From the gradient `d` of [`SecondProduct::between`]: that of its gate's pre-activation, of which `part` came from
    /// [`Equations::backward`], and that of the previous hidden state, which was `carried` so far.
    fn backward_between<S: Ops>(
        self,
        s: S,
        step: Recorded<S>,
        d: S::f32s,
        part: S::f32s,
        carried: S::f32s,
    ) -> (S::f32s, S::f32s);
}

/// What backward finds of a step.
#[derive(Clone, Copy)]
pub(crate) struct Recorded<S: Ops> {
    /// Pre-activations.
    pub(crate) slots: [S::f32s; MOST_SLOTS],
    /// The previous state that the cell reads.
    pub(crate) before: S::f32s,
    /// The step's own cell state, where there is one.
    pub(crate) c: S::f32s,
}

/// What backward makes of a step.
pub(crate) struct Gradients<S: Ops> {
    /// Of the pre-activations, column by column.
    pub(crate) gates: [S::f32s; MOST_GRADIENTS],
    /// Of the previous state that the cell reads, but for what passes through the recurrent products.
    pub(crate) carried: S::f32s,
}

/// Some of a cell's slots.
#[derive(Clone, Copy)]
pub(crate) struct SlotSet([bool; MOST_SLOTS]);

impl SlotSet {
    const fn of(gates: &[GateSlot]) -> Self {
        Self([false; MOST_SLOTS]).with(gates)
    }

    const fn set(mut self, gates: &[GateSlot], to: bool) -> Self {
        let mut i = 0;
        while i < gates.len() {
            self.0[gates[i].1] = to;
            i += 1;
        }
        self
    }

    const fn with(self, gates: &[GateSlot]) -> Self {
        self.set(gates, true)
    }

    const fn without(self, gates: &[GateSlot]) -> Self {
        self.set(gates, false)
    }

    pub(crate) fn contains(self, slot: usize) -> bool {
        self.0[slot]
    }
}

/// What the rest of the library knows about a cell.
pub(crate) struct Properties {
    /// Rows of a weight matrix are this many times the hidden size.
    pub(crate) gates: usize,
    pub(crate) slots: usize,
    pub(crate) input: &'static [GateSlot],
    pub(crate) recurrent: &'static [GateSlot],
    /// The gates of the second product, if there is one.
    pub(crate) second: &'static [GateSlot],
    /// Slots of products of the state that are kept apart from the input's: their chains begin at a bias of their own.
    pub(crate) own_slots: SlotSet,
    pub(crate) has_cell_state: bool,
    pub(crate) has_projection: bool,
    /// Whether the previous hidden state's gradient has a part that passes through no recurrent product.
    pub(crate) carries_hidden: bool,
    pub(crate) gradients: usize,
    pub(crate) runs: &'static [Run],
    pub(crate) activations: &'static [Activation],
    pub(crate) forget_gate: Option<usize>,
    pub(crate) pre_activation: fn(usize, [f32; MOST_SLOTS]) -> f32,
}

impl Properties {
    /// Those of a cell with the gates `second` in a second product.
    pub(crate) const fn of<C: Equations>(second: &'static [GateSlot]) -> Self {
        assert!(C::SLOTS <= MOST_SLOTS && C::GRADIENTS <= MOST_GRADIENTS && !C::RUNS.is_empty() && C::RUNS.len() <= 2);
        assert!(C::INPUT.len() == C::RECURRENT.len() + second.len() && C::ACTIVATIONS.len() == C::INPUT.len());
        assert!(second.is_empty() == C::BETWEEN_GRADIENT.is_none());
        assert!(!C::HAS_PROJECTION || matches!(C::READS, Reads::Cell) && second.is_empty());
        Self {
            gates: C::INPUT.len(),
            slots: C::SLOTS,
            input: C::INPUT,
            recurrent: C::RECURRENT,
            second,
            own_slots: SlotSet::of(C::RECURRENT).with(second).without(C::INPUT),
            has_cell_state: matches!(C::READS, Reads::Cell),
            has_projection: C::HAS_PROJECTION,
            carries_hidden: matches!(C::READS, Reads::Hidden),
            gradients: C::GRADIENTS,
            runs: C::RUNS,
            activations: C::ACTIVATIONS,
            forget_gate: C::FORGET_GATE,
            pre_activation: C::pre_activation,
        }
    }
}

/// Turns states of small magnitude into zero, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Flush {
    below: Option<f32>,
}

impl Flush {
    /// States smaller than this become zero where the configuration asks for it. What an activation makes of larger ones is
    /// normal: their square from 2^-63 on, what roundings dropped of an Elman layer's tanh from 2^-52 on.
    const BELOW: f32 = 8.881_784e-16; // 2^-50

    pub(crate) fn new(small_states: bool) -> Self {
        Self { below: small_states.then_some(Self::BELOW) }
    }

    /// In all of `values`.
    pub(crate) fn apply_to(self, values: &mut [f32]) {
        if let Some(limit) = self.below {
            values.iter_mut().filter(|v| v.abs() < limit).for_each(|v| *v = 0.0);
        }
    }

    /// NaN stays.
    #[inline(always)]
    pub(crate) fn apply<S: Ops>(self, s: S, v: S::f32s) -> S::f32s {
        match self.below {
            Some(limit) => s.select(s.lt(s.abs(v), s.splat(limit)), s.splat(0.0), v),
            None => v,
        }
    }
}
