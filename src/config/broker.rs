//! How to reach the broker.
//!
//! No message here repeats an address: it may hold a password, and what is logged stays.

use std::str::FromStr;

use amq_protocol::uri::{AMQPScheme, AMQPUri};
use secrecy::SecretString;
use url::Url;

use super::node::{Entry, Node, Scalar, Value};
use super::read::{Reading, misshapen};
use crate::model::{BrokerSpec, Endpoint, Management, Origin, Problem, TlsFiles, VhostName, codes};

/// Where a broker is in all likelihood on a developer's machine.
const DEFAULT_URL: &str = "amqp://guest:guest@localhost:5672/%2f";

/// The parameters of an address that are understood.
const PARAMETERS: &[&str] =
    &["auth_mechanism", "channel_max", "connection_timeout", "frame_max", "heartbeat"];

impl Reading {
    /// `broker:`, or what holds without it.
    pub(super) fn broker(&mut self, entry: Option<Entry>) -> Option<BrokerSpec> {
        let mut endpoints = Vec::new();
        let (mut management, mut tls) = (None, TlsFiles::default());
        if let Some(entry) = entry {
            let origin = entry.key_origin;
            let mut fields = self.fields("broker", origin, entry.value)?;
            let url = fields.take("url");
            management = fields.take("management");
            let files = fields.take("tls");
            fields.finish(self, &["name"]);
            if let Some(url) = url {
                self.spots.note(origin, "url", url.value.origin);
                let nodes = match &url.value.value {
                    Value::Seq(items) if items.is_empty() => {
                        let message = "`url` lists no address";
                        self.push(Problem::error(codes::VALUE, url.value.origin, message));
                        return None;
                    }
                    Value::Seq(items) => items.as_slice(),
                    _ => std::slice::from_ref(&url.value),
                };
                for node in nodes {
                    endpoints.push((self.endpoint(node)?, node.origin));
                }
            }
            if let Some(files) = files {
                let origin = files.key_origin;
                let plain = |(endpoint, _): &(Endpoint, _)| endpoint.uri.scheme == AMQPScheme::AMQP;
                if endpoints.iter().all(plain) {
                    let message =
                        "`tls` means something only with an address that begins with `amqps://`";
                    self.push(Problem::error(codes::EXCLUSIVE, origin, message));
                }
                tls = self.tls(files)?;
            }
        }
        if endpoints.is_empty() {
            endpoints.push((parse(DEFAULT_URL).ok()?, Origin::default()));
        }
        for (endpoint, _) in &mut endpoints {
            endpoint.tls.clone_from(&tls);
        }
        let (first, place) = endpoints.first().cloned()?;
        for (endpoint, origin) in &endpoints {
            if endpoint.vhost() != first.vhost() {
                let message = format!(
                    "addresses of two vhosts, `{}` and `{}`",
                    first.vhost(),
                    endpoint.vhost()
                );
                self.push(
                    Problem::error(codes::URL, *origin, message)
                        .related(place, "the first address")
                        .hint("all addresses lead to one cluster and one vhost"),
                );
            }
        }
        let vhost = match VhostName::new(first.vhost()) {
            Ok(vhost) => vhost,
            Err(fault) => {
                let message = format!("the vhost of this address cannot be: {fault}");
                self.push(Problem::error(codes::URL, place, message));
                return None;
            }
        };
        let management = match management {
            Some(entry) => self.management(&entry.value, &first)?,
            None => default_management(&first),
        };
        let endpoints = endpoints.into_iter().map(|(endpoint, _)| endpoint).collect();
        Some(BrokerSpec { endpoints, management, vhost })
    }

    fn endpoint(&mut self, node: &Node) -> Option<Endpoint> {
        let Value::Scalar(scalar) = &node.value else {
            if !matches!(node.value, Value::Refused) {
                let problem = misshapen("url", "an address", node);
                self.push(problem);
            }
            return None;
        };
        match parse(&scalar.text) {
            Ok(endpoint) => {
                self.literal_password(&scalar.text, scalar, node.origin);
                Some(endpoint)
            }
            Err((message, hint)) => {
                let message = format!("the broker's address {message}");
                self.push(Problem::error(codes::URL, node.origin, message).hint(hint));
                None
            }
        }
    }

    /// Advice where the file itself spells a password. What a variable or a file brings is fine.
    fn literal_password(&mut self, address: &str, scalar: &Scalar, origin: Origin) {
        let password = address
            .split_once("://")
            .and_then(|(_, rest)| rest.split(['/', '?']).next()?.rsplit_once('@'))
            .and_then(|(user, _)| Some(user.split_once(':')?.1))
            .filter(|password| !password.is_empty() && *password != "guest");
        if let Some(password) = password
            && scalar.shown().contains(password)
        {
            let message = "the broker's address holds a password";
            self.push(
                Problem::warning(codes::LITERAL_PASSWORD, origin, message)
                    .hint("write `${AMQP_URL}`, or `${file:/path}` for the password alone"),
            );
        }
    }

