//! From a document to a proven topology, and notes about all that does not come along as it is.

use std::collections::BTreeMap;

use regex::Regex;

use super::document::Document;
use super::load::Load;
use super::mend;
use super::note::Note;
use super::yaml::Sheet;
use crate::model::{BadName, StackName, Topology, VhostName};

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
    /// The vhost; by default the one that has something, and `/` if several have.
    pub vhost: Option<&'a str>,
    /// Queues and exchanges with a name that this matches; by default all.
    pub select: Option<&'a Regex>,
    /// What the file is for.
    pub purpose: Purpose,
}

/// What a resource is called in a file: its section, vhost and name.
pub(super) type Place = (&'static str, VhostName, String);

/// What came along.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The vhost that everything is in.
    pub vhost: VhostName,
    /// What should exist.
    pub topology: Topology,
    /// Words to stand above a resource in the file.
    pub(super) comments: BTreeMap<Place, String>,
    /// What does not come along as it is, sorted.
    pub notes: Vec<Note>,
}

impl Carried {
    /// The file that says it.
    pub fn sheet<'a>(&'a self, stack: &'a StackName) -> Sheet<'a> {
        Sheet {
            header: "",
            stack,
            url: None,
            management: None,
            topology: &self.topology,
            comments: &self.comments,
        }
    }
}

/// Carries a document over. Fails where the vhost cannot be named.
pub fn carry(document: &Document, wish: &Wish<'_>) -> Result<Carried, BadName> {
    let default = wish.vhost.or(document.vhost()).unwrap_or("/");
    let vhost = VhostName::new(home(document, wish, default))?;
    let mut load = Load::new(vhost.clone(), default, wish.purpose);
    load.read(document);
    load.fit(wish.select);
    let Load { parts, mut comments, mut notes, .. } = load;
    let topology = mend::prove(parts, wish.purpose, &mut comments, &mut notes);
    notes.sort_by(|a, b| (a.reason.weight(), a).cmp(&(b.reason.weight(), b)));
    Ok(Carried { vhost, topology, comments, notes })
}

/// The vhost to carry over.
fn home(document: &Document, wish: &Wish<'_>, default: &str) -> String {
    let used = document.vhosts(default);
    match (wish.vhost, used.len()) {
        (Some(vhost), _) => vhost.to_owned(),
        (None, 1) => used.into_iter().next().unwrap_or_default(),
        (None, _) => default.to_owned(),
    }
}
