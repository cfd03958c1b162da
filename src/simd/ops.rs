//! The operations kernels use, named plainly, on top of pulp's tokens.

use super::fma;
use super::tuning::Tuning;
use pulp::Simd;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64;

/// A pulp token, with the sizes that [`Tuning`] has for it. Lanes are independent: no operation mixes them.
///
/// Every method is `#[inline(always)]`, or it would compile to a call with vectors passed through memory.
/// The fused multiply-add has one rounding on every implementor, which pulp's scalar token does not promise.
pub(crate) trait Ops: Simd + Tuning {
    /// f32 values in a vector.
    const LANES: usize;
    /// Vector registers.
    const REGISTERS: usize;
    /// f32 values in one row of a packed panel.
    const PANEL_WIDTH: usize = Self::LANES * Self::PANEL_VECTORS;

    /// Runs `f`, an `#[inline(always)]` closure, as a function compiled for these instructions.
    fn enter<T>(self, f: impl FnOnce() -> T) -> T;

    #[inline(always)]
    fn splat(self, v: f32) -> Self::f32s {
        self.splat_f32s(v)
    }
    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `ptr` is valid for reading them; it needs no alignment beyond f32's.
    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> Self::f32s {
        // SAFETY: the caller's contract; vector types are plain data.
        unsafe { ptr.cast::<Self::f32s>().read_unaligned() }
    }
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `ptr` is valid for writing them; it needs no alignment beyond f32's.
    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, v: Self::f32s) {
        // SAFETY: the caller's contract; vector types are plain data.
        unsafe { ptr.cast::<Self::f32s>().write_unaligned(v) }
    }
    /// Reads the first `n <= LANES` lanes, zero in the others.
    ///
    /// # Safety
    /// `ptr` is valid for reading `n` values.
    #[inline(always)]
    unsafe fn load_first(self, ptr: *const f32, n: usize) -> Self::f32s {
        // SAFETY: the caller's contract.
        self.partial_load_f32s(unsafe { std::slice::from_raw_parts(ptr, n) })
    }
    /// Writes the first `n <= LANES` lanes.
    ///
    /// # Safety
    /// `ptr` is valid for writing `n` values.
    #[inline(always)]
    unsafe fn store_first(self, ptr: *mut f32, v: Self::f32s, n: usize) {
        let mut lanes = [0f32; 16];
        // SAFETY: `n <= LANES <= 16`, and the caller's contract.
        unsafe {
            self.store(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), ptr, n);
        }
    }
    /// Transposes a block of `LANES` rows by `LANES` columns: rows of `from` are `from_stride` apart, of `to` `to_stride`.
    ///
    /// # Safety
    /// `from` is valid for reading such a block and `to` for writing one; they do not overlap.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        for i in 0..Self::LANES {
            for j in 0..Self::LANES {
                // SAFETY: the caller's contract.
                unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) };
            }
        }
    }
    /// The sums of the lanes of `LANES` vectors, the first of `v`: lane `i` of the result is that of vector `i`. Each is one
    /// tree: lanes `j` and `j + LANES / 2`, ..., `j + 2`, `j + 1`.
    fn sum_lanes(self, v: &[Self::f32s; 16]) -> Self::f32s;
    /// Whether a lane of the mask is set.
    fn any(self, mask: Self::m32s) -> bool;
    #[inline(always)]
    fn add(self, a: Self::f32s, b: Self::f32s) -> Self::f32s {
        self.add_f32s(a, b)
    }
    #[inline(always)]
    fn sub(self, a: Self::f32s, b: Self::f32s) -> Self::f32s {
        self.sub_f32s(a, b)
    }
    #[inline(always)]
    fn mul(self, a: Self::f32s, b: Self::f32s) -> Self::f32s {
        self.mul_f32s(a, b)
    }
    #[inline(always)]
    fn div(self, a: Self::f32s, b: Self::f32s) -> Self::f32s {
        self.div_f32s(a, b)
    }
    /// `a * b + c`, rounded once.
    #[inline(always)]
    fn fma(self, a: Self::f32s, b: Self::f32s, c: Self::f32s) -> Self::f32s {
        self.mul_add_f32s(a, b, c)
    }
    /// `c - a * b`, rounded once.
    #[inline(always)]
    fn fnma(self, a: Self::f32s, b: Self::f32s, c: Self::f32s) -> Self::f32s {
        self.negate_mul_add_f32s(a, b, c)
    }
    #[inline(always)]
    fn lt(self, a: Self::f32s, b: Self::f32s) -> Self::m32s {
        self.less_than_f32s(a, b)
    }
    #[inline(always)]
    fn le(self, a: Self::f32s, b: Self::f32s) -> Self::m32s {
        self.less_than_or_equal_f32s(a, b)
    }
    #[inline(always)]
    fn select(self, mask: Self::m32s, yes: Self::f32s, no: Self::f32s) -> Self::f32s {
        self.select_f32s(mask, yes, no)
    }
    /// Values below `low` become `low`; NaN stays NaN.
    #[inline(always)]
    fn at_least(self, low: f32, v: Self::f32s) -> Self::f32s {
        // x86's maximum gives its second operand where one is NaN, and NEON's gives NaN.
        self.max_f32s(self.splat(low), v)
    }
    /// Values above `high` become `high`; NaN stays NaN.
    #[inline(always)]
    fn at_most(self, high: f32, v: Self::f32s) -> Self::f32s {
        self.min_f32s(self.splat(high), v)
    }
    #[inline(always)]
    fn neg(self, a: Self::f32s) -> Self::f32s {
        let sign = self.splat_u32s(0x8000_0000);
        self.transmute_f32s_u32s(self.xor_u32s(self.transmute_u32s_f32s(a), sign))
    }
    #[inline(always)]
    fn abs(self, a: Self::f32s) -> Self::f32s {
        let magnitude = self.splat_u32s(0x7fff_ffff);
        self.transmute_f32s_u32s(self.and_u32s(self.transmute_u32s_f32s(a), magnitude))
    }
    /// `-|a|`.
    #[inline(always)]
    fn neg_abs(self, a: Self::f32s) -> Self::f32s {
        let sign = self.splat_u32s(0x8000_0000);
        self.transmute_f32s_u32s(self.or_u32s(self.transmute_u32s_f32s(a), sign))
    }
    /// The magnitude of a value whose sign bit is clear, with the sign of `sign`.
    #[inline(always)]
    fn with_sign_of(self, positive: Self::f32s, sign: Self::f32s) -> Self::f32s {
        let bit = self.and_u32s(self.transmute_u32s_f32s(sign), self.splat_u32s(0x8000_0000));
        self.transmute_f32s_u32s(self.or_u32s(self.transmute_u32s_f32s(positive), bit))
    }
    /// The float whose exponent field is the low bits of `a`: the bits of `a`, 23 places higher.
    #[inline(always)]
    fn exponent_from_low_bits(self, a: Self::f32s) -> Self::f32s {
        let bits = self.transmute_u32s_f32s(a);
        self.transmute_f32s_u32s(self.wrapping_dyn_shl_u32s(bits, self.splat_u32s(23)))
    }
    /// Asks for the cache line at `ptr`; any address is allowed.
    #[inline(always)]
    fn prefetch(self, ptr: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe {
            x86_64::_mm_prefetch::<{ x86_64::_MM_HINT_T0 }>(ptr.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = ptr;
    }
}

impl Ops for pulp::Scalar {
    #[inline(always)]
    fn enter<T>(self, f: impl FnOnce() -> T) -> T {
        f()
    }
    const LANES: usize = 1;
    const REGISTERS: usize = 16;
    #[inline(always)]
    fn fma(self, a: f32, b: f32, c: f32) -> f32 {
        fma::fma(a, b, c)
    }
    #[inline(always)]
    fn fnma(self, a: f32, b: f32, c: f32) -> f32 {
        fma::fma(-a, b, c)
    }
    #[inline(always)]
    fn sum_lanes(self, v: &[f32; 16]) -> f32 {
        v[0]
    }
    #[inline(always)]
    fn any(self, mask: bool) -> bool {
        mask
    }
    #[inline(always)]
    fn at_least(self, low: f32, v: f32) -> f32 {
        if v < low { low } else { v }
    }
    #[inline(always)]
    fn at_most(self, high: f32, v: f32) -> f32 {
        if v > high { high } else { v }
    }
}

#[cfg(target_arch = "x86_64")]
impl Ops for pulp::x86::V3 {
    #[inline(always)]
    fn enter<T>(self, f: impl FnOnce() -> T) -> T {
        self.vectorize(f)
    }
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        let avx = self.avx;
        // Pairs of rows interleaved, then pairs of pairs, then halves.
        // SAFETY: the caller's contract.
        let row = |i: usize| unsafe { from.add(i * from_stride).cast::<std::arch::x86_64::__m256>().read_unaligned() };
        let pair = |i| (avx._mm256_unpacklo_ps(row(i), row(i + 1)), avx._mm256_unpackhi_ps(row(i), row(i + 1)));
        let four = |i| {
            let ((a, b), (c, d)) = (pair(i), pair(i + 2));
            [
                avx._mm256_shuffle_ps::<0x44>(a, c),
                avx._mm256_shuffle_ps::<0xee>(a, c),
                avx._mm256_shuffle_ps::<0x44>(b, d),
                avx._mm256_shuffle_ps::<0xee>(b, d),
            ]
        };
        for (j, (a, b)) in four(0).into_iter().zip(four(4)).enumerate() {
            let (low, high) = (avx._mm256_permute2f128_ps::<0x20>(a, b), avx._mm256_permute2f128_ps::<0x31>(a, b));
            // SAFETY: the caller's contract.
            unsafe {
                to.add(j * to_stride).cast::<std::arch::x86_64::__m256>().write_unaligned(low);
                to.add((j + 4) * to_stride).cast::<std::arch::x86_64::__m256>().write_unaligned(high);
            }
        }
    }
    #[inline(always)]
    fn sum_lanes(self, v: &[Self::f32s; 16]) -> Self::f32s {
        let avx = self.avx;
        // Every step adds halves of two vectors, and leaves one of both: 128-bit halves, pairs in them, neighbours.
        let mut sums = [avx._mm256_setzero_ps(); 4];
        for i in 0..4 {
            let (a, b) = (pulp::cast(v[i]), pulp::cast(v[i + 4]));
            sums[i] =
                avx._mm256_add_ps(avx._mm256_permute2f128_ps::<0x20>(a, b), avx._mm256_permute2f128_ps::<0x31>(a, b));
        }
        for i in 0..2 {
            let (a, b) = (sums[2 * i], sums[2 * i + 1]);
            sums[i] = avx._mm256_add_ps(avx._mm256_shuffle_ps::<0x44>(a, b), avx._mm256_shuffle_ps::<0xee>(a, b));
        }
        let [a, b, ..] = sums;
        pulp::cast(avx._mm256_add_ps(avx._mm256_shuffle_ps::<0x88>(a, b), avx._mm256_shuffle_ps::<0xdd>(a, b)))
    }
    #[inline(always)]
    fn any(self, mask: Self::m32s) -> bool {
        self.avx._mm256_movemask_ps(pulp::cast(mask)) != 0
    }
    #[inline(always)]
    unsafe fn store_first(self, ptr: *mut f32, v: Self::f32s, n: usize) {
        const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: `n <= 8` ones are read and as many values written, by the caller's contract; the token is the proof
        // of AVX2.
        unsafe {
            let mask = x86_64::_mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast());
            x86_64::_mm256_maskstore_ps(ptr, mask, pulp::cast(v));
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Ops for pulp::x86::V4 {
    #[inline(always)]
    fn enter<T>(self, f: impl FnOnce() -> T) -> T {
        self.vectorize(f)
    }
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        let half: pulp::x86::V3 = *self;
        for (i, j) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            // SAFETY: the caller's contract, for a quarter.
            unsafe {
                let (from, to) = (from.add(i * from_stride + j), to.add(j * to_stride + i));
                Ops::transpose(half, from, from_stride, to, to_stride);
            }
        }
    }
    #[inline(always)]
    fn sum_lanes(self, v: &[Self::f32s; 16]) -> Self::f32s {
        let avx = self.avx512f;
        // Every step adds halves of two vectors, and leaves one of both: 256-bit halves, 128-bit ones, pairs, neighbours.
        let mut sums = [avx._mm512_setzero_ps(); 8];
        for i in 0..8 {
            let (a, b) = (pulp::cast(v[i / 4 * 8 + i % 4]), pulp::cast(v[i / 4 * 8 + i % 4 + 4]));
            sums[i] = avx._mm512_add_ps(avx._mm512_shuffle_f32x4::<0x44>(a, b), avx._mm512_shuffle_f32x4::<0xee>(a, b));
        }
        for i in 0..4 {
            let (a, b) = (sums[i], sums[i + 4]);
            sums[i] = avx._mm512_add_ps(avx._mm512_shuffle_f32x4::<0x88>(a, b), avx._mm512_shuffle_f32x4::<0xdd>(a, b));
        }
        for i in 0..2 {
            let (a, b) = (sums[2 * i], sums[2 * i + 1]);
            sums[i] = avx._mm512_add_ps(avx._mm512_shuffle_ps::<0x44>(a, b), avx._mm512_shuffle_ps::<0xee>(a, b));
        }
        let [a, b, ..] = sums;
        pulp::cast(avx._mm512_add_ps(avx._mm512_shuffle_ps::<0x88>(a, b), avx._mm512_shuffle_ps::<0xdd>(a, b)))
    }
    #[inline(always)]
    fn any(self, mask: Self::m32s) -> bool {
        mask.0 != 0
    }
    #[inline(always)]
    unsafe fn store_first(self, ptr: *mut f32, v: Self::f32s, n: usize) {
        // SAFETY: `n` values are written, by the caller's contract; the token is the proof of AVX-512.
        unsafe { x86_64::_mm512_mask_storeu_ps(ptr, ((1u32 << n) - 1) as u16, pulp::cast(v)) }
    }
}

#[cfg(target_arch = "aarch64")]
impl Ops for pulp::aarch64::Neon {
    #[inline(always)]
    fn enter<T>(self, f: impl FnOnce() -> T) -> T {
        self.vectorize(f)
    }
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    #[inline(always)]
    fn sum_lanes(self, v: &[Self::f32s; 16]) -> Self::f32s {
        use std::arch::aarch64::*;
        // SAFETY: the token is the proof of NEON.
        unsafe {
            // Every step adds halves of two vectors, and leaves one of both: pairs, then neighbours.
            let twos = |i: usize| {
                let (a, b) = (vreinterpretq_f64_f32(pulp::cast(v[i])), vreinterpretq_f64_f32(pulp::cast(v[i + 1])));
                vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)))
            };
            let (a, b) = (twos(0), twos(2));
            pulp::cast(vaddq_f32(vuzp1q_f32(a, b), vuzp2q_f32(a, b)))
        }
    }
    #[inline(always)]
    fn any(self, mask: Self::m32s) -> bool {
        // SAFETY: the token is the proof of NEON.
        unsafe { std::arch::aarch64::vmaxvq_u32(pulp::cast(mask)) != 0 }
    }
}
