//! One row at a time through a layer: products and gates of a group of units in one go.
//!
//! This is the path of single sequences and of streams, where every weight is read once a step: what counts is how fast
//! the panels are read, and the latency of a step. Every output is the chain that the products of [`super::gemm`] make.

use super::cell::{Equations, Flush, MOST_SLOTS, Reads};
use super::look_ahead::{LookAhead, Tile};
use super::mat::Series;
use super::panel::{PanelData, slot_vector};
use crate::simd::Ops;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The widest vector of any instruction set.
const MOST_LANES: usize = 16;
/// The most blocks of a group.
const MOST_GROUP: usize = 8;
/// Bytes of panels from which on the groups are visited to and fro: what a row read last is then still in the cache for
/// the next one, however much more there is. Panels that fit are better read in one direction, where a row's first units
/// are ready while its last are still being computed.
const TO_AND_FRO: usize = 256 << 10;

/// Chains of a group that hide the latency of multiply-adds, with some to spare; where registers allow as many.
const MOST_CHAINS: usize = 16;

/// The packed weights of a layer in one direction.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// `None` where the rows start with their input product.
    pub(crate) input: Option<PanelData<'a>>,
    pub(crate) recurrent: PanelData<'a>,
}

/// Rows of states that succeed each other: row 0 of `now` succeeds `first`.
#[derive(Clone, Copy)]
pub(crate) struct States {
    pub(crate) first: *const f32,
    pub(crate) now: Series<*mut f32>,
}

impl States {
    #[inline(always)]
    fn before(&self, i: usize) -> *const f32 {
        if i == 0 { self.first } else { self.now.at(i - 1) }
    }
}

/// The buffers that a layer's rows lie in.
pub(crate) struct RowBuffers {
    /// Where the chains start that have an input product, or will have one: rows of slots.
    pub(crate) start: Series<*const f32>,
    /// Where the others start.
    pub(crate) bias: *const f32,
    /// Where the complete pre-activations are kept, if they are.
    pub(crate) keep: Option<Series<*mut f32>>,
    /// Input rows; used where there are input weights.
    pub(crate) x: Series<*const f32>,
    pub(crate) h: States,
    /// Used by cells that have a cell state.
    pub(crate) c: States,
    pub(crate) count: usize,
}

/// One row's part of [`RowBuffers`].
pub(crate) struct Row {
    pub(crate) start: *const f32,
    pub(crate) bias: *const f32,
    pub(crate) keep: Option<*mut f32>,
    pub(crate) x: *const f32,
    pub(crate) h_before: *const f32,
    pub(crate) h: *mut f32,
    pub(crate) c_before: *const f32,
    pub(crate) c: *mut f32,
}

impl RowBuffers {
    #[inline(always)]
    fn row(&self, i: usize) -> Row {
        Row {
            start: self.start.at(i),
            bias: self.bias,
            keep: self.keep.map(|k| k.at(i)),
            x: self.x.at(i),
            h_before: self.h.before(i),
            h: self.h.now.at(i),
            c_before: self.c.before(i),
            c: self.c.now.at(i),
        }
    }
}

/// How blocks of LANES units are shared among groups, whose chains stay in registers: all groups are full, but the last
/// two share what is left, so that neither has too few chains.
struct Groups<S, C> {
    first: usize,
    end: usize,
    count: usize,
    /// Blocks of a full group.
    most: usize,
    /// Where the last group starts.
    last: usize,
    shape: PhantomData<(S, C)>,
}

impl<S: Ops, C: Equations> Groups<S, C> {
    const GATES: usize = C::RECURRENT.len();
    /// Groups start at a multiple of this, at a whole panel. It divides PANEL_VECTORS.
    const ALIGN: usize = {
        assert!(C::INPUT.len() == Self::GATES, "one recurrent product");
        let mut blocks = 1;
        while !(blocks * Self::GATES).is_multiple_of(S::PANEL_VECTORS) {
            blocks += 1;
        }
        blocks
    };
    /// Blocks of a full group.
    const MOST: usize = {
        let registers = S::REGISTERS * 3 / 4;
        Self::fit(if registers < MOST_CHAINS { registers } else { MOST_CHAINS })
    };
    /// The same with look-ahead, whose chains need registers too; none where there is none.
    const MOST_WITH_AHEAD: usize = if S::AHEAD_ROWS == 0 { 0 } else { Self::fit(S::AHEAD_ROWS) };

