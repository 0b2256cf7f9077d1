//! Which broker is meant, for commands that need no file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::diagnostics;
use crate::config::{Environment, Loader};
use crate::files::{self, HostEnvironment};
use crate::model::BrokerSpec;

/// Where the broker is, where no file says so.
#[derive(Args, Clone, Debug)]
pub(super) struct Address {
    /// Address of the broker; by default `WARRENER_URL`, else `AMQP_URL`, else this machine
    #[arg(long, value_name = "URL", conflicts_with = "files")]
    url: Option<String>,
    /// Address of its management API; by default `WARRENER_MANAGEMENT`, else port 15672 of its host
    #[arg(long, value_name = "URL", conflicts_with = "files")]
    management: Option<String>,
}

impl Address {
    /// The broker of the files or, without any, of the flags. `None` where that is not usable,
    /// which is then on the screen.
    pub(super) fn broker(&self, files: &[PathBuf]) -> Option<BrokerSpec> {
        if !files.is_empty() {
            return match files::load(files) {
                Ok(loaded) => Some(loaded.desired.broker),
                Err(error) => {
                    diagnostics::print(&error.sources, &error.problems);
                    None
                }
            };
        }
        let set = |name: &str| {
            let value = HostEnvironment.variable(name).ok().flatten();
            value.filter(|value| !value.is_empty())
        };
        let given = Given {
            url: self.url.clone().or_else(|| set("WARRENER_URL")).or_else(|| set("AMQP_URL")),
            management: self.management.clone().or_else(|| set("WARRENER_MANAGEMENT")),
        };
        given.broker()
    }
}

/// Addresses as they were given. They may hold passwords, so they are put into the text of a file
/// as values from outside, which no problem repeats.
struct Given {
    url: Option<String>,
    management: Option<String>,
}

impl Given {
    /// Has them read as a file would be, so that both are understood alike.
    fn broker(&self) -> Option<BrokerSpec> {
        let mut text = String::from("stack: s\nbroker:\n");
        for (key, value) in [("url", &self.url), ("management", &self.management)] {
            if value.is_some() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {key}: \"${{{key}}}\"");
            }
        }
        let mut loader = Loader::new(self);
        loader.add("the address", &text, Path::new("/"));
        match loader.finish() {
            Ok(resolved) => Some(resolved.desired.broker),
            Err(error) => {
                diagnostics::print(&error.sources, &error.problems);
                None
            }
        }
    }
}

impl Environment for Given {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(match name {
            "url" => self.url.clone(),
            _ => self.management.clone(),
        })
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("an address is given as it is".into())
    }
}
