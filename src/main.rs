//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    warrener::cli::main()
}
