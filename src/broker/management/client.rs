//! The requests.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::error::ManagementError;
use super::types::{
    BindingInfo, Definitions, ExchangeInfo, GlobalParameterInfo, Overview, PolicyInfo, QueueInfo,
};
use crate::broker::tls;
use crate::model::{ArgValue, ExchangeName, Management, Policy, PolicyName, QueueName, VhostName};

/// Pauses after which the broker is asked again that answered with an error of its own. RabbitMQ does
/// so to a listing while one of what it lists goes away, as 4.0 with vhosts.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1)];

/// Everything but what RFC 3986 leaves unreserved: the vhost `/` becomes `%2F`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How long the creation or deletion of a vhost may take: the broker itself waits up to 45 s for
/// one to start on its nodes.
const VHOST: Duration = Duration::from_mins(1);

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Duration,
    /// Until the last byte of the answer.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole: Duration::from_secs(30) }
    }
}

/// A client of one broker's management API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ManagementClient {
    http: reqwest::Client,
    base: String,
    user: String,
    password: SecretString,
}

impl ManagementClient {
    /// A client for the address and user of the files; `None` where they switch management off.
    /// Nothing is sent yet. Fails where the TLS backend cannot start.
    pub fn new(
        management: &Management,
        timeouts: Timeouts,
    ) -> Result<Option<Self>, ManagementError> {
        let Management::At { url, user, password, tls, .. } = management else { return Ok(None) };
        let base = url.trim_end_matches('/').to_owned();
        let secure = base.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        let http = if secure {
            tls::for_http(tls, reqwest::Client::builder())
                .map_err(|reason| ManagementError::Unreachable { url: base.clone(), reason })?
        } else {
            // A machine without certificates, as a small container is, needs none for that.
            reqwest::Client::builder().tls_certs_only([])
        };
        let http = http
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.whole)
            // Credentials go to the broker and to nobody whom it or the environment names instead.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| ManagementError::unreachable(&base, &error))?;
        Ok(Some(Self { http, base, user: user.clone(), password: password.clone() }))
    }

    /// The base address, without credentials.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Which broker this is and what exchange types it has.
    pub async fn overview(&self) -> Result<Overview, ManagementError> {
        self.get(
            "overview?columns=cluster_name,rabbitmq_version,exchange_types",
            "the overview".into(),
        )
        .await
    }

    /// Queues, bindings and policies of a vhost in one document. Administrators only.
    pub async fn definitions(&self, vhost: &VhostName) -> Result<Definitions, ManagementError> {
        self.get(&format!("definitions/{}", segment(vhost)?), vhost_words(vhost)).await
    }

    /// Definitions in the broker's own words: of a vhost, or of the whole broker. Administrators
    /// only.
    pub async fn definitions_json(
        &self,
        vhost: Option<&VhostName>,
    ) -> Result<Value, ManagementError> {
        let (place, what) = within(vhost)?;
        self.get(&format!("definitions{place}"), what).await
    }

    /// What a vhost, or the whole broker, has of one kind, such as `queues`, in the broker's own
    /// words.
    pub async fn listing(
        &self,
        kind: &str,
        vhost: Option<&VhostName>,
    ) -> Result<Vec<Value>, ManagementError> {
        let (place, what) = within(vhost)?;
        self.get(&format!("{kind}{place}?disable_stats=true"), what).await
    }

    /// A vhost, in the broker's own words.
    pub async fn vhost_json(&self, vhost: &VhostName) -> Result<Value, ManagementError> {
        self.get(&format!("vhosts/{}", segment(vhost)?), vhost_words(vhost)).await
    }

    /// The exchanges of a vhost, internal ones and the broker's own among them.
    pub async fn exchanges(&self, vhost: &VhostName) -> Result<Vec<ExchangeInfo>, ManagementError> {
        self.get(&format!("exchanges/{}", segment(vhost)?), vhost_words(vhost)).await
    }

    /// The queues of a vhost, without statistics.
    pub async fn queues(&self, vhost: &VhostName) -> Result<Vec<QueueInfo>, ManagementError> {
        let path = format!("queues/{}?disable_stats=true", segment(vhost)?);
        self.get(&path, vhost_words(vhost)).await
    }

    /// One queue, exclusive ones among them.
    pub async fn queue(
        &self,
        vhost: &VhostName,
        name: &QueueName,
    ) -> Result<QueueInfo, ManagementError> {
        let path = format!("queues/{}/{}", segment(vhost)?, segment(name)?);
        self.get(&path, format!("queue `{name}`")).await
    }

    /// Messages in a queue, those among them that somebody holds; `None` where there is no such
    /// queue. Not statistics, which lag by seconds; quorum queues lag nevertheless.
    pub async fn messages(
        &self,
        vhost: &VhostName,
        name: &QueueName,
    ) -> Result<Option<u64>, ManagementError> {
        let totals = "disable_stats=true&enable_queue_totals=true";
        let path = format!("queues/{}/{}?{totals}", segment(vhost)?, segment(name)?);
        match self.get::<QueueInfo>(&path, format!("queue `{name}`")).await {
            Ok(QueueInfo { messages: Some(messages), .. }) => return Ok(Some(messages)),
            // 3.10 tells that only of all queues together.
            Ok(_) => {}
            Err(ManagementError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        let path = format!("queues/{}?{totals}&columns=name,messages", segment(vhost)?);
        let queues: Vec<QueueInfo> = self.get(&path, vhost_words(vhost)).await?;
        let queue = queues.into_iter().find(|queue| queue.name == name.as_str());
        Ok(queue.map(|queue| queue.messages.unwrap_or_default()))
    }

    /// The bindings that lead to a queue, that of the default exchange among them.
    pub async fn queue_bindings(
        &self,
        vhost: &VhostName,
        name: &QueueName,
    ) -> Result<Vec<BindingInfo>, ManagementError> {
        let path = format!("queues/{}/{}/bindings", segment(vhost)?, segment(name)?);
        self.get(&path, format!("queue `{name}`")).await
    }

    /// One exchange.
    pub async fn exchange(
        &self,
        vhost: &VhostName,
        name: &ExchangeName,
    ) -> Result<ExchangeInfo, ManagementError> {
        let path = format!("exchanges/{}/{}", segment(vhost)?, segment(name)?);
        self.get(&path, format!("exchange `{name}`")).await
    }

    /// The bindings that lead to an exchange.
    pub async fn bindings_to_exchange(
        &self,
        vhost: &VhostName,
        name: &ExchangeName,
    ) -> Result<Vec<BindingInfo>, ManagementError> {
        self.exchange_bindings(vhost, name, "destination").await
    }

    /// The bindings that lead from an exchange.
    pub async fn bindings_from_exchange(
        &self,
        vhost: &VhostName,
        name: &ExchangeName,
    ) -> Result<Vec<BindingInfo>, ManagementError> {
        self.exchange_bindings(vhost, name, "source").await
    }

    async fn exchange_bindings(
        &self,
        vhost: &VhostName,
        name: &ExchangeName,
        end: &str,
    ) -> Result<Vec<BindingInfo>, ManagementError> {
        let path = format!("exchanges/{}/{}/bindings/{end}", segment(vhost)?, segment(name)?);
        self.get(&path, format!("exchange `{name}`")).await
    }

    /// The queues of a vhost, of each its name and the policy that holds for it.
    pub async fn effective_policies(
        &self,
        vhost: &VhostName,
    ) -> Result<Vec<QueueInfo>, ManagementError> {
        let path = format!("queues/{}?disable_stats=true&columns=name,policy", segment(vhost)?);
        self.get(&path, vhost_words(vhost)).await
    }

    /// The bindings of a vhost, those to the default exchange among them.
    pub async fn bindings(&self, vhost: &VhostName) -> Result<Vec<BindingInfo>, ManagementError> {
        self.get(&format!("bindings/{}", segment(vhost)?), vhost_words(vhost)).await
    }

    /// The policies of a vhost.
    pub async fn policies(&self, vhost: &VhostName) -> Result<Vec<PolicyInfo>, ManagementError> {
        self.get(&format!("policies/{}", segment(vhost)?), vhost_words(vhost)).await
    }

    /// One policy.
    pub async fn policy(
        &self,
        vhost: &VhostName,
        name: &PolicyName,
    ) -> Result<PolicyInfo, ManagementError> {
        let path = format!("policies/{}/{}", segment(vhost)?, segment(name)?);
        self.get(&path, format!("policy `{name}`")).await
    }

    /// The operator policies of a vhost; none where this user may not see them.
    pub async fn operator_policies(
        &self,
        vhost: &VhostName,
    ) -> Result<Vec<PolicyInfo>, ManagementError> {
        let path = format!("operator-policies/{}", segment(vhost)?);
        match self.get(&path, vhost_words(vhost)).await {
            Err(ManagementError::Unauthorized { .. }) => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// Creates a policy or replaces the one of that name.
    pub async fn put_policy(&self, policy: &Policy) -> Result<(), ManagementError> {
        let path = format!("policies/{}/{}", segment(&policy.vhost)?, segment(&policy.name)?);
        let body = json!({
            "pattern": policy.pattern,
            "apply-to": policy.apply_to.as_str(),
            "priority": policy.priority,
            "definition": ArgValue::Map(policy.definition.clone()).to_json(),
        });
        let what = format!("policy `{}`", policy.name);
        let request = self.request(Method::PUT, &path).json(&body);
        self.send(request, what).await.map(drop)
    }

    /// Deletes a policy.
    pub async fn delete_policy(&self, policy: &Policy) -> Result<(), ManagementError> {
        let path = format!("policies/{}/{}", segment(&policy.vhost)?, segment(&policy.name)?);
        let what = format!("policy `{}`", policy.name);
        self.send(self.request(Method::DELETE, &path), what).await.map(drop)
    }

    /// All global parameters. Needs the tag `policymaker` or `administrator`.
    pub async fn global_parameters(&self) -> Result<Vec<GlobalParameterInfo>, ManagementError> {
        self.get("global-parameters", "the global parameters".into()).await
    }

    /// The names of all global parameters. Needs the tag `policymaker` or `administrator`.
    pub async fn global_parameter_names(&self) -> Result<Vec<String>, ManagementError> {
        let path = "global-parameters?columns=name";
        let all: Vec<GlobalParameterInfo> = self.get(path, "the global parameters".into()).await?;
        Ok(all.into_iter().map(|parameter| parameter.name).collect())
    }

    /// One global parameter. Needs the tag `policymaker` or `administrator`.
    pub async fn global_parameter(
        &self,
        name: &str,
    ) -> Result<GlobalParameterInfo, ManagementError> {
        let path = format!("global-parameters/{}", segment(&name)?);
        self.get(&path, format!("global parameter `{name}`")).await
    }

    /// Sets a global parameter. Needs the tag `policymaker` or `administrator`.
    pub async fn put_global_parameter(
        &self,
        name: &str,
        value: &Value,
    ) -> Result<(), ManagementError> {
        let path = format!("global-parameters/{}", segment(&name)?);
        let request = self.request(Method::PUT, &path).json(&json!({"name": name, "value": value}));
        self.send(request, format!("global parameter `{name}`")).await.map(drop)
    }

    /// One object by the parts of its path, as it is.
    pub async fn read(&self, path: &[String]) -> Result<Value, ManagementError> {
        self.get(&joined(path)?, words(path)).await
    }

    /// All objects under a path, as they are.
    pub async fn list(&self, path: &[String]) -> Result<Vec<Value>, ManagementError> {
        self.get(&joined(path)?, words(path)).await
    }

    /// Has one node start a vhost that is there.
    pub async fn start_vhost(&self, vhost: &VhostName, node: &str) -> Result<(), ManagementError> {
        let path = format!("vhosts/{}/start/{}", segment(vhost)?, segment(&node)?);
        let request = self.request(Method::POST, &path).json(&json!({}));
        self.send(request, vhost_words(vhost)).await.map(drop)
    }

    /// Creates or replaces the object at a path.
    pub async fn put(&self, path: &[String], body: &Value) -> Result<(), ManagementError> {
        let request = self.request(Method::PUT, &joined(path)?).json(body);
        self.send(request, words(path)).await.map(drop)
    }

    /// Creates a vhost, or changes what is said of it.
    pub async fn put_vhost(&self, vhost: &VhostName, body: &Value) -> Result<(), ManagementError> {
        let path = format!("vhosts/{}", segment(vhost)?);
        let request = self.request(Method::PUT, &path).timeout(VHOST).json(body);
        self.send(request, vhost_words(vhost)).await.map(drop)
    }

    /// Deletes a vhost and all that is in it.
    pub async fn delete_vhost(&self, vhost: &VhostName) -> Result<(), ManagementError> {
        let request = self.request(Method::DELETE, &format!("vhosts/{}", segment(vhost)?));
        self.send(request.timeout(VHOST), vhost_words(vhost)).await.map(drop)
    }

    /// Deletes the object at a path.
    pub async fn delete(&self, path: &[String]) -> Result<(), ManagementError> {
        self.send(self.request(Method::DELETE, &joined(path)?), words(path)).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        what: String,
    ) -> Result<T, ManagementError> {
        let response = Box::pin(self.ask(path, &what)).await?;
        let status = response.status().as_u16();
        let body = response
            .bytes()
            .await
            .map_err(|error| ManagementError::unreachable(&self.base, &error))?;
        serde_json::from_slice(&body).map_err(|error| ManagementError::Other {
            what,
            status,
            reason: format!("not what the management API answers: {error}"),
        })
    }

    /// Asks, and again where the broker has stumbled.
    async fn ask(&self, path: &str, what: &str) -> Result<Response, ManagementError> {
        for pause in AGAIN {
            match self.send(self.request(Method::GET, path), what.to_owned()).await {
                Err(ManagementError::Other { status: 500, .. }) => sleep(pause).await,
                answer => return answer,
            }
        }
        self.send(self.request(Method::GET, path), what.to_owned()).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/{path}", self.base))
            .basic_auth(&self.user, Some(self.password.expose_secret()))
    }

    async fn send(
        &self,
        request: RequestBuilder,
        what: String,
    ) -> Result<Response, ManagementError> {
        let response = request
            .send()
            .await
            .map_err(|error| ManagementError::unreachable(&self.base, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // A refusal that cannot be read is still a refusal.
        let reason = reason(&response.bytes().await.unwrap_or_default());
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ManagementError::Unauthorized { user: self.user.clone(), reason }
            }
            StatusCode::NOT_FOUND => ManagementError::NotFound { what },
            StatusCode::BAD_REQUEST if reason == "vhost_not_found" => {
                ManagementError::NotFound { what }
            }
            StatusCode::BAD_REQUEST => ManagementError::Refused { what, reason },
            _ => ManagementError::Other { what, status: status.as_u16(), reason },
        })
    }
}

/// The name as one segment of a path. Two names cannot be one: every HTTP client takes them out of
/// an address, percent-encoded or not.
fn segment(name: &impl ToString) -> Result<String, ManagementError> {
    let name = name.to_string();
    if matches!(name.as_str(), "." | "..") {
        return Err(ManagementError::Refused {
            what: format!("the name `{name}`"),
            reason: "it cannot stand in an address, so the management API cannot be asked about it"
                .into(),
        });
    }
    Ok(utf8_percent_encode(&name, SEGMENT).to_string())
}

fn joined(path: &[String]) -> Result<String, ManagementError> {
    let segments = path.iter().map(segment).collect::<Result<Vec<_>, _>>()?;
    Ok(segments.join("/"))
}

/// What a path leads to, for a message.
fn words(path: &[String]) -> String {
    // A vhost may have a slash in its name, and the first one is nothing else.
    let segments: Vec<_> = path.iter().map(|segment| segment.replace('/', "%2F")).collect();
    format!("`{}`", segments.join("/"))
}

/// The end of a path that leads to a vhost or to all of them, and that in words.
fn within(vhost: Option<&VhostName>) -> Result<(String, String), ManagementError> {
    match vhost {
        Some(vhost) => Ok((format!("/{}", segment(vhost)?), vhost_words(vhost))),
        None => Ok((String::new(), "the broker".into())),
    }
}

fn vhost_words(vhost: &VhostName) -> String {
    format!("vhost `{vhost}`")
}

/// The broker's own words in one line. It escapes them for HTML.
fn reason(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        error: Value,
        reason: Value,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let words = match (refusal.reason, refusal.error) {
        (Value::String(reason), _) => reason,
        (Value::Null, Value::String(error)) => error,
        (Value::Null, Value::Null) => return "no reason given".into(),
        (reason, _) => reason.to_string(),
    };
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")]
        .into_iter()
        .fold(words, |words, (entity, plain)| words.replace(entity, plain))
}