    /// Blocks that have so many chains.
    const fn fit(chains: usize) -> usize {
        let fit = if chains / Self::GATES > MOST_GROUP { MOST_GROUP } else { chains / Self::GATES };
        if fit < Self::ALIGN { Self::ALIGN } else { fit - fit % Self::ALIGN }
    }

    #[inline(always)]
    fn new(blocks: Range<usize>, most: usize) -> Self {
        let count = blocks.len().div_ceil(most);
        let pair = blocks.start + count.saturating_sub(2) * most;
        let half = (blocks.end - pair).div_ceil(2).next_multiple_of(Self::ALIGN);
        let last = if count < 2 { pair } else { pair + half };
        Self { first: blocks.start, end: blocks.end, count, most, last, shape: PhantomData }
    }

    /// Whether the groups are visited to and fro.
    #[inline(always)]
    fn to_and_fro(&self, weights: &Weights<'_>) -> bool {
        let features = weights.recurrent.k + weights.input.map_or(0, |input| input.k);
        (self.end - self.first) * Self::GATES * S::LANES * features * size_of::<f32>() > TO_AND_FRO
    }

    /// The first block of group `g`, or the end.
    #[inline(always)]
    fn start(&self, g: usize) -> usize {
        if g == self.count {
            self.end
        } else if g + 1 == self.count {
            self.last
        } else {
            self.first + g * self.most
        }
    }
}

/// Some units of a layer, ready to take rows.
pub(crate) struct Layer<S, C> {
    s: S,
    group: Group<C>,
    groups: Groups<S, C>,
}

impl<S: Ops, C: Equations> Layer<S, C> {
    /// The units in `blocks`: blocks of LANES units from a multiple of PANEL_VECTORS on.
    #[inline]
    pub(crate) fn new(s: S, cell: C, blocks: Range<usize>, flush: Flush) -> Self {
        debug_assert!(blocks.is_empty() || blocks.start.is_multiple_of(Groups::<S, C>::ALIGN));
        Self { s, group: Group { cell, flush }, groups: Groups::new(blocks, Groups::<S, C>::MOST) }
    }

    /// Takes a row. `turned` says whether to visit the groups in the other order, if they are visited to and fro.
    ///
    /// # Safety
    /// The weights have the cell's gates for these blocks; `x` has a value for each row of the input panels, `h_before` one for
    /// each row of the recurrent panels; start, kept row and states reach to the last block. Nothing but these units is
    /// written, and what is written overlaps nothing that is read but its own start.
    #[inline]
    pub(crate) unsafe fn row(&self, weights: &Weights<'_>, row: &Row, turned: bool) {
        let groups = &self.groups;
        let backwards = turned && groups.to_and_fro(weights);
        for j in 0..groups.count {
            let g = if backwards { groups.count - 1 - j } else { j };
            let (block, end) = (groups.start(g), groups.start(g + 1));
            macro_rules! sizes {
                ($($n:literal)*) => {
                    match end - block {
                        $($n if $n <= Groups::<S, C>::MOST => {
                            // SAFETY: the caller's contract.
                            unsafe { run_group::<S, C, $n>(self.s, &self.group, weights, row, block) }
                        })*
                        n => unreachable!("no group of {n} blocks"),
                    }
                };
            }
            sizes!(1 2 3 4 5 6 7 8);
        }
    }

