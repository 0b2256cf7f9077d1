//! A small stack on the shared broker, planned and applied through the commands' own functions.

use std::io::Cursor;

use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use warrener::cli::apply::{self, ApplyArgs};
use warrener::cli::exit::Exit;
use warrener::cli::plan::{self, PlanArgs};
use warrener::cli::screen::Screen;
use warrener::model::{
    ApplyTo, ArgValue, Arguments, Binding, BrokerSpec, Desired, Destination, Endpoint, Exchange,
    ExchangeName, ExchangeType, Fleet, Management, Origin, Policy, PolicyName, Queue, QueueName,
    QueueType, ReconcileSpec, RoutingKey, StackName, Topology, TopologyParts, VhostName,
};
use warrener::plan::Style;

use super::broker::{Vhost, amqp_url, fresh_vhost, management_url};

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// One stack in a vhost of its own. Its resources may be changed between commands.
pub(crate) struct Stack {
    pub(crate) parts: TopologyParts,
    pub(crate) management: Management,
    /// Whether AMQP is to be reached at all.
    pub(crate) amqp: bool,
    vhost: Vhost,
}

impl Stack {
    /// An empty stack.
    pub(crate) fn new() -> Self {
        Self {
            parts: TopologyParts::default(),
            management: management("guest", "guest"),
            amqp: true,
            vhost: fresh_vhost(),
        }
    }

    pub(crate) fn vhost(&self) -> VhostName {
        VhostName::new(self.vhost.name()).expect("a name")
    }

    pub(crate) fn exchange(&mut self, name: &str, kind: &str) -> &mut Exchange {
        self.parts.exchanges.push(Exchange {
            vhost: VhostName::new(self.vhost.name()).expect("a name"),
            name: ExchangeName::new(name).expect("a name"),
            kind: ExchangeType(kind.into()),
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Arguments::new(),
            managed: true,
            origin: Origin::default(),
        });
        self.parts.exchanges.last_mut().expect("just pushed")
    }

    pub(crate) fn queue(&mut self, name: &str, kind: QueueType, arguments: &Value) -> &mut Queue {
        self.parts.queues.push(Queue {
            vhost: VhostName::new(self.vhost.name()).expect("a name"),
            name: QueueName::new(name).expect("a name"),
            kind,
            durable: true,
            auto_delete: false,
            arguments: table(arguments),
            managed: true,
            origin: Origin::default(),
        });
        self.parts.queues.last_mut().expect("just pushed")
    }

    pub(crate) fn bind(&mut self, source: &str, to: Destination, key: &str, arguments: &Value) {
        self.parts.bindings.push(Binding {
            vhost: VhostName::new(self.vhost.name()).expect("a name"),
            source: ExchangeName::new(source).expect("a name"),
            destination: to,
            routing_key: RoutingKey::new(key).expect("a key"),
            arguments: table(arguments),
            origin: Origin::default(),
        });
    }

    pub(crate) fn policy(&mut self, name: &str, definition: &Value) -> &mut Policy {
        self.parts.policies.push(Policy {
            vhost: VhostName::new(self.vhost.name()).expect("a name"),
            name: PolicyName::new(name).expect("a name"),
            pattern: "^nothing is called so$".into(),
            apply_to: ApplyTo::Queues,
            priority: 0,
            definition: table(definition),
            origin: Origin::default(),
        });
        self.parts.policies.last_mut().expect("just pushed")
    }

    pub(crate) fn desired(&self) -> Desired {
        let uri = amqp_url(&self.vhost).parse().expect("an address");
        Desired {
            stack: StackName::new("test").expect("a name"),
            broker: BrokerSpec {
                endpoints: vec![Endpoint { uri }],
                management: self.management.clone(),
                vhost: self.vhost(),
            },
            topology: Topology::new(self.parts.clone()).expect("the parts fit"),
            fleet: Fleet::default(),
            reconcile: ReconcileSpec::default(),
        }
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> Result<Connection, String> {
        if !self.amqp {
            return Err("AMQP is not to be reached in this test".into());
        }
        let properties = ConnectionProperties::default();
        let url = amqp_url(&self.vhost);
        Connection::connect(&url, properties).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn plan(&self) -> Said {
        self.plan_as(false).await
    }

    pub(crate) async fn plan_as(&self, json: bool) -> Said {
        let args = PlanArgs { files: Vec::new(), json };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let desired = self.desired();
        let exit = {
            let mut screen = screen(&mut out, &mut err);
            plan::run(&args, &desired, async || self.connect().await, &mut screen).await
        };
        said(exit, out, err)
    }

    pub(crate) async fn apply(&self) -> Said {
        self.apply_as(false, None).await
    }

    pub(crate) async fn apply_as(&self, dry_run: bool, answer: Option<&'static str>) -> Said {
        let args = ApplyArgs { files: Vec::new(), yes: false, dry_run };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let desired = self.desired();
        let mut answer = answer.map(Cursor::new);
        let answers = answer.as_mut().map(|answer| answer as _);
        let exit = {
            let mut screen = screen(&mut out, &mut err);
            apply::run(&args, &desired, async || self.connect().await, answers, &mut screen).await
        };
        said(exit, out, err)
    }
}

/// The shared broker's management API for that user.
pub(crate) fn management(user: &str, password: &str) -> Management {
    Management::At {
        url: management_url(),
        user: user.into(),
        password: password.to_owned().into(),
        explicit: true,
    }
}

pub(crate) fn to_queue(name: &str) -> Destination {
    Destination::Queue(QueueName::new(name).expect("a name"))
}

pub(crate) fn to_exchange(name: &str) -> Destination {
    Destination::Exchange(ExchangeName::new(name).expect("a name"))
}

pub(crate) fn table(json: &Value) -> Arguments {
    match ArgValue::from_json(json) {
        Some(ArgValue::Map(arguments)) => arguments,
        _ => panic!("no table: {json}"),
    }
}

fn screen<'a>(out: &'a mut Vec<u8>, err: &'a mut Vec<u8>) -> Screen<'a> {
    Screen { out, err, style: Style::default(), place: &|_| "orders.yaml:12:3".into() }
}

fn said(exit: std::io::Result<Exit>, out: Vec<u8>, err: Vec<u8>) -> Said {
    Said {
        exit: exit.expect("nothing to fail when writing to memory"),
        out: String::from_utf8(out).expect("text"),
        err: String::from_utf8(err).expect("text"),
    }
}
