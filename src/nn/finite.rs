//! What training does with a loss or a gradient that is not finite.

use crate::error::{Result, err};
use crate::parallel::{Pool, enter};
use crate::shown::Excerpt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// What becomes of a step whose loss or gradients are NaN or infinite. It is decided before anything changes.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// The call fails with `NonFinite`, as if it had never been made.
    #[default]
    Stop = 0,
    /// The step is left out: parameters and the optimizer's state stay, and a count tells of it.
    Skip = 1,
    /// The step is taken with what came out: NaN goes into parameters and state.
    Continue = 2,
}

impl NonFinite {
    const ALL: [NonFinite; 3] = [NonFinite::Stop, NonFinite::Skip, NonFinite::Continue];

    /// The choice with that number.
    pub fn from_number(number: i32) -> Result<Self> {
        Self::ALL.into_iter().find(|&n| n as i32 == number).ok_or_else(|| {
            err!(InvalidArgument, "unknown non_finite {number}, expected 0 (stop), 1 (skip) or 2 (continue)")
        })
    }

    /// `stop`, `skip` or `continue`.
    pub fn name(self) -> &'static str {
        match self {
            NonFinite::Stop => "stop",
            NonFinite::Skip => "skip",
            NonFinite::Continue => "continue",
        }
    }

    /// The choice with that name.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|n| n.name() == name).ok_or_else(|| {
            err!(InvalidArgument, "unknown non_finite '{}', expected stop, skip or continue", Excerpt(name, 40))
        })
    }
}

/// Whether no value is NaN or infinite; `pool` helps with parts of at least `fewest` values.
pub(crate) fn all_finite(pool: Option<&Pool>, fewest: usize, values: &[f32]) -> bool {
    let finite = AtomicBool::new(true);
    enter(pool, |team| {
        team.split(0..values.len(), fewest, &|part: Range<usize>| {
            // Without an early end within a piece, so that it becomes vector instructions.
            let bad = |piece: &[f32]| piece.iter().fold(false, |bad, v| bad | (v.to_bits() & EXPONENT == EXPONENT));
            if values[part].chunks(4096).any(bad) {
                finite.store(false, Ordering::Relaxed);
            }
        });
    });
    finite.into_inner()
}

/// The bits that are all set in what is not finite.
const EXPONENT: u32 = 0x7F80_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_value_anywhere_is_seen() {
        let pool = Pool::new(2).unwrap();
        let mut values = vec![f32::MAX; 9001];
        values[5] = -f32::MIN_POSITIVE / 2.0;
        for pool in [None, Some(&pool)] {
            assert!(all_finite(pool, 1000, &values) && all_finite(pool, 1000, &[]));
            for at in [0, 1, 4095, 4096, 4500, 9000] {
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let kept = std::mem::replace(&mut values[at], bad);
                    assert!(!all_finite(pool, 1000, &values), "{bad} at {at}");
                    values[at] = kept;
                }
            }
        }
    }

    #[test]
    fn names_and_numbers_come_back() {
        for n in NonFinite::ALL {
            assert_eq!((NonFinite::from_number(n as i32).unwrap(), NonFinite::from_name(n.name()).unwrap()), (n, n));
        }
        assert_eq!(NonFinite::default(), NonFinite::Stop);
        assert!(NonFinite::from_number(3).is_err() && NonFinite::from_number(-1).is_err());
        assert!(NonFinite::from_name("go").is_err());
    }
}
