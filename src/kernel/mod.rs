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
