//! Where backward accumulates weight gradients.

use super::config::ParamSpec;
use super::model::Rnn;
use crate::buffer::{AlignedBuf, try_with_capacity};
use crate::error::{Result, ensure};

/// Gradients of all parameters of an [`Rnn`], one flat array in the order of its parameters. Backward adds to them.
pub struct Grads {
    values: AlignedBuf<f32>,
    specs: Vec<ParamSpec>,
}

impl Grads {
    /// Zero gradients for the parameters of `rnn`.
    pub fn new(rnn: &Rnn) -> Result<Self> {
        let mut specs = try_with_capacity(rnn.param_specs().len())?;
        specs.extend_from_slice(rnn.param_specs());
        Ok(Self { values: AlignedBuf::zeroed(rnn.values().len())?, specs })
    }

    /// Sets all gradients to zero.
    pub fn zero(&mut self) {
        self.values.fill(0.0);
    }

    /// All gradients, one parameter after another.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All gradients, to be changed, by clipping for example.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The gradient of parameter `index`.
    pub fn param(&self, index: usize) -> Result<&[f32]> {
        ensure!(
            index < self.specs.len(),
            InvalidArgument,
            "parameter index {index}, expected less than {}",
            self.specs.len()
        );
        Ok(&self.values[self.specs[index].range()])
    }

    /// An error unless these are gradients for the parameters of `rnn`.
    pub(crate) fn check(&self, rnn: &Rnn) -> Result<()> {
        ensure!(
            self.specs == rnn.param_specs(),
            ShapeMismatch,
            "the gradients are those of another configuration: {} values in {} parameters, expected {} in {}",
            self.values.len(),
            self.specs.len(),
            rnn.values().len(),
            rnn.param_specs().len()
        );
        Ok(())
    }
}
