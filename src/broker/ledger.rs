//! Where ledgers are kept: a global parameter of the broker for each stack, or a local file.
//!
//! Each stack has a parameter of its own, so two stacks never write the same one. On the broker a
//! ledger outlives every host that applies the stack.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::management::{GlobalParameterInfo, ManagementClient};
use crate::model::{Desired, LEDGERS as PREFIX, StackName, VhostName};
use crate::plan::{Ledger, LedgerRecord, Owner, Ownership};

#[cfg(test)]
mod tests;

/// The longest name that the broker can keep: it makes an atom of it.
const LONGEST: usize = 255;

/// The folder for ledgers that cannot be kept on the broker.
const STATE_DIR: &str = "WARRENER_STATE_DIR";

/// Where the ledger of one stack is kept.
#[derive(Clone, Debug)]
pub struct LedgerStore {
    stack: StackName,
    home: VhostName,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Broker(ManagementClient),
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
                    let ownership = collate(&stack, &home, parameters)?;
                    let place = Place::Broker(client.clone());
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

    /// Writes a ledger, unless it is the one that is there already; else says why it could not.
    pub async fn bring(&self, there: &Ledger, ledger: &Ledger) -> Result<(), String> {
        if there == ledger {
            return Ok(());
        }
        let record = LedgerRecord {
            stack: self.stack.clone(),
            home: self.home.clone(),
            ledger: ledger.clone(),
        };
        match &self.place {
            Place::Broker(client) => client
                .put_global_parameter(&parameter(&self.stack, &self.home), &record.to_json())
                .await
                .map_err(|error| error.to_string()),
            Place::File(path) => replace_file(path, &record.to_json())
                .map_err(|error| format!("`{}`: {error}", path.display())),
        }
    }
}

/// The name of a stack's parameter. In the vhost `/` it is the stack's name alone.
fn parameter(stack: &StackName, home: &VhostName) -> String {
    let name = match home.as_str() {
        "/" => format!("{PREFIX}{stack}"),
        home => format!("{PREFIX}{stack}@{home}"),
    };
    if name.len() <= LONGEST {
        name
    } else {
        format!("{PREFIX}{}", blake3::hash(name.as_bytes()).to_hex())
    }
}

/// What the parameters say that are ledgers.
fn collate(
    stack: &StackName,
    home: &VhostName,
    parameters: Vec<GlobalParameterInfo>,
) -> Result<Ownership, String> {
    let mut ownership = Ownership::nobody(stack.clone());
    let mut others = BTreeMap::new();
    for GlobalParameterInfo { name, value } in parameters {
        if !name.starts_with(PREFIX) {
            continue;
        }
        let record = LedgerRecord::from_json(&value).map_err(|error| {
            format!("the ledger in the global parameter `{name}` cannot be used: {error}")
        })?;
        if record.stack == *stack && record.home == *home {
            ownership.own = record.ledger;
            continue;
        }
        let owner = Owner { stack: record.stack, home: record.home, parameter: name };
        others.extend(record.ledger.iter().map(|(id, _)| (id.clone(), owner.clone())));
    }
    ownership.others = others;
    Ok(ownership)
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
