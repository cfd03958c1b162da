//! The floating-point environment that arithmetic is done in: rounding, flushing of subnormals, trapped exceptions.

/// The control bits of a thread's floating-point unit: MXCSR's on x86-64 (nothing here uses the x87 unit), FPCR on AArch64.
/// Elsewhere threads are taken to be alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Environment(u64);

/// MXCSR but for the flags of exceptions that have happened (bits 0 to 5): they are each thread's own.
#[cfg(target_arch = "x86_64")]
const CONTROL: u32 = 0xffc0;

impl Environment {
    /// That of the calling thread.
    #[inline]
    pub(crate) fn current() -> Self {
        Self(u64::from(register::read() & CONTROL))
    }

    /// Makes it the calling thread's until the guard is dropped. Takes some nanoseconds only where it differs.
    #[inline]
    pub(crate) fn enter(self) -> Entered {
        let own = Self::current();
        if own != self {
            self.set();
        }
        Entered { own, differs: own != self }
    }

    #[cold]
    fn set(self) {
        register::write((register::read() & !CONTROL) | self.0 as Word & CONTROL);
    }
}

/// Gives the thread its own environment back.
pub(crate) struct Entered {
    own: Environment,
    differs: bool,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if self.differs {
            self.own.set();
        }
    }
}

#[cfg(target_arch = "x86_64")]
type Word = u32;
#[cfg(not(target_arch = "x86_64"))]
type Word = u64;
#[cfg(not(target_arch = "x86_64"))]
const CONTROL: u64 = u64::MAX;

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    #[inline]
    pub(super) fn read() -> u32 {
        let mut word = 0u32;
        // SAFETY: stores four bytes where there are four.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack, preserves_flags)) };
        word
    }

    /// `word` has been read from the register of some thread, so no reserved bit is set.
    pub(super) fn write(word: u32) {
        // SAFETY: loads four bytes. Compiled code takes rounding to be to nearest only where it folds constants, and the
        // work that this is for is behind a call through a pointer: none of it moves to the other side. The caller's own
        // thread works like this already, its host having chosen so.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    #[inline]
    pub(super) fn read() -> u64 {
        let word;
        // SAFETY: reads a register that every thread may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nostack, preserves_flags)) };
        word
    }

    /// `word` has been read from the register of some thread, so no reserved bit is set.
    pub(super) fn write(word: u64) {
        // SAFETY: as on x86-64: the work that this is for is behind a call through a pointer.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    #[inline]
    pub(super) fn read() -> u64 {
        0
    }

    pub(super) fn write(_: u64) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) mod tests {
    use super::*;

    /// Environments by name: the rounding modes, and zero for subnormal numbers.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const ALL: [(&str, Environment); 6] = [
        ("nearest", Environment(0x1f80)),
        ("flushing", Environment(0x9fc0)),
        ("downward", Environment(0x3f80)),
        ("upward", Environment(0x5f80)),
        ("toward zero", Environment(0x7f80)),
        ("toward zero, flushing", Environment(0xffc0)),
    ];
    #[cfg(target_arch = "aarch64")]
    pub(crate) const ALL: [(&str, Environment); 6] = [
        ("nearest", Environment(0)),
        ("flushing", Environment(1 << 24)),
        ("upward", Environment(1 << 22)),
        ("downward", Environment(2 << 22)),
        ("toward zero", Environment(3 << 22)),
        ("toward zero, flushing", Environment(7 << 22)),
    ];

    #[test]
    fn an_environment_ends_with_its_guard() {
        let own = Environment::current();
        for (name, environment) in ALL {
            {
                let _entered = environment.enter();
                assert_eq!(Environment::current(), environment, "{name}");
                // What the name says is what happens.
                let opaque = std::hint::black_box::<f32>;
                let flushed = opaque(opaque(f32::MIN_POSITIVE) * opaque(0.5)) == 0.0;
                let third = opaque(opaque(1.0) / opaque(3.0));
                assert_eq!(flushed, name.contains("flushing"), "{name}");
                let expected =
                    if ["nearest", "flushing", "upward"].contains(&name) { 0x3eaa_aaab } else { 0x3eaa_aaaa };
                assert_eq!(third.to_bits(), expected, "{name}");
            }
            assert_eq!(Environment::current(), own, "{name}");
        }
    }
}
