//! Certificates made for one test, and a listener that takes TLS off before the broker.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tokio_util::sync::{CancellationToken, DropGuard};

/// An authority that signs what it is asked to.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its own certificate in a file.
    pub(crate) fn write(&self, path: PathBuf) -> PathBuf {
        fs::write(&path, self.0.pem()).expect("a file");
        path
    }

    /// A certificate for that host name, good until the end of that year.
    pub(crate) fn sign(&self, name: &str, year: i32) -> Signed {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Signed {
    /// Both in files of that folder.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("client.pem"), folder.join("client.key"));
        fs::write(&certificate, &self.certificate).expect("a file");
        fs::write(&key, &self.key).expect("a file");
        (certificate, key)
    }
}

/// Listens with TLS and passes what it hears to a listener without; until dropped.
pub(crate) struct Terminator {
    port: u16,
    _stop: DropGuard,
}

impl Terminator {
    /// Shows that certificate. With `clients`, it lets in only who shows one of that authority's.
    pub(crate) async fn start(
        shown: &Signed,
        clients: Option<&Authority>,
        upstream: SocketAddr,
    ) -> Self {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions of TLS");
        let config = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).expect("a certificate");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
            None => config.with_no_client_auth(),
        };
        let certificate = CertificateDer::from_pem_slice(shown.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("a key");
        let config =
            config.with_single_cert(vec![certificate.expect("a certificate")], key).expect("both");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever does not trust us, or is not let in, is the test's business.
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let Ok(mut broker) = TcpStream::connect(upstream).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
                });
            }
        }));
        Self { port, _stop: stop.drop_guard() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
