//! What is wise on an instruction set: one table for each. What it can do is in [`super::ops`].
//!
//! Results do not depend on these numbers, only speed does; `docs/speed.md` has the figures. Kernels refuse, when they are
//! compiled, a table that they cannot serve.

#[cfg(target_arch = "x86_64")]
use super::cpu;

/// Sizes of panels, micro-tiles and look-ahead windows.
pub(crate) trait Tuning {
    /// Vectors side by side in one packed panel.
    const PANEL_VECTORS: usize;
    /// Rows of a whole micro-tile.
    const TILE_ROWS: usize;
    /// Panels of a whole micro-tile.
    const TILE_PANELS: usize;
    /// Rows of a micro-tile that has a single panel.
    const TALL_ROWS: usize;
    /// Panels read together when there is one row, so that enough independent chains hide the latency.
    const ROW_PANELS: usize;
    /// Rows of a look-ahead window, whose input product is made beside single rows; none where that needs more registers than
    /// there are.
    const AHEAD_ROWS: usize;
    /// Vectors of it that are made at once.
    const AHEAD_VECTORS: usize;

    /// Whether it pays to look ahead on this processor.
    #[inline]
    fn looks_ahead() -> bool {
        Self::AHEAD_ROWS > 0
    }
}

impl Tuning for pulp::Scalar {
    // Four columns and two rows are eight chains, which hide the latency of a software multiply-add; values live in SSE's
    // sixteen registers.
    const PANEL_VECTORS: usize = 4;
    const TILE_ROWS: usize = 2;
    const TILE_PANELS: usize = 1;
    const TALL_ROWS: usize = 2;
    // One panel has four chains: a software multiply-add is long enough to fill the processor with those.
    const ROW_PANELS: usize = 1;
    // Its time is the multiply-adds', not the weights'.
    const AHEAD_ROWS: usize = 0;
    const AHEAD_VECTORS: usize = 1;
}

#[cfg(target_arch = "x86_64")]
impl Tuning for pulp::x86::V3 {
    // Two vectors: a line of the cache a feature, and six rows of them (12 of 16 registers) reach 96 % of the peak. Three rows
    // of four vectors do not fit beside what is loaded.
    const PANEL_VECTORS: usize = 2;
    const TILE_ROWS: usize = 6;
    const TILE_PANELS: usize = 1;
    const TALL_ROWS: usize = 6;
    // Eight chains: two multiply-adds a cycle, four cycles each.
    const ROW_PANELS: usize = 4;
    // Sixteen registers leave groups of one block, and large layers lose.
    const AHEAD_ROWS: usize = 0;
    const AHEAD_VECTORS: usize = 1;
}

#[cfg(target_arch = "x86_64")]
impl Tuning for pulp::x86::V4 {
    // As with AVX2; panels of four vectors are as fast for batches and slower for single rows.
    const PANEL_VECTORS: usize = 2;
    // Two panels of six rows: 24 chains with 10 loads for them, where one panel of eight rows has 10 for 16.
    const TILE_ROWS: usize = 6;
    const TILE_PANELS: usize = 2;
    // Seven and eight rows keep one tile.
    const TALL_ROWS: usize = 8;
    // Sixteen chains: 10 to 20 % faster than eight with one or two rows.
    const ROW_PANELS: usize = 8;
    // Eight rows of two vectors are 16 chains beside a group's 8, of 32 registers.
    const AHEAD_ROWS: usize = 8;
    const AHEAD_VECTORS: usize = 2;

    #[inline]
    fn looks_ahead() -> bool {
        // Where vectors are worked on whole, the input product takes half the time, and there is less to wait for.
        cpu::has_half_avx512()
    }
}

#[cfg(target_arch = "aarch64")]
impl Tuning for pulp::aarch64::Neon {
    // A line of the cache a feature, and six rows of them are 24 of 32 registers.
    const PANEL_VECTORS: usize = 4;
    const TILE_ROWS: usize = 6;
    const TILE_PANELS: usize = 1;
    const TALL_ROWS: usize = 6;
    // Sixteen chains: up to four multiply-adds a cycle, four cycles each.
    const ROW_PANELS: usize = 4;
    // As with AVX-512.
    const AHEAD_ROWS: usize = 8;
    const AHEAD_VECTORS: usize = 2;
}
