//! Passwords in parameters and of users, and the variables that stand for them in a file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use secrecy::{ExposeSecret, SecretString};

use super::note::{Note, Reason};
use crate::model::{ArgValue, Credential, Setting, SettingId, Topology};

/// The password of an address.
static IN_ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[a-z0-9+.-]+://[^\s:/@]*:(?<secret>[^\s:/@]+)@[^\s@]*$")
        .expect("a constant that a test compiles")
});

/// Where a secret stands: its setting, and the whole text that it is in.
type Spot = (SettingId, String);

/// The secrets of a topology. Not shown.
#[derive(Clone, Default)]
pub struct Secrets {
    spots: BTreeMap<Spot, Hidden>,
    written: bool,
}

/// A text with a secret in it.
#[derive(Clone)]
struct Hidden {
    /// The variable.
    name: String,
    before: String,
    secret: SecretString,
    after: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.spots.values().map(|hidden| &hidden.name)).finish()
    }
}

impl Secrets {
    /// All secrets stand in the file as they are.
    pub(super) fn written() -> Self {
        Self { written: true, ..Self::default() }
    }

    /// Whether there may be secrets that stand in the file as they are.
    pub(super) fn are_written(&self) -> bool {
        self.written
    }

    /// Finds them all and gives each a variable of its own.
    pub(super) fn of(topology: &Topology) -> Self {
        let mut secrets = Self::default();
        for setting in topology.settings() {
            match setting {
                Setting::Parameter(it) => {
                    secrets.search(&setting.id(), it.name.as_str(), "", &it.value);
                }
                Setting::GlobalParameter(it) => {
                    secrets.search(&setting.id(), it.name.as_str(), "", &it.value);
                }
                Setting::User(it) => {
                    if let Credential::Password(password) = &it.credential {
                        let text = password.expose_secret();
                        secrets.hide(&setting.id(), it.name.as_str(), "", text, (0, text.len()));
                    }
                }
                _ => {}
            }
        }
        secrets
    }

    fn search(&mut self, id: &SettingId, name: &str, key: &str, value: &ArgValue) {
        match value {
            ArgValue::Str(text) => {
                let secret = IN_ADDRESS.captures(text).and_then(|found| found.name("secret"));
                // Where another secret follows, the whole text is one.
                let is_last = |end: usize| {
                    let rest = ArgValue::Str(text[end..].to_owned());
                    rest.without_secrets() == rest
                };
                if let Some(secret) = secret.filter(|secret| is_last(secret.end())) {
                    self.hide(id, name, key, text, (secret.start(), secret.end()));
                } else if value.without_secrets_under(key) != *value {
                    self.hide(id, name, key, text, (0, text.len()));
                }
            }
            ArgValue::List(values) => {
                for value in values {
                    self.search(id, name, key, value);
                }
            }
            ArgValue::Map(values) => {
                for (key, value) in values {
                    self.search(id, name, key, value);
                }
            }
            ArgValue::Bool(_) | ArgValue::Int(_) | ArgValue::Float(_) => {}
        }
    }

    fn hide(
        &mut self,
        id: &SettingId,
        name: &str,
        key: &str,
        text: &str,
        (start, end): (usize, usize),
    ) {
        let spot = (id.clone(), text.to_owned());
        if start == end || self.spots.contains_key(&spot) {
            return;
        }
        let base = variable(&format!("{name} {key} password"));
        let taken = |name: &str| self.spots.values().any(|hidden| hidden.name == name);
        let mut name = base.clone();
        let mut number = 1;
        while taken(&name) {
            number += 1;
            name = format!("{base}_{number}");
        }
        let hidden = Hidden {
            name,
            before: text[..start].to_owned(),
            secret: text[start..end].to_owned().into(),
            after: text[end..].to_owned(),
        };
        self.spots.insert(spot, hidden);
    }

    /// What a text of a setting is without its secret: before it, the variable, and after it.
    pub(super) fn find(&self, id: &SettingId, text: &str) -> Option<(&str, &str, &str)> {
        let hidden = self.spots.get(&(id.clone(), text.to_owned()))?;
        Some((&hidden.before, &hidden.name, &hidden.after))
    }

    /// The value of a variable, for who reads the file back.
    pub fn variable(&self, name: &str) -> Option<&SecretString> {
        self.spots.values().find(|hidden| hidden.name == name).map(|hidden| &hidden.secret)
    }

    /// A note for each variable.
    pub(super) fn notes(&self) -> Vec<Note> {
        let notes = self.spots.iter().map(|((id, _), hidden)| {
            let kind = id.kind().as_str().replace('_', " ");
            let about = format!("a password of {kind} `{id}`");
            Note::new(Reason::Secret, format!("`{}`", hidden.name), about)
        });
        notes.collect()
    }
}

/// The name of a variable out of any text.
fn variable(text: &str) -> String {
    let letters =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let words = letters.collect::<String>();
    let words: Vec<_> = words.split('_').filter(|word| !word.is_empty()).collect();
    let name = words.join("_");
    // Names of variables begin with no digit.
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("P_{name}") } else { name }
}
