//! Threads: the pool handle, the team that works on one call, and how work is split over it.
//!
//! There is no hidden pool. Parts share no result, so the number of threads changes no bit. `docs/threads.md` says what
//! users may rely on, and how a schedule is chosen.
//!
//! The threads are the pool's own, not those of a general thread pool: each member of a team has a thread to itself, so
//! that members may wait for each other; the caller is one of them; the last handle waits for the threads' end, so that
//! the library may be unloaded; and a forked child can tell that it has none.

mod environment;
mod home;
mod meeting;
mod schedule;
mod signal;
mod signals;
mod sync;
mod team;

pub(crate) use schedule::{
    FEWEST_COPIES, FEWEST_PRODUCTS, Load, MOST_SHARED, NEAR_VALUES, Split, Wavefront, directions_at_once,
    is_worth_waking, product_cost,
};
pub(crate) use team::{Elements, Team};

use crate::error::{Result, ensure, err};
use home::Home;
use signals::Blocked;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use team::Members;

/// Threads that sessions, optimizers and trainers may share. Cheap to clone; the threads have ended when the last clone is
/// gone. Calls that use one pool at the same time take turns. Its threads work in the floating-point environment of the thread
/// that calls (rounding, flushing of subnormals, trapped exceptions), and take no signal meant for the process.
///
/// In a child process made by fork, in whatever PID namespace, a pool of the parent has no threads: calls then work on the
/// caller's thread alone.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    members: Arc<Members>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the call whose team works.
    turn: Mutex<()>,
    /// The process that has the threads.
    home: Home,
}

/// The most threads a pool may have.
const MAX_THREADS: usize = 1024;

