//! Recurrent layers (Elman RNN, LSTM, GRU) on the CPU: forward and backward, batched and streaming, with
//! hand-vectorized kernels and a C ABI.

pub(crate) mod buffer;
pub mod error;
pub mod io;
pub(crate) mod random;
pub mod rnn;
pub(crate) mod simd;
pub mod text;

pub use error::{Error, ErrorKind, Result};
pub use simd::Isa;
