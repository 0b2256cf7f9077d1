//! Texts in, the whole of what should be out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::consumers::Draft;
use super::interpolate::{Environment, interpolate};
use super::node::{Entry, Node};
use super::queues::retry_queues;
use super::read::Reading;
use super::source::SourceMap;
use super::vhosts::Resources;
use super::yaml;
use crate::model::{
    Desired, Fleet, Order, Origin, Problem, Queue, ReconcileMode, ReconcileSpec, Setting, Severity,
    StackName, TopologyParts, VhostName, codes, prove,
};

/// Sections that later versions have.
const LATER: &[&str] = &["admin", "log", "plugins"];

/// The shortest time between two looks at the broker.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// A pattern under `include:` of a file.
#[derive(Clone, Debug)]
pub struct Include {
    /// The pattern as it is after interpolation, relative to the folder of the file.
    pub pattern: String,
    /// Where it stands.
    pub origin: Origin,
}

/// What the files say, with advice.
#[derive(Debug)]
pub struct Resolved {
    /// What should be.
    pub desired: Desired,
    /// Problems that stop nothing.
    pub warnings: Vec<Problem>,
    /// The files.
    pub sources: SourceMap,
}

/// Why the files cannot be used.
#[derive(Debug)]
pub struct Unresolved {
    /// Every problem found, in the order of the files; at least one is an error.
    pub problems: Vec<Problem>,
    /// The files.
    pub sources: SourceMap,
}

/// Collects the texts of a stack and resolves them together.
pub struct Loader<'e> {
    environment: &'e dyn Environment,
    sources: SourceMap,
    reading: Reading,
    documents: Vec<Document>,
}

/// One parsed file.
struct Document {
    root: Node,
    origin: Origin,
    /// Its folder, absolute: where its commands run.
    folder: PathBuf,
}

/// The sections of all files, before they are read.
#[derive(Default)]
struct Sections {
    stack: Option<Entry>,
    broker: Option<Entry>,
    reconcile: Option<Entry>,
    vhosts: Vec<Entry>,
    users: Vec<Entry>,
    global_parameters: Vec<Entry>,
    /// Those of the vhost of the broker's address.
    home: Resources,
    consumers: Vec<(Entry, PathBuf)>,
}

impl<'e> Loader<'e> {
    /// A loader without any text.
    pub fn new(environment: &'e dyn Environment) -> Self {
        Self {
            environment,
            sources: SourceMap::default(),
            reading: Reading::default(),
            documents: Vec::new(),
        }
    }

