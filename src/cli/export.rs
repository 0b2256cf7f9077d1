//! `warrener export`: what a broker has → a file or definitions; and files → definitions.
//!
//! Exit codes: 0 all of it; 3 something is left out or changed, and listed; 1 an error.

use std::path::PathBuf;

use clap::Args;
use regex::Regex;

use super::address::Address;
use super::args::Global;
use super::exit::Exit;
use super::{carried, diagnostics};
use crate::broker;
use crate::broker::management::{ManagementClient, Timeouts};
use crate::definitions::{Document, Purpose, Sheet, Wish, carry, definitions};
use crate::files;
use crate::model::{BrokerSpec, Endpoint, Management, TlsFiles, VhostName};

/// Arguments of `warrener export`.
#[derive(Args, Debug)]
pub struct Export {
    /// Files that say which broker; with `--definitions` they themselves are turned into
    /// definitions, without a broker
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    address: Address,
    /// Write definitions, as `rabbitmqctl import_definitions` takes them, rather than a file
    #[arg(long)]
    definitions: bool,
    /// The vhost; by default that of the address
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
    /// The whole broker: every vhost, users and global parameters
    #[arg(long, conflicts_with = "vhost")]
    all: bool,
    /// Write passwords into the file, rather than variables in their place
    #[arg(long, conflicts_with = "definitions")]
    secrets: bool,
    /// Only queues and exchanges with a name that this regular expression matches, with what leads
    /// to them
    #[arg(long, value_name = "REGEX")]
    pattern: Option<Regex>,
    /// Name of the stack in the file; by default that of the vhost
    #[arg(long, value_name = "NAME", conflicts_with = "definitions")]
    stack: Option<String>,
    /// Write to this file, which must not exist yet, rather than to standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(global: &Global, export: &Export) -> Exit {
    let done = if export.definitions && !export.files.is_empty() {
        offline(export)
    } else {
        live(global, export).await
    };
    done.unwrap_or_else(|words| carried::failed(&words))
}

/// Files → definitions.
fn offline(export: &Export) -> Result<Exit, String> {
    if export.vhost.is_some() || export.all || export.pattern.is_some() {
        return Err(
            "`--vhost`, `--all` and `--pattern` select from a broker, not from files".into()
        );
    }
    let loaded = match files::load(&export.files) {
        Ok(loaded) => loaded,
        Err(error) => {
            diagnostics::print(&error.sources, &error.problems);
            return Ok(Exit::Failed);
        }
    };
    diagnostics::print(&loaded.sources, &loaded.warnings);
    let desired = &loaded.desired;
    let document = definitions(&desired.topology, &desired.broker.vhost);
    carried::write(export.out.as_deref(), &format!("{document:#}\n"), true)?;
    Ok(Exit::Done)
}

/// A broker → a file or definitions.
async fn live(global: &Global, export: &Export) -> Result<Exit, String> {
    let Some(broker) = export.address.broker(&export.files) else { return Ok(Exit::Failed) };
    let vhost = match &export.vhost {
        Some(name) => VhostName::new(name).map_err(|error| format!("`--vhost`: {error}"))?,
        None => broker.vhost.clone(),
    };
    let client = ManagementClient::new(&broker.management, Timeouts::default());
    let client = client.map_err(|error| error.to_string())?.ok_or(
        "only the management API knows what a broker has, and it is switched off\n  \
         hint: give its address as `--management` or `broker.management`",
    )?;
    let only = (!export.all).then_some(&vhost);
    let found = match only {
        Some(vhost) => broker::export(&client, vhost).await,
        None => broker::export_all(&client).await,
    };
    let found = found.map_err(|error| {
        let hint = error.hint().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("cannot export: {error}{hint}")
    })?;
    let strange = |error| format!("`{}` answered with no definitions: {error}", client.url());
    let mut document = Document::new(found.definitions).map_err(strange)?;
    document.set_exchanges(&found.exchanges);
    let select = export.pattern.as_ref();
    let only = only.map(VhostName::as_str);
    if export.definitions {
        let document = document.into_json(only, select);
        carried::write(export.out.as_deref(), &format!("{document:#}\n"), true)?;
        return Ok(Exit::Done);
    }
    let name = if vhost.as_str() == "/" { "exported" } else { vhost.as_str() };
    let stack = carried::stack_name(export.stack.as_deref(), name)
        .map_err(|error| format!("`--stack`: {error}"))?;
    let (secrets, purpose) = (export.secrets, Purpose::AsItIs);
    let wish = Wish { vhost: only, select, secrets, purpose };
    let came = carry(&document, &wish).map_err(|error| format!("the vhost: {error}"))?;
    let header = match document.version() {
        Some(version) => format!("What a RabbitMQ {version} had, by `warrener export`."),
        None => "What a RabbitMQ had, by `warrener export`.".into(),
    };
    let (url, management) = written(&broker, &came.vhost);
    let sheet = Sheet {
        header: &header,
        url: Some(&url),
        management: management.as_deref(),
        ..came.sheet(&stack)
    };
    let text = sheet.text();
    carried::write(export.out.as_deref(), &text, came.is_private())?;
    Ok(carried::report(&came, &text, global.quiet))
}

/// The addresses as the file says them: without credentials, but for those that everybody knows.
fn written(broker: &BrokerSpec, vhost: &VhostName) -> (String, Option<String>) {
    let Some(endpoint) = broker.endpoints.first() else { return (carried::local_url(vhost), None) };
    let mut uri = endpoint.uri.clone();
    uri.vhost = vhost.as_str().into();
    let user = &uri.authority.userinfo;
    let known = user.username == "guest" && user.password == "guest";
    let mut url = Endpoint { uri, tls: TlsFiles::default() }.to_string();
    if known {
        url = url.replacen("://", "://guest:guest@", 1);
    }
    let management = match &broker.management {
        Management::At { url, explicit: true, .. } => Some(url.clone()),
        Management::At { .. } | Management::Off => None,
    };
    (format!("${{AMQP_URL:-{url}}}"), management)
}
