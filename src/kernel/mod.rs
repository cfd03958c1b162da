//! Kernels: generic over the instruction set, ignorant of layers and sequences.

pub(crate) mod gates;
pub(crate) mod gemm;
pub(crate) mod outer;
pub(crate) mod panel;
pub(crate) mod rows;
