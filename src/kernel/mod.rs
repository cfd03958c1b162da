//! Kernels: arithmetic on slices and packed panels, generic over the instruction set, ignorant of layers and sequences.

/// `body` for every `r` below `n`, at most 8, unrolled for certain: a loop of this length the compiler may keep, and then
/// the accumulators live in memory.
macro_rules! each_row {
    ($n:expr, |$r:ident| $body:block) => { each_row!(@ $n, $r, $body, 0 1 2 3 4 5 6 7) };
    (@ $n:expr, $r:ident, $body:block, $($i:literal)*) => {
        $(if const { $i < $n } { let $r = $i; $body })*
    };
}

pub(crate) mod activation;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod bounds_tests;
pub(crate) mod cell;
pub(crate) mod cell_kernels;
pub(crate) mod columns;
pub(crate) mod gates;
pub(crate) mod gemm;
pub(crate) mod lhs;
pub(crate) mod look_ahead;
pub(crate) mod mat;
pub(crate) mod nearest;
pub(crate) mod outer;
pub(crate) mod panel;
pub(crate) mod reduce;
pub(crate) mod single_row;
pub(crate) mod softmax;

use crate::simd::Ops;

/// Refuses a table of sizes that some kernel has no code for.
const fn check<S: Ops>() {
    assert!(
        S::LANES <= mat::STATE_PADDING && mat::STATE_PADDING.is_multiple_of(S::LANES),
        "rows of states end with whole vectors"
    );
    assert!(S::PANEL_VECTORS == 2 || S::PANEL_VECTORS == 4, "micro-tiles have panels of 2 or 4 vectors");
    assert!(S::TILE_ROWS == 2 || S::TILE_ROWS == 6, "outer products pack tiles of 2 or 6 rows");
    assert!(S::TILE_ROWS <= S::TALL_ROWS && S::TALL_ROWS <= 8, "micro-tiles have up to 8 rows");
    let chains = S::TILE_ROWS * S::TILE_PANELS * S::PANEL_VECTORS;
    assert!(
        chains + S::TILE_PANELS * S::PANEL_VECTORS < S::REGISTERS,
        "a tile and a row of its panels fit the registers"
    );
    assert!(S::TALL_ROWS * S::PANEL_VECTORS < S::REGISTERS, "and so do a tall one's chains");
    assert!(
        S::ROW_PANELS * S::PANEL_VECTORS <= gemm::MAX_VECTORS && S::ROW_PANELS <= 8,
        "one row's tile has its offsets"
    );
    assert!(
        S::TALL_ROWS <= outer::TALLEST && S::PANEL_WIDTH <= outer::WIDEST,
        "packed operands have room for their padding"
    );
    assert!(S::AHEAD_ROWS <= look_ahead::MOST_AHEAD && S::AHEAD_VECTORS <= 2, "windows are that large at most");
    assert!(S::PANEL_VECTORS.is_multiple_of(S::AHEAD_VECTORS), "a window's tile does not cross panels");
}

const _: () = check::<pulp::Scalar>();
#[cfg(target_arch = "x86_64")]
const _: () = check::<pulp::x86::V3>();
#[cfg(target_arch = "x86_64")]
const _: () = check::<pulp::x86::V4>();
#[cfg(target_arch = "aarch64")]
const _: () = check::<pulp::aarch64::Neon>();
