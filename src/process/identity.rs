//! Who a child is: looking up users and groups.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::time::{Duration, Instant};

use nix::unistd::{Gid as NixGid, Group, Uid as NixUid, User, getgrouplist};
use rustix::fs::{Gid, Uid};
use rustix::process::{getegid, geteuid};

use crate::model::Confinement;

/// How long an answer of the system's directory of users is good for. It may be far away, and with
/// `exec` there is a question for each message.
const FRESH: Duration = Duration::from_mins(1);

/// Why nobody is to be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAccount {
    /// There is no such user or group.
    #[error("there is no {kind} `{name}` on this machine\nhint: create it, or mend `{kind}`")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// As the file has it.
        name: String,
    },
    /// A user that is a number alone has no group that one could look up.
    #[error(
        "the user `{0}` has no name on this machine, so its group is not known\nhint: add `group:`"
    )]
    NoGroup(String),
    /// The directory cannot be asked.
    #[error("cannot look up the {kind} `{name}`: {error}")]
    Unavailable {
        /// `user` or `group`.
        kind: &'static str,
        /// As the file has it.
        name: String,
        /// What the system says.
        error: nix::Error,
    },
}

/// The numbers that a child takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// `None` to stay the user that one is.
    pub(super) uid: Option<Uid>,
    pub(super) gid: Gid,
    /// Every other group that it is a member of.
    pub(super) groups: Vec<Gid>,
}

/// An identity, where one is to be taken on, and the variables that go with the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) identity: Option<Identity>,
    pub(super) env: BTreeMap<&'static str, String>,
}

/// What was looked up lately.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<(Option<String>, Option<String>), (Account, Instant)>);

impl Accounts {
    /// The account of a consumer's processes.
    pub(super) fn find(&mut self, confinement: &Confinement) -> Result<Account, NoAccount> {
        let key = (confinement.user.clone(), confinement.group.clone());
        if key == (None, None) {
            return Ok(Account::default());
        }
        if let Some((account, at)) = self.0.get(&key)
            && at.elapsed() < FRESH
        {
            return Ok(account.clone());
        }
        let account = find_account(confinement)?;
        self.0.insert(key, (account.clone(), Instant::now()));
        Ok(account)
    }
}

/// Asks the system who that is.
///
/// # Errors
/// [`NoAccount`].
pub(super) fn find_account(confinement: &Confinement) -> Result<Account, NoAccount> {
    let group = confinement.group.as_deref().map(find_group).transpose()?;
    let Some(name) = &confinement.user else {
        let identity = group.map(|gid| Identity { uid: None, gid, groups: Vec::new() });
        return Ok(Account {
            identity: identity.filter(|identity| identity.gid != getegid()),
            env: BTreeMap::new(),
        });
    };
    let (uid, user) = find_user(name)?;
    let gid = match (group, &user) {
        (Some(gid), _) => gid,
        (None, Some(user)) => Gid::from_raw(user.gid.as_raw()),
        (None, None) => return Err(NoAccount::NoGroup(name.clone())),
    };
    let mut account = Account::default();
    let mut groups = Vec::new();
    if let Some(user) = user {
        if let Ok(name) = CString::new(user.name.clone())
            && let Ok(all) = getgrouplist(&name, NixGid::from_raw(gid.as_raw()))
        {
            groups.extend(all.into_iter().map(|gid| Gid::from_raw(gid.as_raw())));
        }
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        account.env.insert("HOME", text(user.dir));
        account.env.insert("SHELL", text(user.shell));
        account.env.insert("USER", user.name.clone());
        account.env.insert("LOGNAME", user.name);
    }
    // Who is that already needs no right to become it.
    if uid != geteuid() || gid != getegid() {
        account.identity = Some(Identity { uid: Some(uid), gid, groups });
    }
    Ok(account)
}

fn find_user(name: &str) -> Result<(Uid, Option<User>), NoAccount> {
    let kind = "user";
    let failed = |error| NoAccount::Unavailable { kind, name: name.to_owned(), error };
    if let Some(user) = User::from_name(name).map_err(failed)? {
        return Ok((Uid::from_raw(user.uid.as_raw()), Some(user)));
    }
    let number = name.parse().ok().filter(|number| *number != u32::MAX);
    let number = number.ok_or_else(|| NoAccount::Unknown { kind, name: name.to_owned() })?;
    let user = User::from_uid(NixUid::from_raw(number)).map_err(failed)?;
    Ok((Uid::from_raw(number), user))
}

fn find_group(name: &str) -> Result<Gid, NoAccount> {
    let kind = "group";
    let failed = |error| NoAccount::Unavailable { kind, name: name.to_owned(), error };
    if let Some(group) = Group::from_name(name).map_err(failed)? {
        return Ok(Gid::from_raw(group.gid.as_raw()));
    }
    match name.parse::<u32>() {
        Ok(number) if number != u32::MAX => Ok(Gid::from_raw(number)),
        _ => Err(NoAccount::Unknown { kind, name: name.to_owned() }),
    }
}
