//! Where the parts of a declaration were written.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Origin;

/// The places of single values inside declarations, so that a problem can underline the one word
/// that is wrong rather than the whole queue. What is not noted falls back to the declaration.
#[derive(Clone, Debug, Default)]
pub struct Spots(HashMap<(u32, u32, Cow<'static, str>), Origin>);

impl Spots {
    /// Notes that `part` of what was declared at `owner` stands at `place`.
    pub fn note(&mut self, owner: Origin, part: impl Into<Cow<'static, str>>, place: Origin) {
        self.0.insert((owner.source, owner.start, part.into()), place);
    }

    /// Whether `part` of what was declared at `owner` was noted.
    pub fn has(&self, owner: Origin, part: &str) -> bool {
        self.0.contains_key(&(owner.source, owner.start, Cow::Owned(part.to_owned())))
    }

    /// Where `part` of what was declared at `owner` stands.
    pub fn find(&self, owner: Origin, part: &str) -> Origin {
        let key = (owner.source, owner.start, Cow::Owned(part.to_owned()));
        self.0.get(&key).copied().unwrap_or(owner)
    }
}
