//! The command `darkframe`.
//!
//! In: arguments. Out: an exit code. Not here: everything else (`cli`, and the library).

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
