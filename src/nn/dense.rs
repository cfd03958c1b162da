//! The dense layer `y = W x + b` (`torch.nn.Linear`).

use crate::buffer::{AlignedBuf, try_box};
use crate::error::{Result, check_len, ensure, product};
use crate::kernel::columns::gemm_columns;
use crate::kernel::gemm::{Output, Start, gemm};
use crate::kernel::lhs::Rows;
use crate::kernel::mat::Mat;
use crate::kernel::outer::{Accumulator, OuterScratch, Right};
use crate::kernel::panel::Panels;
use crate::nn::Optimizer;
use crate::parallel::{FEWEST_PRODUCTS, Pool, Team, enter, is_worth_waking, product_cost};
use crate::published::Published;
use crate::random::Random;
use crate::rnn::Session;
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::ops::Range;

/// A dense layer: weights of shape (out_features, in_features) and, optionally, a bias of shape (out_features), in one
/// flat array in that order. Forward and backward borrow it shared, from any number of threads.
///
/// ```
/// let mut dense = simdrnn::nn::Dense::new(2, 1, true)?;
/// dense.update(|values| values.copy_from_slice(&[3.0, 4.0, 0.5])); // weights, then the bias
/// let mut y = [0.0; 2];
/// dense.forward(None, &[1.0, 1.0, 0.0, 2.0], &mut y)?; // two rows
/// assert_eq!(y, [7.5, 8.5]);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct Dense {
    in_features: usize,
    out_features: usize,
    isa: Isa,
    has_bias: bool,
    values: AlignedBuf<f32>,
    forward: Panels,
    /// Packed at the first backward, kept up to date from then on.
    backward: Published<Panels>,
}

impl Dense {
    /// A layer with zero weights for the best instruction set that is allowed.
    pub fn new(in_features: usize, out_features: usize, bias: bool) -> Result<Self> {
        Self::with_isa(in_features, out_features, bias, Isa::choose()?)
    }

    /// A layer with zero weights whose kernels use `isa`.
    pub fn with_isa(in_features: usize, out_features: usize, bias: bool, isa: Isa) -> Result<Self> {
        isa.check_available()?;
        ensure!(in_features > 0, InvalidArgument, "in_features is 0, expected at least 1");
        ensure!(out_features > 0, InvalidArgument, "out_features is 0, expected at least 1");
        product("the weights", &[in_features.saturating_add(64), out_features.saturating_add(64)])?;
        let total = out_features * in_features + if bias { out_features } else { 0 };
        Ok(Self {
            in_features,
            out_features,
            isa,
            has_bias: bias,
            values: AlignedBuf::zeroed(total)?,
            forward: Panels::plain(isa, in_features, out_features)?,
            backward: Published::new(),
        })
    }

    /// Features of the input.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Features of the output.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Weights, row-major, then the bias if there is one.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The weights, (out_features, in_features).
    pub fn weight(&self) -> &[f32] {
        &self.values[..self.out_features * self.in_features]
    }

    /// The bias, empty if there is none.
    pub fn bias(&self) -> &[f32] {
        &self.values[self.out_features * self.in_features..]
    }

    /// Bytes held: weights and bias, and the weights packed for forward and, once a backward ran, for backward.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + self.forward.bytes() + self.backward.get().map_or(0, Panels::bytes)
    }

    /// Lets `change` alter weights and bias, then packs them again.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32])) {
        change(&mut self.values);
        self.pack(Team::one());
    }

    /// Brings the packed forms up to date.
    fn pack(&mut self, team: Team<'_>) {
        let weights = &self.values[..self.out_features * self.in_features];
        self.forward.pack_rows(team, weights);
        if let Some(backward) = self.backward.get_mut() {
            backward.pack_columns(team, weights);
        }
    }

    /// One optimizer step with `grads`, laid out as [`Dense::values`]. Errors, with nothing changed, are those of
    /// [`Optimizer::update`].
    pub fn optimize(&mut self, optimizer: &mut Optimizer, slot: usize, grads: &[f32]) -> Result<()> {
        if optimizer.update_or_skip(slot, &mut self.values, grads)? {
            enter(optimizer.pool_for(self.values.len()), |team| self.pack(team));
        }
        Ok(())
    }

    /// Draws weights and bias uniformly from ±1/sqrt(in_features), as torch.nn.Linear does; the same on every machine.
    pub fn init(&mut self, seed: u64) {
        let bound = 1.0 / (self.in_features as f64).sqrt();
        self.update(|values| crate::rnn::uniform(&mut Random::new(seed, 0), values, bound));
    }

    /// `y = W x + b` for rows of `x`, (rows, in_features), into `y`, (rows, out_features). Large products are spread over the
    /// threads of the session's pool, if there is one.
    pub fn forward(&self, session: Option<&mut Session>, x: &[f32], y: &mut [f32]) -> Result<()> {
        let rows = self.rows("x", x.len(), self.in_features)?;
        check_len("y", y.len(), rows * self.out_features)?;
        let weights = self.in_features * self.out_features;
        let cost = product_cost(rows, weights, weights);
        let pool = session.and_then(|session| session.pool()).filter(|_| is_worth_waking(cost));
        enter(pool, |team| dispatch(self.isa, Forward { dense: self, x, rows, y, team }));
        Ok(())
    }

    /// From `dy`, (rows, out_features), writes `dx`, (rows, in_features), and adds the gradients of weights and bias to
    /// `grads`, laid out as [`Dense::values`]. Each gradient is one chain over the rows in their order.
    pub fn backward(
        &self,
        session: &mut Session,
        x: &[f32],
        dy: &[f32],
        dx: Option<&mut [f32]>,
        grads: Option<&mut [f32]>,
    ) -> Result<()> {
        let rows = self.rows("dy", dy.len(), self.out_features)?;
        check_len("x", x.len(), rows * self.in_features)?;
        if let Some(dx) = &dx {
            check_len("dx", dx.len(), rows * self.in_features)?;
        }
        if let Some(grads) = &grads {
            check_len("grads", grads.len(), self.values.len())?;
        }
        let weights = match self.backward.get() {
            Some(weights) => weights,
            None => {
                let mut packed = Panels::plain(self.isa, self.out_features, self.in_features)?;
                packed.pack_columns(Team::one(), self.weight());
                self.backward.publish(try_box(packed)?)
            }
        };
        let (pool, outer) = session.for_products();
        let pool = pool.filter(|_| is_worth_waking(2 * rows * self.in_features * self.out_features));
        if grads.is_some() {
            let threads = pool.map_or(1, Pool::threads);
            outer.reserve(rows.min(BLOCK_ROWS), self.out_features, self.in_features, threads)?;
        }
        enter(pool, |team| {
            dispatch(self.isa, Backward { dense: self, weights, outer, rows, x, dy, dx, grads, team });
        });
        Ok(())
    }

    fn rows(&self, what: &str, len: usize, features: usize) -> Result<usize> {
        ensure!(
            len.is_multiple_of(features),
            ShapeMismatch,
            "{what} has {len} values, expected a multiple of its {features} features"
        );
        Ok(len / features)
    }
}

