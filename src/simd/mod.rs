//! Instruction sets: which ones exist here, which one is used, and the vector operations kernels are written in.
//!
//! Every kernel is generic over [`Ops`] and is entered through [`dispatch`] once per call; everything below inlines.

#[cfg(target_arch = "x86_64")]
mod cpu;
mod fma;
pub(crate) mod math;
mod ops;
mod tuning;
mod variable;

pub(crate) use ops::Ops;

use crate::error::{Result, ensure, err};
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that kernels are built for.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Portable code, one lane; fused multiply-adds in software where the target has none. The same bits, slowly.
    Scalar = 0,
    /// x86-64 with AVX2 and FMA (x86-64-v3): 8 lanes.
    Avx2 = 1,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL (x86-64-v4): 16 lanes.
    Avx512 = 2,
    /// AArch64 Advanced SIMD: 4 lanes.
    Neon = 3,
}

/// The highest rank that [`Isa::set_limit`] allows.
static LIMIT: AtomicU8 = AtomicU8::new(u8::MAX);

impl Isa {
    /// All of them, in the order of their numbers.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon];

    /// The name that `SIMDRNN_ISA` takes: `scalar`, `avx2`, `avx512` or `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// The instruction set with that name.
    pub fn from_name(name: &str) -> Result<Isa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| {
            let name = crate::shown::Excerpt(name, 40);
            err!(InvalidArgument, "unknown instruction set '{name}', expected scalar, avx2, avx512 or neon")
        })
    }

    /// The instruction set with that number.
    pub fn from_number(number: i32) -> Result<Isa> {
        Isa::ALL.into_iter().find(|&isa| isa as i32 == number).ok_or_else(|| {
            err!(
                InvalidArgument,
                "unknown instruction set {number}, expected 0 (scalar), 1 (avx2), 2 (avx512) or 3 (neon)"
            )
        })
    }

    /// Whether this CPU runs it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::is_available(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::is_available(),
            _ => false,
        }
    }

    /// All that this CPU runs, the slowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Order of preference within one architecture.
    fn rank(self) -> u8 {
        match self {
            Isa::Scalar => 0,
            Isa::Avx2 | Isa::Neon => 1,
            Isa::Avx512 => 2,
        }
    }

    /// Lowers the instruction set that handles made from now on will use, for the whole process; it never raises it
    /// above what the CPU has. `Isa::Avx512` (or `Neon`) lifts an earlier limit. Safe to call from any thread.
    pub fn set_limit(isa: Isa) -> Result<()> {
        isa.check_architecture()?;
        LIMIT.store(isa.rank(), Ordering::Relaxed);
        Ok(())
    }

    /// The instruction set a new handle uses: the best available one, lowered by [`Isa::set_limit`] and by the
    /// environment variable `SIMDRNN_ISA` (a name as in [`Isa::name`]; empty is unset). The variable is read once, by the first
    /// call: what it is set to later changes nothing.
    ///
    /// # Errors
    /// `InvalidArgument` if `SIMDRNN_ISA` had no such name, `Unsupported` if it named another architecture's: from this and
    /// from everything that chooses an instruction set, each time.
    pub fn choose() -> Result<Isa> {
        let limit = LIMIT.load(Ordering::Relaxed).min(variable::limit()?);
        Ok(Isa::available().filter(|isa| isa.rank() <= limit).last().unwrap_or(Isa::Scalar))
    }

    /// An error unless this CPU runs it.
    pub(crate) fn check_available(self) -> Result<()> {
        ensure!(self.is_available(), Unsupported, "this CPU does not run {}", self.name());
        Ok(())
    }

    fn check_architecture(self) -> Result<()> {
        let native = match self {
            Isa::Scalar => true,
            Isa::Avx2 | Isa::Avx512 => cfg!(target_arch = "x86_64"),
            Isa::Neon => cfg!(target_arch = "aarch64"),
        };
        ensure!(native, Unsupported, "{} does not belong to this machine's architecture", self.name());
        Ok(())
    }
}

/// A computation written once for every instruction set.
pub(crate) trait Kernel {
    type Output;
    /// Implementations are `#[inline(always)]`, as is everything they call down to single operations: only then do
    /// the operations compile to instructions of `S`.
    fn run<S: Ops>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` with the instructions of `isa`. An `isa` that the CPU lacks runs as scalar: handles refuse it earlier.
#[inline]
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => match pulp::x86::V3::try_new() {
            Some(simd) => simd.vectorize(
                #[inline(always)]
                || kernel.run(simd),
            ),
            None => kernel.run(pulp::Scalar),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => match pulp::x86::V4::try_new() {
            Some(simd) => simd.vectorize(
                #[inline(always)]
                || kernel.run(simd),
            ),
            None => kernel.run(pulp::Scalar),
        },
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => match pulp::aarch64::Neon::try_new() {
            Some(simd) => simd.vectorize(
                #[inline(always)]
                || kernel.run(simd),
            ),
            None => kernel.run(pulp::Scalar),
        },
        _ => kernel.run(pulp::Scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lanes;
    impl Kernel for Lanes {
        type Output = usize;
        fn run<S: Ops>(self, _: S) -> usize {
            S::LANES
        }
    }

    #[test]
    fn every_available_isa_really_runs() {
        for isa in Isa::available() {
            let lanes = match isa {
                Isa::Scalar => 1,
                Isa::Avx2 => 8,
                Isa::Avx512 => 16,
                Isa::Neon => 4,
            };
            assert_eq!(dispatch(isa, Lanes), lanes, "{}", isa.name());
        }
    }

    #[test]
    fn names_and_numbers_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(Isa::from_name(isa.name()).unwrap(), isa);
            assert_eq!(Isa::from_number(isa as i32).unwrap(), isa);
        }
        assert!(Isa::from_name("sse2").is_err());
        assert!(Isa::from_number(-1).is_err());
    }
}
