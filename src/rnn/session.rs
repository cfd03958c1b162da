//! One caller's scratch memory and threads.

use super::backward_scratch::BackwardScratch;
use super::scratch::Scratch;
use crate::buffer::AlignedBuf;
use crate::kernel::outer::OuterScratch;
use crate::parallel::Pool;

/// One caller's scratch memory for forward and backward. It grows to what a call needs and is reused from then on:
/// calls of a shape that fitted before allocate nothing. Not to be used by two threads at once.
///
/// ```
/// use simdrnn::{Pool, rnn::Session};
///
/// let pool = Pool::new(2)?;
/// let mut session = Session::with_pool(&pool); // or Session::new(): the caller's thread alone
/// assert_eq!(session.bytes(), 0);
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Default)]
pub struct Session {
    pub(super) pool: Option<Pool>,
    pub(super) scratch: Scratch,
    pub(super) backward: BackwardScratch,
    /// Initial states of a call that updates them in place.
    pub(super) initial: [AlignedBuf<f32>; 2],
}

impl Session {
    /// An empty session that works on the caller's thread.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty session that spreads its work over the threads of `pool`.
    pub fn with_pool(pool: &Pool) -> Self {
        Self { pool: Some(pool.clone()), ..Self::default() }
    }

    /// Spreads the work over the threads of `pool` from now on, or with `None` over no others. The number of threads changes
    /// no bit.
    pub fn set_pool(&mut self, pool: Option<&Pool>) {
        self.pool = pool.cloned();
    }

    /// Bytes of scratch memory held. Forward of a stack in one direction needs no more for a longer sequence, except 8
    /// bytes a step if lengths differ; a bidirectional stack also keeps two layers' outputs. A training forward needs 8
    /// bytes for each step of each sequence.
    pub fn bytes(&self) -> usize {
        self.scratch.bytes() + self.backward.bytes() + self.initial.iter().map(AlignedBuf::bytes).sum::<usize>()
    }

    /// The pool whose threads it uses, if it has one.
    pub fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// The pool, and memory for the products of weight gradients of layers that are not recurrent.
    pub(crate) fn for_products(&mut self) -> (Option<&Pool>, &mut OuterScratch) {
        (self.pool.as_ref(), self.backward.outer())
    }
}
