//! The threads of a pool, and the team that walks one sequence together.

use super::environment::Environment;
use super::meeting::Meeting;
use super::signal::{Patience, Signal};
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a member is asked to do: its index among the parts and the team that it leads.
type Work<'a> = dyn Fn(usize, Team<'_>) + Sync + 'a;

#[derive(Clone, Copy)]
struct Task {
    work: *const Work<'static>,
    index: usize,
    /// Members of the team it leads.
    count: usize,
    /// Its leader's, who has it from the caller.
    environment: Environment,
}

struct Member {
    /// Written before `posted` is sent, by who sends it; `None` asks the thread to end.
    task: UnsafeCell<Option<Task>>,
    posted: Signal,
    done: Signal,
}

/// The members of a pool: threads that wait for tasks, and at place 0 whoever calls.
pub(crate) struct Members {
    members: Box<[Member]>,
    meeting: Meeting,
    /// Set once a task has panicked: signals no longer add up, so nothing is posted any more.
    broken: AtomicBool,
}

// SAFETY: a task is written and read by one thread at a time, with a signal in between; its `work` may be shared.
unsafe impl Sync for Members {}
// SAFETY: as above.
unsafe impl Send for Members {}

/// Some microseconds of looking: much more than members that run differ by, less than waking would take.
const PATIENCE: Patience = Patience { spins: 1000, yields: 300 };

impl Members {
    pub(crate) fn new(count: usize) -> Self {
        let member = |_| Member { task: UnsafeCell::new(None), posted: Signal::new(), done: Signal::new() };
        Self { members: (0..count).map(member).collect(), meeting: Meeting::new(count), broken: AtomicBool::new(false) }
    }

    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// The whole team. The caller sees to it that there is one at a time, which it leads.
    pub(crate) fn team(&self) -> Team<'_> {
        Team { members: Some(self), first: 0, count: self.count() }
    }

    /// What the thread of member `me` does, until [`Members::dismiss`].
    pub(crate) fn work(&self, me: usize) {
        let member = &self.members[me];
        loop {
            member.posted.receive(PATIENCE);
            // SAFETY: written before the signal, and not again before this member has answered.
            let Some(task) = (unsafe { *member.task.get() }) else { return };
            let team = Team { members: Some(self), first: me, count: task.count };
            let result = {
                let _entered = task.environment.enter();
                // SAFETY: whoever posted the task keeps its work alive until this member has answered.
                catch_unwind(AssertUnwindSafe(|| unsafe { (*task.work)(task.index, team) }))
            };
            if let Err(panic) = result {
                // Its destructor is unknown code, which may panic in its turn.
                std::mem::forget(panic);
                self.fail();
            }
            member.done.send();
        }
    }

    /// Asks all threads to end.
    pub(crate) fn dismiss(&self) {
        self.members[1..].iter().for_each(|member| member.post(None));
    }

    /// After a panic: nobody shall wait for the member that will not come.
    fn fail(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.meeting.dissolve();
    }

    fn check(&self) {
        assert!(!self.is_broken(), "another thread of the team failed");
    }
}

impl Member {
    fn post(&self, task: Option<Task>) {
        // SAFETY: the member has answered its last task, so it does not read; only its leader posts.
        unsafe { *self.task.get() = task };
        self.posted.send();
    }
}

/// Consecutive members of a pool, led by the first of them, during one call.
#[derive(Clone, Copy)]
pub(crate) struct Team<'a> {
    members: Option<&'a Members>,
    first: usize,
    count: usize,
}

impl<'a> Team<'a> {
    /// The caller's thread alone.
    pub(crate) fn one() -> Self {
        Self { members: None, first: 0, count: 1 }
    }

    pub(crate) fn threads(self) -> usize {
        self.count
    }

    /// The first `count` members, or all if there are fewer.
    pub(crate) fn first(self, count: usize) -> Self {
        Self { count: count.clamp(1, self.count), ..self }
    }

