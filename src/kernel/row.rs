//! One row through a layer: products and gates of a group of units in one go, its accumulators staying in registers.
//!
//! This is the path of single sequences and of streams, where a weight is used once a step: what counts is how fast the
//! panels are read, and the latency of a step. Every output is the chain that the products of [`super::gemm`] make.

use super::gates::{Cell, Flush, MOST_SLOTS, Reads};
use super::panel::PanelView;
use crate::simd::Ops;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The widest vector of any instruction set.
const MOST_LANES: usize = 16;
/// The most blocks of a group.
const MOST_GROUP: usize = 8;

/// The packed weights of a layer in one direction.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// `None` where the rows start with their input product.
    pub(crate) input: Option<PanelView<'a>>,
    pub(crate) recurrent: PanelView<'a>,
}

/// Rows of a buffer that are visited one after another, `step` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Walk<T> {
    pub(crate) first: T,
    pub(crate) step: isize,
}

impl Walk<*const f32> {
    fn at(self, i: usize) -> *const f32 {
        self.first.wrapping_offset(i as isize * self.step)
    }
}

impl Walk<*mut f32> {
    fn at(self, i: usize) -> *mut f32 {
        self.first.wrapping_offset(i as isize * self.step)
    }
}

/// Rows of states: row `i` becomes the successor of row `i` of `before`, and row 0 that of `first`.
#[derive(Clone, Copy)]
pub(crate) struct States {
    pub(crate) first: *const f32,
    pub(crate) before: Walk<*const f32>,
    pub(crate) now: Walk<*mut f32>,
}

impl States {
    /// Rows that each succeed the last.
    pub(crate) fn chained(first: *const f32, now: Walk<*mut f32>) -> Self {
        let before = now.first.wrapping_offset(-now.step).cast_const();
        Self { first, before: Walk { first: before, step: now.step }, now }
    }

    /// Rows that each succeed a row of their own.
    pub(crate) fn apart(before: Walk<*const f32>, now: Walk<*mut f32>) -> Self {
        Self { first: before.first, before, now }
    }

    #[inline(always)]
    fn before(&self, i: usize) -> *const f32 {
        if i == 0 { self.first } else { self.before.at(i) }
    }
}

/// The buffers that a layer's rows lie in. `c` counts for cells that have one.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    /// Where the chains start: rows of slots.
    pub(crate) start: Walk<*const f32>,
    /// Where the complete pre-activations are kept, if they are.
    pub(crate) keep: Option<Walk<*mut f32>>,
    /// Input rows, where there are input weights.
    pub(crate) x: Walk<*const f32>,
    pub(crate) h: States,
    pub(crate) c: States,
}

/// One row's part of [`Rows`].
#[derive(Clone, Copy)]
struct Row {
    start: *const f32,
    keep: Option<*mut f32>,
    x: *const f32,
    h_before: *const f32,
    h: *mut f32,
    c_before: *const f32,
    c: *mut f32,
}

/// The shape of groups: as many blocks of LANES units as leave registers for weights and inputs.
struct Shape<S, C>(PhantomData<(S, C)>);

impl<S: Ops, C: Cell> Shape<S, C> {
    const GATES: usize = C::RECURRENT.len();
    /// Groups start at a multiple of this, at a whole panel.
    const ALIGN: usize = {
        assert!(C::INPUT.len() == Self::GATES);
        let mut blocks = 1;
        while !(blocks * Self::GATES).is_multiple_of(S::PANEL_VECTORS) {
            blocks += 1;
        }
        blocks
    };
    const MOST: usize = {
        let fit = S::REGISTERS * 3 / 4 / Self::GATES;
        let fit = if fit > MOST_GROUP { MOST_GROUP } else { fit };
        fit - fit % Self::ALIGN
    };
}

/// How blocks are shared among groups: full ones, but the last two share theirs, so that neither has too few chains.
struct Groups<S, C> {
    first: usize,
    end: usize,
    count: usize,
    /// Where the last group starts.
    last: usize,
    shape: PhantomData<Shape<S, C>>,
}

impl<S: Ops, C: Cell> Groups<S, C> {
    #[inline(always)]
    fn new(blocks: Range<usize>) -> Self {
        let most = Shape::<S, C>::MOST;
        let count = blocks.len().div_ceil(most);
        let pair = blocks.start + count.saturating_sub(2) * most;
        let last = if count < 2 { pair } else { pair + (blocks.end - pair).div_ceil(2).next_multiple_of(Shape::<S, C>::ALIGN) };
        Self { first: blocks.start, end: blocks.end, count, last, shape: PhantomData }
    }

    /// The first block of group `g`, or the end.
    #[inline(always)]
    fn start(&self, g: usize) -> usize {
        if g == self.count {
            self.end
        } else if g + 1 == self.count {
            self.last
        } else {
            self.first + g * Shape::<S, C>::MOST
        }
    }
}

