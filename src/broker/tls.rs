//! The files that TLS needs, as the clients of AMQP and of the management API take them.

use std::fs;
use std::path::Path;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};

use crate::model::TlsFiles;

/// For a connection of AMQP. The error says which file cannot be read.
pub(super) fn for_amqp(files: &TlsFiles) -> Result<OwnedTLSConfig, String> {
    let identity = match &files.identity {
        Some(identity) => {
            let (pem, key) = (read(&identity.certificate)?, read(&identity.key)?);
            Some(OwnedIdentity::PKCS8 { pem: pem.into_bytes(), key: key.into_bytes() })
        }
        None => None,
    };
    let cert_chain = files.ca.as_deref().map(read).transpose()?;
    Ok(OwnedTLSConfig { identity, cert_chain })
}

/// For a client of the management API. The error says which file cannot be read, or why not.
pub(super) fn for_http(
    files: &TlsFiles,
    mut client: reqwest::ClientBuilder,
) -> Result<reqwest::ClientBuilder, String> {
    let unusable = |path: &Path, error: reqwest::Error| format!("`{}`: {error}", path.display());
    if let Some(ca) = &files.ca {
        let bundle = reqwest::Certificate::from_pem_bundle(read(ca)?.as_bytes());
        client = client.tls_certs_merge(bundle.map_err(|error| unusable(ca, error))?);
    }
    if let Some(identity) = &files.identity {
        let both = read(&identity.certificate)? + "\n" + &read(&identity.key)?;
        let both = reqwest::Identity::from_pem(both.as_bytes());
        client = client.identity(both.map_err(|error| unusable(&identity.certificate, error))?);
    }
    Ok(client)
}

fn read(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}
