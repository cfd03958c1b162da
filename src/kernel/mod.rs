//! Kernels: arithmetic on slices and packed panels, generic over the instruction set, ignorant of layers and sequences.

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod bounds_tests;
pub(crate) mod columns;
pub(crate) mod gates;
pub(crate) mod gemm;
pub(crate) mod nearest;
pub(crate) mod outer;
pub(crate) mod panel;
pub(crate) mod reduce;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod sigmoid;
pub(crate) mod softmax;
