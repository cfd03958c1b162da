//! Sums of outer products, `c += a^T b` over rows: the gradient of a weight matrix. Rows are taken in the order given;
//! each output is one chain over them that starts at what it holds, so cutting the rows into blocks changes no bit.

use super::gemm::{Output, Start, gemm_view};
use super::lhs::{Lhs, Rows};
use super::mat::Mat;
use super::panel::{PanelView, pack_as_panels};
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::parallel::{FEWEST_PRODUCTS, Team};
use crate::simd::Ops;
use std::marker::PhantomData;
use std::ops::Range;

/// Memory for the packed operands, reused from block to block.
#[derive(Default)]
pub(crate) struct OuterScratch {
    /// Tiles, each packed by the thread that multiplies with them.
    left: AlignedBuf<f32>,
    /// For each thread, the right operand: to pack it again takes less than to fetch it from another core.
    right: AlignedBuf<f32>,
    /// Values of a thread's part of it.
    share: usize,
}

/// A matrix that products are added to, row-major: each row a column of the left operand.
pub(crate) struct Accumulator<'a> {
    columns: Range<usize>,
    values: Mat<'a>,
}

impl<'a> Accumulator<'a> {
    /// Products of the left operand's `columns` with a right operand as wide as the matrix.
    pub(crate) fn new(columns: Range<usize>, values: &'a mut [f32]) -> Self {
        let width = if columns.is_empty() { 0 } else { values.len() / columns.len() };
        Self { columns, values: Mat::new(values, width) }
    }
}

/// A right operand and what its products with the left one are added to.
pub(crate) struct Right<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) targets: &'a [Accumulator<'a>],
}

/// The tallest tile and the widest panel of any instruction set: the most that padding adds to an operand.
pub(super) const TALLEST: usize = 8;
pub(super) const WIDEST: usize = 32;
/// Multiply-adds that packing a value of the left operand costs as much as.
const PACKING: usize = 24;
/// Columns of the left operand that are worth a thread's packing of all right operands.
const FEWEST_COLUMNS: usize = 32;

impl OuterScratch {
    /// Makes room for blocks of `rows` rows with at most `left` columns on the left and `right` on the right, and for teams of
    /// so many threads.
    pub(crate) fn reserve(&mut self, rows: usize, left: usize, right: usize, threads: usize) -> Result<()> {
        let threads = threads.min(left / FEWEST_COLUMNS).max(1);
        self.left.resize(product("the packed operands", &[rows, left + TALLEST])?)?;
        self.right.resize(product("the packed operands", &[threads, rows, right.next_multiple_of(WIDEST)])?)?;
        self.share = self.right.len() / threads;
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.left.bytes() + self.right.bytes()
    }

