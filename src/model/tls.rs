//! What TLS needs besides what the machine has.

use std::path::PathBuf;

/// Files in PEM form for TLS. They are read anew for each connection, so that whoever rotates them
/// need only replace them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust besides those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate, for a broker that asks for one.
    pub identity: Option<TlsIdentity>,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate, and those that lead from it to an authority.
    pub certificate: PathBuf,
    /// Its private key, without a password.
    pub key: PathBuf,
}
