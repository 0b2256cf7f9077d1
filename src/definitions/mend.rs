//! Proves the parts and takes out what does not pass, until everything does.
//!
//! Every part gets an origin of its own, and so does every argument of it, so a problem points at
//! the one argument that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::carry::{Place, Purpose};
use super::load::{at, named_exchange, named_queue};
use super::note::{Note, Reason};
use crate::model::{
    Arguments, Origin, PolicyIndex, Problem, Setting, SettingKind, Spots, Topology, TopologyParts,
    VhostName, codes, prove as proof,
};

/// The kinds of parts, as sources of origins.
const EXCHANGE: u32 = 0;
const QUEUE: u32 = 1;
const BINDING: u32 = 2;
const POLICY: u32 = 3;
const SETTING: u32 = 4;
/// The source of origins of single arguments.
const ARGUMENT: u32 = 5;

/// The arguments that say where a queue dead-letters to.
const DEAD_LETTER: [&str; 2] = ["x-dead-letter-exchange", "x-dead-letter-routing-key"];

/// The topology of the parts that pass. What is not in the `home` is noted with its vhost.
pub(super) fn prove(
    mut parts: TopologyParts,
    home: &VhostName,
    purpose: Purpose,
    comments: &mut BTreeMap<Place, String>,
    notes: &mut Vec<Note>,
) -> Topology {
    loop {
        let (spots, arguments) = number(&mut parts);
        let problems = match proof(parts.clone(), Vec::new(), &spots) {
            Ok((topology, _)) => return topology,
            Err(problems) => problems,
        };
        let (gone, named) = (BTreeSet::new(), BTreeSet::new());
        let mut mending = Mending { parts, home, purpose, gone, named, comments, notes };
        for problem in problems {
            mending.mend(&problem, &arguments);
        }
        parts = mending.remains();
    }
}

/// Numbers everything; gives the part and name of each argument by its number.
fn number(parts: &mut TopologyParts) -> (Spots, Vec<(u32, usize, String)>) {
    fn origin(source: u32, index: usize) -> Origin {
        let start = u32::try_from(index).unwrap_or(u32::MAX);
        Origin { source, start, end: start }
    }
    let mut spots = Spots::default();
    let mut arguments = Vec::new();
    let mut note = |kind, index, keys: &mut dyn Iterator<Item = &str>| {
        for key in keys {
            let place = origin(ARGUMENT, arguments.len());
            spots.note(origin(kind, index), key.to_owned(), place);
            arguments.push((kind, index, key.to_owned()));
        }
    };
    for (index, exchange) in parts.exchanges.iter_mut().enumerate() {
        exchange.origin = origin(EXCHANGE, index);
    }
    for (index, queue) in parts.queues.iter_mut().enumerate() {
        queue.origin = origin(QUEUE, index);
        let own = queue.arguments.keys().map(String::as_str);
        note(QUEUE, index, &mut own.chain(["durable", "auto_delete"]));
    }
    for (index, binding) in parts.bindings.iter_mut().enumerate() {
        binding.origin = origin(BINDING, index);
    }
    for (index, policy) in parts.policies.iter_mut().enumerate() {
        policy.origin = origin(POLICY, index);
    }
    for (index, setting) in parts.settings.iter_mut().enumerate() {
        place(setting, origin(SETTING, index));
    }
    (spots, arguments)
}

fn place(setting: &mut Setting, origin: Origin) {
    match setting {
        Setting::Vhost(it) => it.origin = origin,
        Setting::User(it) => it.origin = origin,
        Setting::Permission(it) => it.origin = origin,
        Setting::TopicPermission(it) => it.origin = origin,
        Setting::OperatorPolicy(it) => it.origin = origin,
        Setting::GlobalParameter(it) => it.origin = origin,
        Setting::Parameter(it) => it.origin = origin,
    }
}

struct Mending<'a> {
    parts: TopologyParts,
    home: &'a VhostName,
    purpose: Purpose,
    /// Parts to take out, by kind and index.
    gone: BTreeSet<(u32, usize)>,
    /// Queues and exchanges that are only named from now on.
    named: BTreeSet<(u32, usize)>,
    comments: &'a mut BTreeMap<Place, String>,
    notes: &'a mut Vec<Note>,
}

