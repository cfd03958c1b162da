//! The kernels of a cell behind one table for each instruction set, so that what runs layers is compiled once for all cells.

use super::cell::{Equations, Flush, GateSlot, Properties, SecondProduct};
use super::gates::{self, Backward, Forward, Span};
use super::look_ahead::LookAhead;
use super::mat::{Gathered, Mat, Strided};
use super::single_row::{AnyLayer, Layer, RowBuffers, Weights};
use crate::buffer::try_box;
use crate::error::Result;
use crate::simd::Ops;
use std::ops::Range;

/// What every cell has.
pub(crate) trait CellKernels<S: Ops>: Sync {
    /// As [`gates::forward`].
    ///
    /// # Safety
    /// As there.
    unsafe fn forward(&self, s: S, span: &Span, rows: &Forward<'_>);

    /// As [`gates::backward`].
    ///
    /// # Safety
    /// As there.
    unsafe fn backward(&self, s: S, span: &Span, rows: &Backward<'_>);

    /// As [`gates::cell_gradient`].
    ///
    /// # Safety
    /// As there.
    unsafe fn cell_gradient(&self, s: S, span: &Span, rows: &Backward<'_>, out: Mat<'_>);

    /// As [`gates::unprojected`].
    ///
    /// # Safety
    /// As there.
    unsafe fn unprojected(&self, s: S, span: &Span, rows: &Backward<'_>, out: Mat<'_>, flush: Flush);

    /// Those of single rows, for cells with one recurrent product.
    fn single_row(&self) -> Option<&dyn SingleRowKernels<S>>;

    /// Those around the second product, for cells that have one.
    fn second_product(&self) -> Option<&dyn SecondProductKernels<S>>;
}

/// A layer's rows one at a time.
pub(crate) trait SingleRowKernels<S: Ops> {
    /// Runs rows through some blocks of units of a layer. `done` is called after each.
    ///
    /// # Safety
    /// As [`Layer::rows`]'s.
    unsafe fn rows(
        &self,
        s: S,
        weights: &Weights<'_>,
        rows: &RowBuffers,
        ahead: Option<&LookAhead<'_>>,
        blocks: Range<usize>,
        flush: Flush,
        done: Option<&dyn Fn()>,
    );

    /// Some blocks of units of a layer, for one row after another.
    fn layer(&self, s: S, blocks: Range<usize>, flush: Flush) -> Result<Box<dyn AnyLayer>>;
}

/// What happens around a second product.
pub(crate) trait SecondProductKernels<S: Ops> {
    /// As [`gates::between`].
    ///
    /// # Safety
    /// As there.
    unsafe fn between(&self, s: S, span: &Span, pre: Strided<'_>, before: Gathered<'_>, out: Mat<'_>);

    /// As [`gates::backward_between`].
    ///
    /// # Safety
    /// As there.
    unsafe fn backward_between(&self, s: S, span: &Span, rows: &Backward<'_>, d: Mat<'_>);
}

/// A cell with one recurrent product.
pub(crate) struct OneProduct<C>(pub(crate) C);

/// A cell with two.
pub(crate) struct TwoProducts<C>(pub(crate) C);

impl<C: Equations> OneProduct<C> {
    pub(crate) const PROPERTIES: Properties = Properties::of::<C>(&[]);
}

impl<C: SecondProduct> TwoProducts<C> {
    const SECOND: &'static [GateSlot] = C::SECOND;
    pub(crate) const PROPERTIES: Properties = Properties::of::<C>(Self::SECOND);
}

/// What does not depend on the number of products.
macro_rules! common {
    () => {
        unsafe fn forward(&self, s: S, span: &Span, rows: &Forward<'_>) {
            // SAFETY: the caller's contract.
            unsafe { gates::forward(s, self.0, span, rows) }
        }
        unsafe fn backward(&self, s: S, span: &Span, rows: &Backward<'_>) {
            // SAFETY: the caller's contract.
            unsafe { gates::backward(s, self.0, span, rows) }
        }
        unsafe fn cell_gradient(&self, s: S, span: &Span, rows: &Backward<'_>, out: Mat<'_>) {
            // SAFETY: the caller's contract.
            unsafe { gates::cell_gradient(s, self.0, span, rows, out) }
        }
        unsafe fn unprojected(&self, s: S, span: &Span, rows: &Backward<'_>, out: Mat<'_>, flush: Flush) {
            // SAFETY: the caller's contract.
            unsafe { gates::unprojected(s, self.0, span, rows, out, flush) }
        }
    };
}

impl<S: Ops, C: Equations> CellKernels<S> for OneProduct<C> {
    common!();

    fn single_row(&self) -> Option<&dyn SingleRowKernels<S>> {
        Some(self)
    }
    fn second_product(&self) -> Option<&dyn SecondProductKernels<S>> {
        None
    }
}

impl<S: Ops, C: SecondProduct> CellKernels<S> for TwoProducts<C> {
    common!();

    fn single_row(&self) -> Option<&dyn SingleRowKernels<S>> {
        None
    }
    fn second_product(&self) -> Option<&dyn SecondProductKernels<S>> {
        Some(self)
    }
}

impl<S: Ops, C: Equations> SingleRowKernels<S> for OneProduct<C> {
    unsafe fn rows(
        &self,
        s: S,
        weights: &Weights<'_>,
        rows: &RowBuffers,
        ahead: Option<&LookAhead<'_>>,
        blocks: Range<usize>,
        flush: Flush,
        done: Option<&dyn Fn()>,
    ) {
        // SAFETY: the caller's contract.
        unsafe { Layer::new(s, self.0, blocks, flush).rows(weights, rows, ahead, done) }
    }

    fn layer(&self, s: S, blocks: Range<usize>, flush: Flush) -> Result<Box<dyn AnyLayer>> {
        Ok(try_box(Layer::new(s, self.0, blocks, flush))?)
    }
}

impl<S: Ops, C: SecondProduct> SecondProductKernels<S> for TwoProducts<C> {
    unsafe fn between(&self, s: S, span: &Span, pre: Strided<'_>, before: Gathered<'_>, out: Mat<'_>) {
        // SAFETY: the caller's contract.
        unsafe { gates::between(s, self.0, span, pre, before, out) }
    }
    unsafe fn backward_between(&self, s: S, span: &Span, rows: &Backward<'_>, d: Mat<'_>) {
        // SAFETY: the caller's contract.
        unsafe { gates::backward_between(s, self.0, span, rows, d) }
    }
}
