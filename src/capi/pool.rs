//! # Threads
//!
//! No thread is started unless a pool is made. Handles that were given a pool by their _set_pool spread their work over its
//! threads where there is enough of it; the number of threads changes no bit of a finite result.
//!
//! Any number of sessions and threads may share a pool: their calls take turns, except for those that are too small to be
//! spread. A pool's threads work in the floating-point environment of the thread that calls, and block all signals but those
//! of their own faults. In the child of a fork, in whatever PID namespace, pools of the parent have no threads: sessions that
//! use one work on the caller's thread, and both may be destroyed; pools made in the child have theirs. docs/threads.md tells
//! more.

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use crate::error::Result;
use crate::parallel::Pool;

/// Threads that handles share.
pub struct srnn_pool(pub(super) Pool);

/// Makes a pool for `threads` threads, or, for 0, as many as the process may use at once. The thread that calls with a
/// session is one of them, so one fewer is started. The caller destroys the pool; what uses it keeps its threads
/// alive.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for more than 1024 threads; SRNN_ERROR_OUT_OF_MEMORY if they cannot be started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_pool_create(
    threads: usize,
    pool: *mut *mut srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let pool = unsafe { Arrays::new().out("pool", pool) }?;
        pool.write(handle::create(srnn_pool(Pool::new(threads)?))?);
        Ok(())
    })
}

/// Destroys a pool; its threads end with the last handle that uses them. The call that destroys the last of them returns when
/// the threads have ended. So once all handles are destroyed the library may be unloaded. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_pool_destroy(pool: *mut srnn_pool) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(pool) }
}

/// The pool that a handle is given; NULL is none.
///
/// # Safety
/// As for [`handle::shared`].
pub(super) unsafe fn optional<'a>(pool: *const srnn_pool) -> Result<Option<&'a Pool>> {
    // SAFETY: the caller's promise.
    Ok(unsafe { handle::shared_optional("pool", pool) }?.map(|pool: &srnn_pool| &pool.0))
}

/// Number of threads, the caller's included; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_pool_thread_count(pool: *const srnn_pool) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(pool, 0, |p| p.0.threads()) }
}
