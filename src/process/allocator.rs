//! How the allocator of this process deals with memory that was freed.

#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the allocator is set by a call of the C library")
)]

/// Has memory that was freed be used again where glibc would give it back to the system at once, and
/// then be given it anew page by page. Buffers of large messages come and go thousands of times a
/// second: with bodies of 64 KiB that takes a quarter off the CPU of a message (79 µs to 60,
/// `--part frames`).
///
/// Up to 16 MiB can stay unused for each thread that allocates, once so much was in use there.
/// Nothing is set where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    {
        use nix::libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};

        const KEPT: i32 = 16 << 20;
        /// Beyond any buffer of the usual message, whose pages are then not asked for each time.
        const MAPPED: i32 = 4 << 20;
        // SAFETY: these two take any number, may be set at any time, and change only where memory
        // comes from and goes to, not what it is. What cannot be set stays as it is.
        unsafe {
            mallopt(M_TRIM_THRESHOLD, KEPT);
            mallopt(M_MMAP_THRESHOLD, MAPPED);
        }
    }
}
