//! Who may do what: users, their permissions, and the hashes that a broker keeps of passwords.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256, Sha512};

use super::{BrokerLimits, ExchangeName, OnRemove, Origin, UserName, VhostName};

/// Bytes of the salt that a stored hash begins with.
const SALT: usize = 4;

/// How a broker hashes passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// What brokers use by default.
    #[default]
    Sha256,
    /// A choice of the broker's configuration.
    Sha512,
    /// What brokers before 3.6 used.
    Md5,
}

impl HashAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512, Self::Md5];

    /// The short word that files use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Md5 => "md5",
        }
    }

    /// The name of the broker's module, which is what the management API and definitions say.
    pub fn module(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
            Self::Md5 => "rabbit_password_hashing_md5",
        }
    }
}

/// A salted hash of a password as a broker stores it: Base64 of four bytes of salt and the hash of
/// salt and password. Not shown, for a weak password can be found from it.
#[derive(Clone)]
pub struct PasswordHash {
    /// The Base64 text; empty for a user whom no password lets in.
    pub text: SecretString,
    /// How it was made; `None` for a way that is not known here.
    pub algorithm: Option<HashAlgorithm>,
}

impl PasswordHash {
    /// Whether it is the hash of that password. Never where it was made in an unknown way.
    pub fn is_of(&self, password: &SecretString) -> bool {
        let Ok(bytes) = STANDARD.decode(self.text.expose_secret()) else { return false };
        let Some((salt, hash)) = bytes.split_at_checked(SALT) else { return false };
        let password = password.expose_secret().as_bytes();
        match self.algorithm {
            Some(HashAlgorithm::Sha256) => {
                Sha256::new().chain_update(salt).chain_update(password).finalize().as_slice()
                    == hash
            }
            Some(HashAlgorithm::Sha512) => {
                Sha512::new().chain_update(salt).chain_update(password).finalize().as_slice()
                    == hash
            }
            Some(HashAlgorithm::Md5) => {
                Md5::new().chain_update(salt).chain_update(password).finalize().as_slice() == hash
            }
            None => false,
        }
    }

    /// Whether no password lets this user in.
    pub fn is_empty(&self) -> bool {
        self.text.expose_secret().is_empty()
    }
}

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.text.expose_secret() == other.text.expose_secret()
    }
}

impl Eq for PasswordHash {}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.algorithm)
    }
}

/// How a user proves who it is.
#[derive(Clone, Debug, Default)]
pub enum Credential {
    /// The file says nothing: what the broker has stays, and a new user has no password.
    #[default]
    Unsaid,
    /// This password.
    Password(SecretString),
    /// The password with this hash, which nobody here knows.
    Hash(PasswordHash),
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unsaid, Self::Unsaid) => true,
            (Self::Password(a), Self::Password(b)) => a.expose_secret() == b.expose_secret(),
            (Self::Hash(a), Self::Hash(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Credential {}

impl Credential {
    /// Whether a user with that stored hash is as this says.
    pub fn agrees_with(&self, stored: &PasswordHash) -> bool {
        match self {
            Self::Unsaid => true,
            Self::Password(password) => stored.is_of(password),
            Self::Hash(hash) => hash == stored,
        }
    }
}

/// A user of the broker's own database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: UserName,
    /// How it logs in.
    pub credential: Credential,
    /// What it may do in the management API: `administrator`, `management`, `policymaker`, …
    pub tags: BTreeSet<String>,
    /// See [`super::USER_LIMITS`].
    pub limits: BrokerLimits,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}

/// What a user may do in a vhost: three regular expressions over names, of which the empty one
/// allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The vhost.
    pub vhost: VhostName,
    /// Who.
    pub user: UserName,
    /// What may be declared and deleted.
    pub configure: String,
    /// What may be published to and bound.
    pub write: String,
    /// What may be consumed and bound from.
    pub read: String,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}

/// Which routing keys of a topic exchange a user may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermission {
    /// The vhost.
    pub vhost: VhostName,
    /// Who.
    pub user: UserName,
    /// The exchange.
    pub exchange: ExchangeName,
    /// A regular expression over keys to publish with.
    pub write: String,
    /// A regular expression over keys to bind with.
    pub read: String,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}
