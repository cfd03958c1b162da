//! The stack of recurrent layers: its parameters, and their packed form for the instruction set in use.

use super::config::{ParamSpec, RnnConfig};
use super::init::{self, Init};
use super::weights::{BackwardWeights, ForwardWeights, PassParams};
use crate::buffer::{AlignedBuf, probe, try_box, try_with_capacity};
use crate::error::{Result, ensure, err, product};
use crate::parallel::{Pool, Team, enter};
use crate::published::Published;
use crate::simd::Isa;
use std::sync::atomic::{AtomicU64, Ordering};

/// A stack of recurrent layers: configuration and weights. Forward and backward borrow it shared, from any number of
/// threads; changing weights needs it exclusively. Parameters are torch.nn's, in one flat array of f32.
///
/// ```
/// use simdrnn::rnn::{Batch, Cell, ForwardArgs, Init, Rnn, RnnConfig, Session};
///
/// let mut rnn = Rnn::new(&RnnConfig { num_layers: 2, ..RnnConfig::new(Cell::Lstm, 3, 8) })?;
/// rnn.init(Init::TorchUniform, 42)?;
/// let weight = rnn.find_param("weight_hh_l1")?;
/// assert_eq!(rnn.param(weight)?.len(), 4 * 8 * 8);
///
/// // 5 steps of 2 sequences, time first; only the last states are wanted.
/// let (x, mut hn) = ([0.5; 5 * 2 * 3], [0.0; 2 * 2 * 8]);
/// let args = ForwardArgs { x: &x, hn: Some(&mut hn), ..ForwardArgs::default() };
/// rnn.forward(&mut Session::new(), &Batch::new(2, 5), args)?;
/// assert_eq!(hn[..8], hn[8..16]); // equal sequences, equal bits
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct Rnn {
    config: RnnConfig,
    isa: Isa,
    specs: Vec<ParamSpec>,
    values: AlignedBuf<f32>,
    forward: Vec<ForwardWeights>,
    /// Packed at the first backward, kept up to date from then on.
    backward: Published<Vec<BackwardWeights>>,
    /// Changes with the weights, so that a tape can tell whether they are still those it was recorded with.
    version: u64,
}

