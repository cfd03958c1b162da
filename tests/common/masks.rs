//! The dropout between layers that the library documents, written anew from the paper.

use simdrnn::rnn::DropoutPosition;

/// Philox4x32-10 (Salmon et al. 2011) with the seed as its key and (feature / 4, layer, step, sequence) as its counter; word
/// feature % 4 below p 2^32 drops.
pub struct Mask {
    pub position: DropoutPosition,
    pub p: f32,
}

impl Mask {
    /// 0 or `1 / (1 - p)`.
    pub fn factor(&self, layer: usize, t: usize, b: usize, feature: usize) -> f64 {
        let mut counter = [
            (feature / 4) as u32,
            layer as u32,
            self.position.first_step.wrapping_add(t as u32),
            self.position.first_sequence.wrapping_add(b as u32),
        ];
        let mut key = [self.position.seed as u32, (self.position.seed >> 32) as u32];
        for round in 0..10 {
            if round > 0 {
                key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
            }
            let left = u64::from(counter[0]) * 0xD251_1F53;
            let right = u64::from(counter[2]) * 0xCD9E_8D57;
            counter = [
                (right >> 32) as u32 ^ counter[1] ^ key[0],
                right as u32,
                (left >> 32) as u32 ^ counter[3] ^ key[1],
                left as u32,
            ];
        }
        if f64::from(counter[feature % 4]) < f64::from(self.p) * 2f64.powi(32) {
            0.0
        } else {
            1.0 / (1.0 - f64::from(self.p))
        }
    }
}
