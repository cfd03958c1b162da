//! All modules of a model with their gradients, for the calls that a training step makes on them together.

use super::clip::clip_grad_norm;
use super::{Dense, Embedding, EmbeddingGrads, Optimizer};
use crate::buffer::try_with_capacity;
use crate::error::{Result, check_len};
use crate::rnn::{Grads, Rnn};

/// A module and its gradients. A model is a list of them, in the same order every step: a module's place in the list is its
/// slot in the optimizer.
///
/// ```
/// use simdrnn::nn::{Dense, Module, Optimizer, OptimizerConfig, SgdConfig, clip_module_grads, zero_grads};
/// use simdrnn::rnn::{Cell, Grads, Rnn, RnnConfig};
///
/// let mut rnn = Rnn::new(&RnnConfig::new(Cell::Gru, 3, 8))?;
/// let mut dense = Dense::new(8, 2, true)?;
/// let mut rnn_grads = Grads::new(&rnn)?;
/// let mut dense_grads = vec![0.0; dense.values().len()];
/// let mut sgd = Optimizer::new(&OptimizerConfig::Sgd(SgdConfig { lr: 0.1, ..SgdConfig::default() }))?;
///
/// let mut model = [Module::Rnn(&mut rnn, &mut rnn_grads), Module::Dense(&mut dense, &mut dense_grads)];
/// zero_grads(&mut model);
/// // forward and backward, which add to the gradients
/// # let Module::Dense(_, grads) = &mut model[1] else { unreachable!() };
/// # grads.fill(1.0);
/// clip_module_grads(&mut model, 1.0, true)?;
/// sgd.step(&mut model)?;
/// assert!(dense.values().iter().all(|v| *v < 0.0));
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub enum Module<'a> {
    /// Recurrent layers.
    Rnn(&'a mut Rnn, &'a mut Grads),
    /// A dense layer; gradients as [`Dense::values`].
    Dense(&'a mut Dense, &'a mut [f32]),
    /// An embedding. While it is frozen, its gradients count nowhere.
    Embedding(&'a mut Embedding, &'a mut EmbeddingGrads),
    /// Parameters of the caller's own.
    Values(&'a mut [f32], &'a mut [f32]),
    /// The place of a module that has no gradients this time: it stays as it is, and so does what the optimizer remembers.
    Absent,
}

impl Module<'_> {
    fn check(&self) -> Result<()> {
        match self {
            Module::Rnn(rnn, grads) => grads.check(rnn),
            Module::Dense(dense, grads) => check_len("grads", grads.len(), dense.values().len()),
            Module::Embedding(embedding, grads) => grads.check(embedding),
            Module::Values(values, grads) => check_len("grads", grads.len(), values.len()),
            Module::Absent => Ok(()),
        }
    }

    /// The gradients that count.
    pub(super) fn grads(&self) -> &[f32] {
        match self {
            Module::Rnn(_, grads) => grads.values(),
            Module::Dense(_, grads) | Module::Values(_, grads) => grads,
            Module::Embedding(embedding, grads) if !embedding.is_frozen() => grads.values(),
            Module::Embedding(..) | Module::Absent => &[],
        }
    }

    fn grads_mut(&mut self) -> &mut [f32] {
        match self {
            Module::Rnn(_, grads) => grads.values_mut(),
            Module::Dense(_, grads) | Module::Values(_, grads) => grads,
            Module::Embedding(embedding, grads) if !embedding.is_frozen() => grads.values_mut(),
            Module::Embedding(..) | Module::Absent => &mut [],
        }
    }

    /// Makes sure that [`Module::update`] will not fail.
    pub(super) fn reserve(&self, optimizer: &mut Optimizer, slot: usize) -> Result<()> {
        self.check().map_err(|e| e.context(format_args!("module {slot}")))?;
        match self {
            Module::Rnn(rnn, _) => optimizer.reserve(slot, rnn.values().len(), None),
            Module::Dense(dense, _) => optimizer.reserve(slot, dense.values().len(), None),
            Module::Embedding(embedding, _) if !embedding.is_frozen() => {
                optimizer.reserve(slot, embedding.table().len(), Some(embedding.embedding_dim()))
            }
            Module::Values(values, _) => optimizer.reserve(slot, values.len(), None),
            Module::Embedding(..) | Module::Absent => Ok(()),
        }
    }

    pub(super) fn update(&mut self, optimizer: &mut Optimizer, slot: usize) -> Result<()> {
        match self {
            Module::Rnn(rnn, grads) => rnn.optimize(optimizer, slot, grads),
            Module::Dense(dense, grads) => dense.optimize(optimizer, slot, grads),
            Module::Embedding(embedding, grads) => embedding.optimize(optimizer, slot, grads),
            Module::Values(values, grads) => optimizer.update(slot, values, grads),
            Module::Absent => Ok(()),
        }
    }
}

/// Sets all gradients to zero (`torch.nn.Module.zero_grad`).
pub fn zero_grads(modules: &mut [Module<'_>]) {
    for module in modules {
        match module {
            Module::Rnn(_, grads) => grads.zero(),
            Module::Dense(_, grads) | Module::Values(_, grads) => grads.fill(0.0),
            Module::Embedding(_, grads) => grads.clear(),
            Module::Absent => {}
        }
    }
}

/// [`clip_grad_norm`] of all gradients together, in the order of the list; those of a frozen embedding do not count.
///
/// # Errors
/// Those of [`clip_grad_norm`], and `OutOfMemory`; nothing has changed then.
pub fn clip_module_grads(modules: &mut [Module<'_>], max_norm: f64, error_if_nonfinite: bool) -> Result<f64> {
    let mut grads = try_with_capacity(modules.len())?;
    grads.extend(modules.iter_mut().map(Module::grads_mut));
    clip_grad_norm(&mut grads, max_norm, error_if_nonfinite)
}

impl Optimizer {
    /// One step of training: begins the next step and updates every module with its gradients, as the slot of its place in
    /// the list (`torch.optim.Optimizer.step`). Whether all gradients are finite is seen before anything changes: a step that
    /// [`NonFinite::Skip`](super::NonFinite::Skip) leaves out counts in [`skipped`](Self::skipped), not in [`step_count`](Self::step_count).
    ///
    /// Errors, with nothing changed: `ShapeMismatch` for gradients of another model or length and where a slot was created
    /// for another length; `NonFinite` with [`NonFinite::Stop`](super::NonFinite::Stop); `OutOfMemory`.
    pub fn step(&mut self, modules: &mut [Module<'_>]) -> Result<()> {
        for (slot, module) in modules.iter().enumerate() {
            module.reserve(self, slot)?;
        }
        for (slot, module) in modules.iter().enumerate() {
            if self.leaves_out_dense(slot, module.grads())? {
                return Ok(());
            }
        }
        self.step_with(|optimizer| {
            modules.iter_mut().enumerate().try_for_each(|(slot, module)| module.update(optimizer, slot))
        })
    }
}
