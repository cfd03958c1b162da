//! Inverted dropout whose mask is a function of seed and position: nothing is stored, and backward is the same call.

use crate::error::{Result, ensure};
use crate::random::philox;

/// The last two counter words of a mask, so that it shares no block with a random stream of the same seed.
const DOMAIN: [u32; 2] = [0x6472_6f70, 0x6f75_7400];

/// A dropout mask over a flat sequence of values (`torch.nn.functional.dropout`, with its own random numbers).
///
/// The value at `position` is dropped when Philox's word `position % 4` of block `position / 4` under `seed` is below
/// `p * 2^32`; the others are multiplied with `1 / (1 - p)`.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    seed: u64,
    /// Words below it are dropped; 2^32 drops all.
    threshold: u64,
    scale: f32,
}

impl Dropout {
    /// Drops with probability `p`. `InvalidArgument` outside `[0, 1]`.
    pub fn new(p: f64, seed: u64) -> Result<Self> {
        ensure!((0.0..=1.0).contains(&p), InvalidArgument, "the dropout probability is {p}, expected 0 to 1");
        let threshold = (p * 4_294_967_296.0).round() as u64;
        let scale = if threshold >> 32 == 1 { 0.0 } else { (1.0 / (1.0 - p)) as f32 };
        Ok(Self { seed, threshold, scale })
    }

    /// What the value at `position` is multiplied with: 0 or `1 / (1 - p)`.
    pub fn keep_scale(&self, position: u64) -> f32 {
        self.of_word(self.block(position / 4)[(position % 4) as usize])
    }

    /// Applies the mask from position `offset` on (positions wrap at 2^64). A dropped value becomes 0 whatever it was.
    /// Backward is the same call on the gradient.
    pub fn apply(&self, offset: u64, x: &mut [f32]) {
        if self.threshold == 0 {
            return;
        }
        let head = ((4 - offset % 4) % 4).min(x.len() as u64) as usize;
        let (head, body) = x.split_at_mut(head);
        for (i, v) in (0..).zip(head.iter_mut()) {
            self.scale_value(v, self.keep_scale(offset.wrapping_add(i)));
        }
        let mut block = offset.wrapping_add(head.len() as u64) / 4;
        for values in body.chunks_mut(4) {
            for (v, word) in values.iter_mut().zip(self.block(block)) {
                self.scale_value(v, self.of_word(word));
            }
            block = block.wrapping_add(1) & (u64::MAX >> 2);
        }
    }

    fn block(&self, index: u64) -> [u32; 4] {
        philox(self.seed, [index as u32, (index >> 32) as u32, DOMAIN[0], DOMAIN[1]])
    }

    fn of_word(&self, word: u32) -> f32 {
        if u64::from(word) < self.threshold { 0.0 } else { self.scale }
    }

    fn scale_value(&self, v: &mut f32, scale: f32) {
        *v = if scale == 0.0 { 0.0 } else { *v * scale };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_depends_on_seed_and_position_alone() {
        let d = Dropout::new(0.4, 17).unwrap();
        let mut whole = [1f32; 103];
        d.apply(1000, &mut whole);
        for (i, &v) in whole.iter().enumerate() {
            assert_eq!(v, d.keep_scale(1000 + i as u64));
        }
        for cut in 0..9 {
            let mut pieces = [1f32; 103];
            d.apply(1000, &mut pieces[..cut]);
            d.apply(1000 + cut as u64, &mut pieces[cut..]);
            assert_eq!(pieces, whole);
        }
        let mut other = [1f32; 103];
        Dropout::new(0.4, 18).unwrap().apply(1000, &mut other);
        assert_ne!(other, whole);
        let mut far = [1f32; 9];
        d.apply(u64::MAX - 2, &mut far);
        let expected: Vec<f32> = (0..9).map(|i| d.keep_scale((u64::MAX - 2).wrapping_add(i))).collect();
        assert_eq!(far[..], expected);
    }

    #[test]
    fn rate_and_scale() {
        for p in [0.1, 0.5, 0.9] {
            let n = 100_000;
            let mut x = vec![3f32; n];
            Dropout::new(p, 5).unwrap().apply(0, &mut x);
            let dropped = x.iter().filter(|&&v| v == 0.0).count() as f64 / n as f64;
            assert!((dropped - p).abs() < 6.0 * (p * (1.0 - p) / n as f64).sqrt(), "{dropped}");
            let kept = 3.0 * (1.0 / (1.0 - p)) as f32;
            assert!(x.iter().all(|&v| v == 0.0 || v == kept));
        }
    }

    #[test]
    fn the_ends_and_bad_values() {
        let mut x = [1.5, f32::NAN, -2.0];
        Dropout::new(0.0, 5).unwrap().apply(0, &mut x);
        assert!(x[0] == 1.5 && x[1].is_nan() && x[2] == -2.0);
        Dropout::new(1.0, 5).unwrap().apply(0, &mut x);
        assert_eq!(x, [0.0; 3]);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Dropout::new(bad, 0).is_err());
        }
    }
}
