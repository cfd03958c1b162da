//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter-based generator.
//! A value depends on (key, counter) alone, so masks and initial weights are the same on every machine and thread.

/// The four 32-bit words at `counter` under `key`.
pub(crate) fn philox(key: u64, counter: [u32; 4]) -> [u32; 4] {
    let mut k = [key as u32, (key >> 32) as u32];
    let mut c = counter;
    for _ in 0..10 {
        let a = u64::from(c[0]) * 0xD251_1F53;
        let b = u64::from(c[2]) * 0xCD9E_8D57;
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

/// [`philox`] at the counters `first..first + N` (a multiple of `N`, a power of two) of one stream: word `w` of counter
/// `first + j` is `[w][j]`. Side by side, so that the caller's instruction set computes them in vectors.
#[inline(always)]
pub(crate) fn philox_side_by_side<const N: usize>(key: u64, first: u64, stream: [u32; 2]) -> [[u32; N]; 4] {
    const { assert!(N.is_power_of_two()) }
    let mut words = [[0; N]; 4];
    // The rounds are those of `philox`; written out here, the loop over counters becomes one over vectors.
    #[expect(clippy::needless_range_loop, reason = "zipped iterators keep the compiler from vectorizing")]
    for j in 0..N {
        let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
        let (mut c0, mut c1, mut c2, mut c3) = (first as u32 | j as u32, (first >> 32) as u32, stream[0], stream[1]);
        for _ in 0..10 {
            let a = u64::from(c0) * 0xD251_1F53;
            let b = u64::from(c2) * 0xCD9E_8D57;
            (c0, c1) = ((b >> 32) as u32 ^ c1 ^ k0, b as u32);
            (c2, c3) = ((a >> 32) as u32 ^ c3 ^ k1, a as u32);
            k0 = k0.wrapping_add(0x9E37_79B9);
            k1 = k1.wrapping_add(0xBB67_AE85);
        }
        (words[0][j], words[1][j], words[2][j], words[3][j]) = (c0, c1, c2, c3);
    }
    words
}

/// A sequence of random values: stream number `stream` of `seed`.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    key: u64,
    stream: u64,
    position: u64,
    block: [u32; 4],
    used: usize,
}

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { key: seed, stream, position: 0, block: [0; 4], used: 4 }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let (p, s) = (self.position, self.stream);
            self.block = philox(self.key, [p as u32, (p >> 32) as u32, s as u32, (s >> 32) as u32]);
            self.position += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in `0..n`, without bias (Lemire 2019).
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u64::from(self.next_u32()) * u64::from(n);
            if wide as u32 >= threshold {
                return (wide >> 32) as u32;
            }
        }
    }

    /// Standard normal, by Marsaglia's polar method with a portable logarithm.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let u = f64::from(self.next_u32()) / 2_147_483_648.0 - 1.0;
            let v = f64::from(self.next_u32()) / 2_147_483_648.0 - 1.0;
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * (-2.0 * libm::log(s) / s).sqrt();
            }
        }
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors that ship with the authors' Random123.
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox(0, [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox(u64::MAX, [u32::MAX; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn side_by_side_is_one_by_one() {
        for first in [0u64, 8, 0xffff_fff8, 0x1234_5678_9abc_def0] {
            let words = philox_side_by_side::<8>(0xdead_beef_0123_4567, first, [5, 6]);
            for (j, counter) in (first..).take(8).enumerate() {
                let one = philox(0xdead_beef_0123_4567, [counter as u32, (counter >> 32) as u32, 5, 6]);
                assert_eq!(one, std::array::from_fn(|w| words[w][j]));
            }
        }
    }

    #[test]
    fn moments() {
        let mut r = Random::new(7, 3);
        let n = 100_000;
        let (mut m, mut v, mut u) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = r.normal();
            m += x;
            v += x * x;
            u += f64::from(r.uniform());
        }
        let n = f64::from(n);
        // Six standard errors of each estimate.
        assert!((m / n).abs() < 6.0 / n.sqrt());
        assert!((v / n - 1.0).abs() < 6.0 * (2.0 / n).sqrt());
        assert!((u / n - 0.5).abs() < 6.0 * (1.0 / 12.0 / n).sqrt());
    }
}