    fn management(&mut self, node: &Node, first: &Endpoint) -> Option<Management> {
        let Value::Scalar(scalar) = &node.value else {
            if !matches!(node.value, Value::Refused) {
                let problem = misshapen("management", "an address or `none`", node);
                self.push(problem);
            }
            return None;
        };
        if scalar.text == "none" {
            return Some(Management::Off);
        }
        let management = parse_management(&scalar.text, first);
        if management.is_some() {
            self.literal_password(&scalar.text, scalar, node.origin);
        } else {
            let message = "the address of the management API is not usable";
            self.push(
                Problem::error(codes::URL, node.origin, message)
                    .hint("such as `http://localhost:15672`, or `none`"),
            );
        }
        management
    }
}

/// Reads an AMQP address; else what is wrong with it, after "the address", and the mend.
fn parse(text: &str) -> Result<Endpoint, (String, String)> {
    let fail = |message: &str, hint: &str| Err((message.to_owned(), hint.to_owned()));
    let shape = "it looks like `amqp://USER:PASSWORD@HOST:5672/VHOST`";
    if !(text.starts_with("amqp://") || text.starts_with("amqps://")) {
        return fail("does not begin with `amqp://` or `amqps://`", shape);
    }
    if !escapes_are_valid(text) {
        return fail(
            "has a `%` that does not begin an escape",
            "a `%` itself is written `%25`, the vhost `/` is `%2f`",
        );
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(fault) => {
            let message = format!("cannot be read: {fault}");
            return fail(
                &message,
                "escape `/`, `?`, `#`, `@` and `:` in a password: `%2f`, `%3f`, `%23`, `%40`, `%3a`",
            );
        }
    };
    if url.host_str().is_none_or(str::is_empty) {
        return fail("names no host", shape);
    }
    if url.path() == "/" {
        return fail(
            "ends in `/`, which is the vhost with the empty name",
            "write `/%2f` for the vhost `/`, or nothing",
        );
    }
    if url.path().trim_start_matches('/').contains('/') || url.path().starts_with("//") {
        return fail(
            "has a vhost with a bare `/` in it",
            "write `%2f` for each `/` in the name of the vhost",
        );
    }
    if url.fragment().is_some() {
        return fail("has a `#` in it", "a `#` in a password is written `%23`");
    }
    if let Some((key, _)) = url.query_pairs().find(|(key, _)| !PARAMETERS.contains(&&**key)) {
        let message = format!("has the parameter `{key}`, which is not supported");
        return fail(&message, &format!("supported: `{}`", PARAMETERS.join("`, `")));
    }
    let Ok(mut uri) = AMQPUri::from_str(text) else {
        return fail("has a parameter with a bad value, or escapes that are not UTF-8", shape);
    };
    // The parser of AMQP addresses takes IPv6 hosts for missing ones and would go to `localhost`.
    if let Some(url::Host::Ipv6(address)) = url.host() {
        uri.authority.host = address.to_string();
    }
    Ok(Endpoint { uri, tls: TlsFiles::default() })
}

/// Whether each `%` begins an escape of two hexadecimal digits.
fn escapes_are_valid(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn parse_management(text: &str, first: &Endpoint) -> Option<Management> {
    if !escapes_are_valid(text) {
        return None;
    }
    let mut url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https")
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return None;
    }
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .ok()
            .map(std::borrow::Cow::into_owned)
    };
    let credentials = &first.uri.authority.userinfo;
    let (user, password) = match (url.username(), url.password()) {
        ("", None) => (credentials.username.clone(), credentials.password.clone()),
        (user, password) => (decode(user)?, decode(password.unwrap_or_default())?),
    };
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(Management::At {
        url: url.as_str().trim_end_matches('/').to_owned(),
        user,
        password: SecretString::from(password),
        tls: first.tls.clone(),
        explicit: true,
    })
}

/// The management API of the broker at that address, where it usually is.
fn default_management(first: &Endpoint) -> Management {
    let authority = &first.uri.authority;
    let (scheme, port) = match first.uri.scheme {
        AMQPScheme::AMQP => ("http", 15672),
        AMQPScheme::AMQPS => ("https", 15671),
    };
    let host = if authority.host.contains(':') {
        format!("[{}]", authority.host)
    } else {
        authority.host.clone()
    };
    Management::At {
        url: format!("{scheme}://{host}:{port}"),
        user: authority.userinfo.username.clone(),
        password: SecretString::from(authority.userinfo.password.clone()),
        tls: first.tls.clone(),
        explicit: false,
    }
}
