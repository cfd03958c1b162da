//! What differs among processors that run the same instructions, and decides about speed alone.

use std::arch::x86_64::__cpuid;
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether operations on 512 bits take their unit twice, 256 bits at a time: Zen 4's do; Intel's and later ones of AMD do not.
pub(super) fn has_half_avx512() -> bool {
    const NO: u8 = 1;
    const YES: u8 = 2;
    // Under a hypervisor the instruction takes microseconds. Whoever comes first looks, and others may too: a lock would
    // stay closed in a child that is forked meanwhile.
    static HALF: AtomicU8 = AtomicU8::new(0);
    match HALF.load(Ordering::Relaxed) {
        0 => {
            let half = look();
            HALF.store(if half { YES } else { NO }, Ordering::Relaxed);
            half
        }
        known => known == YES,
    }
}

fn look() -> bool {
    /// AMD's leaf of how wide the data paths are (AMD64 Architecture Programmer's Manual, volume 3, appendix E). Others have none.
    const WIDTHS: u32 = 0x8000_001a;
    const IS_256: u32 = 1 << 2;
    const IS_512: u32 = 1 << 3;
    // SAFETY: every x86-64 has the instruction, and the last leaf was looked up. (Safe in newer compilers.)
    #[allow(unused_unsafe, reason = "unsafe up to the oldest compiler that is supported")]
    unsafe {
        __cpuid(0x8000_0000).eax >= WIDTHS && __cpuid(WIDTHS).eax & (IS_256 | IS_512) == IS_256
    }
}
