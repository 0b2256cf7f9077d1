//! Parse, run, exit code.

/// glibc's gives memory back to the system after each large message and takes it again for the
/// next: half of what a message of 64 KiB costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    warrener::cli::main()
}
