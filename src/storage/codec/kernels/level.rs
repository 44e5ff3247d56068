//! The instruction set to use, found out at run time.

#![expect(unsafe_code, reason = "functions compiled for an instruction set are called after asking for it")]

/// An instruction set kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// What every processor of the architecture has.
    Portable,
    /// AVX2 and BMI.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best this processor has; the answer is cached by the standard library.
    #[inline]
    pub(crate) fn current() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return Level::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
            {
                return Level::Avx2;
            }
        }
        Level::Portable
    }

    /// Every set this processor has.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Level> {
        match Level::current() {
            Level::Portable => vec![Level::Portable],
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => vec![Level::Portable, Level::Avx2],
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => vec![Level::Portable, Level::Avx2, Level::Avx512],
        }
    }
}

/// Runs a simple loop compiled for the best instruction set; `work` is inlined into the function that has it enabled.
#[inline]
pub(crate) fn dispatch<R>(work: impl FnOnce() -> R) -> R {
    match Level::current() {
        Level::Portable => work(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions, as was just asked.
        Level::Avx2 => unsafe { with_avx2(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { with_avx512(work) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2")]
fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}
