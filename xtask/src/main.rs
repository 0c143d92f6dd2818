//! The project's chores, as one program: `cargo xtask test`, `ci`, `codegen`, `bench`, `instructions`,
//! `mutations`, `sim`.
//!
//! Not here: anything that the product needs to run, and shell scripts.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod codegen;
mod error_pages;
mod instructions;
mod mutations;
mod node;
mod prerequisites;
mod run;
mod suites;
mod test;
mod typescript;
mod vitest;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Parlour's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Installs what the tests need, then runs all of them: format, lints, types, suites, browser, generated files.
    Test,
    /// The same as `test`.
    Ci,
    /// Writes the generated files: openapi.json, the TypeScript types, the error pages, the README's quickstart, the
    /// bundles of the web pages.
    Codegen {
        /// Write nothing; fail if a committed file differs from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Measures the product beside our own bare loops, in release mode; `bench peers` beside servers that others made.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on: `--quick`, `--room N`, … (`--help` lists them).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Counts the instructions of the hot paths and compares them with what was recorded.
    Instructions {
        /// Compare nothing; record what is counted now.
        #[arg(long)]
        record: bool,
    },
    /// Takes lines out of the code, one at a time, and sees that the tests notice (spec/mutations.txt).
    Mutations,
    /// Runs the seeded tests: machine against machine, then client against server.
    Sim {
        /// How many seeds; the suite's own number if absent.
        #[arg(long)]
        seeds: Option<u64>,
        /// Replay this seed alone.
        #[arg(long, conflicts_with = "seeds")]
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Test | Chore::Ci => return test::run(),
        Chore::Codegen { check } => {
            codegen::run(if check { codegen::Mode::Check } else { codegen::Mode::Write })
        }
        Chore::Bench { args } => run::bench(&args),
        Chore::Instructions { record: true } => instructions::record(),
        Chore::Instructions { record: false } => instructions::check(),
        Chore::Mutations => mutations::run(),
        Chore::Sim { seeds, seed } => run::sim(seeds, seed),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
