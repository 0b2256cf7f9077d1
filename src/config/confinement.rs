//! What a consumer's processes may have and do: `user`, `group`, `no_new_privs`, `umask`,
//! `env_pass`, `limits`.

use std::time::Duration;

use super::node::Node;
use super::read::{Fields, Reading, misshapen};
use crate::model::{Confinement, Limits, Problem, codes};

/// Fewer open files, and a program ends before it begins: its standard files, its libraries.
const FEWEST_FILES: i64 = 16;

/// Less memory, and no program starts.
const LEAST_MEMORY: u64 = 1 << 20;

impl Reading {
    /// Reads all of them.
    pub(super) fn confinement(&mut self, fields: &mut Fields) -> Confinement {
        let owner = fields.owner;
        let default = Confinement::default();
        let user = fields.read("user", self, Self::account);
        let group = fields.read("group", self, Self::account);
        let no_new_privs = fields.read("no_new_privs", self, Self::boolean);
        let umask = fields.read("umask", self, Self::umask);
        let env_pass = fields.read("env_pass", self, Self::env_pass);
        let limits = fields.read("limits", self, Self::limits).unwrap_or_default();
        if limits.processes.is_some() && !self.noted(owner, "user") {
            let place = self.spots.find(owner, "limits");
            let message =
                "`limits.processes` counts all processes of a user, and there is no `user`";
            self.push(
                Problem::error(codes::MISSING, place, message)
                    .hint("add `user:` with a user that nothing else runs as"),
            );
        }
        Confinement {
            user,
            group,
            no_new_privs: no_new_privs.unwrap_or(default.no_new_privs),
            umask,
            env_pass: env_pass.unwrap_or_default(),
            limits,
        }
    }

    /// The name or the number of a user or group.
    fn account(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        if !text.is_empty() && !text.contains(['\0', ':', '\n']) {
            return Some(text);
        }
        let problem = misshapen(key, "a name or a number", node);
        self.push(Problem { code: codes::VALUE, ..problem });
        None
    }

    fn umask(&mut self, key: &str, node: &Node) -> Option<u16> {
        let text = self.text(key, node)?;
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        match u16::from_str_radix(&text, 8).ok().filter(|mask| octal && *mask <= 0o777) {
            Some(mask) => Some(mask),
            None => {
                let problem = misshapen(key, "three octal digits", node);
                self.push(
                    Problem { code: codes::VALUE, ..problem }
                        .hint("for example `027`: the group may not write, others may nothing"),
                );
                None
            }
        }
    }

    fn env_pass(&mut self, key: &str, node: &Node) -> Option<Vec<String>> {
        let names = self.texts(key, node)?;
        let mut fine = true;
        for (name, item) in names.iter().zip(self.items(key, node)?.to_vec()) {
            let start = name.strip_suffix('*').unwrap_or(name);
            let problem = if name.is_empty() || start.contains(['=', '\0', '*']) {
                "cannot be the name of a variable, or the beginning of one and `*`"
            } else if start.starts_with("WARRENER_") {
                "is never passed on: what begins with `WARRENER_` is between Warrener and its processes"
            } else {
                continue;
            };
            fine = false;
            let message = format!("`{}` {problem}", name.escape_debug());
            self.push(Problem::error(codes::NAME, item.origin, message));
        }
        fine.then_some(names)
    }

    fn limits(&mut self, key: &str, node: &Node) -> Option<Limits> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let unsigned = |number: i64| number.unsigned_abs();
        let memory =
            fields.read("memory", self, |r, key, node| r.size(key, node, LEAST_MEMORY..=u64::MAX));
        let open_files = fields.read("open_files", self, |r, key, node| {
            r.whole(key, node, FEWEST_FILES..=i64::MAX).map(unsigned)
        });
        let cpu = fields.read("cpu", self, |r, key, node| {
            let time = r.duration_from(key, node, Duration::from_secs(1))?;
            if time.subsec_nanos() == 0 {
                return Some(time);
            }
            let problem = misshapen(key, "whole seconds", node);
            r.push(Problem { code: codes::VALUE, ..problem });
            None
        });
        let processes = fields
            .read("processes", self, |r, key, node| r.whole(key, node, 1..=i64::MAX).map(unsigned));
        let file_size =
            fields.read("file_size", self, |r, key, node| r.size(key, node, 0..=u64::MAX));
        fields.finish(self, &[]);
        Some(Limits { memory, open_files, cpu, processes, file_size })
    }
}
