//! Signals belong to the host's threads: those of a pool take none.

/// While it lives, the calling thread blocks all signals but those that a fault of its own raises, and threads that it starts
/// inherit that: they take no signal meant for the process. Faults stay open, since a blocked one ends the process before a
/// crash handler of the host has seen it.
#[cfg(unix)]
pub(crate) struct Blocked {
    /// What the thread blocked before.
    before: libc::sigset_t,
}

#[cfg(unix)]
impl Blocked {
    pub(crate) fn new() -> Self {
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
        // SAFETY: a set is plain memory, which `sigfillset` makes valid; the signals exist.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            for fault in faults {
                libc::sigdelset(&mut all, fault);
            }
            // Cannot fail with such arguments; were nothing blocked, nothing would be restored wrongly.
            libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
            Self { before }
        }
    }
}

#[cfg(unix)]
impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set that the thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

#[cfg(not(unix))]
pub(crate) struct Blocked;

#[cfg(not(unix))]
impl Blocked {
    pub(crate) fn new() -> Self {
        Self
    }
}
