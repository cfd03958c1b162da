//! Seeded test data: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). Only
//! integer arithmetic and exact conversions, so that a seed means the same data on every machine.

/// The state of a generator.
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator; different seeds give unrelated sequences.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[-scale, scale)`.
    pub fn uniform(&mut self, scale: f64) -> f64 {
        ((self.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * scale
    }

    /// About uniform in `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next_u64() % (high - low + 1) as u64) as usize
    }

    /// `n` values, uniform in `[-scale, scale)`.
    pub fn values(&mut self, n: usize, scale: f64) -> Vec<f64> {
        (0..n).map(|_| self.uniform(scale)).collect()
    }

    /// `n` values, uniform in `[-scale, scale)`.
    pub fn values_f32(&mut self, n: usize, scale: f32) -> Vec<f32> {
        // 24 bits convert exactly, so no value rounds up to `scale`.
        (0..n).map(|_| ((self.next_u64() >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * scale).collect()
    }
}
