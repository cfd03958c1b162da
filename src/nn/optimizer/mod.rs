//! Optimizers with PyTorch's semantics, formula by formula. See [`Optimizer`].

mod config;
mod model;
mod rows;
mod rule;
mod state;

pub use config::{AdamConfig, OptimizerConfig, RmsPropConfig, SgdConfig};
pub use state::{StateSink, StateSource, StateTensor};
pub(crate) use state::{Text as StateText, float as metadata_float, number as metadata_number, text as metadata_text};

use crate::buffer::AlignedBuf;
use crate::error::{Result, check_len, ensure, err};
use crate::kernel::mat::Mat;
use crate::nn::NonFinite;
use crate::nn::finite::all_finite;
use crate::parallel::{Pool, enter};
use crate::simd::{Isa, dispatch};
use rows::{ActiveRows, Gradients, Runs};
use rule::{Rule, Update, tiny_square};
use std::ops::Range;

/// Values below which a share of an update is not worth another thread's while.
const FEWEST_VALUES: usize = 1 << 14;

/// Whether a visit of so many values is worth waking a pool's threads.
fn is_worth_a_team(values: usize) -> bool {
    values >= 2 * FEWEST_VALUES
}

/// An optimizer and its state: one slot a parameter tensor, numbered by the caller.
///
/// A training step is [`step`](Self::step) with a list of modules; or, piece by piece, [`begin_step`](Self::begin_step), then
/// one [`update`](Self::update) (or [`update_rows`](Self::update_rows)) for every parameter. A slot's state is created on its first update and has that
/// length from then on. As in PyTorch, every slot counts its own updates, so a parameter that joins late gets the bias
/// correction of its own age.
///
/// Arithmetic is f32 with scalars rounded from f64, as in PyTorch; the powers of Adam's betas are running products in
/// f64. The same gradients give the same bits on every machine, where they are finite.
///
/// A gradient that is not finite is seen before anything changes; [`set_non_finite`](Self::set_non_finite) says what
/// follows: `step` decides for the whole step, updates piece by piece decide slot by slot.
///
/// Two deviations: where rounding makes centered RMSprop's variance negative it counts as 0, while PyTorch's square root
/// gives NaN; and running means below 2^-100, and below 2^-120 those of squares where `eps >= 1e-10` hides them, become
/// 0, because subnormal numbers are slow.
///
/// ```
/// use simdrnn::nn::{AdamConfig, Optimizer, OptimizerConfig};
///
/// let mut optimizer = Optimizer::new(&OptimizerConfig::Adam(AdamConfig { lr: 0.1, ..AdamConfig::default() }))?;
/// let mut w = [5.0];
/// for _ in 0..200 {
///     let grad = [2.0 * (w[0] - 1.0)]; // of (w - 1) squared
///     optimizer.begin_step();
///     optimizer.update(0, &mut w, &grad)?; // slot 0 holds what Adam remembers of w
/// }
/// assert!((w[0] - 1.0).abs() < 0.05);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct Optimizer {
    config: OptimizerConfig,
    isa: Isa,
    pool: Option<Pool>,
    non_finite: NonFinite,
    /// Updates left out because of gradients that were not finite.
    skipped: u64,
    step: u64,
    /// In ascending order of their numbers.
    slots: Vec<Slot>,
}

struct Slot {
    number: usize,
    /// Values in the parameter.
    len: usize,
    /// Updates so far, and the step of the last one. Without updates the slot is only room for one.
    updates: u64,
    last_step: u64,
    /// The betas to the power `updates`.
    beta_powers: [f64; 2],
    /// As many as the rule names.
    tensors: [AlignedBuf<f32>; 3],
    active: ActiveRows,
}

impl Slot {
    fn new(number: usize, len: usize, tensors: usize) -> Result<Self> {
        let tensor = |i: usize| if i < tensors { AlignedBuf::zeroed(len) } else { Ok(AlignedBuf::new()) };
        let tensors = [tensor(0)?, tensor(1)?, tensor(2)?];
        Ok(Self { number, len, updates: 0, last_step: 0, beta_powers: [1.0; 2], tensors, active: ActiveRows::new() })
    }
}