/// Runs the units in `blocks` (blocks of LANES units; the range starts at a multiple of [`Shape::ALIGN`]) of rows
/// `0..count`, one row after another, and calls `done` after each.
///
/// # Safety
/// The weights have the cell's gates for these blocks; rows of `x` have a value for each row of the input panels, rows of
/// `h` one for each row of the recurrent panels; starts, kept rows and states reach to the last block. Nothing but the
/// units in `blocks` is written, and what is written overlaps nothing that is read later.
pub(crate) unsafe fn run<S: Ops, C: Cell>(
    s: S,
    cell: C,
    weights: Weights<'_>,
    rows: Rows,
    count: usize,
    blocks: Range<usize>,
    flush: Flush,
    done: impl Fn(),
) {
    s.enter(
        #[inline(always)]
        || {
            let group = Group { cell, weights, flush };
            for i in 0..count {
                let row = Row {
                    start: rows.start.at(i),
                    keep: rows.keep.map(|k| k.at(i)),
                    x: rows.x.at(i),
                    h_before: rows.h.before(i),
                    h: rows.h.now.at(i),
                    c_before: rows.c.before(i),
                    c: rows.c.now.at(i),
                };
                let groups = Groups::<S, C>::new(blocks.clone());
                for j in 0..groups.count {
                    let g = if i % 2 == 1 { groups.count - 1 - j } else { j };
                    let (block, end) = (groups.start(g), groups.start(g + 1));
                    macro_rules! sizes {
                        ($($n:literal)*) => {
                            match end - block {
                                // SAFETY: the caller's contract.
                                $($n if $n <= Shape::<S, C>::MOST => unsafe { group.run::<S, $n>(s, &row, block) },)*
                                n => unreachable!("no group of {n} blocks"),
                            }
                        };
                    }
                    sizes!(1 2 3 4 5 6 7 8);
                }
                done();
            }
        },
    );
}

struct Group<'a, C> {
    cell: C,
    weights: Weights<'a>,
    flush: Flush,
}

impl<C: Cell> Group<'_, C> {
    /// The `B` blocks of units from `block` on.
    ///
    /// # Safety
    /// As [`run`]'s.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "indices that run over registers and memory alike")]
    unsafe fn run<S: Ops, const B: usize>(&self, s: S, row: &Row, block: usize) {
        let mut acc = [[s.splat(0.0); MOST_SLOTS]; B];
        let slots = block * C::SLOTS * S::LANES;
        // SAFETY: the caller's contract covers every access below.
        unsafe {
            for b in 0..B {
                for slot in 0..C::SLOTS {
                    acc[b][slot] = s.load(row.start.add(slots + (b * C::SLOTS + slot) * S::LANES));
                }
            }
            if let Some(input) = &self.weights.input {
                acc = chain(s, acc, C::INPUT, input, block, row.x);
            }
            acc = chain(s, acc, C::RECURRENT, &self.weights.recurrent, block, row.h_before);
            // The gates' loop reads the slots back from memory: indexed in a loop, they could not stay in registers.
            let mut scratch = [const { MaybeUninit::<[f32; MOST_LANES]>::uninit() }; MOST_GROUP * MOST_SLOTS];
            let slot = match row.keep {
                Some(keep) => keep.add(slots),
                None => scratch.as_mut_ptr().cast::<f32>(),
            };
            for b in 0..B {
                for i in 0..C::SLOTS {
                    s.store(slot.add((b * C::SLOTS + i) * S::LANES), acc[b][i]);
                }
            }
            for b in 0..B {
                let unit = (block + b) * S::LANES;
                let before = match C::READS {
                    Reads::Nothing => s.splat(0.0),
                    Reads::Hidden => s.load(row.h_before.add(unit)),
                    Reads::Cell => s.load(row.c_before.add(unit)),
                };
                let mut slots = [s.splat(0.0); MOST_SLOTS];
                for i in 0..C::SLOTS {
                    slots[i] = s.load(slot.add((b * C::SLOTS + i) * S::LANES));
                }
                let next = self.cell.next(s, slots, before, self.flush);
                if C::READS == Reads::Cell {
                    s.store(row.c.add(unit), next.c);
                }
                s.store(row.h.add(unit), next.h);
            }
        }
    }
}

/// Continues the chains of `B` blocks of units over the rows of their panels.
///
/// # Safety
/// The panels have `gates` for these blocks, and `x` a value for each of their rows.
#[inline(always)]
unsafe fn chain<S: Ops, const B: usize>(
    s: S,
    mut acc: [[S::f32s; MOST_SLOTS]; B],
    gates: &'static [(usize, usize)],
    panels: &PanelView<'_>,
    block: usize,
    x: *const f32,
) -> [[S::f32s; MOST_SLOTS]; B] {
    let stride = panels.k * S::PANEL_WIDTH;
    let first = panels.data.as_ptr().wrapping_add(block * gates.len() / S::PANEL_VECTORS * stride);
    for i in 0..panels.k {
        // SAFETY: the caller's contract.
        unsafe {
            let v = s.splat(*x.add(i));
            for b in 0..B {
                for (g, &(_, slot)) in gates.iter().enumerate() {
                    let vector = b * gates.len() + g;
                    let (panel, column) = (vector / S::PANEL_VECTORS, vector % S::PANEL_VECTORS * S::LANES);
                    let w = s.load(first.add(panel * stride + i * S::PANEL_WIDTH + column));
                    acc[b][slot] = s.fma(v, w, acc[b][slot]);
                }
            }
        }
    }
    acc
}