    /// Takes rows, one after another, and calls `done` after each. The first [`Ops::AHEAD_ROWS`] rows start with their input
    /// product; with `ahead` that of the others is made on the way, else they do so too.
    ///
    /// # Safety
    /// As [`Layer::row`]'s for each. Where these are not all units, `done` returns when the others of the row are written too.
    /// What is made ahead goes to where the rows start, and reaches to the last block.
    pub(crate) unsafe fn rows(
        &self,
        weights: &Weights<'_>,
        rows: &RowBuffers,
        ahead: Option<&LookAhead<'_>>,
        done: Option<&dyn Fn()>,
    ) {
        let done = || done.map_or((), |done| done());
        let Some(ahead) = ahead.filter(|_| S::AHEAD_ROWS > 0) else {
            for i in 0..rows.count {
                // SAFETY: the caller's contract.
                unsafe { self.row(weights, &rows.row(i), i % 2 == 1) };
                done();
            }
            return;
        };
        let groups = Groups::<S, C>::new(self.groups.first..self.groups.end, Groups::<S, C>::MOST_WITH_AHEAD);
        let to_and_fro = groups.to_and_fro(weights);
        for first in (0..rows.count).step_by(S::AHEAD_ROWS) {
            // SAFETY: the caller's contract, for the whole loop.
            unsafe {
                let window = ahead.window::<S>(first + S::AHEAD_ROWS, rows.count);
                for place in 0..S::AHEAD_ROWS.min(rows.count - first) {
                    let row = rows.row(first + place);
                    let turned = (first + place) % 2 == 1;
                    for j in 0..groups.count {
                        let g = if turned && to_and_fro { groups.count - 1 - j } else { j };
                        let blocks = groups.start(g)..groups.start(g + 1);
                        // Every step of the window makes other vectors of the next one.
                        let vectors = if window.count == 0 { 0 } else { blocks.len() * Groups::<S, C>::GATES };
                        let mut tiles = (place * S::AHEAD_VECTORS..vectors).step_by(S::AHEAD_ROWS * S::AHEAD_VECTORS);
                        let tile = tiles.next().map(|v| ahead.tile::<S, C>(window, blocks.start, v));
                        self.group_with(weights, &row, blocks.clone(), tile.as_ref());
                        tiles.for_each(|v| ahead.tile::<S, C>(window, blocks.start, v).run(self.s));
                    }
                    done();
                }
            }
        }
    }

