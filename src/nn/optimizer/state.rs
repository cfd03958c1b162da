//! Saving and restoring an optimizer, bit for bit, through any file of named tensors and string metadata.
//!
//! Metadata: `optimizer.name`, every hyperparameter as `optimizer.<name>` (a float as the 16 hex digits of its f64 bits, a
//! flag as 0 or 1), `optimizer.step`, `optimizer.slot_count`, and for the i-th slot `optimizer.slot.<i>`: its number,
//! length, updates, last step and the two beta powers (hex), with spaces between. Tensors:
//! `optimizer.<slot number>.<state name>`, one-dimensional, with PyTorch's state names.

use super::{AdamConfig, Optimizer, OptimizerConfig, Slot};
use crate::error::{Result, check_len, ensure, err};
use crate::shown::Excerpt;
use crate::simd::Isa;
use std::fmt::{self, Write};

/// One tensor of the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateTensor<'a> {
    /// The number of its slot.
    pub slot: usize,
    /// PyTorch's name: `momentum_buffer`, `exp_avg`, `exp_avg_sq`, `square_avg` or `grad_avg`.
    pub name: &'static str,
    /// As many values as the parameter has, in its order.
    pub values: &'a [f32],
}

/// Where a state is saved to: a writer of named tensors and metadata. Names and texts are copied; tensors are borrowed.
pub trait StateSink<'a> {
    /// Takes one metadata entry.
    fn text(&mut self, key: &str, value: &str) -> Result<()>;
    /// Takes one tensor.
    fn tensor(&mut self, name: &str, values: &'a [f32]) -> Result<()>;
}

/// Where a state is restored from: an opened file.
pub trait StateSource {
    /// The metadata entry of that key.
    fn text(&self, key: &str) -> Option<&str>;
    /// How many f32 values the tensor of that name has; none if it is missing or of another type.
    fn tensor_len(&self, name: &str) -> Option<usize>;
    /// Copies the tensor into `out`, which has its length.
    fn read_tensor(&self, name: &str, out: &mut [f32]) -> Result<()>;
}

/// A short text on the stack.
pub(crate) struct Text {
    bytes: [u8; 128],
    len: usize,
}

impl Text {
    pub(crate) fn new(args: fmt::Arguments<'_>) -> Result<Self> {
        let mut text = Self { bytes: [0; 128], len: 0 };
        text.write_fmt(args).map_err(|_| err!(Internal, "a state entry is too long"))?;
        Ok(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + s.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

/// The float hyperparameters by name, the learning rate among them.
fn floats(config: &mut OptimizerConfig, visit: &mut dyn FnMut(&str, &mut f64) -> Result<()>) -> Result<()> {
    visit("lr", config.lr_mut())?;
    match config {
        OptimizerConfig::Sgd(c) => {
            visit("momentum", &mut c.momentum)?;
            visit("dampening", &mut c.dampening)?;
            visit("weight_decay", &mut c.weight_decay)
        }
        OptimizerConfig::Adam(c) => {
            visit("beta1", &mut c.betas[0])?;
            visit("beta2", &mut c.betas[1])?;
            visit("eps", &mut c.eps)?;
            visit("weight_decay", &mut c.weight_decay)
        }
        OptimizerConfig::RmsProp(c) => {
            visit("alpha", &mut c.alpha)?;
            visit("eps", &mut c.eps)?;
            visit("weight_decay", &mut c.weight_decay)?;
            visit("momentum", &mut c.momentum)
        }
    }
}

/// The flag that the optimizer's name does not already tell.
fn flag(config: &mut OptimizerConfig) -> Option<(&'static str, &mut bool)> {
    match config {
        OptimizerConfig::Sgd(c) => Some(("nesterov", &mut c.nesterov)),
        OptimizerConfig::Adam(AdamConfig { .. }) => None,
        OptimizerConfig::RmsProp(c) => Some(("centered", &mut c.centered)),
    }
}

/// A metadata entry that must be there.
pub(crate) fn text<'s>(source: &'s dyn StateSource, key: &str) -> Result<&'s str> {
    source.text(key).ok_or_else(|| err!(NotFound, "the metadata entry {key} is missing"))
}

/// The number that an entry is.
pub(crate) fn number<T: std::str::FromStr>(key: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| err!(InvalidData, "{key} is '{}', expected a number", Excerpt(text, 40)))
}

