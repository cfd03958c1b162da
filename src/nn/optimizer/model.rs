//! Optimizer steps of recurrent layers.

use super::Optimizer;
use crate::error::Result;
use crate::rnn::{Grads, Rnn};

impl Rnn {
    /// One optimizer step with the gradients that backward added up. Errors, with nothing changed, are those of
    /// [`Optimizer::update`], and `ShapeMismatch` for gradients of another model.
    pub fn optimize(&mut self, optimizer: &mut Optimizer, slot: usize, grads: &Grads) -> Result<()> {
        grads.check(self)?;
        let pool = optimizer.pool_for(self.values().len()).cloned();
        self.update_with(pool.as_ref(), |values| optimizer.update_or_skip(slot, values, grads.values()))
    }
}
