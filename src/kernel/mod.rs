//! Kernels: arithmetic on slices and packed panels. A kernel knows no layer and no instruction set by name.

pub(crate) mod reduce;
pub(crate) mod sigmoid;
pub(crate) mod softmax;