    /// Splits the team into `parts`, as even as they get, and calls `work` with the index of each and the team that is
    /// left to it: all at the same time, each on a thread of its own, in the caller's
    /// floating-point environment. All have ended when this returns. The leader of the
    /// team calls it; there may be as many parts as members.
    pub(crate) fn run(self, parts: usize, work: &(impl Fn(usize, Team<'_>) + Sync)) {
        assert!(parts <= self.count, "a thread for each part");
        let Some(members) = self.members.filter(|_| parts > 1) else {
            return (0..parts).for_each(|index| work(index, self));
        };
        /// Waits for the parts that were posted, also where the leader's own panics.
        struct Posted<'a> {
            members: &'a Members,
            leaders: &'a dyn Fn(usize) -> usize,
            parts: Range<usize>,
        }
        impl Drop for Posted<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.members.fail();
                }
                for part in self.parts.clone() {
                    self.members.members[(self.leaders)(part)].done.receive(PATIENCE);
                }
            }
        }
        let leader = |part: usize| self.first + self.count * part / parts;
        let team = |part: usize| Team { first: leader(part), count: leader(part + 1) - leader(part), ..self };
        let work: &Work<'_> = work;
        // SAFETY: only the lifetime changes, and nobody calls it after `posted` is dropped.
        let erased = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        let environment = Environment::current();
        let mut posted = Posted { members, leaders: &leader, parts: 1..1 };
        for index in 1..parts {
            let count = team(index).count;
            members.members[leader(index)].post(Some(Task { work: erased, index, count, environment }));
            posted.parts.end = index + 1;
        }
        work(0, team(0));
        drop(posted);
        members.check();
    }

    /// Calls both at the same time, each with half of the team.
    pub(crate) fn join(self, a: impl FnOnce(Team<'_>) + Send, b: impl FnOnce(Team<'_>) + Send) {
        // Each is taken by one thread: the locks are for the compiler.
        let (a, b) = (Mutex::new(Some(a)), Mutex::new(Some(b)));
        self.run(2, &|index, team| {
            if index == 0 {
                let a = a.lock().map(|mut a| a.take());
                a.ok().flatten().expect("called once")(team);
            } else {
                let b = b.lock().map(|mut b| b.take());
                b.ok().flatten().expect("called once")(team);
            }
        });
    }

    /// Waits until all members of the team have come here, the caller being member `index`; then each sees what the others
    /// have written. To be called by the parts of `run`, one for each member.
    #[inline]
    pub(crate) fn meet(self, index: usize) {
        if let Some(members) = self.members {
            members.meeting.wait(self.first, self.count, self.first + index, PATIENCE);
            members.check();
        }
    }

    /// Calls `part` on ranges that make up `range`, each at least `least` long unless `range` is shorter, at most one a
    /// thread. Parts run at the same time; all have ended when this returns.
    pub(crate) fn split(self, range: Range<usize>, least: usize, part: &(impl Fn(Range<usize>) + Sync)) {
        let parts = (range.len() / least.max(1)).clamp(1, self.count);
        let cut = |i: usize| range.start + range.len() * i / parts;
        self.run(parts, &|i, _| part(cut(i)..cut(i + 1)));
    }
}

impl std::fmt::Debug for Team<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("first", &self.first).field("count", &self.count).finish()
    }
}

/// An array of which threads take different elements.
pub(crate) struct Elements<'a, T> {
    first: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: elements are one thread's at a time, and may move between threads.
unsafe impl<T: Send> Sync for Elements<'_, T> {}

impl<'a, T> Elements<'a, T> {
    pub(crate) fn of(array: &'a mut [T]) -> Self {
        Self { first: array.as_mut_ptr(), len: array.len(), borrow: PhantomData }
    }

    /// Pointer to element `i`.
    ///
    /// # Safety
    /// There is such an element.
    pub(crate) unsafe fn at(&self, i: usize) -> *mut T {
        debug_assert!(i < self.len);
        // SAFETY: the caller's contract.
        unsafe { self.first.add(i) }
    }

    /// `len` elements from element `first` on.
    ///
    /// # Safety
    /// There are such elements, and nobody else touches them meanwhile.
    pub(crate) unsafe fn slice(&self, first: usize, len: usize) -> &'a mut [T] {
        debug_assert!(first + len <= self.len);
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(first), len) }
    }
}
