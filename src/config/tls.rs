//! `broker.tls`: files that TLS needs.

use std::path::PathBuf;

use super::node::{Entry, Node};
use super::read::Reading;
use crate::model::{Problem, TlsFiles, TlsIdentity, codes};

impl Reading {
    /// `tls:`. Whether the files are there is seen when they are needed.
    pub(super) fn tls(&mut self, entry: Entry) -> Option<TlsFiles> {
        let origin = entry.key_origin;
        let mut fields = self.fields("tls", origin, entry.value)?;
        let ca = fields.read("ca", self, Self::absolute_path);
        let certificate = fields.read("certificate", self, Self::absolute_path);
        let key = fields.read("key", self, Self::absolute_path);
        fields.finish(self, &[]);
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsIdentity { certificate, key }),
            (None, None) => None,
            (certificate, _) => {
                let (has, lacks) = match certificate {
                    Some(_) => ("certificate", "key"),
                    None => ("key", "certificate"),
                };
                let message = format!("`tls` has a `{has}` and no `{lacks}`");
                let problem = Problem::error(codes::MISSING, origin, message);
                self.push(problem.hint(format!("name the file with its `{lacks}` in PEM form")));
                None
            }
        };
        Some(TlsFiles { ca, identity })
    }

    fn absolute_path(&mut self, key: &str, node: &Node) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(key, node)?);
        if path.is_absolute() {
            return Some(path);
        }
        let message = format!("`{key}` takes an absolute path, not `{}`", path.display());
        self.push(Problem::error(codes::VALUE, node.origin, message));
        None
    }
}
