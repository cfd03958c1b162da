//! The signal and the barrier of `src/parallel/` under a model checker: every order in which threads may run and see each
//! other's writes, with up to two or three preemptions. A lost wake-up is a deadlock, which the checker reports.

/// What the sources take from `super::sync`, in the checker's version.
mod sync {
    pub(super) use loom::hint::spin_loop;
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
    pub(super) use loom::sync::{Condvar, Mutex};
    pub(super) use loom::thread::yield_now;
}
#[path = "../src/parallel/meeting.rs"]
#[allow(dead_code)]
mod meeting;
#[path = "../src/parallel/signal.rs"]
#[allow(dead_code)]
mod signal;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use meeting::Meeting;
use signal::{Patience, Signal};

/// Looks once and sleeps, or sleeps at once.
const PATIENCES: [Patience; 2] = [Patience { spins: 1, yields: 0 }, Patience { spins: 0, yields: 0 }];

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

struct Shared<T> {
    what: T,
    /// The checker fails if a read or write of one is not ordered after the last write by another thread.
    values: Vec<UnsafeCell<usize>>,
}

// SAFETY: the checker watches the values.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(what: T, values: usize) -> Arc<Self> {
        Arc::new(Self { what, values: (0..values).map(|_| UnsafeCell::new(0)).collect() })
    }

    fn set(&self, index: usize, value: usize) {
        // SAFETY: the checker's to judge.
        self.values[index].with_mut(|v| unsafe { *v = value });
    }

    fn get(&self, index: usize) -> usize {
        // SAFETY: as above.
        self.values[index].with(|v| unsafe { *v })
    }
}

/// A task is handed over and its result handed back, twice: neither side moves early, none sleeps for ever.
#[test]
fn tasks_and_answers() {
    for patience in PATIENCES {
        check(3, move || {
            let shared = Shared::new((Signal::new(), Signal::new()), 2);
            let worker = {
                let shared = shared.clone();
                loom::thread::spawn(move || {
                    for _ in 0..2 {
                        shared.what.0.receive(patience);
                        shared.set(1, shared.get(0) + 1);
                        shared.what.1.send();
                    }
                })
            };
            for task in [10, 20] {
                shared.set(0, task);
                shared.what.0.send();
                shared.what.1.receive(patience);
                assert_eq!(shared.get(1), task + 1);
            }
            worker.join().unwrap();
        });
    }
}

/// Signals that come before anyone waits are kept.
#[test]
fn early_signals_count() {
    check(3, || {
        let shared = Shared::new(Signal::new(), 2);
        let sender = {
            let shared = shared.clone();
            loom::thread::spawn(move || {
                for i in 0..2 {
                    shared.set(i, 1);
                    shared.what.send();
                }
            })
        };
        for i in 0..2 {
            shared.what.receive(PATIENCES[1]);
            assert_eq!(shared.get(i), 1);
        }
        sender.join().unwrap();
    });
}

/// Members write their value of a step, meet, read everybody's, meet, and go on.
fn walk(members: usize, steps: usize, preemptions: usize, patience: Patience) {
    check(preemptions, move || {
        let shared = Shared::new(Meeting::new(members), members);
        let member = |me: usize, shared: Arc<Shared<Meeting>>| {
            move || {
                for step in 1..=steps {
                    shared.set(me, step);
                    shared.what.wait(0, members, me, patience);
                    for other in 0..members {
                        assert_eq!(shared.get(other), step);
                    }
                    if step < steps {
                        shared.what.wait(0, members, me, patience);
                    }
                }
            }
        };
        let others: Vec<_> = (1..members).map(|me| loom::thread::spawn(member(me, shared.clone()))).collect();
        member(0, shared.clone())();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn two_meet_again_and_again() {
    PATIENCES.into_iter().for_each(|patience| walk(2, 2, 3, patience));
}

#[test]
fn three_meet() {
    walk(3, 1, 2, PATIENCES[1]);
}