    /// Runs a group, and a tile with it.
    ///
    /// # Safety
    /// As [`Layer::rows`]'s.
    unsafe fn group_with(&self, weights: &Weights<'_>, row: &Row, blocks: Range<usize>, tile: Option<&Tile>) {
        macro_rules! sizes {
            ($($n:literal)*) => {
                match (blocks.len(), tile) {
                    // SAFETY: the caller's contract.
                    $(($n, Some(tile)) if $n <= Groups::<S, C>::MOST_WITH_AHEAD => unsafe {
                        run_group_with::<S, C, $n>(self.s, &self.group, weights, row, blocks.start, tile)
                    },
                    // SAFETY: as above.
                    ($n, None) if $n <= Groups::<S, C>::MOST_WITH_AHEAD => unsafe {
                        run_group::<S, C, $n>(self.s, &self.group, weights, row, blocks.start)
                    },)*
                    (n, _) => unreachable!("no group of {n} blocks"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 8);
    }
}

/// A [`Layer`] of whatever instruction set and cell.
pub(crate) trait AnyLayer: Send + Sync {
    /// As [`Layer::row`].
    ///
    /// # Safety
    /// As [`Layer::row`]'s.
    unsafe fn row(&self, weights: &Weights<'_>, row: &Row, turned: bool);
}

impl<S: Ops, C: Equations> AnyLayer for Layer<S, C> {
    unsafe fn row(&self, weights: &Weights<'_>, row: &Row, turned: bool) {
        // SAFETY: the caller's contract.
        unsafe { Layer::row(self, weights, row, turned) }
    }
}

/// [`Group::run`], a function for each size: a step of a small layer is over before what the compiler would prepare for
/// all sizes were of use.
///
/// # Safety
/// As [`Layer::row`]'s.
#[inline(never)]
unsafe fn run_group<S: Ops, C: Equations, const B: usize>(
    s: S,
    group: &Group<C>,
    weights: &Weights<'_>,
    row: &Row,
    block: usize,
) {
    s.enter(
        #[inline(always)]
        // SAFETY: the caller's contract.
        || unsafe { group.run::<S, B>(s, weights, row, block, None) },
    );
}

/// As [`run_group`], with a tile.
///
/// # Safety
/// As [`Layer::rows`]'s.
#[inline(never)]
unsafe fn run_group_with<S: Ops, C: Equations, const B: usize>(
    s: S,
    group: &Group<C>,
    weights: &Weights<'_>,
    row: &Row,
    block: usize,
    tile: &Tile,
) {
    s.enter(
        #[inline(always)]
        // SAFETY: the caller's contract.
        || unsafe { group.run::<S, B>(s, weights, row, block, Some(tile)) },
    );
}

struct Group<C> {
    cell: C,
    flush: Flush,
}

impl<C: Equations> Group<C> {
    /// The `B` blocks of units from `block` on, and a tile of rows to come.
    ///
    /// # Safety
    /// As [`Layer::row`]'s.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "indices that run over registers and memory alike")]
    unsafe fn run<S: Ops, const B: usize>(
        &self,
        s: S,
        weights: &Weights<'_>,
        row: &Row,
        block: usize,
        tile: Option<&Tile>,
    ) {
        let slots = slot_vector(S::LANES, C::SLOTS, block, 0);
        let mut acc = [[s.splat(0.0); MOST_SLOTS]; B];
        // The gates' loop reads the slots back from memory: indexed in a loop, they could not stay in registers.
        let mut scratch = [const { MaybeUninit::<[f32; MOST_LANES]>::uninit() }; MOST_GROUP * MOST_SLOTS];
        // SAFETY: the caller's contract covers every access below; the scratch has room for all slots of a group.
        unsafe {
            for b in 0..B {
                for i in 0..C::SLOTS {
                    let start = if has_input::<C>(i) { row.start } else { row.bias };
                    acc[b][i] = s.load(start.add(slots + slot_vector(S::LANES, C::SLOTS, b, i)));
                }
            }
            if let Some(input) = weights.input {
                acc = chain(s, acc, C::INPUT, input, block, row.x, None);
            }
            acc = chain(s, acc, C::RECURRENT, weights.recurrent, block, row.h_before, tile);
            let complete = match row.keep {
                Some(keep) => keep.add(slots),
                None => scratch.as_mut_ptr().cast::<f32>(),
            };
            for b in 0..B {
                for i in 0..C::SLOTS {
                    s.store(complete.add(slot_vector(S::LANES, C::SLOTS, b, i)), acc[b][i]);
                }
            }
            let h = row.h.add(block * S::LANES);
            let mut half = self.begin(s, row, block, acc[0]);
            for b in 1..B {
                let mut slots = acc[0];
                for i in 0..C::SLOTS {
                    slots[i] = s.load(complete.add(slot_vector(S::LANES, C::SLOTS, b, i)));
                }
                let next = self.begin(s, row, block + b, slots);
                s.store(h.add((b - 1) * S::LANES), self.cell.finish(s, half, self.flush));
                half = next;
            }
            s.store(h.add((B - 1) * S::LANES), self.cell.finish(s, half, self.flush));
        }
    }

    /// The first half of the cell's step for one block of units; writes `c`.
    ///
    /// # Safety
    /// As [`Layer::row`]'s.
    #[inline(always)]
    unsafe fn begin<S: Ops>(&self, s: S, row: &Row, block: usize, slots: [S::f32s; MOST_SLOTS]) -> C::Half<S> {
        let unit = block * S::LANES;
        // SAFETY: the caller's contract.
        unsafe {
            let before = match C::READS {
                Reads::Nothing => s.splat(0.0),
                Reads::Hidden => s.load(row.h_before.add(unit)),
                Reads::Cell => s.load(row.c_before.add(unit)),
            };
            let (half, c) = self.cell.begin(s, slots, before, self.flush);
            if C::READS == Reads::Cell {
                s.store(row.c.add(unit), c);
            }
            half
        }
    }
}

/// Whether the slot takes part in the input product.
const fn has_input<C: Equations>(slot: usize) -> bool {
    let mut i = 0;
    while i < C::INPUT.len() {
        if C::INPUT[i].1 == slot {
            return true;
        }
        i += 1;
    }
    false
}

/// Continues the chains of `B` blocks of units over the rows of their panels, and makes a tile meanwhile.
///
/// # Safety
/// The panels have `gates` for these blocks, and `x` a value for each of their rows.
#[inline(always)]
unsafe fn chain<S: Ops, const B: usize>(
    s: S,
    mut acc: [[S::f32s; MOST_SLOTS]; B],
    gates: &'static [(usize, usize)],
    panels: PanelData<'_>,
    block: usize,
    x: *const f32,
    tile: Option<&Tile>,
) -> [[S::f32s; MOST_SLOTS]; B] {
    let stride = panels.k * S::PANEL_WIDTH;
    // SAFETY: the caller's contract.
    unsafe {
        let first = panels.values.as_ptr().add(block * gates.len() / S::PANEL_VECTORS * stride);
        macro_rules! feature {
            ($k:expr) => {{
                let v = s.splat(*x.add($k));
                for b in 0..B {
                    for (g, &(_, slot)) in gates.iter().enumerate() {
                        let vector = b * gates.len() + g;
                        let (panel, column) = (vector / S::PANEL_VECTORS, vector % S::PANEL_VECTORS * S::LANES);
                        let w = s.load(first.add(panel * stride + $k * S::PANEL_WIDTH + column));
                        acc[b][slot] = s.fma(v, w, acc[b][slot]);
                    }
                }
            }};
        }
        let mut both = 0;
        if let Some(tile) = tile {
            both = panels.k.min(tile.k);
            let mut chains = tile.start(s);
            for k in 0..both {
                feature!(k);
                chains = tile.feature(s, chains, k);
            }
            for k in both..tile.k {
                chains = tile.feature(s, chains, k);
            }
            tile.finish(s, chains);
        }
        for k in both..panels.k {
            feature!(k);
        }
    }
    acc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Elman, Lstm, ResetAfter};
    use crate::kernel::gates::{self, Forward, Span};
    use crate::kernel::gemm::{Output, Start, gemm_gates};
    use crate::kernel::lhs::Rows;
    use crate::kernel::look_ahead::MOST_AHEAD;
    use crate::kernel::mat::{Mat, STATE_PADDING};
    use crate::kernel::panel::{GateColumns, Panels, padded_row};
    use crate::parallel::Team;
    use crate::random::Random;
    use crate::simd::{Isa, Kernel, dispatch};

    /// A sequence through a layer: by products and gate kernels, step by step, or by the row kernel.
    struct Layer<'a> {
        input: &'a Panels,
        recurrent: &'a Panels,
        units: usize,
        x: &'a [f32],
        bias: &'a [f32],
        flush: Flush,
    }

    /// Two windows that are made ahead, and a part of one.
    const STEPS: usize = 2 * MOST_AHEAD + 3;

    /// What a run leaves behind: pre-activations, and the rows of states with the initial ones first.
    #[derive(Clone)]
    struct Found {
        pre: Vec<f32>,
        h: Vec<f32>,
        c: Vec<f32>,
    }

    impl Layer<'_> {
        fn stride(&self) -> usize {
            self.units.next_multiple_of(STATE_PADDING)
        }

        fn steps(&self) -> usize {
            self.x.len() / self.input.view().k
        }

        /// The rows of pre-activations, without the vector that takes what pads panels.
        fn slots<'a, S: Ops>(&self, found: &'a Found) -> impl Iterator<Item = &'a [f32]> {
            let width = self.bias.len();
            found.pre.chunks_exact(width).map(move |row| &row[..width - S::LANES])
        }