    /// Adds the products of `left` with all of `rights` to their targets, and the rows of `left`, one after another, to each
    /// of `sums`. The columns of `left` are shared by threads.
    pub(crate) fn add<S: Ops, const N: usize>(
        &mut self,
        s: S,
        team: Team<'_>,
        left: Rows<'_>,
        sums: [&mut [f32]; N],
        rights: &[Right<'_>],
    ) {
        let (rows, width) = (left.count(), left.width());
        let tiles = width.div_ceil(S::TILE_ROWS);
        assert!(tiles * rows * S::TILE_ROWS <= self.left.len());
        for Right { rows: right, targets } in rights {
            assert!(right.count() == rows && rows * right.width().next_multiple_of(S::PANEL_WIDTH) <= self.share);
            for target in *targets {
                assert!(target.columns.end <= width && target.columns.len() * right.width() == target.values.len());
            }
        }
        let packing = Packing {
            a: left,
            left: Mat::new(&mut self.left, rows * S::TILE_ROWS),
            sums: sums.map(|sums| {
                assert!(width <= sums.len());
                Mat::new(sums, S::TILE_ROWS)
            }),
        };
        let (share, right_len) = (self.share, self.right.len());
        let packed_rights = Mat::new(&mut self.right, share);
        // Columns differ in how many products they take part in.
        let columns_before = |tile: usize| 0..width.min(tile * S::TILE_ROWS);
        let work = |columns: Range<usize>| -> usize {
            let of = |right: &Right<'_>| -> usize {
                right.targets.iter().map(|t| overlap(&t.columns, &columns).len() * right.rows.width()).sum()
            };
            rights.iter().map(of).sum::<usize>() + columns.len() * PACKING
        };
        let all = work(0..width);
        let parts = (rows * all / FEWEST_PRODUCTS).min(width / FEWEST_COLUMNS).clamp(1, team.threads());
        assert!(parts * share <= right_len);
        let cut = |part: usize| {
            let mut tile = tiles * part / parts;
            while tile < tiles && work(columns_before(tile)) * parts < all * part {
                tile += 1;
            }
            while tile > 0 && work(columns_before(tile - 1)) * parts >= all * part {
                tile -= 1;
            }
            if part == parts { tiles } else { tile }
        };
        team.run(parts, &|part, _| {
            let tiles = cut(part)..cut(part + 1);
            if tiles.is_empty() {
                return;
            }
            // SAFETY: the tiles lie within both buffers, as asserted, parts have different tiles, and of the right
            // operands' memory each has its own share.
            let right_values = unsafe {
                s.enter(
                    #[inline(always)]
                    || match S::TILE_ROWS {
                        2 => packing.tiles::<2>(tiles.clone()),
                        6 => packing.tiles::<6>(tiles.clone()),
                        other => unreachable!("no tile of {other} rows"),
                    },
                );
                std::slice::from_raw_parts_mut(packed_rights.row(part), share)
            };
            let own = tiles.start * S::TILE_ROWS..width.min(tiles.end * S::TILE_ROWS);
            for right in rights {
                let mut packed = false;
                for target in right.targets {
                    let columns = overlap(&target.columns, &own);
                    if columns.is_empty() {
                        continue;
                    }
                    if !packed {
                        pack_as_panels(s, Team::one(), right.rows, right_values);
                        packed = true;
                    }
                    // SAFETY: these rows lie within the target, as asserted, and are no other part's; the tiles were packed
                    // by this thread.
                    unsafe {
                        let n = right.rows.width();
                        let out = target.values.row(columns.start - target.columns.start);
                        let out = Output::raw(out, columns.len() * n, n);
                        multiply(s, packing.left, rows, columns, right_values, n, out);
                    }
                }
            }
        });
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// Adds the products of columns of a packed left operand with a packed right one of `n` columns to rows of `out`.
///
/// # Safety
/// `tiles` has those of these columns, of `rows` rows, which nobody writes meanwhile.
unsafe fn multiply<S: Ops>(
    s: S,
    tiles: Mat<'_>,
    rows: usize,
    columns: Range<usize>,
    right: &[f32],
    n: usize,
    out: Output,
) {
    let (panels, vectors) = (n.div_ceil(S::PANEL_WIDTH), n.div_ceil(S::LANES));
    let b = PanelView { k: rows, panels, data: right, offsets: None, row_len: n, vectors };
    // SAFETY: the caller's contract.
    unsafe {
        match S::TILE_ROWS {
            2 => gemm_view(s, PackedLeft::<2>::new(tiles, rows, columns), b, n, Start::Output, out),
            6 => gemm_view(s, PackedLeft::<6>::new(tiles, rows, columns), b, n, Start::Output, out),
            other => unreachable!("no tile of {other} rows"),
        }
    }
}

/// A left operand on its way into tiles.
struct Packing<'a, const N: usize> {
    a: Rows<'a>,
    /// A row for each tile.
    left: Mat<'a>,
    sums: [Mat<'a>; N],
}

impl<const N: usize> Packing<'_, N> {
    /// Packs `tiles`, of `R` columns each.
    ///
    /// # Safety
    /// The buffers have these tiles, of as many values as packing needs, and nobody else uses them meanwhile.
    #[inline(always)]
    unsafe fn tiles<const R: usize>(&self, tiles: Range<usize>) {
        let whole = tiles.end.min(self.a.width() / R);
        let mut tile = tiles.start;
        // SAFETY: the caller's contract; whole tiles have all their columns.
        unsafe {
            while tile + TOGETHER <= whole {
                self.whole_tiles::<R, TOGETHER>(tile);
                tile += TOGETHER;
            }
            while tile < whole {
                self.whole_tiles::<R, 1>(tile);
                tile += 1;
            }
            if tile < tiles.end {
                self.cut_tile::<R>(tile);
            }
        }
    }

    /// Packs `T` tiles with all their columns.
    ///
    /// # Safety
    /// As [`Packing::tiles`]'s.
    #[inline(always)]
    unsafe fn whole_tiles<const R: usize, const T: usize>(&self, first: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let left = std::array::from_fn::<_, T, _>(|t| self.left.row(first + t).cast::<[f32; R]>());
            let sums = self.sums.map(|sums| std::array::from_fn::<_, T, _>(|t| sums.row(first + t).cast::<[f32; R]>()));
            let mut sum = sums.map(|at| at.map(|at| at.read()));
            for i in 0..self.a.count() {
                let from = self.a.pointer(i).add(first * R).cast::<[f32; R]>();
                for t in 0..T {
                    let values = from.add(t).read();
                    left[t].add(i).write(values);
                    for sum in &mut sum {
                        sum[t].iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
                    }
                }
            }
            for (at, sum) in sums.into_iter().flatten().zip(sum.into_iter().flatten()) {
                at.write(sum);
            }
        }
    }

