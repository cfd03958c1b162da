//! What differs among processors that run the same instructions, and decides about speed alone.

use std::arch::x86_64::__cpuid;
use std::sync::OnceLock;

/// Whether operations on 512 bits take their unit twice, 256 bits at a time: Zen 4's do; Intel's and later ones of AMD do not.
pub(super) fn has_half_avx512() -> bool {
    /// AMD's leaf of how wide the data paths are (AMD64 Architecture Programmer's Manual, volume 3, appendix E). Others have none.
    const WIDTHS: u32 = 0x8000_001a;
    const IS_256: u32 = 1 << 2;
    const IS_512: u32 = 1 << 3;
    // Under a hypervisor the instruction takes microseconds.
    static HALF: OnceLock<bool> = OnceLock::new();
    *HALF.get_or_init(|| {
        // SAFETY: every x86-64 has the instruction, and the last leaf was looked up. (Safe in newer compilers.)
        #[allow(unused_unsafe, reason = "unsafe up to the oldest compiler that is supported")]
        unsafe {
            __cpuid(0x8000_0000).eax >= WIDTHS && __cpuid(WIDTHS).eax & (IS_256 | IS_512) == IS_256
        }
    })
}
