//! # Instruction sets
//!
//! A handle with kernels uses the best instruction set of the CPU, unless the environment variable SIMDRNN_ISA (scalar,
//! avx2, avx512 or neon; empty is unset) or srnn_isa_set_limit lowers it. Finite results have the same bits with every one.
//!
//! The variable is read once in a process, by the first call that chooses an instruction set: calls that make or load a
//! layer, an optimizer, a classifier or a trainer; srnn_softmax, srnn_log_softmax, srnn_sigmoid, srnn_dropout,
//! srnn_cross_entropy; the searches for neighbours, srnn_vectors_similarity and srnn_vectors_analogy; and srnn_isa_choose.
//! If it had another value, each of these calls fails with SRNN_ERROR_INVALID_ARGUMENT, or SRNN_ERROR_UNSUPPORTED for another
//! architecture's, and an error that names SIMDRNN_ISA.

use super::args::Arrays;
use super::error::{srnn_error, srnn_status};
use super::{call, infallible};
use crate::simd::Isa;
use std::ffi::c_char;

/// Instruction sets that kernels are built for.
#[repr(C)]
pub enum srnn_isa {
    /// Portable code.
    SRNN_ISA_SCALAR = 0,
    /// x86-64 with AVX2 and FMA (x86-64-v3).
    SRNN_ISA_AVX2 = 1,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL (x86-64-v4).
    SRNN_ISA_AVX512 = 2,
    /// AArch64 Advanced SIMD.
    SRNN_ISA_NEON = 3,
}

const _: () = {
    assert!(srnn_isa::SRNN_ISA_SCALAR as i32 == Isa::Scalar as i32);
    assert!(srnn_isa::SRNN_ISA_AVX2 as i32 == Isa::Avx2 as i32);
    assert!(srnn_isa::SRNN_ISA_AVX512 as i32 == Isa::Avx512 as i32);
    assert!(srnn_isa::SRNN_ISA_NEON as i32 == Isa::Neon as i32);
};

/// 1 if this CPU runs the instruction set `isa` (an srnn_isa), else 0.
#[unsafe(no_mangle)]
pub extern "C" fn srnn_isa_is_available(isa: i32) -> i32 {
    infallible(0, || i32::from(Isa::from_number(isa).is_ok_and(Isa::is_available)))
}

/// The name of an instruction set ("scalar", "avx2", "avx512", "neon"), or "unknown"; a static text.
#[unsafe(no_mangle)]
pub extern "C" fn srnn_isa_name(isa: i32) -> *const c_char {
    let name = || match Isa::from_number(isa) {
        Ok(Isa::Scalar) => c"scalar",
        Ok(Isa::Avx2) => c"avx2",
        Ok(Isa::Avx512) => c"avx512",
        Ok(Isa::Neon) => c"neon",
        Err(_) => c"unknown",
    };
    infallible(c"".as_ptr(), || name().as_ptr())
}

/// Lowers the instruction set of handles that are made from now on, for the whole process, from any thread. It never
/// raises it above what the CPU has; SRNN_ISA_AVX512 or SRNN_ISA_NEON lifts an earlier limit.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown number; SRNN_ERROR_UNSUPPORTED for another architecture's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_isa_set_limit(isa: i32, error: *mut srnn_error) -> srnn_status {
    call(error, || Isa::set_limit(Isa::from_number(isa)?))
}

/// Writes the instruction set that a new handle would use to `isa`.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT or SRNN_ERROR_UNSUPPORTED if SIMDRNN_ISA had a wrong value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_isa_choose(isa: *mut i32, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let isa = unsafe { Arrays::new().out("isa", isa) }?;
        isa.write(Isa::choose()? as i32);
        Ok(())
    })
}
