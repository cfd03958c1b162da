//! What the integration tests share. Each test binary is a crate of its own that uses its part of this module, so an
//! unused or unreachable item here means nothing.
#![allow(dead_code, unreachable_pub)]

pub mod bounds;
#[cfg(target_os = "linux")]
pub mod c;
#[cfg(target_os = "linux")]
pub mod declarations;
pub mod golden;
#[cfg(target_os = "linux")]
pub mod guarded;
pub mod masks;
pub mod problem;
pub mod random;
pub mod reference;
pub mod trajectory;
#[cfg(target_os = "linux")]
pub mod wrappers;

/// The largest difference of two tensors relative to the largest magnitude in `expected`; infinite if a value is not
/// finite, and absolute if `expected` is all zeros.
pub fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "tensors of different lengths");
    let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(expected).fold(0.0f64, |m, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_finite() { m.max(difference) } else { f64::INFINITY }
    });
    if scale > 0.0 { worst / scale } else { worst }
}

/// The same values in f64.
pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}
