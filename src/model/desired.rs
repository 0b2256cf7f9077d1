//! Everything the files say, resolved and proven.

use std::fmt;
use std::time::Duration;

use amq_protocol::uri::AMQPUri;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use secrecy::SecretString;

use super::{Fleet, StackName, TlsFiles, Topology, VhostName};

/// What a vhost has escaped in an address.
const VHOST: &AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One address of the broker. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, credentials, host, port, vhost and the parameters of the query. An IPv6 host is
    /// without its brackets.
    pub uri: AMQPUri,
    /// What TLS needs, where the scheme is `amqps`.
    pub tls: TlsFiles,
}

impl Endpoint {
    /// The vhost of the address.
    pub fn vhost(&self) -> &str {
        &self.uri.vhost
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.uri.authority;
        let (scheme, port) = (&self.uri.scheme, authority.port);
        // As it must be written in the file: the vhost `/` is `%2f` there.
        let vhost = utf8_percent_encode(&self.uri.vhost, VHOST);
        if authority.host.contains(':') {
            write!(f, "{scheme}://[{}]:{port}/{vhost}", authority.host)
        } else {
            write!(f, "{scheme}://{}:{port}/{vhost}", authority.host)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Where the management API is.
#[derive(Clone, Debug)]
pub enum Management {
    /// `management: none`: declare over AMQP only.
    Off,
    /// An address that the file gives, or the one that follows from the first endpoint.
    At {
        /// Scheme, host and port, without credentials and without a trailing slash.
        url: String,
        /// The user, by default that of the first endpoint.
        user: String,
        /// The password.
        password: SecretString,
        /// What TLS needs, where the scheme is `https`.
        tls: TlsFiles,
        /// Whether the file gives it; one that only follows from the endpoint may be absent.
        explicit: bool,
    },
}

impl PartialEq for Management {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret;
        match (self, other) {
            (Self::Off, Self::Off) => true,
            (
                Self::At { url, user, password, tls, explicit },
                Self::At {
                    url: url2,
                    user: user2,
                    password: password2,
                    tls: tls2,
                    explicit: explicit2,
                },
            ) => {
                (url, user, tls, explicit) == (url2, user2, tls2, explicit2)
                    && password.expose_secret() == password2.expose_secret()
            }
            _ => false,
        }
    }
}

impl Eq for Management {}

/// How to reach the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSpec {
    /// Addresses, tried in turn. Never empty; all of one vhost.
    pub endpoints: Vec<Endpoint>,
    /// The management API.
    pub management: Management,
    /// The vhost of the endpoints, to which every resource of the file belongs.
    pub vhost: VhostName,
}

/// What a running supervisor does about a broker that differs from the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReconcileMode {
    /// Make it so.
    #[default]
    Apply,
    /// Say so.
    Check,
    /// Do not look.
    Off,
}

/// Reconciling while running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileSpec {
    /// What to do about differences.
    pub mode: ReconcileMode,
    /// How often to look, besides at the start and at every change of the files.
    pub interval: Duration,
    /// Whether what the files no longer declare is deleted.
    pub prune: bool,
}

impl Default for ReconcileSpec {
    fn default() -> Self {
        Self { mode: ReconcileMode::Apply, interval: Duration::from_mins(5), prune: false }
    }
}

/// The whole of what should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The ownership scope.
    pub stack: StackName,
    /// How to reach the broker.
    pub broker: BrokerSpec,
    /// What should exist on it.
    pub topology: Topology,
    /// What should run.
    pub fleet: Fleet,
    /// How the broker is kept so.
    pub reconcile: ReconcileSpec,
}