impl Pool {
    /// A pool for `threads` threads, of which the caller's is one; 0 means as many as the process may use at once.
    ///
    /// # Errors
    /// `InvalidArgument` for more than 1024; `OutOfMemory` if they cannot be started.
    pub fn new(threads: usize) -> Result<Self> {
        ensure!(
            threads <= MAX_THREADS,
            InvalidArgument,
            "a pool of {threads} threads is asked for, expected at most {MAX_THREADS}"
        );
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS),
            n => n,
        };
        let mut inner = Inner {
            members: Arc::new(Members::new(threads)),
            workers: Vec::with_capacity(threads),
            turn: Mutex::new(()),
            home: Home::new()?,
        };
        let _blocked = Blocked::new();
        for me in 1..threads {
            let members = inner.members.clone();
            let worker = std::thread::Builder::new().name(format!("simdrnn-{me}")).spawn(move || members.work(me));
            // After an error the threads that run end with `inner`.
            inner.workers.push(worker.map_err(|e| err!(OutOfMemory, "could not start {threads} threads: {e}"))?);
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.inner.members.count()
    }

    /// Whether its threads can work: not in a forked child, nor after a panic in one of them.
    fn is_usable(&self) -> bool {
        self.threads() > 1 && !self.inner.members.is_broken() && self.inner.home.is_here()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.home.is_here() {
            self.members.dismiss();
            for worker in self.workers.drain(..) {
                // Workers catch panics.
                let _ = worker.join();
            }
        } else {
            // Threads that this process does not have can be neither told nor joined.
            std::mem::forget(std::mem::take(&mut self.workers));
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// Runs `call` with the team of the pool, if there is one, once it is this call's turn; on the caller's thread.
pub(crate) fn enter<T>(pool: Option<&Pool>, call: impl FnOnce(Team<'_>) -> T) -> T {
    match pool.filter(|pool| pool.is_usable()) {
        Some(pool) => {
            let _turn = pool.inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
            call(pool.inner.members.team())
        }
        None => call(Team::one()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;
    use std::ops::Range;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// More members than this machine has processors, too.
    const SIZES: [usize; 5] = [1, 2, 3, 5, 9];

    #[test]
    fn parts_cover_the_range_once() {
        for threads in SIZES {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for (n, least) in [(0, 1), (1, 1), (7, 2), (100, 6), (101, 1)] {
                let seen: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                let parts = AtomicUsize::new(0);
                enter(Some(&pool), |team| {
                    team.split(0..n, least, &|range: Range<usize>| {
                        assert!(range.len() >= least || range.len() == n);
                        parts.fetch_add(1, Ordering::Relaxed);
                        for i in range {
                            seen[i].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                });
                assert!(seen.iter().all(|s| s.load(Ordering::Relaxed) == 1));
                assert_eq!(parts.load(Ordering::Relaxed), (n / least).clamp(1, threads));
            }
        }
    }

    /// Every member sees at each step what all wrote in the one before, also in teams within teams.
    #[test]
    fn meetings_keep_steps_apart() {
        for threads in SIZES {
            let pool = Pool::new(threads).unwrap();
            for groups in (1..=threads).filter(|g| threads / g > 0) {
                let size = threads / groups;
                let count = |n| (0..n).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>();
                let steps = count(threads);
                enter(Some(&pool), |team| {
                    team.first(groups * size).run(groups, &|group, team| {
                        assert_eq!(team.threads(), size);
                        team.run(size, &|index, own| {
                            assert_eq!(own.threads(), 1);
                            for step in 0..200 {
                                let mates = &steps[group * size..(group + 1) * size];
                                assert!(mates.iter().all(|s| [step, step + 1].contains(&s.load(Ordering::Relaxed))));
                                mates[index].store(step + 1, Ordering::Relaxed);
                                team.meet(index);
                                assert!(mates.iter().all(|s| s.load(Ordering::Relaxed) > step));
                                team.meet(index);
                            }
                        });
                    });
                });
            }
        }
    }

    /// Values that are not atomic, for ThreadSanitizer: each member writes its own and reads a mate's once they have met, and
    /// the caller reads all once they have ended.
    #[test]
    fn what_was_written_before_is_seen_after() {
        struct Values(Vec<UnsafeCell<usize>>);
        // SAFETY: members write and read one value at different times, with a meeting in between.
        unsafe impl Sync for Values {}
        impl Values {
            fn at(&self, i: usize) -> *mut usize {
                self.0[i].get()
            }
        }
        for threads in SIZES {
            let pool = Pool::new(threads).unwrap();
            let values = Values((0..threads).map(|_| UnsafeCell::new(0)).collect());
            for call in 1..=20 {
                enter(Some(&pool), |team| {
                    team.run(threads, &|index, _| {
                        for step in 0..20 {
                            let value = call * 100 + step;
                            // SAFETY: the others read what was written before the last meeting, and not after it.
                            unsafe { *values.at(index) = value };
                            team.meet(index);
                            // SAFETY: written before this meeting, and not again before the next.
                            assert_eq!(unsafe { *values.at((index + step) % threads) }, value);
                            team.meet(index);
                        }
                    });
                });
                // SAFETY: all members have ended.
                assert!((0..threads).all(|i| unsafe { *values.at(i) } == call * 100 + 19));
            }
        }
    }

    /// Nothing hangs, the panic reaches the caller, and the pool goes on without its threads.
    #[test]
    fn panics_end_the_call() {
        for (threads, culprit) in [(2, 0), (2, 1), (5, 0), (5, 3)] {
            let pool = Pool::new(threads).unwrap();
            let walk = |fails: bool| {
                enter(Some(&pool), |team| {
                    let parts = team.threads();
                    team.run(parts, &|index, _| {
                        for step in 0..100 {
                            assert!(!fails || index != culprit || step < 50, "expected by the test");
                            team.meet(index);
                        }
                    });
                    parts
                })
            };
            assert_eq!(walk(false), threads);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| walk(true))).is_err());
            assert_eq!(walk(false), 1);
        }
    }

    #[test]
    fn calls_of_many_threads_take_turns() {
        let pool = Pool::new(3).unwrap();
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        enter(Some(&pool), |team| {
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            team.run(3, &|index, _| team.meet(index));
                            inside.fetch_sub(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn absurd_pools_are_refused() {
        assert!(Pool::new(MAX_THREADS + 1).is_err());
    }
}