/// Versions are unique in the process: only models with the same configuration and weights, copies, share one.
fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Rnn {
    /// A stack with zero weights, for the best instruction set that is allowed ([`Isa::choose`]).
    pub fn new(config: &RnnConfig) -> Result<Self> {
        Self::with_isa(config, Isa::choose()?)
    }

    /// A stack with zero weights whose kernels use `isa`.
    pub fn with_isa(config: &RnnConfig, isa: Isa) -> Result<Self> {
        isa.check_available()?;
        let specs = config.param_specs()?;
        let total = specs.last().map_or(0, |s| s.range().end);
        // The values and their packed form, which is no smaller.
        probe(product("the weights", &[2 * size_of::<f32>(), total])?)?;
        let values = AlignedBuf::zeroed(total)?;
        let mut forward = try_with_capacity(config.passes())?;
        for pass in 0..config.passes() {
            forward.push(ForwardWeights::new(config, isa, &PassParams::of(config, &specs, pass))?);
        }
        let (config, backward) = (config.clone(), Published::new());
        Ok(Self { config, isa, specs, values, forward, backward, version: next_version() })
    }

    /// A copy with the same weights, which is changed on its own from then on. Until either is changed, a tape that one has
    /// recorded serves the other too.
    pub fn try_clone(&self) -> Result<Self> {
        let mut copy = Self::with_isa(&self.config, self.isa)?;
        copy.update(|values| values.copy_from_slice(&self.values));
        copy.version = self.version;
        Ok(copy)
    }

    /// Its configuration.
    #[inline]
    pub fn config(&self) -> &RnnConfig {
        &self.config
    }

    /// The instruction set its kernels use.
    #[inline]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Names, shapes and places of the parameters.
    pub fn param_specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// Index of the parameter with torch.nn's `name`.
    pub fn find_param(&self, name: &str) -> Result<usize> {
        self.specs.iter().position(|s| s.has_name(name)).ok_or_else(|| {
            err!(
                NotFound,
                "no parameter '{}', the {} names start with '{}'",
                crate::shown::Excerpt(name, 80),
                self.specs.len(),
                self.specs[0]
            )
        })
    }

    /// The values of parameter `index`, row-major in the shape of its spec.
    pub fn param(&self, index: usize) -> Result<&[f32]> {
        Ok(&self.values[self.spec(index)?.range()])
    }

    /// Replaces the values of parameter `index`.
    pub fn set_param(&mut self, index: usize, values: &[f32]) -> Result<()> {
        let spec = self.spec(index)?;
        let (found, expected) = (values.len(), spec.len());
        ensure!(found == expected, ShapeMismatch, "{spec} has {found} values, expected {expected}");
        let (range, pass) = (spec.range(), spec.layer * self.config.direction.count() + spec.direction);
        self.values[range].copy_from_slice(values);
        self.version = next_version();
        self.pack(Team::one(), pass);
        Ok(())
    }

    /// All parameters, one after another.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Lets `change` alter the flat parameters, then packs them again.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32])) {
        change(&mut self.values);
        self.pack_all(Team::one());
    }

    fn pack_all(&mut self, team: Team<'_>) {
        self.version = next_version();
        (0..self.config.passes()).for_each(|pass| self.pack(team, pass));
    }

    /// Brings the packed forms of a pass up to date.
    fn pack(&mut self, team: Team<'_>, pass: usize) {
        let params = PassParams::of(&self.config, &self.specs, pass);
        self.forward[pass].pack(&self.config, self.isa, team, &params, &self.values);
        if let Some(backward) = self.backward.get_mut() {
            backward[pass].pack(&self.config, team, &params, &self.values);
        }
    }

    /// As [`Rnn::update`], where `change` says whether it has changed anything; the threads of the pool share the packing.
    pub(crate) fn update_with(
        &mut self,
        pool: Option<&Pool>,
        change: impl FnOnce(&mut [f32]) -> Result<bool>,
    ) -> Result<()> {
        if change(&mut self.values)? {
            enter(pool, |team| self.pack_all(team));
        }
        Ok(())
    }

    /// Draws new parameters; the same `seed` gives the same values on every machine.
    pub fn init(&mut self, scheme: Init, seed: u64) -> Result<()> {
        let mut fresh = AlignedBuf::zeroed(self.values.len())?;
        init::fill(&self.config, &self.specs, scheme, seed, &mut fresh)?;
        self.update(|all| all.copy_from_slice(&fresh));
        Ok(())
    }

    /// Bytes held: parameters and their packed forms.
    pub fn bytes(&self) -> usize {
        let backward = self.backward.get().map_or(0, |b| b.iter().map(BackwardWeights::bytes).sum());
        self.values.bytes() + self.forward.iter().map(ForwardWeights::bytes).sum::<usize>() + backward
    }

    /// Changes with the weights: models of one configuration whose generations are equal have equal weights, as a copy has until
    /// one of them changes.
    pub fn generation(&self) -> u64 {
        self.version
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    #[inline]
    pub(crate) fn forward_weights(&self, pass: usize) -> &ForwardWeights {
        &self.forward[pass]
    }

    /// The number of a layer's pass in a direction, among all passes.
    #[inline]
    pub(crate) fn pass_index(&self, layer: usize, direction: usize) -> usize {
        layer * self.config.direction.count() + direction
    }

    pub(crate) fn pass_params(&self, pass: usize) -> PassParams<'_> {
        PassParams::of(&self.config, &self.specs, pass)
    }

    /// The weights packed for backward, by pass; made at the first call.
    pub(crate) fn backward_weights(&self) -> Result<&[BackwardWeights]> {
        if let Some(ready) = self.backward.get() {
            return Ok(ready);
        }
        let mut packed = try_with_capacity(self.config.passes())?;
        for pass in 0..self.config.passes() {
            let params = self.pass_params(pass);
            let mut weights = BackwardWeights::new(&self.config, self.isa, &params)?;
            weights.pack(&self.config, Team::one(), &params, &self.values);
            packed.push(weights);
        }
        // Two threads may both have packed: either result serves.
        Ok(self.backward.publish(try_box(packed)?))
    }

    fn spec(&self, index: usize) -> Result<&ParamSpec> {
        ensure!(
            index < self.specs.len(),
            InvalidArgument,
            "parameter index {index}, expected less than {}",
            self.specs.len()
        );
        Ok(&self.specs[index])
    }
}

impl Clone for Rnn {
    /// Panics where memory is short; [`Rnn::try_clone`] tells.
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|e| panic!("{e}"))
    }
}

impl std::fmt::Debug for Rnn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rnn").field("config", &self.config).field("isa", &self.isa).finish_non_exhaustive()
    }
}
