//! What is wrong with a single setting, as far as that can be told without the broker.

use super::policies::check_pattern;
use super::{GlobalParameter, Origin, Parameter, PatternFault, Problem, Setting, Spots, codes};

/// What the names of global parameters begin with in which stacks note what they own.
pub const LEDGERS: &str = "warrener.";

/// The problems of one setting; `spots` are the places of its parts.
pub(super) fn problems(setting: &Setting, spots: &Spots) -> Vec<Problem> {
    match setting {
        Setting::Permission(it) => {
            let patterns = [("configure", &it.configure), ("write", &it.write), ("read", &it.read)];
            permission(&it.user, it.origin, &patterns, spots)
        }
        Setting::TopicPermission(it) => {
            permission(&it.user, it.origin, &[("write", &it.write), ("read", &it.read)], spots)
        }
        Setting::Parameter(it) => component(it).into_iter().collect(),
        Setting::GlobalParameter(it) => global(it).into_iter().collect(),
        Setting::Vhost(_) | Setting::User(_) | Setting::OperatorPolicy(_) => Vec::new(),
    }
}

fn permission(
    user: &super::UserName,
    origin: Origin,
    patterns: &[(&str, &String)],
    spots: &Spots,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, pattern) in patterns {
        if let Err(PatternFault::Invalid(reason)) = check_pattern(pattern) {
            let message =
                format!("`{key}` of a permission of user `{user}` is no regular expression");
            let place = spots.find(origin, key);
            problems.push(Problem::error(codes::PATTERN, place, message).label(reason));
        }
    }
    problems
}

/// These have sections of their own; in two places each would undo the other.
fn component(parameter: &Parameter) -> Option<Problem> {
    let hint = match parameter.component.as_str() {
        "policy" => "write it under `policies:`",
        "operator_policy" => "write it under `operator_policies:`",
        "vhost-limits" => "write it as `limits:` of the vhost under `vhosts:`",
        _ => return None,
    };
    let message = format!("`{}` has a section of its own", parameter.component);
    Some(Problem::error(codes::RESERVED, parameter.origin, message).hint(hint))
}

fn global(parameter: &GlobalParameter) -> Option<Problem> {
    if !parameter.name.as_str().starts_with(LEDGERS) {
        return None;
    }
    let message = format!(
        "the global parameter `{}` is where warrener notes what a stack owns",
        parameter.name
    );
    Some(
        Problem::error(codes::RESERVED, parameter.origin, message)
            .hint(format!("choose a name that does not begin with `{LEDGERS}`")),
    )
}
