//! A correctly rounded fused multiply-add for targets that have none, because several C libraries' `fmaf` is wrong.

/// `a * b + c` with one rounding to nearest even.
#[inline(always)]
pub(super) fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { soft_fma(a, b, c) }
}

/// The product of two f32 is exact in f64. The sum is rounded to odd there (Boldo and Melquiond 2008), which makes the
/// second rounding, to f32, harmless: f64 keeps more than two bits beyond twice f32's precision.
#[inline(always)]
fn soft_fma(a: f32, b: f32, c: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let addend = f64::from(c);
    let sum = product + addend;
    // TwoSum: `residue` is exactly what the addition dropped.
    let virtual_addend = sum - product;
    let residue = (product - (sum - virtual_addend)) + (addend - virtual_addend);
    let bits = sum.to_bits();
    // Round to odd: an inexact sum with an even last bit moves one step towards the exact value.
    let inexact = residue != 0.0 && sum.is_finite() && bits & 1 == 0;
    let away_from_zero = (residue > 0.0) == (sum > 0.0);
    let odd = if away_from_zero { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if inexact { odd } else { bits }) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Random bit patterns, exponents drawn so that products and addends often meet, against the CPU's own FMA.
    #[test]
    fn soft_fma_is_correctly_rounded() {
        let mut rng = Random::new(1, 0);
        let mut checked = 0u32;
        for _ in 0..2_000_000 {
            let a = f32::from_bits(rng.next_u32());
            let b = f32::from_bits(rng.next_u32());
            let near = (a * b).to_bits();
            let c = match rng.next_u32() % 3 {
                0 => f32::from_bits(rng.next_u32()),
                1 => f32::from_bits(near ^ (rng.next_u32() >> 8) ^ 0x8000_0000),
                _ => f32::from_bits(near.wrapping_sub((rng.next_u32() % 30) << 23) ^ (rng.next_u32() & 0x8000_0fff)),
            };
            let (got, want) = (soft_fma(a, b, c), a.mul_add(b, c));
            assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{a:e} {b:e} {c:e}");
            checked += u32::from(want.is_finite());
        }
        assert!(checked > 500_000);
    }

    /// Infinities, NaN, zeros of both signs, the largest, the smallest, and what lies beside them, each with each.
    #[test]
    fn soft_fma_at_the_edges() {
        let mut edges = vec![0.0, 1.0, 1.5, f32::MAX, f32::MIN_POSITIVE, 1e-45, f32::INFINITY, f32::NAN];
        edges.extend([f32::MAX / 2.0, 2f32.powi(64), 2f32.powi(-75), 1.0 + f32::EPSILON, 1.0 - f32::EPSILON / 2.0]);
        edges.extend(edges.clone().iter().map(|v| -v));
        for &a in &edges {
            for &b in &edges {
                for &c in &edges {
                    let (got, want) = (soft_fma(a, b, c), a.mul_add(b, c));
                    assert!(
                        got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                        "{a:e} {b:e} {c:e}: {got:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn soft_fma_in_the_subnormal_range() {
        let mut rng = Random::new(2, 0);
        for _ in 0..1_000_000 {
            let a = f32::from_bits(rng.next_u32() & 0x81ff_ffff | 0x2000_0000);
            let b = f32::from_bits(rng.next_u32() & 0x81ff_ffff | 0x1e00_0000);
            let c = f32::from_bits(rng.next_u32() & 0x80ff_ffff);
            assert_eq!(soft_fma(a, b, c).to_bits(), a.mul_add(b, c).to_bits(), "{a:e} {b:e} {c:e}");
        }
    }
}
