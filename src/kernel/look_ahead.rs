//! Look-ahead: the input product of steps to come, made beside a single row's step, which reads its weights from a far cache
//! and leaves the multipliers idle for half of the time and more.

use super::cell::Equations;
use super::mat::Series;
use super::panel::{PanelData, slot_vector};
use crate::simd::Ops;

/// The most rows of a window.
pub(crate) const MOST_AHEAD: usize = 8;
/// The most vectors at once.
const MOST_VECTORS: usize = 2;

/// The input product of all rows of a sequence, in the order of the steps, in windows of [`Ops::AHEAD_ROWS`] rows: while one
/// window's steps run, the next one's product is made, tile by tile.
pub(crate) struct LookAhead<'a> {
    pub(crate) weights: PanelData<'a>,
    /// Where the chains start: a row of slots.
    pub(crate) bias: *const f32,
    /// Pointer to the input of row `i`.
    pub(crate) x: &'a dyn Fn(usize) -> *const f32,
    /// Room for a window's inputs, [`MOST_AHEAD`] times the features.
    pub(crate) packed: *mut f32,
    /// Where the products go: rows of slots.
    pub(crate) out: Series<*mut f32>,
}

/// The rows of a window whose input is packed.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    first: usize,
    pub(crate) count: usize,
}

impl LookAhead<'_> {
    /// The window from row `first` on, of `count` rows in all; it may be empty. Packs its input: feature by feature, as it is
    /// read.
    ///
    /// # Safety
    /// The input has these rows, and `packed` has the room.
    pub(crate) unsafe fn window<S: Ops>(&self, first: usize, count: usize) -> Window {
        let window = Window { first, count: count.saturating_sub(first).min(S::AHEAD_ROWS) };
        for r in 0..window.count {
            let x = (self.x)(first + r);
            for k in 0..self.weights.k {
                // SAFETY: the caller's contract.
                unsafe { *self.packed.add(k * S::AHEAD_ROWS + r) = *x.add(k) };
            }
        }
        window
    }

    /// The product of a window with [`Ops::AHEAD_VECTORS`] vectors, from vector `v` on, of the gates of the blocks of units from
    /// `block` on.
    ///
    /// # Safety
    /// The weights have these vectors, and they lie within the rows of `out` and the bias.
    #[inline(always)]
    pub(crate) unsafe fn tile<S: Ops, C: Equations>(&self, window: Window, block: usize, v: usize) -> Tile {
        let gates = C::INPUT.len();
        let vector = block * gates + v;
        // Where a layer's last vector has no mate, that is the vector after the last slot, which takes what pads panels.
        let offset = |v: usize| slot_vector(S::LANES, C::SLOTS, block + v / gates, C::INPUT[v % gates].1);
        let offsets = [offset(v), offset(v + S::AHEAD_VECTORS - 1)];
        let (panel, column) = (vector / S::PANEL_VECTORS, vector % S::PANEL_VECTORS * S::LANES);
        // SAFETY: the caller's contract.
        unsafe {
            Tile {
                weights: self.weights.values.as_ptr().add(panel * self.weights.k * S::PANEL_WIDTH + column),
                k: self.weights.k,
                x: self.packed,
                bias: self.bias,
                out: self.out.at(window.first),
                offsets,
                step: self.out.step,
                rows: window.count,
            }
        }
    }
}

/// [`Ops::AHEAD_VECTORS`] vectors of the products of a window's rows.
pub(crate) struct Tile {
    weights: *const f32,
    pub(crate) k: usize,
    x: *const f32,
    bias: *const f32,
    out: *mut f32,
    /// Of its vectors in a row of slots.
    offsets: [usize; MOST_VECTORS],
    step: isize,
    rows: usize,
}

/// Chains of a tile.
pub(crate) type Chains<S> = [[<S as pulp::Simd>::f32s; MOST_VECTORS]; MOST_AHEAD];

impl Tile {
    /// The chains before the first feature.
    ///
    /// # Safety
    /// The bias has these vectors.
    #[inline(always)]
    pub(crate) unsafe fn start<S: Ops>(&self, s: S) -> Chains<S> {
        // SAFETY: the caller's contract.
        [self.offsets.map(|offset| unsafe { s.load(self.bias.add(offset)) }); MOST_AHEAD]
    }

    /// The chains after feature `k`.
    ///
    /// # Safety
    /// Inputs and weights have this feature.
    #[inline(always)]
    pub(crate) unsafe fn feature<S: Ops>(&self, s: S, mut chains: Chains<S>, k: usize) -> Chains<S> {
        // SAFETY: the caller's contract; a feature's inputs follow each other.
        unsafe {
            let weights = self.weights.add(k * S::PANEL_WIDTH);
            let mut w = [s.splat(0.0); MOST_VECTORS];
            for (v, w) in w.iter_mut().enumerate().take(S::AHEAD_VECTORS) {
                *w = s.load(weights.add(v * S::LANES));
            }
            let x = self.x.add(k * S::AHEAD_ROWS);
            each_row!(S::AHEAD_ROWS, |r| {
                let x = s.splat(*x.add(r));
                for v in 0..S::AHEAD_VECTORS {
                    chains[r][v] = s.fma(x, w[v], chains[r][v]);
                }
            });
        }
        chains
    }

    /// Writes the chains of the rows that exist.
    ///
    /// # Safety
    /// The rows of the output have these vectors.
    #[inline(always)]
    pub(crate) unsafe fn finish<S: Ops>(&self, s: S, chains: Chains<S>) {
        each_row!(S::AHEAD_ROWS, |r| {
            if r < self.rows {
                // SAFETY: the caller's contract.
                unsafe {
                    let out = self.out.wrapping_offset(r as isize * self.step);
                    for (&offset, &chain) in self.offsets.iter().zip(&chains[r]).take(S::AHEAD_VECTORS) {
                        s.store(out.add(offset), chain);
                    }
                }
            }
        });
    }

    /// All of it.
    ///
    /// # Safety
    /// As for the parts.
    pub(crate) unsafe fn run<S: Ops>(&self, s: S) {
        s.enter(
            #[inline(always)]
            // SAFETY: the caller's contract.
            || unsafe {
                let mut chains = self.start(s);
                for k in 0..self.k {
                    chains = self.feature(s, chains, k);
                }
                self.finish(s, chains);
            },
        );
    }
}