    /// Packs the last tile, which has fewer columns.
    ///
    /// # Safety
    /// As [`Packing::tiles`]'s.
    #[inline(always)]
    unsafe fn cut_tile<const R: usize>(&self, tile: usize) {
        let columns = self.a.width() - tile * R;
        // SAFETY: the caller's contract; `sums` ends with the last column.
        unsafe {
            let left = self.left.row(tile);
            for i in 0..self.a.count() {
                let from = self.a.pointer(i).add(tile * R);
                for r in 0..columns {
                    *left.add(i * R + r) = *from.add(r);
                    for sums in self.sums {
                        *sums.row(tile).add(r) += *from.add(r);
                    }
                }
            }
        }
    }
}

/// Tiles that are packed together, so that whole cache lines are read.
const TOGETHER: usize = 4;

/// Columns of a matrix as the rows of a product, packed in tiles with the inner index outermost.
#[derive(Clone, Copy)]
struct PackedLeft<'a, const R: usize> {
    values: *const f32,
    rows: usize,
    first: usize,
    count: usize,
    borrow: PhantomData<&'a [f32]>,
}

impl<const R: usize> PackedLeft<'_, R> {
    /// # Safety
    /// A row of `tiles` for each tile of these columns, of `rows` times `R` values, which nobody writes meanwhile.
    unsafe fn new(tiles: Mat<'_>, rows: usize, columns: Range<usize>) -> Self {
        Self {
            values: tiles.values().cast_const(),
            rows,
            first: columns.start,
            count: columns.len(),
            borrow: PhantomData,
        }
    }
}

impl<const R: usize> Lhs for PackedLeft<'_, R> {
    const STEP: usize = R;

    #[inline(always)]
    fn count(&self) -> usize {
        self.count
    }
    #[inline(always)]
    fn width(&self) -> usize {
        self.rows
    }
    #[inline(always)]
    fn pointer(&self, i: usize) -> *const f32 {
        assert!(i < self.count);
        let column = self.first + i;
        // SAFETY: who made this vouches for the tiles of all columns.
        unsafe { self.values.add(column / R * self.rows * R + column % R) }
    }
}