        fn general<S: Ops, C: Equations>(&self, s: S, cell: C, found: &mut Found) {
            let (features, stride, width) = (self.input.view().k, self.stride(), self.bias.len());
            for t in 0..self.steps() {
                let pre = &mut found.pre[t * width..(t + 1) * width];
                pre.copy_from_slice(self.bias);
                let x = Rows::strided(&self.x[t * features..], 1, features, features);
                gemm_gates(
                    s,
                    x,
                    self.input.view(),
                    0..self.input.view().panels,
                    Start::Output,
                    Output::new(pre, width),
                );
                let h = Rows::strided(&found.h[t * stride..], 1, stride, self.units);
                let panels = 0..self.recurrent.view().panels;
                gemm_gates(s, h, self.recurrent.view(), panels, Start::Output, Output::new(pre, width));
                let span = Span { rows: 1, blocks: 0..self.units.div_ceil(S::LANES), units: self.units };
                let (pre, c, h) =
                    (Mat::new(pre, width), Mat::new(&mut found.c, stride), Mat::new(&mut found.h, stride));
                let (read, offsets) = (if C::READS == Reads::Cell { c } else { h }, [t * stride]);
                let before = read.read().gathered(&offsets);
                // SAFETY: rows t and t + 1 exist, and whole blocks fit their stride.
                unsafe {
                    let (c, h) = (c.starting_at(t + 1), h.starting_at(t + 1));
                    let rows = Forward { pre, before, c, h, copies: None, flush: self.flush };
                    gates::forward(s, cell, &span, &rows);
                }
            }
        }