/// Rows whose gradients are summed in one product.
const BLOCK_ROWS: usize = 256;

struct Forward<'a> {
    dense: &'a Dense,
    x: &'a [f32],
    rows: usize,
    y: &'a mut [f32],
    team: Team<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Dense { in_features, out_features, has_bias, .. } = *self.dense;
        let weights = &self.dense.forward;
        let start = if has_bias { Start::Row(self.dense.bias()) } else { Start::Zero };
        let x = Rows::strided(self.x, self.rows, in_features, in_features);
        if self.team.threads() == 1 {
            return gemm(s, x, weights, start, Output::new(self.y, out_features));
        }
        let out = Mat::new(self.y, out_features);
        let product = |rows: Range<usize>, panels: Range<usize>| {
            // SAFETY: the rows lie within `y`, whose length was checked, and no two threads have the same rows and panels.
            unsafe { gemm_columns(s, x.slice(rows.clone()), weights, panels, start, out.starting_at(rows.start)) }
        };
        let panels = weights.view().panels;
        if self.rows >= self.team.threads() * S::TILE_ROWS {
            let fewest = (FEWEST_PRODUCTS / (in_features * out_features)).max(S::TILE_ROWS);
            self.team.split(0..self.rows, fewest, &|part: Range<usize>| product(part, 0..panels));
        } else {
            // Each thread reads its own part of the weights.
            let panel = in_features * S::PANEL_WIDTH;
            let fewest = FEWEST_PRODUCTS.div_ceil(product_cost(self.rows, panels * panel, panel));
            self.team.split(0..panels, fewest, &|part: Range<usize>| product(0..self.rows, part));
        }
    }
}

struct Backward<'a> {
    dense: &'a Dense,
    weights: &'a Panels,
    outer: &'a mut OuterScratch,
    rows: usize,
    x: &'a [f32],
    dy: &'a [f32],
    dx: Option<&'a mut [f32]>,
    grads: Option<&'a mut [f32]>,
    team: Team<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Dense { in_features, out_features, has_bias, .. } = *self.dense;
        if let Some(dx) = self.dx {
            let dy = Rows::strided(self.dy, self.rows, out_features, out_features);
            let target = Mat::new(dx, in_features);
            let fewest = (FEWEST_PRODUCTS / (in_features * out_features)).max(S::TILE_ROWS);
            self.team.split(0..self.rows, fewest, &|part: Range<usize>| {
                // SAFETY: the rows lie within `dx`, whose length was checked, and parts are disjoint.
                let out = unsafe { Output::raw(target.row(part.start), part.len() * in_features, in_features) };
                gemm(s, dy.slice(part), self.weights, Start::Zero, out);
            });
        }
        let Some(grads) = self.grads else { return };
        let (weight, bias) = grads.split_at_mut(out_features * in_features);
        for start in (0..self.rows).step_by(BLOCK_ROWS) {
            let count = BLOCK_ROWS.min(self.rows - start);
            let dy = Rows::strided(&self.dy[start * out_features..], count, out_features, out_features);
            let x = Rows::strided(&self.x[start * in_features..], count, in_features, in_features);
            let targets = [Accumulator::new(0..out_features, &mut *weight)];
            let rights = [Right { rows: x, targets: &targets }];
            if has_bias {
                self.outer.add(s, self.team, dy, [&mut *bias], &rights);
            } else {
                self.outer.add(s, self.team, dy, [], &rights);
            }
        }
    }
}

impl std::fmt::Debug for Dense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dense")
            .field("in_features", &self.in_features)
            .field("out_features", &self.out_features)
            .field("bias", &self.has_bias)
            .field("isa", &self.isa)
            .finish_non_exhaustive()
    }
}
