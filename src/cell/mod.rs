//! The cells: one file each, with its equations and what the rest of the library has to know, and the one list that makes
//! them known.

mod elman;
mod gru;
mod lstm;

pub(crate) use elman::Elman;
pub(crate) use gru::{ResetAfter, ResetBefore};
pub(crate) use lstm::Lstm;

use crate::error::{Result, err};
use crate::kernel::cell::Properties;
use crate::kernel::cell_kernels::{CellKernels, OneProduct, TwoProducts};
use crate::simd::Ops;
use std::fmt;

/// The list: doc comment, name, number, name in files, and what implements it.
macro_rules! cells {
    ($($(#[$doc:meta])* $cell:ident = $number:literal, $name:literal, $kernels:ident($equations:ty) = $value:expr;)*) => {
        /// The recurrent cell. Gate order is PyTorch's. Later versions may add cells.
        #[repr(i32)]
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cell {
            $($(#[$doc])* $cell = $number,)*
        }

        impl Cell {
            /// All cells, in the order of their numbers.
            pub const ALL: [Cell; [$($number),*].len()] = [$(Cell::$cell),*];

            /// Its name in files, such as `lstm` or `gru_reset_before`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Cell::$cell => $name,)*
                }
            }

            /// What is known about it.
            pub(crate) fn properties(self) -> &'static Properties {
                match self {
                    $(Cell::$cell => const { &$kernels::<$equations>::PROPERTIES },)*
                }
            }

            /// Its kernels for an instruction set.
            pub(crate) fn kernels<S: Ops>(self) -> &'static dyn CellKernels<S> {
                match self {
                    $(Cell::$cell => &$kernels($value),)*
                }
            }
        }
    };
}

cells! {
    /// `h' = tanh(W x + b + U h)` (Elman 1990; `torch.nn.RNN`).
    ElmanTanh = 0, "elman_tanh", OneProduct(Elman<false>) = Elman::<false>;
    /// `h' = relu(W x + b + U h)` (`torch.nn.RNN(nonlinearity="relu")`).
    ElmanRelu = 1, "elman_relu", OneProduct(Elman<true>) = Elman::<true>;
    /// Long short-term memory with forget gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000), optionally with a
    /// projected state (Sak et al. 2014). Gates i, f, g, o.
    Lstm = 2, "lstm", OneProduct(Lstm) = Lstm;
    /// Gated recurrent unit with the reset gate applied after the recurrent product, as in PyTorch, cuDNN, Keras
    /// (`reset_after=True`) and ONNX (`linear_before_reset=1`). Gates r, z, n; `h' = (1 - z) n + z h`.
    Gru = 3, "gru", OneProduct(ResetAfter) = ResetAfter;
    /// Gated recurrent unit with the reset gate applied to `h` before the recurrent product, as in Cho et al. 2014,
    /// Keras (`reset_after=False`) and ONNX's default. Gates r, z, n; `h' = (1 - z) n + z h`.
    GruResetBefore = 4, "gru_reset_before", TwoProducts(ResetBefore) = ResetBefore;
}

impl Cell {
    /// The cell with that number.
    pub fn from_number(number: i32) -> Result<Cell> {
        let describe = |cell: Cell, f: &mut fmt::Formatter<'_>| write!(f, "{} ({})", cell as i32, cell.name());
        Cell::ALL
            .into_iter()
            .find(|&c| c as i32 == number)
            .ok_or_else(|| err!(InvalidArgument, "unknown cell {number}, expected {}", OneOf(describe)))
    }

    /// The cell with that name.
    pub fn from_name(name: &str) -> Result<Cell> {
        let describe = |cell: Cell, f: &mut fmt::Formatter<'_>| f.write_str(cell.name());
        Cell::ALL.into_iter().find(|c| c.name() == name).ok_or_else(|| {
            err!(InvalidArgument, "unknown cell '{}', expected {}", crate::shown::Excerpt(name, 40), OneOf(describe))
        })
    }

    /// Gates: rows of a weight matrix are this many times the hidden size.
    pub fn gates(self) -> usize {
        self.properties().gates
    }

    /// Whether the state has a cell part `c` beside `h`.
    pub fn has_cell_state(self) -> bool {
        self.properties().has_cell_state
    }
}

/// All cells in words, as `a, b or c`.
struct OneOf<F>(F);

impl<F: Fn(Cell, &mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for OneOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, cell) in Cell::ALL.into_iter().enumerate() {
            f.write_str(if i == 0 {
                ""
            } else if i + 1 == Cell::ALL.len() {
                " or "
            } else {
                ", "
            })?;
            (self.0)(cell, f)?;
        }
        Ok(())
    }
}