    /// Adds the text of a file by the name that problems will call it, and gives what it includes.
    /// `folder` is the absolute folder of the file.
    pub fn add(&mut self, name: &str, text: &str, folder: &Path) -> Vec<Include> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let number = self.sources.add(name, text);
        let Some(mut root) = yaml::parse(number, text, &mut self.reading.problems) else {
            self.reading.incomplete = true;
            return Vec::new();
        };
        let Some(source) = self.sources.get(number) else { return Vec::new() };
        interpolate(&mut root, source, self.environment, &mut self.reading.problems);
        let includes = self.includes(&root);
        let origin = Origin { source: number, start: 0, end: 0 };
        self.documents.push(Document { root, origin, folder: folder.to_owned() });
        includes
    }

    /// Adds a problem from outside, such as a file that cannot be read. An error makes the whole
    /// incomplete: what that file would have declared is not called missing.
    pub fn report(&mut self, problem: Problem) {
        self.reading.incomplete |= problem.severity == Severity::Error;
        self.reading.push(problem);
    }

    /// Adds a file that cannot be parsed, with the text up to the fault, so that the problem has a
    /// place to point at: the end of that text.
    pub fn add_refused(&mut self, name: &str, text: &str) -> Origin {
        let source = self.sources.add(name, text);
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Origin { source, start: end, end }
    }

    /// The files so far.
    pub fn sources(&self) -> &SourceMap {
        &self.sources
    }

    fn includes(&mut self, root: &Node) -> Vec<Include> {
        let super::node::Value::Map(entries) = &root.value else { return Vec::new() };
        let Some(entry) = entries.iter().find(|entry| entry.key == "include") else {
            return Vec::new();
        };
        let nodes = match &entry.value.value {
            super::node::Value::Scalar(_) => std::slice::from_ref(&entry.value),
            _ => self.reading.items("include", &entry.value).unwrap_or_default(),
        };
        let patterns = nodes.iter().filter_map(|node| {
            let pattern = self.reading.text("include", node)?;
            Some(Include { pattern, origin: node.origin })
        });
        patterns.collect()
    }

    /// Resolves everything that was added.
    pub fn finish(mut self) -> Result<Resolved, Unresolved> {
        let desired = self.resolve();
        let Self { reading: Reading { mut problems, .. }, sources, .. } = self;
        // In the order of the files, which is also the order in which a person mends them.
        problems.sort_by_key(|problem| {
            problem.origin.map_or((0, 0), |origin| (origin.source + 1, origin.start))
        });
        let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
        match desired {
            Some(desired) if !failed => Ok(Resolved { desired, warnings: problems, sources }),
            _ => Err(Unresolved { problems, sources }),
        }
    }

    fn resolve(&mut self) -> Option<Desired> {
        let first = self.documents.first().map(|document| document.origin);
        let sections = self.sections();
        let reading = &mut self.reading;
        let stack = sections
            .stack
            .as_ref()
            .and_then(|entry| reading.name("stack", &entry.value, StackName::new));
        if sections.stack.is_none() && !reading.incomplete {
            let message = "the stack has no name";
            reading.push(Problem::error(codes::MISSING, first.unwrap_or_default(), message).hint(
                "begin with `stack: NAME`: it marks on the broker what belongs to these files",
            ));
        }
        let broker = reading.broker(sections.broker);
        // Without a usable address there is no vhost; the resources are read all the same, for
        // their problems.
        let vhost = match &broker {
            Some(broker) => broker.vhost.clone(),
            None => VhostName::new("/").ok()?,
        };
        let reconcile =
            sections.reconcile.map(|entry| reading.reconcile(entry)).unwrap_or_default();
        let mut parts = TopologyParts::default();
        let mut home_type = None;
        for entry in sections.vhosts {
            let Some((declared, resources)) = reading.vhost(entry) else { continue };
            if declared.name == vhost {
                home_type = declared.default_queue_type;
            }
            reading.resources(resources, &declared.name, declared.default_queue_type, &mut parts);
            parts.settings.push(Setting::Vhost(declared));
        }
        reading.resources(sections.home, &vhost, home_type, &mut parts);
        for entry in sections.users {
            reading.user(entry, &mut parts);
        }
        for entry in sections.global_parameters {
            reading.global_parameter(entry, &mut parts);
        }
        let drafts: Vec<_> = sections
            .consumers
            .into_iter()
            .filter_map(|(entry, folder)| reading.consumer(entry, &vhost, &folder))
            .collect();
        reading.add_retry_queues(&drafts, &mut parts);
        if reading.incomplete {
            return None;
        }
        let consumers = drafts.iter().map(|draft| draft.spec.clone()).collect();
        let (topology, all) = match prove(parts, consumers, &reading.spots) {
            Ok(proven) => proven,
            Err(problems) => {
                reading.problems.extend(problems);
                return None;
            }
        };
        // Disabled consumers are proven like the others, so that enabling one brings no surprise.
        let enabled = drafts.into_iter().filter(|draft| draft.enabled);
        let enabled = enabled.filter_map(|draft| all.get(&draft.spec.name).cloned()).collect();
        let fleet = Fleet::new(enabled, &topology).ok()?;
        Some(Desired { stack: stack?, broker: broker?, topology, fleet, reconcile })
    }

    /// Sorts the sections of all files by kind.
    fn sections(&mut self) -> Sections {
        let mut sections = Sections::default();
        for Document { root, origin, folder } in std::mem::take(&mut self.documents) {
            let reading = &mut self.reading;
            let Some(mut fields) = reading.fields("the file", origin, root) else {
                reading.incomplete = true;
                continue;
            };
            for (key, section) in [
                ("stack", &mut sections.stack),
                ("broker", &mut sections.broker),
                ("reconcile", &mut sections.reconcile),
            ] {
                let Some(entry) = fields.take(key) else { continue };
                if let Some(first) = section.as_ref() {
                    let message = format!("`{key}` is given in two files");
                    reading.push(
                        Problem::error(codes::TWICE, entry.key_origin, message)
                            .label("again here")
                            .related(first.key_origin, "first given here")
                            .hint("keep one of the two"),
                    );
                } else {
                    *section = Some(entry);
                }
            }
            for (key, section) in [
                ("vhosts", &mut sections.vhosts),
                ("users", &mut sections.users),
                ("global_parameters", &mut sections.global_parameters),
            ] {
                if let Some(entry) = fields.take(key) {
                    section.extend(reading.section(entry));
                }
            }
            sections.home.take(&mut fields, reading);
            if let Some(entry) = fields.take("consumers") {
                let entries = reading.section(entry).into_iter();
                sections.consumers.extend(entries.map(|entry| (entry, folder.clone())));
            }
            // Read when the file was added.
            fields.take("include");
            fields.finish(reading, LATER);
        }
        sections
    }
}

