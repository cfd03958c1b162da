//! The helpers that the other tests lean on.

mod common;

use common::random::SplitMix64;
use common::relative_error;

#[test]
fn relative_error_sees_what_it_should() {
    assert_eq!(relative_error(&[1.0, 4.0], &[1.0, 4.0]), 0.0);
    assert_eq!(relative_error(&[1.0, -4.0], &[2.0, -4.0]), 0.25);
    assert_eq!(relative_error(&[0.5], &[0.0]), 0.5);
    assert_eq!(relative_error(&[f64::NAN, 1.0], &[1.0, 1.0]), f64::INFINITY);
    assert_eq!(relative_error(&[], &[]), 0.0);
}

/// The first outputs of Vigna's splitmix64.c from state 0.
#[test]
fn splitmix64_known_answers() {
    let mut r = SplitMix64::new(0);
    assert_eq!([r.next_u64(), r.next_u64()], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
}

#[test]
fn random_values_fill_their_range() {
    let mut r = SplitMix64::new(1);
    let values = r.values(1000, 2.0);
    assert!(values.iter().all(|v| (-2.0..2.0).contains(v)));
    assert!(values.iter().any(|&v| v > 1.9) && values.iter().any(|&v| v < -1.9));
    let values = r.values_f32(1000, 2.0);
    assert!(values.iter().all(|v| (-2.0..2.0).contains(v)));
    assert!(values.iter().any(|&v| v > 1.9) && values.iter().any(|&v| v < -1.9));
    let sizes: Vec<usize> = (0..100).map(|_| r.between(3, 5)).collect();
    assert!([3, 4, 5].iter().all(|n| sizes.contains(n)) && sizes.iter().all(|n| (3..=5).contains(n)));
}
