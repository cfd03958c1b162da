//! Sums of outer products, `c += a^T b` over rows: the gradient of a weight matrix. Rows are taken in the order given;
//! each output is one chain over them that starts at what it holds, so cutting the rows into blocks changes no bit.

use super::gates::Mat;
use super::gemm::{Output, Start, gemm_view};
use super::panel::{PanelView, pack_as_panels};
use super::rows::{Left, Rows};
use crate::buffer::AlignedBuf;
use crate::error::{Result, product};
use crate::parallel::{FEWEST_PRODUCTS, Team};
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
        size_of_val(&*self.left) + size_of_val(&*self.right)
    }

    /// Packs the left operand, of which `accumulate` uses ranges of columns.
    pub(crate) fn pack_left<S: Ops>(&mut self, _: S, a: Rows<'_>) {
        let k = a.count();
        for i in 0..k {
            let tiles = a.row(i).chunks_exact(S::TILE_ROWS);
            let rest = tiles.remainder();
            let mut at = i * S::TILE_ROWS;
            for tile in tiles {
                // A length the compiler knows: a few moves instead of a call.
                self.left[at..at + S::TILE_ROWS].copy_from_slice(&tile[..S::TILE_ROWS]);
                at += k * S::TILE_ROWS;
            }
            self.left[at..at + rest.len()].copy_from_slice(rest);
        }
    }

    /// Packs the right operand.
    pub(crate) fn pack_right<S: Ops>(&mut self, _: S, b: Rows<'_>) {
        pack_as_panels(b, S::PANEL_WIDTH, &mut self.right);
    }

    /// `c[m, n] += sum over rows of a[row, first + m] * b[row, n]` for `count` columns of the packed left operand.
    pub(crate) fn accumulate<S: Ops>(
        &self,
        s: S,
        team: Team,
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
            let a =
                PackedLeft { data: &self.left, rows, tile: S::TILE_ROWS, first: first + part.start, count: part.len() };
            let b = PanelView { k: rows, panels: n.div_ceil(S::PANEL_WIDTH), data: &self.right, offsets: None };
            // SAFETY: the rows lie within `c`, as asserted, and parts are disjoint.
            let out = unsafe { Output::raw(target.row(part.start), part.len() * n, n) };
            gemm_view(s, a, b, n, Start::Output, out);
        });
    }
}

/// Columns of a matrix as the rows of a product, packed in tiles with the inner index outermost.
#[derive(Clone, Copy)]
struct PackedLeft<'a> {
    data: &'a [f32],
    rows: usize,
    tile: usize,
    first: usize,
    count: usize,
}

impl Left for PackedLeft<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.count
    }
    #[inline(always)]
    fn width(&self) -> usize {
        self.rows
    }
    #[inline(always)]
    fn step(&self) -> usize {
        self.tile
    }
    #[inline(always)]
    fn pointer(&self, i: usize) -> *const f32 {
        assert!(i < self.count);
        let column = self.first + i;
        let start = column / self.tile * self.rows * self.tile + column % self.tile;
        assert!(start + (self.rows - 1) * self.tile < self.data.len());
        // SAFETY: the row's first and last values lie within `data`, as asserted.
        unsafe { self.data.as_ptr().add(start) }
    }
}
