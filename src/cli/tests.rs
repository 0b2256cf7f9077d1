//! The command line itself.

use clap::CommandFactory as _;

use super::{Cli, Exit};

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

/// Scripts rely on these numbers.
#[test]
fn exit_codes() {
    let codes = Exit::ALL.map(|exit| (format!("{exit:?}"), exit.code()));
    let expected = [
        ("Done", 0),
        ("Failed", 1),
        ("Changes", 2),
        ("Partly", 3),
        ("NotRunning", 4),
        ("Usage", 64),
    ];
    assert_eq!(codes, expected.map(|(name, code)| (name.to_owned(), code)));
}

#[test]
fn every_global_flag_has_a_variable() {
    for argument in Cli::command().get_arguments() {
        if argument.is_global_set() {
            let name = argument.get_long().expect("a long name").replace('-', "_").to_uppercase();
            let variable = argument.get_env().and_then(|variable| variable.to_str());
            assert_eq!(variable, Some(format!("WARRENER_{name}").as_str()));
        }
    }
}