/// The float whose bits an entry has.
pub(crate) fn float(key: &str, text: &str) -> Result<f64> {
    let bits = if text.len() == 16 { u64::from_str_radix(text, 16).ok() } else { None };
    bits.map(f64::from_bits)
        .ok_or_else(|| err!(InvalidData, "{key} is '{}', expected 16 hex digits", Excerpt(text, 40)))
}

impl Optimizer {
    /// The state tensors, slot by slot in ascending order.
    pub fn state_tensors(&self) -> impl Iterator<Item = StateTensor<'_>> {
        let names = self.rule(1, [1.0; 2]).names();
        self.updated_slots().flat_map(move |slot| {
            let tensors = names.iter().zip(&slot.tensors);
            tensors.map(|(&name, values)| StateTensor { slot: slot.number, name, values })
        })
    }

    /// Slots that are more than room for one.
    fn updated_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.updates > 0)
    }

    /// Values of the parameter whose state slot `slot` is, if it has had an update.
    pub(crate) fn slot_len(&self, slot: usize) -> Option<usize> {
        self.updated_slots().find(|s| s.number == slot).map(|s| s.len)
    }

    /// Updates that slot `slot` has had; 0 for one that does not exist yet.
    pub fn updates(&self, slot: usize) -> u64 {
        self.slots.binary_search_by_key(&slot, |s| s.number).map_or(0, |i| self.slots[i].updates)
    }

    /// Hands all of the state to `sink`. Errors are the sink's.
    pub fn save<'a>(&'a self, sink: &mut dyn StateSink<'a>) -> Result<()> {
        let mut entry = |key: fmt::Arguments<'_>, value: fmt::Arguments<'_>| {
            sink.text(Text::new(format_args!("optimizer.{key}"))?.as_str(), Text::new(value)?.as_str())
        };
        entry(format_args!("name"), format_args!("{}", self.config.name()))?;
        let mut config = self.config;
        floats(&mut config, &mut |name, value| {
            entry(format_args!("{name}"), format_args!("{:016x}", value.to_bits()))
        })?;
        if let Some((name, value)) = flag(&mut config) {
            entry(format_args!("{name}"), format_args!("{}", u8::from(*value)))?;
        }
        entry(format_args!("step"), format_args!("{}", self.step))?;
        entry(format_args!("slot_count"), format_args!("{}", self.updated_slots().count()))?;
        for (i, s) in self.updated_slots().enumerate() {
            let [p1, p2] = s.beta_powers.map(f64::to_bits);
            entry(
                format_args!("slot.{i}"),
                format_args!("{} {} {} {} {p1:016x} {p2:016x}", s.number, s.len, s.updates, s.last_step),
            )?;
        }
        for t in self.state_tensors() {
            sink.tensor(Text::new(format_args!("optimizer.{}.{}", t.slot, t.name))?.as_str(), t.values)?;
        }
        Ok(())
    }

    /// Becomes what was saved: hyperparameters, learning rate, step and all slots, whatever this optimizer was before. It
    /// keeps its pool, and what it does with gradients that are not finite.
    ///
    /// Errors, with nothing changed: `NotFound` for a missing entry or tensor, `InvalidData` for a malformed entry,
    /// `InvalidArgument` for hyperparameters that [`OptimizerConfig::check`] refuses, `ShapeMismatch` for a tensor of
    /// another length, `OutOfMemory`, and the source's own.
    pub fn restore(&mut self, source: &dyn StateSource) -> Result<()> {
        *self = self.restored(source)?;
        Ok(())
    }

    /// What [`Optimizer::restore`] makes of this optimizer.
    pub(crate) fn restored(&self, source: &dyn StateSource) -> Result<Self> {
        let Self { non_finite, skipped, .. } = *self;
        Ok(Self { pool: self.pool.clone(), non_finite, skipped, ..Self::load(source, self.isa)? })
    }

    fn load(source: &dyn StateSource, isa: Isa) -> Result<Self> {
        let mut config = OptimizerConfig::from_name(text(source, "optimizer.name")?)
            .map_err(|e| err!(InvalidData, "optimizer.name: {}", e.message()))?;
        floats(&mut config, &mut |name, value| {
            let key = Text::new(format_args!("optimizer.{name}"))?;
            *value = float(key.as_str(), text(source, key.as_str())?)?;
            Ok(())
        })?;
        if let Some((name, value)) = flag(&mut config) {
            let key = Text::new(format_args!("optimizer.{name}"))?;
            *value = match text(source, key.as_str())? {
                "0" => false,
                "1" => true,
                other => {
                    return Err(err!(InvalidData, "{} is '{}', expected 0 or 1", key.as_str(), Excerpt(other, 40)));
                }
            };
        }
        config.check()?;
        let step = number("optimizer.step", text(source, "optimizer.step")?)?;
        let count: usize = number("optimizer.slot_count", text(source, "optimizer.slot_count")?)?;
        let mut optimizer = Self { step, ..Self::with_isa(config, isa) };
        // A count that is a lie ends at the first entry that does not exist, before memory is taken for it.
        for i in 0..count {
            let slot = optimizer.load_slot(source, i)?;
            optimizer.slots.try_reserve(1).map_err(|_| err!(OutOfMemory, "could not allocate optimizer slot {i}"))?;
            optimizer.slots.push(slot);
        }
        let key = Text::new(format_args!("optimizer.slot.{count}"))?;
        ensure!(
            source.text(key.as_str()).is_none(),
            InvalidData,
            "optimizer.slot_count is {count}, but {} exists",
            key.as_str()
        );
        Ok(optimizer)
    }

    fn load_slot(&self, source: &dyn StateSource, i: usize) -> Result<Slot> {
        let key = Text::new(format_args!("optimizer.slot.{i}"))?;
        let key = key.as_str();
        let entry = text(source, key)?;
        let mut words = entry.split(' ');
        let shown = Excerpt(entry, 80);
        let mut word = || words.next().ok_or_else(|| err!(InvalidData, "{key} is '{shown}', expected 6 values"));
        let slot_number: usize = number(key, word()?)?;
        let len: usize = number(key, word()?)?;
        let updates: u64 = number(key, word()?)?;
        let last_step: u64 = number(key, word()?)?;
        let beta_powers = [float(key, word()?)?, float(key, word()?)?];
        ensure!(words.next().is_none(), InvalidData, "{key} is '{shown}', expected 6 values");
        ensure!(
            self.slots.last().is_none_or(|s| s.number < slot_number),
            InvalidData,
            "{key} has number {slot_number}, expected ascending numbers"
        );
        ensure!(
            updates >= 1 && updates <= last_step && last_step <= self.step,
            InvalidData,
            "{key} has {updates} updates, the last in step {last_step} of {}",
            self.step
        );
        // The bias correction divides by 1 less the power.
        let adam = matches!(self.config, OptimizerConfig::Adam(_));
        ensure!(
            beta_powers.iter().all(|p| (0.0..=1.0).contains(p) && !(adam && *p == 1.0)),
            InvalidData,
            "{key} has beta powers {beta_powers:?}, expected 0 <= power < 1"
        );
        let names = self.rule(1, [1.0; 2]).names();
        for name in names {
            let name = Text::new(format_args!("optimizer.{slot_number}.{name}"))?;
            let name = name.as_str();
            let found = source.tensor_len(name).ok_or_else(|| err!(NotFound, "the f32 tensor {name} is missing"))?;
            check_len(name, found, len)?;
        }
        let mut slot = Slot::new(slot_number, len, names.len())?;
        for (name, tensor) in names.iter().zip(&mut slot.tensors) {
            source.read_tensor(Text::new(format_args!("optimizer.{slot_number}.{name}"))?.as_str(), tensor)?;
        }
        Ok(Slot { updates, last_step, beta_powers, ..slot })
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
