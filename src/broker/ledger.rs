//! Where ledgers are kept: a global parameter of the broker for each stack, or a local file.
//!
//! Each stack has a parameter of its own, so two stacks never write the same one. On the broker a
//! ledger outlives every host that applies the stack.
//!
//! The ledger of a large stack takes the broker long to give and to take. What little is added to it
//! goes into a second parameter, the *addendum*, which counts as part of it; whoever writes the
//! ledger as a whole next removes it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::management::{GlobalParameterInfo, ManagementClient, ManagementError};
use crate::model::{Desired, LEDGERS as PREFIX, StackName, VhostName};
use crate::plan::{Ledger, LedgerRecord, Owner, Ownership};

#[cfg(test)]
mod tests;

/// The longest name that the broker can keep: it makes an atom of it.
const LONGEST: usize = 255;

/// What the name of an addendum begins with, after the prefix. No name of a stack begins so.
const ADDENDUM: &str = "+";

/// What has fewer entries is written as a whole: that takes the broker no longer. One of twenty
/// thousand takes it 0.1 s.
const LARGE: usize = 1000;

/// The addendum has at most one entry for so many of the whole.
const SHARE: usize = 10;

/// Ledgers of others that are asked for at once.
const AT_ONCE: usize = 8;

/// The folder for ledgers that cannot be kept on the broker.
const STATE_DIR: &str = "WARRENER_STATE_DIR";

/// Where the ledger of one stack is kept.
#[derive(Debug)]
pub struct LedgerStore {
    stack: StackName,
    home: VhostName,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Broker {
        client: ManagementClient,
        /// Whether there was a ledger.
        whole: bool,
        /// What the addendum has; `None` where there is none.
        addendum: Mutex<Option<Ledger>>,
    },
    File(PathBuf),
}

impl LedgerStore {
    /// Reads all ledgers of the broker or, where that is not possible, the local file of the stack.
    /// Fails where a ledger is there and cannot be understood.
    pub(super) async fn read(
        desired: &Desired,
        management: Option<&ManagementClient>,
    ) -> Result<(Self, Ownership), String> {
        let (stack, home) = (desired.stack.clone(), desired.broker.vhost.clone());
        let why = match management {
            None => "only the management API could keep it on the broker".to_owned(),
            Some(client) => match client.global_parameters().await {
                Ok(parameters) => {
                    let there = |name| parameters.iter().any(|parameter| parameter.name == name);
                    let whole = there(parameter(&stack, &home));
                    let (ownership, added) = collate(&stack, &home, parameters)?;
                    let addendum = Mutex::new(added);
                    let place = Place::Broker { client: client.clone(), whole, addendum };
                    return Ok((Self { stack, home, place }, ownership));
                }
                Err(error) => error.to_string(),
            },
        };
        let path = file(desired, &state_folder(|name| std::env::var_os(name)));
        let own = match std::fs::read(&path) {
            Ok(bytes) => {
                let unusable = |error: &dyn std::fmt::Display| {
                    format!("the ledger `{}` cannot be used: {error}", path.display())
                };
                let json = serde_json::from_slice(&bytes).map_err(|error| unusable(&error))?;
                LedgerRecord::from_json(&json).map_err(|error| unusable(&error))?.ledger
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ledger::default(),
            Err(error) => {
                return Err(format!("the ledger `{}` cannot be read: {error}", path.display()));
            }
        };
        let elsewhere = format!(
            "what the stack owns is noted on this machine alone, in `{}`: {why}",
            path.display()
        );
        let ownership =
            Ownership { own, elsewhere: Some(elsewhere), ..Ownership::nobody(stack.clone()) };
        Ok((Self { stack, home, place: Place::File(path) }, ownership))
    }

    /// Reads what is needed to add to a ledger that is on the broker: what others own, and as the
    /// stack's own only what is in its addendum.
    pub(super) async fn read_addendum(
        desired: &Desired,
        client: &ManagementClient,
    ) -> Result<(Self, Ownership), String> {
        let (stack, home) = (desired.stack.clone(), desired.broker.vhost.clone());
        let said = |error: ManagementError| error.to_string();
        let whole = parameter(&stack, &home);
        let names = client.global_parameter_names().await.map_err(said)?;
        let is_there = names.contains(&whole);
        let needed = names.into_iter().filter(|name| name.starts_with(PREFIX) && *name != whole);
        let parameters = stream::iter(needed)
            .map(async |name| match client.global_parameter(&name).await {
                Err(ManagementError::NotFound { .. }) => Ok(None),
                answer => answer.map(Some),
            })
            .buffer_unordered(AT_ONCE)
            .try_filter_map(async |parameter| Ok(parameter))
            .try_collect()
            .await
            .map_err(said)?;
        let (ownership, added) = collate(&stack, &home, parameters)?;
        let addendum = Mutex::new(added);
        let place = Place::Broker { client: client.clone(), whole: is_there, addendum };
        Ok((Self { stack, home, place }, ownership))
    }

    /// Whether the broker had a ledger of the stack when it was read.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.place, Place::Broker { whole: true, .. })
    }

