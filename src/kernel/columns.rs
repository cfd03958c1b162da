//! Products with some panels of a plain matrix: how threads share one product without sharing an output.

use super::gemm::{Output, Start, gemm_view};
use super::lhs::Lhs;
use super::mat::Mat;
use super::panel::{PanelView, Panels};
use crate::simd::Ops;
use std::ops::Range;

/// `out[r, columns] (+)= a[r, :] * b[:, columns]` for the columns of some panels of a plain matrix, into rows that are
/// valid for as many values as it has columns.
///
/// # Safety
/// `out` reaches to the left operand's last row, and nothing else touches these columns.
pub(crate) unsafe fn gemm_columns<S: Ops>(
    s: S,
    a: impl Lhs,
    b: &Panels,
    panels: Range<usize>,
    start: Start<'_>,
    out: Mat<'_>,
) {
    assert!(b.is_plain());
    let view = b.view();
    let first = panels.start * S::PANEL_WIDTH;
    let columns = (panels.end * S::PANEL_WIDTH).min(b.columns()).saturating_sub(first);
    if a.count() == 0 || columns == 0 {
        return;
    }
    let data = &view.data[first * view.k..panels.end * S::PANEL_WIDTH * view.k];
    let part = PanelView { panels: panels.len(), data, offsets: None, ..view };
    let start = if let Start::Row(row) = start { Start::Row(&row[first..]) } else { start };
    // SAFETY: the caller's contract; what is touched of the last row ends with these columns.
    unsafe {
        let out = Output::raw(out.at(0, first), (a.count() - 1) * out.stride() + columns, out.stride());
        gemm_view(s, a, part, columns, start, out);
    }
}