        /// `hoisted` rows start with their input product, so many of them. `cut` shares the blocks between two runs for each
        /// step; without it one run does all steps, and makes the product of rows ahead that have none.
        fn by_rows<S: Ops, C: Equations>(
            &self,
            s: S,
            cell: C,
            found: &mut Found,
            hoisted: Option<usize>,
            cut: Option<usize>,
        ) {
            let (features, stride, width) = (self.input.view().k, self.stride(), self.bias.len());
            let blocks = self.units.div_ceil(S::LANES);
            let panels = 0..self.input.view().panels;
            if let Some(rows) = hoisted {
                let x = Rows::strided(self.x, rows, features, features);
                found.pre.fill(f32::NAN);
                let out = Output::new(&mut found.pre, width);
                gemm_gates(s, x, self.input.view(), panels, Start::Row(self.bias), out);
            }
            let looks_ahead = hoisted.is_some_and(|rows| rows < self.steps());
            let hoisted = hoisted.is_some();
            let weights = Weights {
                input: (!hoisted).then(|| self.input.view().into()),
                recurrent: self.recurrent.view().into(),
            };
            let walk = |values: &mut [f32], row: usize, stride: usize| Series {
                first: values[row * stride..].as_mut_ptr(),
                step: stride as isize,
            };
            let mut rows = |t: usize, count: usize| {
                let keep = walk(&mut found.pre, t, width);
                let states = |values: &mut [f32]| {
                    let now = walk(values, t + 1, stride);
                    States { first: values[t * stride..].as_ptr(), now }
                };
                let bias = Series { first: self.bias.as_ptr(), step: 0 };
                let start = if hoisted { keep.read() } else { bias };
                let x = Series { first: self.x[t * features..].as_ptr(), step: features as isize };
                let (h, c) = (states(&mut found.h), states(&mut found.c));
                RowBuffers {
                    start,
                    bias: self.bias.as_ptr(),
                    keep: (hoisted || t.is_multiple_of(2)).then_some(keep),
                    x,
                    h,
                    c,
                    count,
                }
            };
            let layer = |blocks| super::Layer::new(s, cell, blocks, self.flush);
            let mut packed = vec![f32::NAN; MOST_AHEAD * features];
            // SAFETY: all rows lie within the buffers, whose strides hold whole blocks.
            unsafe {
                match cut {
                    None => {
                        let rows = rows(0, self.steps());
                        let x = |i: usize| self.x[i * features..].as_ptr();
                        let ahead = LookAhead {
                            weights: self.input.view().into(),
                            bias: self.bias.as_ptr(),
                            x: &x,
                            packed: packed.as_mut_ptr(),
                            out: walk(&mut found.pre, 0, width),
                        };
                        layer(0..blocks).rows(&weights, &rows, looks_ahead.then_some(&ahead), None);
                    }
                    Some(cut) => {
                        let cut = cut.next_multiple_of(S::PANEL_VECTORS).min(blocks);
                        for t in 0..self.steps() {
                            let row = rows(t, 1).row(0);
                            layer(cut..blocks).row(&weights, &row, t % 2 == 1);
                            layer(0..cut).row(&weights, &row, t % 2 == 1);
                        }
                    }
                }
            }
        }
    }

    struct Compare<'a, C> {
        layer: Layer<'a>,
        cell: C,
        start: Found,
        name: String,
    }

    impl<C: Equations> Kernel for Compare<'_, C> {
        type Output = ();
        fn run<S: Ops>(self, s: S) {
            let Self { layer, cell, start, name } = self;
            let mut want = start.clone();
            layer.general(s, cell, &mut want);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let (all, some) = (Some(layer.steps()), Some(S::AHEAD_ROWS).filter(|&rows| rows > 0));
            for (hoisted, cut) in [(all, None), (None, None), (all, Some(1)), (None, Some(3)), (some, None)] {
                let mut found = start.clone();
                layer.by_rows(s, cell, &mut found, hoisted, cut);
                let what = format!("{name} hoisted {hoisted:?} cut {cut:?}");
                assert_eq!(bits(&found.h), bits(&want.h), "{what}");
                assert_eq!(bits(&found.c), bits(&want.c), "{what}");
                if hoisted.is_some() {
                    let (found, want) = (layer.slots::<S>(&found), layer.slots::<S>(&want));
                    found.zip(want).for_each(|(f, w)| assert_eq!(bits(f), bits(w), "{what}"));
                }
            }
        }
    }

    fn compare<C: Equations>(cell: C, name: &str, sizes: &[(usize, usize)]) {
        let mut rng = Random::new(21, 0);
        let mut random = |n: usize| (0..n).map(|_| rng.uniform() - 0.5).collect::<Vec<f32>>();
        for &(features, units) in sizes {
            let gates = C::INPUT.len();
            let (ih, hh) = (random(gates * units * features), random(gates * units * units));
            let x = random(STEPS * features);
            for isa in Isa::available() {
                let columns = |gates| GateColumns { gates, slots: C::SLOTS, units };
                let mut input = Panels::for_gates(isa, features, columns(C::INPUT)).unwrap();
                let mut recurrent = Panels::for_gates(isa, units, columns(C::RECURRENT)).unwrap();
                input.pack_rows(Team::one(), &ih);
                recurrent.pack_rows(Team::one(), &hh);
                let lanes = crate::kernel::panel::Geometry::of(isa).lanes;
                let (width, stride) = (padded_row(lanes, units, C::SLOTS), units.next_multiple_of(STATE_PADDING));
                // Padding slots have no bias, so that padding units stay finite.
                let mut bias = vec![0.0; width];
                for (i, v) in random(units * C::SLOTS).into_iter().enumerate() {
                    let (unit, slot) = (i / C::SLOTS, i % C::SLOTS);
                    bias[(unit / lanes * C::SLOTS + slot) * lanes + unit % lanes] = v;
                }
                let mut states = vec![0.0; (STEPS + 1) * stride];
                states[..units].copy_from_slice(&random(units));
                let start = Found { pre: vec![0.0; STEPS * width], h: states.clone(), c: states };
                let flush = Flush::new(units % 2 == 0);
                let layer = Layer { input: &input, recurrent: &recurrent, units, x: &x, bias: &bias, flush };
                let name = format!("{name} {features}->{units} on {}", isa.name());
                dispatch(isa, Compare { layer, cell, start, name });
            }
        }
    }

    /// All remainders of groups on every instruction set, and sizes whose groups are visited to and fro.
    #[test]
    fn rows_are_what_products_and_gates_make() {
        let sizes: Vec<_> = (1..=40).map(|n| (n % 5 + 1, n)).chain([(3, 100), (17, 133), (9, 260)]).collect();
        compare(Elman::<false>, "tanh", &sizes);
        compare(Elman::<true>, "relu", &sizes);
        compare(Lstm, "lstm", &sizes);
        compare(ResetAfter, "gru", &sizes);
    }
}
