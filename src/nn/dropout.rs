//! Inverted dropout whose mask is a function of seed and position: nothing is stored, and backward is the same call.

use crate::error::{Result, ensure};
use crate::random::{philox, philox_side_by_side};
use crate::simd::{Isa, Kernel, Ops, dispatch};

/// The last two counter words of a mask, so that it shares no block with a random stream of the same seed.
const DOMAIN: [u32; 2] = [0x6472_6f70, 0x6f75_7400];
/// Random blocks computed side by side, and the values they serve.
const WIDTH: usize = 16;
const GROUP: usize = 4 * WIDTH;

/// A dropout mask over a flat sequence of values (`torch.nn.functional.dropout`, with its own random numbers).
///
/// The value at `position` is dropped when its random word is below `p * 2^32`; the others are multiplied with
/// `1 / (1 - p)`. Its word is number `position / 16 % 4` of Philox block `position / 64 * 16 + position % 16` under `seed`:
/// sixteen neighbours share a word number, so that vectors of blocks give vectors of words.
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
        let block = position / GROUP as u64 * WIDTH as u64 + position % WIDTH as u64;
        let words = philox(self.seed, [block as u32, (block >> 32) as u32, DOMAIN[0], DOMAIN[1]]);
        let word = words[(position / WIDTH as u64 % 4) as usize];
        if u64::from(word) < self.threshold { 0.0 } else { self.scale }
    }

    /// Applies the mask from position `offset` on (positions wrap at 2^64). A dropped value becomes 0 whatever it was.
    /// Backward is the same call on the gradient.
    ///
    /// ```
    /// let dropout = simdrnn::nn::Dropout::new(0.5, 42)?;
    /// let mut x = [1.0; 1000];
    /// dropout.apply(0, &mut x)?;
    /// assert!(x.iter().all(|&v| v == 0.0 || v == 2.0));
    /// # Ok::<(), simdrnn::Error>(())
    /// ```
    pub fn apply(&self, offset: u64, x: &mut [f32]) -> Result<()> {
        self.apply_on(Isa::choose()?, offset, x);
        Ok(())
    }

    /// The same bits for every `isa`.
    pub(crate) fn apply_on(&self, isa: Isa, offset: u64, x: &mut [f32]) {
        if self.threshold == 0 {
            return;
        }
        let head = (offset.wrapping_neg() % GROUP as u64).min(x.len() as u64) as usize;
        let (head, body) = x.split_at_mut(head);
        self.one_by_one(offset, head);
        let first = offset.wrapping_add(head.len() as u64);
        let (groups, tail) = body.as_chunks_mut::<GROUP>();
        let after = first.wrapping_add((groups.len() * GROUP) as u64);
        dispatch(isa, Groups { dropout: *self, group: first / GROUP as u64, groups });
        self.one_by_one(after, tail);
    }

    fn one_by_one(&self, offset: u64, x: &mut [f32]) {
        for (i, v) in (0..).zip(x) {
            let scale = self.keep_scale(offset.wrapping_add(i));
            *v = if scale == 0.0 { 0.0 } else { *v * scale };
        }
    }
}

struct Groups<'a> {
    dropout: Dropout,
    group: u64,
    groups: &'a mut [[f32; GROUP]],
}

impl Kernel for Groups<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Ops>(self, _: S) {
        let Self { dropout: Dropout { seed, threshold, scale }, mut group, groups } = self;
        // Compared in 32 bits: a word is kept when it is above this. `threshold` is at least 1.
        let highest_dropped = (threshold - 1) as u32;
        for values in groups {
            let words = philox_side_by_side::<WIDTH>(seed, group * WIDTH as u64, DOMAIN);
            for (v, &word) in values.iter_mut().zip(words.as_flattened()) {
                *v = if word > highest_dropped { *v * scale } else { 0.0 };
            }
            group = (group + 1) % (1 << 58);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_depends_on_seed_and_position_alone() {
        let d = Dropout::new(0.4, 17).unwrap();
        let mut whole = [1f32; 201];
        d.apply_on(Isa::Scalar, 1000, &mut whole);
        for (i, &v) in whole.iter().enumerate() {
            assert_eq!(v, d.keep_scale(1000 + i as u64));
        }
        for isa in Isa::available() {
            for cut in [0, 1, 16, 23, 24, 25, 88, 90, 201] {
                let mut pieces = [1f32; 201];
                d.apply_on(isa, 1000, &mut pieces[..cut]);
                d.apply_on(isa, 1000 + cut as u64, &mut pieces[cut..]);
                assert_eq!(pieces, whole, "{} {cut}", isa.name());
            }
        }
        let mut other = [1f32; 201];
        Dropout::new(0.4, 18).unwrap().apply_on(Isa::Scalar, 1000, &mut other);
        assert_ne!(other, whole);
        let mut far = [1f32; 200];
        d.apply_on(Isa::Scalar, u64::MAX - 69, &mut far);
        let expected: Vec<f32> = (0..200).map(|i| d.keep_scale((u64::MAX - 69).wrapping_add(i))).collect();
        assert_eq!(far[..], expected);
    }

    #[test]
    fn rate_and_scale() {
        for p in [0.1, 0.5, 0.9] {
            let n = 100_000;
            let mut x = vec![3f32; n];
            Dropout::new(p, 5).unwrap().apply_on(Isa::Scalar, 0, &mut x);
            let dropped = x.iter().filter(|&&v| v == 0.0).count() as f64 / n as f64;
            assert!((dropped - p).abs() < 6.0 * (p * (1.0 - p) / n as f64).sqrt(), "{dropped}");
            let kept = 3.0 * (1.0 / (1.0 - p)) as f32;
            assert!(x.iter().all(|&v| v == 0.0 || v == kept));
        }
    }

    #[test]
    fn the_ends_and_bad_values() {
        let mut x = [1.5; 80];
        x[1] = f32::NAN;
        x[79] = f32::NAN;
        Dropout::new(0.0, 5).unwrap().apply_on(Isa::Scalar, 0, &mut x);
        assert!(x[0] == 1.5 && x[1].is_nan() && x[38] == 1.5);
        Dropout::new(1.0, 5).unwrap().apply_on(Isa::Scalar, 0, &mut x);
        assert_eq!(x, [0.0; 80]);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Dropout::new(bad, 0).is_err());
        }
    }
}
