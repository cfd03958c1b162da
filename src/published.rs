//! A value that is made at its first need, by whichever threads need it at once, without a lock.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Empty until the first [`publish`](Self::publish). Nobody ever waits, so a process that forks while another thread is
/// publishing leaves its child nothing to wait for.
pub(crate) struct Published<T> {
    value: AtomicPtr<T>,
    owns: PhantomData<T>,
}

impl<T: Send + Sync> Published<T> {
    pub(crate) const fn new() -> Self {
        Self { value: AtomicPtr::new(std::ptr::null_mut()), owns: PhantomData }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: NULL or a box that was published, which lives as long as this does.
        unsafe { self.value.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: as above; nobody else has a reference.
        unsafe { self.value.get_mut().as_mut() }
    }

    /// Publishes `value` unless another thread was faster; the value that is there now.
    pub(crate) fn publish(&self, value: Box<T>) -> &T {
        let new = Box::into_raw(value);
        match self.value.compare_exchange(std::ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: published just now; as in `get`.
            Ok(_) => unsafe { &*new },
            Err(first) => {
                // SAFETY: `new` was a box, and nobody has seen it.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: not NULL, or the exchange had succeeded; as in `get`.
                unsafe { &*first }
            }
        }
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        let value = *self.value.get_mut();
        if !value.is_null() {
            // SAFETY: it was a box, and nobody has a reference any more.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_first_value_is_everyones() {
        for _ in 0..100 {
            let alive = Arc::new(());
            let mut published = Published::new();
            assert!(published.get().is_none());
            let seen: Vec<usize> = std::thread::scope(|scope| {
                let publish = |i| {
                    let (published, alive) = (&published, alive.clone());
                    scope.spawn(move || published.publish(Box::new((i, alive))).0)
                };
                let threads: Vec<_> = (0..4).map(publish).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert!(seen.iter().all(|&i| i == seen[0]));
            assert_eq!(published.get().unwrap().0, seen[0]);
            published.get_mut().unwrap().0 = 9;
            assert_eq!(published.get().unwrap().0, 9);
            // The others' are gone, and with it the first.
            assert_eq!(Arc::strong_count(&alive), 2);
            drop(published);
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    }
}