impl Optimizer {
    /// An optimizer without slots, at step 0. Errors are those of [`OptimizerConfig::check`] and [`Isa::choose`].
    pub fn new(config: &OptimizerConfig) -> Result<Self> {
        config.check()?;
        Ok(Self::with_isa(*config, Isa::choose()?))
    }

    fn with_isa(config: OptimizerConfig, isa: Isa) -> Self {
        Self { config, isa, pool: None, non_finite: NonFinite::Stop, skipped: 0, step: 0, slots: Vec::new() }
    }

    /// The hyperparameters, with the present learning rate.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        self.config.lr()
    }

    /// Sets the learning rate from the next update on. `InvalidArgument` where it is negative or not finite.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        let mut config = self.config;
        *config.lr_mut() = lr;
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Spreads large updates over the threads of `pool` from now on, or with `None` over no others. The number of threads
    /// changes no bit. The packing of updated weights, in `optimize` of a model or a layer, is spread too.
    pub fn set_pool(&mut self, pool: Option<&Pool>) {
        self.pool = pool.cloned();
    }

    /// What an update with a gradient that is NaN or infinite does from now on; at first, [`NonFinite::Stop`].
    pub fn set_non_finite(&mut self, non_finite: NonFinite) {
        self.non_finite = non_finite;
    }

    /// What an update with a gradient that is NaN or infinite does.
    pub fn non_finite(&self) -> NonFinite {
        self.non_finite
    }

    /// Updates that [`NonFinite::Skip`] left out: slot, parameter and its state stayed as they were.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The pool, for work on `len` values, if it is worth waking its threads.
    pub(crate) fn pool_for(&self, len: usize) -> Option<&Pool> {
        self.pool.as_ref().filter(|_| is_worth_a_team(len))
    }

    /// Steps begun so far.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// Begins the next step: every slot may be updated once more.
    pub fn begin_step(&mut self) {
        self.step = self.step.saturating_add(1);
    }

    /// Whether these gradients are left out of the step, as [`NonFinite`] says.
    pub(super) fn leaves_out_dense(&mut self, slot: usize, grads: &[f32]) -> Result<bool> {
        self.leaves_out(slot, Gradients::Dense(grads))
    }

    /// Begins the next step and calls `update`, whose gradients [`leaves_out_dense`](Self::leaves_out_dense) has let pass.
    pub(super) fn step_with(&mut self, update: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.begin_step();
        // That question is answered.
        let non_finite = std::mem::replace(&mut self.non_finite, NonFinite::Continue);
        let result = update(self);
        self.non_finite = non_finite;
        result
    }

    /// Updates the parameter `values` of slot `slot` with its gradient `grads` (the same length).
    ///
    /// Errors, with nothing changed: `InvalidState` before the first [`begin_step`](Self::begin_step) and for a slot that
    /// this step already updated; `ShapeMismatch` where `grads` or the slot's state has another length; `NonFinite` with
    /// [`NonFinite::Stop`]; `OutOfMemory`.
    pub fn update(&mut self, slot: usize, values: &mut [f32], grads: &[f32]) -> Result<()> {
        self.update_or_skip(slot, values, grads).map(|_| ())
    }

    /// [`update`](Self::update), and whether it was not left out.
    pub(crate) fn update_or_skip(&mut self, slot: usize, values: &mut [f32], grads: &[f32]) -> Result<bool> {
        check_len("grads", grads.len(), values.len()).map_err(|e| e.context(format_args!("optimizer slot {slot}")))?;
        self.run(slot, values, Gradients::Dense(grads))
    }

    /// Makes room for the next update of `slot`, of `len` values (in rows of `row_len`, if gradients come by rows): if the
    /// gradients are finite, it does not fail once the next step has begun. Nothing that can be seen changes.
    ///
    /// Errors: those of [`update`](Self::update) for lengths and memory; `InvalidState` if no more steps can be counted.
    pub fn reserve(&mut self, slot: usize, len: usize, row_len: Option<usize>) -> Result<()> {
        ensure!(
            self.step < u64::MAX,
            InvalidState,
            "the optimizer has counted {} steps and can count no more",
            self.step
        );
        let index = self.find_or_make(slot, len)?;
        let rule = self.rule(1, [1.0; 2]);
        let slot = &mut self.slots[index];
        match row_len {
            Some(row_len) if row_len > 0 && rule.rests_on_zeros() && !rule.names().is_empty() => {
                slot.active.add(row_len, &[], len / row_len, &slot.tensors)
            }
            _ => Ok(()),
        }
    }

    /// The same, bit for bit, as [`update`](Self::update) with a gradient that is `grad_rows` (`rows.len()` × `row_len`)
    /// in the rows `rows` of `values` (any number of rows × `row_len`) and zero elsewhere. So rows without a gradient
    /// move wherever the optimizer says so. Without weight decay (and with `eps > 0`) only rows that ever had a gradient
    /// are visited, and by plain SGD only `rows`; with it, all are.
    ///
    /// Errors, with nothing changed: those of [`update`](Self::update); `ShapeMismatch` where the lengths do not fit
    /// `row_len`; `InvalidArgument` where `rows` is not strictly ascending or names a row that `values` does not have.
    pub fn update_rows(
        &mut self,
        slot: usize,
        values: &mut [f32],
        row_len: usize,
        rows: &[u32],
        grad_rows: &[f32],
    ) -> Result<()> {
        check_rows(values.len(), row_len, rows, grad_rows.len())
            .map_err(|e| e.context(format_args!("optimizer slot {slot}")))?;
        self.run(slot, values, Gradients::Rows { row_len, rows, values: grad_rows }).map(|_| ())
    }

    /// Where the slot of that number is, for `len` values; one without updates yet may be made anew.
    fn find_or_make(&mut self, number: usize, len: usize) -> Result<usize> {
        let tensors = self.rule(1, [1.0; 2]).names().len();
        match self.slots.binary_search_by_key(&number, |s| s.number) {
            Ok(index) if self.slots[index].len == len => Ok(index),
            Ok(index) if self.slots[index].updates == 0 => {
                self.slots[index] = Slot::new(number, len, tensors)?;
                Ok(index)
            }
            Ok(index) => Err(err!(
                ShapeMismatch,
                "optimizer slot {number} was created for {} values, found {len}",
                self.slots[index].len
            )),
            Err(index) => {
                let slot = Slot::new(number, len, tensors)?;
                self.slots
                    .try_reserve(1)
                    .map_err(|_| err!(OutOfMemory, "could not allocate optimizer slot {number}"))?;
                self.slots.insert(index, slot);
                Ok(index)
            }
        }
    }

    /// Whether gradients that are not finite are to be left out; an error if they stop the caller.
    fn leaves_out(&mut self, number: usize, gradients: Gradients) -> Result<bool> {
        let (Gradients::Dense(values) | Gradients::Rows { values, .. }) = gradients;
        if self.non_finite == NonFinite::Continue || all_finite(self.pool_for(values.len()), FEWEST_VALUES, values) {
            return Ok(false);
        }
        ensure!(
            self.non_finite == NonFinite::Skip,
            NonFinite,
            "optimizer slot {number}: a gradient is NaN or infinite, expected finite values"
        );
        self.skipped += 1;
        Ok(true)
    }

    /// One update; false if it was left out.
    fn run(&mut self, number: usize, values: &mut [f32], gradients: Gradients) -> Result<bool> {
        ensure!(self.step > 0, InvalidState, "optimizer slot {number} is updated before the first begin_step");
        let index = self.find_or_make(number, values.len())?;
        ensure!(
            self.slots[index].updates == 0 || self.slots[index].last_step != self.step,
            InvalidState,
            "optimizer slot {number} was already updated in step {}",
            self.step
        );
        if self.leaves_out(number, gradients)? {
            return Ok(false);
        }
        let mut powers = self.slots[index].beta_powers;
        if let OptimizerConfig::Adam(c) = &self.config {
            powers = [powers[0] * c.betas[0], powers[1] * c.betas[1]];
        }
        let rule = self.rule(self.slots[index].updates + 1, powers);
        let slot = &mut self.slots[index];
        let active = match gradients {
            Gradients::Rows { .. } if rule.rests_on_zeros() && rule.names().is_empty() => Some(&[][..]),
            Gradients::Rows { row_len, rows, .. } if rule.rests_on_zeros() && row_len > 0 => {
                slot.active.add(row_len, rows, values.len() / row_len, &slot.tensors)?;
                Some(slot.active.bits())
            }
            _ => {
                slot.active.forget();
                None
            }
        };
        slot.updates += 1;
        slot.last_step = self.step;
        slot.beta_powers = powers;
        let len = values.len();
        let visited = match (gradients, active) {
            (Gradients::Rows { values, .. }, Some([])) => values.len(),
            (Gradients::Rows { row_len, .. }, Some(bits)) => {
                row_len * bits.iter().map(|word| word.count_ones() as usize).sum::<usize>()
            }
            _ => len,
        };
        let pool = self.pool.as_ref().filter(|_| is_worth_a_team(visited));
        // Threads take whole rows, or whole vectors.
        let unit = match gradients {
            Gradients::Rows { row_len, .. } if row_len > 0 => row_len,
            _ => 16,
        };
        let values = Mat::new(values, 1);
        let state = slot.tensors.each_mut().map(|t| (!t.is_empty()).then(|| Mat::new(t, 1)));
        enter(pool, |team| {
            team.split(0..len.div_ceil(unit), FEWEST_VALUES.div_ceil(unit), &|part: Range<usize>| {
                let range = part.start * unit..(part.end * unit).min(len);
                // SAFETY: all have `len` values, and parts are disjoint.
                let own = |all: Mat<'_>| unsafe { std::slice::from_raw_parts_mut(all.row(range.start), range.len()) };
                let update = Update {
                    rule,
                    first: range.start,
                    values: own(values),
                    runs: Runs::new(gradients, active, range.clone()),
                    state: state.map(|t| t.map_or(&mut [][..], own)),
                };
                dispatch(self.isa, update);
            });
        });
        Ok(true)
    }

    /// The scalars of a slot's update number `update` (from 1), with the betas' powers.
    fn rule(&self, update: u64, beta_powers: [f64; 2]) -> Rule {
        match &self.config {
            OptimizerConfig::Sgd(c) => Rule::Sgd {
                lr: c.lr as f32,
                decay: c.weight_decay as f32,
                momentum: c.momentum as f32,
                damp: (1.0 - c.dampening) as f32,
                nesterov: c.nesterov,
                first: update == 1,
            },
            OptimizerConfig::Adam(c) => Rule::Adam {
                shrink: if c.decoupled_weight_decay { (1.0 - c.lr * c.weight_decay) as f32 } else { 1.0 },
                decay: if c.decoupled_weight_decay { 0.0 } else { c.weight_decay as f32 },
                toward: (1.0 - c.betas[0]) as f32,
                beta2: c.betas[1] as f32,
                rest2: (1.0 - c.betas[1]) as f32,
                step_size: (c.lr / (1.0 - beta_powers[0])) as f32,
                root2: (1.0 - beta_powers[1]).sqrt() as f32,
                eps: c.eps as f32,
                tiny: tiny_square(c.eps),
            },
            OptimizerConfig::RmsProp(c) => Rule::RmsProp {
                lr: c.lr as f32,
                decay: c.weight_decay as f32,
                alpha: c.alpha as f32,
                rest: (1.0 - c.alpha) as f32,
                eps: c.eps as f32,
                tiny: tiny_square(c.eps),
                momentum: c.momentum as f32,
                centered: c.centered,
            },
        }
    }
}

fn check_rows(len: usize, row_len: usize, rows: &[u32], grad_len: usize) -> Result<()> {
    ensure!(
        len == 0 || (row_len > 0 && len.is_multiple_of(row_len)),
        ShapeMismatch,
        "values has {len} values, expected a multiple of the row length {row_len}"
    );
    ensure!(
        rows.len().checked_mul(row_len) == Some(grad_len),
        ShapeMismatch,
        "grad_rows has {grad_len} values, expected {} rows of {row_len}",
        rows.len()
    );
    let count = len.checked_div(row_len).unwrap_or(0);
    let mut next = 0;
    for (i, &row) in rows.iter().enumerate() {
        let row = row as usize;
        ensure!(row < count, InvalidArgument, "rows[{i}] is {row}, expected less than the {count} rows");
        ensure!(row >= next, InvalidArgument, "rows[{i}] is {row} after {}, expected ascending rows", next - 1);
        next = row + 1;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
mod edge_tests;