    /// Writes a ledger, unless it is the one that is there already; else says why it could not. What
    /// little a large one has more than the one that is there goes into the addendum.
    ///
    /// The addendum goes last: killed in between, the stack owns for a while longer what it owned.
    pub async fn bring(&self, there: &Ledger, ledger: &Ledger) -> Result<(), String> {
        match &self.place {
            Place::Broker { client, whole, addendum: added } => {
                let known = lock(added).clone();
                if there == ledger && known.is_none() {
                    return Ok(());
                }
                if *whole && let Some(grown) = grown(there, ledger, known.as_ref()) {
                    return self.add(&grown).await;
                }
                self.write(client, &parameter(&self.stack, &self.home), ledger).await?;
                if known.is_some() {
                    let name = addendum(&self.stack, &self.home);
                    match client.delete(&["global-parameters".into(), name]).await {
                        Ok(()) | Err(ManagementError::NotFound { .. }) => {}
                        Err(error) => return Err(error.to_string()),
                    }
                    *lock(added) = None;
                }
                Ok(())
            }
            Place::File(_) if there == ledger => Ok(()),
            Place::File(path) => replace_file(path, &self.record(ledger))
                .map_err(|error| format!("`{}`: {error}", path.display())),
        }
    }

    /// Writes the addendum; else says why it could not.
    pub(super) async fn add(&self, ledger: &Ledger) -> Result<(), String> {
        match &self.place {
            Place::Broker { client, addendum: added, .. } => {
                self.write(client, &addendum(&self.stack, &self.home), ledger).await?;
                *lock(added) = Some(ledger.clone());
                Ok(())
            }
            Place::File(path) => Err(format!("the ledger is in `{}`", path.display())),
        }
    }

    async fn write(
        &self,
        client: &ManagementClient,
        name: &str,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let written = client.put_global_parameter(name, &self.record(ledger)).await;
        written.map_err(|error| error.to_string())
    }

    fn record(&self, ledger: &Ledger) -> serde_json::Value {
        let (stack, home) = (self.stack.clone(), self.home.clone());
        LedgerRecord { stack, home, ledger: ledger.clone() }.to_json()
    }
}

/// The name of a stack's parameter. In the vhost `/` it is the stack's name alone.
fn parameter(stack: &StackName, home: &VhostName) -> String {
    named(PREFIX, stack, home)
}

/// The name of the parameter of what was added.
fn addendum(stack: &StackName, home: &VhostName) -> String {
    named(&format!("{PREFIX}{ADDENDUM}"), stack, home)
}

fn named(prefix: &str, stack: &StackName, home: &VhostName) -> String {
    let name = match home.as_str() {
        "/" => format!("{prefix}{stack}"),
        home => format!("{prefix}{stack}@{home}"),
    };
    if name.len() <= LONGEST {
        name
    } else {
        format!("{prefix}{}", blake3::hash(name.as_bytes()).to_hex())
    }
}

/// The addendum that a large ledger gets in place of being written as a whole; `None` where it is to
/// be written so. `added` is what the addendum has already.
fn grown(there: &Ledger, ledger: &Ledger, added: Option<&Ledger>) -> Option<Ledger> {
    let more = ledger.beyond(there).filter(|more| !more.is_empty())?;
    let mut grown = added.cloned().unwrap_or_default();
    grown.join(more);
    (ledger.len() >= LARGE && grown.len() * SHARE <= ledger.len()).then_some(grown)
}

fn lock(added: &Mutex<Option<Ledger>>) -> MutexGuard<'_, Option<Ledger>> {
    added.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the parameters say that are ledgers, and what of it the addendum of the stack says.
fn collate(
    stack: &StackName,
    home: &VhostName,
    parameters: Vec<GlobalParameterInfo>,
) -> Result<(Ownership, Option<Ledger>), String> {
    let mut ownership = Ownership::nobody(stack.clone());
    let mut others = BTreeMap::new();
    let (addendum, mut added) = (addendum(stack, home), None);
    for GlobalParameterInfo { name, value } in parameters {
        if !name.starts_with(PREFIX) {
            continue;
        }
        let record = LedgerRecord::from_json(&value).map_err(|error| {
            format!("the ledger in the global parameter `{name}` cannot be used: {error}")
        })?;
        if record.stack == *stack && record.home == *home {
            if name == addendum {
                added = Some(record.ledger.clone());
            }
            ownership.own.join(record.ledger);
            continue;
        }
        let owner = Owner { stack: record.stack, home: record.home, parameter: name };
        others.extend(record.ledger.iter().map(|(id, _)| (id.clone(), owner.clone())));
    }
    ownership.others = others;
    Ok((ownership, added))
}

/// The folder that a variable names, else the one that XDG has for it, else that of services.
pub(super) fn state_folder(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> PathBuf {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(STATE_DIR)
        .or_else(|| set("XDG_STATE_HOME").map(|folder| folder.join("warrener")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/warrener")))
        .unwrap_or_else(|| "/var/lib/warrener".into())
}

/// The file of a stack on one broker: stacks of one name on two brokers are two.
fn file(desired: &Desired, folder: &Path) -> PathBuf {
    let address = desired.broker.endpoints.first().map(ToString::to_string).unwrap_or_default();
    let hash = blake3::hash(address.as_bytes()).to_hex();
    folder.join("ledgers").join(format!("{}.{}.json", desired.stack, &hash[..16]))
}

/// Replaces the file as a whole, so that nobody ever reads half of it.
pub(super) fn replace_file(path: &Path, json: &serde_json::Value) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, json)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
