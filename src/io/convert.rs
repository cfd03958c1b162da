//! Numbers of other widths as f32, bit by bit.

/// IEEE 754 binary16; exact. NaNs keep their sign and payload.
pub(super) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1F;
    let fraction = u32::from(bits) & 0x3FF;
    let magnitude = match exponent {
        // Zero, or a subnormal: fraction × 2^-24, which f32 holds as a normal number.
        0 => (fraction as f32 * f32::from_bits(0x3380_0000)).to_bits(),
        31 => 0x7F80_0000 | fraction << 13,
        _ => (exponent + 127 - 15) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The upper half of an f32; exact.
pub(super) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half() {
        for bits in 0..=u16::MAX {
            let (e, m) = (i32::from(bits >> 10) & 31, f64::from(bits & 0x3FF));
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let expected = match e {
                0 => sign * m * 2f64.powi(-24),
                31 if m == 0.0 => sign * f64::INFINITY,
                31 => f64::NAN,
                _ => sign * (1.0 + m / 1024.0) * 2f64.powi(e - 15),
            };
            let found = f16_to_f32(bits);
            assert_eq!(found.is_sign_negative(), bits >> 15 == 1);
            if expected.is_nan() {
                assert!(found.is_nan());
            } else {
                assert_eq!(f64::from(found).to_bits(), expected.to_bits(), "{bits:#x}");
            }
        }
    }

    #[test]
    fn brain_floats() {
        for (bits, value) in [(0x3F80, 1.0), (0xC049, -3.140625), (0x0001, 9.183_55e-41), (0x7F80, f32::INFINITY)] {
            assert_eq!(bf16_to_f32(bits), value);
        }
        assert!(bf16_to_f32(0x7FC0).is_nan());
        assert_eq!(bf16_to_f32(0x8000).to_bits(), 0x8000_0000);
    }
}
