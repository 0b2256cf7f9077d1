//! From a document to a proven topology, and notes about all that does not come along as it is.

use std::collections::BTreeMap;

use regex::Regex;

use super::document::Document;
use super::load::Load;
use super::mend;
use super::note::Note;
use super::secrets::Secrets;
use super::yaml::Sheet;
use crate::model::{BadName, Credential, Setting, SettingKind, StackName, Topology, VhostName};

/// What the file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be applied to any broker: what cannot be spelled is left out of what can.
    Anywhere,
    /// To describe the broker that the document comes from: what cannot be spelled is declared as
    /// existing and no more, so that nothing there is changed.
    AsItIs,
}

/// What is to be carried over, and what for.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Only what is in that vhost; by default everything.
    pub vhost: Option<&'a str>,
    /// Queues and exchanges with a name that this matches; by default all.
    pub select: Option<&'a Regex>,
    /// Whether passwords are to stand in the file, rather than variables for them.
    pub secrets: bool,
    /// What the file is for.
    pub purpose: Purpose,
}

/// What a resource is called in a file: its section, vhost and name.
pub(super) type Place = (&'static str, VhostName, String);

/// What came along.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The vhost of the file's address.
    pub vhost: VhostName,
    /// What should exist.
    pub topology: Topology,
    /// Passwords that do not stand in the file.
    pub secrets: Secrets,
    /// Words to stand above a resource in the file.
    pub(super) comments: BTreeMap<Place, String>,
    /// What does not come along as it is, sorted.
    pub notes: Vec<Note>,
}

impl Carried {
    /// Whether the file holds what only its owner should read: passwords, or hashes of them.
    pub fn is_private(&self) -> bool {
        self.secrets.are_written()
            || self.topology.settings_of(SettingKind::User).any(|user| match user {
                Setting::User(user) => user.credential != Credential::Unsaid,
                _ => false,
            })
    }

    /// The file that says it.
    pub fn sheet<'a>(&'a self, stack: &'a StackName) -> Sheet<'a> {
        Sheet {
            header: "",
            stack,
            home: &self.vhost,
            url: None,
            management: None,
            topology: &self.topology,
            secrets: &self.secrets,
            comments: &self.comments,
        }
    }
}

/// Carries a document over. Fails where the vhost cannot be named.
pub fn carry(document: &Document, wish: &Wish<'_>) -> Result<Carried, BadName> {
    let default = wish.vhost.or(document.vhost()).unwrap_or("/");
    let vhost = VhostName::new(home(document, wish, default))?;
    let mut load = Load::new(vhost.clone(), default, wish.purpose);
    load.read(document, wish.vhost.is_some());
    load.fit(wish.select);
    let Load { parts, mut comments, mut notes, .. } = load;
    let topology = mend::prove(parts, &vhost, wish.purpose, &mut comments, &mut notes);
    let secrets = if wish.secrets { Secrets::written() } else { Secrets::of(&topology) };
    notes.extend(secrets.notes());
    notes.sort_by(|a, b| (a.reason.weight(), a).cmp(&(b.reason.weight(), b)));
    Ok(Carried { vhost, topology, secrets, comments, notes })
}

/// The vhost of the file's address: the one that is wished for, the only one that is used, or the
/// default of brokers.
fn home(document: &Document, wish: &Wish<'_>, default: &str) -> String {
    let used = document.vhosts(default);
    match (wish.vhost, used.len()) {
        (Some(vhost), _) => vhost.to_owned(),
        (None, 1) => used.into_iter().next().unwrap_or_default(),
        (None, _) if used.contains(default) => default.to_owned(),
        (None, _) => used.into_iter().next().unwrap_or_else(|| default.to_owned()),
    }
}
