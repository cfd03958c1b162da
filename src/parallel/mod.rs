//! Threads: the pool handle, and the splitting of independent rows over it.
//!
//! There is no hidden pool. Work is split only where its parts share no result, so the number of threads changes no bit.

use crate::error::{Result, ensure, err};
use std::ops::Range;
use std::sync::Arc;

/// Threads that sessions may share. Cheap to clone; the threads end when the last clone is gone. Two sessions that use
/// one pool at the same time share its threads.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<rayon::ThreadPool>,
}

/// Multiply-adds below which a share of the work is not worth another thread's while.
pub(crate) const FEWEST_PRODUCTS: usize = 1 << 17;

/// Values below which a share of copying is not worth it.
pub(crate) const FEWEST_COPIES: usize = 1 << 14;

/// The most threads a pool may have.
const MAX_THREADS: usize = 1024;

impl Pool {
    /// A pool of `threads` threads; 0 means as many as the process may use at once.
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
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("simdrnn-{i}"))
            .build()
            .map_err(|e| err!(OutOfMemory, "could not start {threads} threads: {e}"))?;
        Ok(Self { threads: Arc::new(pool) })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// Runs `call` inside the pool, if there is one, so that the splits within it start without waking anybody.
pub(crate) fn enter<T: Send>(pool: Option<&Pool>, call: impl FnOnce(Team) -> T + Send) -> T {
    match pool {
        Some(pool) if pool.threads() > 1 => pool.threads.install(|| call(Team { threads: pool.threads() })),
        _ => call(Team::one()),
    }
}

/// The threads of the pool that the current call runs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Team {
    threads: usize,
}

impl Team {
    /// The caller's thread alone.
    pub(crate) fn one() -> Self {
        Self { threads: 1 }
    }

    pub(crate) fn threads(self) -> usize {
        self.threads
    }

    /// Calls both at the same time, each with half of the team.
    pub(crate) fn join(self, a: impl FnOnce(Team) + Send, b: impl FnOnce(Team) + Send) {
        let half = self.threads / 2;
        rayon::join(|| a(Team { threads: half }), || b(Team { threads: self.threads - half }));
    }

    /// Calls `part` on ranges that make up `range`, each at least `least` long unless `range` is shorter, at most one a
    /// thread. Parts run at the same time; all have ended when this returns.
    pub(crate) fn split(self, range: Range<usize>, least: usize, part: &(impl Fn(Range<usize>) + Sync)) {
        let parts = (range.len() / least.max(1)).min(self.threads);
        if parts <= 1 {
            part(range);
            return;
        }
        let left = parts / 2;
        let middle = range.start + range.len() * left / parts;
        let (a, b) = (range.start..middle, middle..range.end);
        rayon::join(
            || Team { threads: left }.split(a, least, part),
            || Team { threads: parts - left }.split(b, least, part),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn parts_cover_the_range_once() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for (n, least) in [(0, 1), (1, 1), (7, 2), (100, 6), (101, 1)] {
                let seen: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                let parts = AtomicUsize::new(0);
                enter(Some(&pool), |team| {
                    team.split(0..n, least, &|range| {
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

    #[test]
    fn absurd_pools_are_refused() {
        assert!(Pool::new(MAX_THREADS + 1).is_err());
    }
}
