//! Cancellation: a thread that the host cancels is not unwound through the library.

/// While it lives, `pthread_cancel` of the calling thread waits: cancelled inside, at a read or a write, the thread would be
/// unwound through frames that allow no unwinding, which ends the process, or leave half of what it was doing. It takes some
/// nanoseconds and no system call.
pub(super) struct Uncancelled {
    #[cfg(all(target_os = "linux", not(miri)))]
    before: std::ffi::c_int,
}

#[cfg(all(target_os = "linux", not(miri)))]
mod posix {
    use std::ffi::c_int;

    pub(super) const DISABLE: c_int = 1;

    unsafe extern "C" {
        pub(super) fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
}

impl Uncancelled {
    #[cfg(all(target_os = "linux", not(miri)))]
    pub(super) fn new() -> Self {
        let mut before = 0;
        // SAFETY: writes to `before`; a thread may ask for this at any time.
        unsafe { posix::pthread_setcancelstate(posix::DISABLE, &mut before) };
        Self { before }
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    pub(super) fn new() -> Self {
        Self {}
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: the state that the thread had.
        unsafe { posix::pthread_setcancelstate(self.before, std::ptr::null_mut()) };
    }
}