impl Reading {
    fn reconcile(&mut self, entry: Entry) -> ReconcileSpec {
        let default = ReconcileSpec::default();
        let Some(mut fields) = self.fields("reconcile", entry.key_origin, entry.value) else {
            return default;
        };
        let modes = [
            ("apply", ReconcileMode::Apply),
            ("check", ReconcileMode::Check),
            ("off", ReconcileMode::Off),
        ];
        let mode = fields.read("mode", self, |r, key, node| r.choice(key, node, &modes));
        let interval = fields
            .read("interval", self, |r, key, node| r.duration_from(key, node, SHORTEST_INTERVAL));
        let prune = fields.read("prune", self, Self::boolean);
        fields.finish(self, &[]);
        ReconcileSpec {
            mode: mode.unwrap_or(default.mode),
            interval: interval.unwrap_or(default.interval),
            prune: prune.unwrap_or(default.prune),
        }
    }

    /// Derives the retry queues of all consumers, unless the files have something of that name.
    fn add_retry_queues(&mut self, drafts: &[Draft], parts: &mut TopologyParts) {
        let mut derived = BTreeMap::new();
        let id = |queue: &Queue| (queue.vhost.clone(), queue.name.clone());
        let by_name: BTreeMap<_, _> = parts.queues.iter().map(|queue| (id(queue), queue)).collect();
        for Draft { spec, .. } in drafts {
            let Some(retry) = &spec.retry else { continue };
            let consumed = (spec.vhost.clone(), spec.queue.clone());
            let Some(queue) = by_name.get(&consumed) else { continue };
            if queue.kind != crate::model::QueueType::Stream && spec.order == Order::Any {
                let place = self.spots.find(spec.origin, "retry");
                retry_queues(queue, retry, place, &mut derived);
            }
        }
        for queue in derived.values() {
            if let Some(own) = by_name.get(&id(queue)) {
                let message = format!("queue `{}` is the name of a retry queue", queue.name);
                self.push(
                    Problem::error(codes::RETRY_NAME, own.origin, message)
                        .related(queue.origin, "which these delays need")
                        .hint("remove the queue, or change the delay"),
                );
            }
        }
        let own: Vec<_> =
            derived.into_values().filter(|queue| !by_name.contains_key(&id(queue))).collect();
        parts.queues.extend(own);
    }
}