impl Mending<'_> {
    fn mend(&mut self, problem: &Problem, arguments: &[(u32, usize, String)]) {
        let Some(origin) = problem.origin else { return };
        let at = usize::try_from(origin.start).unwrap_or(usize::MAX);
        let (kind, index, argument) = match origin.source {
            ARGUMENT => match arguments.get(at) {
                Some((kind, index, key)) => (*kind, *index, Some(key.as_str())),
                None => return,
            },
            kind => (kind, at, None),
        };
        if self.gone.contains(&(kind, index)) || self.named.contains(&(kind, index)) {
            return;
        }
        match kind {
            QUEUE => self.queue(index, argument, problem),
            EXCHANGE if self.purpose == Purpose::AsItIs && self.parts.exchanges[index].managed => {
                let exchange = self.parts.exchanges[index].clone();
                let what = self.at(&exchange.vhost, format!("exchange `{}`", exchange.name));
                self.note(Reason::Unmanaged, what, problem);
                self.parts.exchanges[index] = named_exchange(exchange);
                self.named.insert((EXCHANGE, index));
            }
            EXCHANGE => {
                let exchange = &self.parts.exchanges[index];
                let what = self.at(&exchange.vhost, format!("exchange `{}`", exchange.name));
                self.note(Reason::Form, what, problem);
                self.gone.insert((EXCHANGE, index));
            }
            BINDING => {
                let binding = &self.parts.bindings[index];
                let (to, from) = (binding.destination.name(), &binding.source);
                let what = format!("the binding of `{to}` to exchange `{from}`");
                let what = self.at(&binding.vhost, what);
                self.note(Reason::Dangling, what, problem);
                self.gone.insert((BINDING, index));
            }
            SETTING => {
                let setting = &self.parts.settings[index];
                let reason = match problem.code {
                    codes::PATTERN => Reason::Pattern,
                    _ => Reason::Form,
                };
                let kind = setting.kind().as_str().replace('_', " ");
                let what = format!("{kind} `{}`", setting.id());
                let what = match setting.vhost() {
                    Some(vhost) if setting.kind() != SettingKind::Vhost => self.at(vhost, what),
                    _ => what,
                };
                self.note(reason, what, problem);
                self.gone.insert((SETTING, index));
            }
            _ => {
                let policy = &self.parts.policies[index];
                let what = self.at(&policy.vhost, format!("policy `{}`", policy.name));
                let reason = match problem.code {
                    codes::PATTERN => Reason::Pattern,
                    _ => Reason::Form,
                };
                self.note(reason, what, problem);
                self.gone.insert((POLICY, index));
            }
        }
    }

    fn queue(&mut self, index: usize, argument: Option<&str>, problem: &Problem) {
        let queue = &self.parts.queues[index];
        let title = self.at(&queue.vhost, format!("queue `{}`", queue.name));
        let has_target = DEAD_LETTER.iter().any(|key| queue.arguments.contains_key(*key));
        let by_policy = matches!(problem.code, codes::CYCLE | codes::NO_TARGET) && !has_target;
        if by_policy {
            self.policy_of(index, problem);
        } else if self.purpose == Purpose::AsItIs && queue.managed {
            self.note(Reason::Unmanaged, title, problem);
            self.comment(index, &problem.message);
            self.parts.queues[index] = named_queue(self.parts.queues[index].clone());
            self.named.insert((QUEUE, index));
        } else {
            let queue = &mut self.parts.queues[index];
            let (what, reason) = match (problem.code, argument) {
                (codes::CYCLE | codes::NO_TARGET, _) => {
                    queue.arguments.retain(|key, _| !DEAD_LETTER.contains(&key.as_str()));
                    ("`dead_letter`", Reason::Cycle)
                }
                (_, Some("durable")) => {
                    queue.durable = true;
                    ("`durable: false`", Reason::Refused)
                }
                (_, Some("auto_delete")) => {
                    queue.auto_delete = false;
                    ("`auto_delete`", Reason::Refused)
                }
                (_, Some(argument)) => {
                    queue.arguments.remove(argument);
                    (argument, Reason::Refused)
                }
                (_, None) => {
                    self.gone.insert((QUEUE, index));
                    ("all", Reason::Form)
                }
            };
            let what = match what {
                "all" => title,
                what => format!("`{}` of {title}", what.trim_matches('`')),
            };
            self.note(reason, what, problem);
        }
    }

    /// Takes the target out of the policy by which a queue dead-letters.
    fn policy_of(&mut self, index: usize, problem: &Problem) {
        let policies = self.parts.policies.clone();
        let policies = PolicyIndex::new(&policies);
        let first = policies.matching(&self.parts.queues[index]).next();
        let at = self.parts.policies.iter().position(|policy| {
            first.is_some_and(|first| first.name == policy.name && first.vhost == policy.vhost)
        });
        let Some(at) = at else { return };
        let policy = &self.parts.policies[at];
        let title = self.at(&policy.vhost, format!("policy `{}`", policy.name));
        if self.purpose == Purpose::AsItIs {
            self.note(Reason::Cycle, title, problem);
            self.gone.insert((POLICY, at));
        } else {
            let definition: &mut Arguments = &mut self.parts.policies[at].definition;
            let before = definition.len();
            definition.retain(|key, _| !key.starts_with("dead-letter-"));
            // One policy may be to blame for several queues.
            if definition.len() < before {
                let what = format!("`dead-letter-exchange` of {title}");
                self.note(Reason::Cycle, what, problem);
            }
        }
    }

    /// A title with its vhost, where that is not the home.
    fn at(&self, vhost: &VhostName, title: String) -> String {
        at(self.home, vhost, title)
    }

    fn note(&mut self, reason: Reason, what: String, problem: &Problem) {
        self.notes.push(Note::new(reason, what, problem.message.clone()));
    }

    fn comment(&mut self, index: usize, words: &str) {
        let queue = &self.parts.queues[index];
        let place = ("queues", queue.vhost.clone(), queue.name.to_string());
        self.comments.insert(place, words.to_owned());
    }

    /// What is left.
    fn remains(mut self) -> TopologyParts {
        fn keep<T>(kind: u32, parts: &mut Vec<T>, gone: &BTreeSet<(u32, usize)>) {
            let mut index = 0;
            parts.retain(|_| {
                index += 1;
                !gone.contains(&(kind, index - 1))
            });
        }
        keep(EXCHANGE, &mut self.parts.exchanges, &self.gone);
        keep(QUEUE, &mut self.parts.queues, &self.gone);
        keep(BINDING, &mut self.parts.bindings, &self.gone);
        keep(POLICY, &mut self.parts.policies, &self.gone);
        keep(SETTING, &mut self.parts.settings, &self.gone);
        self.parts
    }
}
