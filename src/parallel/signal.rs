//! A counted signal from one thread to another, and how long its receiver stays awake for it.

use super::sync::{AtomicUsize, Condvar, Mutex, Ordering, spin_loop, yield_now};

/// How a receiver waits before it sleeps: by looking again and again, then by giving way to other threads in between.
/// One that has looked in vain looks less often the next few times: perhaps whoever it waits for has no processor.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) spins: usize,
    pub(crate) yields: usize,
}

/// How much less often, and how many times. Not for ever: who sleeps keeps others waiting in turn.
const LESS: usize = 32;
const TIMES: usize = 8;
/// Set in [`Signal::sent`] while the receiver sleeps or is about to.
const SLEEPS: usize = 1;
/// One signal in [`Signal::sent`].
const ONE: usize = 2;

/// Signals that are counted, so that none is lost if it comes early: each `receive` takes one `send`, and sees what was
/// written before it. At any time one thread may send and one may receive.
///
/// The count and the receiver's sleep share one word, so either the sender sees that the receiver sleeps or the receiver
/// sees the signal: no order between different words matters.
#[repr(align(128))] // Two lines, which processors fetch as a pair: neighbours do not disturb each other.
pub(crate) struct Signal {
    sent: AtomicUsize,
    /// Only the receiver touches these two.
    received: AtomicUsize,
    look_less: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self {
            sent: AtomicUsize::new(0),
            received: AtomicUsize::new(0),
            look_less: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    pub(crate) fn send(&self) {
        if self.sent.fetch_add(ONE, Ordering::AcqRel) & SLEEPS != 0 {
            // The receiver holds the lock from setting the mark until it sleeps. Nothing panics while it is held.
            drop(self.lock.lock());
            self.wake.notify_one();
        }
    }

    /// Waits for the next signal.
    #[inline]
    pub(crate) fn receive(&self, patience: Patience) {
        let received = self.received.load(Ordering::Relaxed);
        if !self.is_there(received) {
            self.wait(received, patience);
        }
        self.received.store(received.wrapping_add(ONE), Ordering::Relaxed);
    }

    #[inline]
    fn is_there(&self, received: usize) -> bool {
        self.sent.load(Ordering::Acquire) & !SLEEPS != received
    }

    #[cold]
    fn wait(&self, received: usize, patience: Patience) {
        let times = self.look_less.load(Ordering::Relaxed);
        for _ in 0..patience.spins / if times == 0 { 1 } else { LESS } {
            spin_loop();
            if self.is_there(received) {
                self.look_less.store(0, Ordering::Relaxed);
                return;
            }
        }
        self.look_less.store(times.checked_sub(1).unwrap_or(TIMES), Ordering::Relaxed);
        for _ in 0..patience.yields {
            yield_now();
            if self.is_there(received) {
                return;
            }
        }
        let Ok(mut guard) = self.lock.lock() else { unreachable!("nothing panics under the lock") };
        let mut sent = self.sent.fetch_or(SLEEPS, Ordering::AcqRel);
        while sent & !SLEEPS == received {
            guard = match self.wake.wait(guard) {
                Ok(guard) => guard,
                Err(_) => unreachable!("nothing panics under the lock"),
            };
            sent = self.sent.load(Ordering::Acquire);
        }
        self.sent.fetch_and(!SLEEPS, Ordering::AcqRel);
    }
}
