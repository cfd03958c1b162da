//! Sums of outer products, `c += a^T b` over rows: the gradient of a weight matrix. Rows are taken in the order given;
//! each output is one chain over them that starts at what it holds, so cutting the rows into blocks changes no bit.

use super::gates::Mat;
use super::gemm::{Output, Start, gemm_view};
use super::panel::{PanelView, pack_as_panels};
use super::rows::{Left, Rows};
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::parallel::{FEWEST_COPIES, FEWEST_PRODUCTS, Team};
use crate::simd::Ops;
use std::ops::Range;

/// Memory for the packed operands, reused from block to block.
#[derive(Default)]
pub(crate) struct OuterScratch {
    left: AlignedBuf<f32>,
    right: AlignedBuf<f32>,
}

/// The tallest tile and the widest panel of any instruction set: the most that padding adds to an operand.
const TALLEST: usize = 8;
const WIDEST: usize = 32;

impl OuterScratch {
    /// Makes room for blocks of `rows` rows with at most `left` columns on the left and `right` on the right.
    pub(crate) fn reserve(&mut self, rows: usize, left: usize, right: usize) -> Result<()> {
        self.left.resize(product("the packed operands", &[rows, left + TALLEST])?)?;
        self.right.resize(product("the packed operands", &[rows, right + WIDEST])?)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.left.bytes() + self.right.bytes()
    }

    /// Packs the left operand, of which `accumulate` uses ranges of columns, and adds its rows, one after another, to each
    /// of `sums`.
    pub(crate) fn pack_left<S: Ops, const N: usize>(
        &mut self,
        s: S,
        team: Team<'_>,
        a: Rows<'_>,
        sums: [&mut [f32]; N],
    ) {
        let (rows, tiles) = (a.count(), a.width().div_ceil(S::TILE_ROWS));
        assert!(tiles * rows * S::TILE_ROWS <= self.left.len());
        let packing = Packing {
            a,
            left: Mat::new(&mut self.left, rows * S::TILE_ROWS),
            sums: sums.map(|sums| {
                assert!(a.width() <= sums.len());
                Mat::new(sums, S::TILE_ROWS)
            }),
        };
        team.split(0..tiles, (FEWEST_COPIES / (rows * S::TILE_ROWS)).max(1), &|part: Range<usize>| {
            s.enter(
                #[inline(always)]
                // SAFETY: the tiles lie within both buffers, as asserted, and parts are disjoint.
                || unsafe {
                    match S::TILE_ROWS {
                        2 => packing.tiles::<2>(part.clone()),
                        6 => packing.tiles::<6>(part.clone()),
                        8 => packing.tiles::<8>(part.clone()),
                        other => unreachable!("no tile of {other} rows"),
                    }
                },
            );
        });
    }

    /// Packs the right operand.
    pub(crate) fn pack_right<S: Ops>(&mut self, s: S, team: Team<'_>, b: Rows<'_>) {
        pack_as_panels(s, team, b, &mut self.right);
    }

    /// `c[m, n] += sum over rows of a[row, first + m] * b[row, n]` for `count` columns of the packed left operand.
    pub(crate) fn accumulate<S: Ops>(
        &self,
        s: S,
        team: Team<'_>,
        rows: usize,
        first: usize,
        count: usize,
        n: usize,
        c: &mut [f32],
    ) {
        assert!(count * n <= c.len());
        let target = Mat::new(c, n);
        let fewest = (FEWEST_PRODUCTS / (rows * n).max(1)).max(S::TILE_ROWS);
        team.split(0..count, fewest, &|part: Range<usize>| {
            let b = PanelView { k: rows, panels: n.div_ceil(S::PANEL_WIDTH), data: &self.right, offsets: None };
            // SAFETY: the rows lie within `c`, as asserted, and parts are disjoint.
            let out = unsafe { Output::raw(target.row(part.start), part.len() * n, n) };
            let (data, first, count) = (&self.left, first + part.start, part.len());
            match S::TILE_ROWS {
                2 => gemm_view(s, PackedLeft::<2> { data, rows, first, count }, b, n, Start::Output, out),
                6 => gemm_view(s, PackedLeft::<6> { data, rows, first, count }, b, n, Start::Output, out),
                8 => gemm_view(s, PackedLeft::<8> { data, rows, first, count }, b, n, Start::Output, out),
                other => unreachable!("no tile of {other} rows"),
            }
        });
    }
}

/// A left operand on its way into tiles.
struct Packing<'a, const N: usize> {
    a: Rows<'a>,
    /// A row for each tile.
    left: Mat,
    sums: [Mat; N],
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
    data: &'a [f32],
    rows: usize,
    first: usize,
    count: usize,
}

impl<const R: usize> Left for PackedLeft<'_, R> {
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
        let start = column / R * self.rows * R + column % R;
        assert!(start + (self.rows - 1) * R < self.data.len());
        // SAFETY: the row's first and last values lie within `data`, as asserted.
        unsafe { self.data.as_ptr().add(start) }
    }
}
