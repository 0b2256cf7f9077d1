//! Runtime parameters. Their values are opaque, so what warrener itself wants to know about one
//! stands around the value: `{ value: …, manage: false }`.

use super::node::{Entry, Node, Value};
use super::read::Reading;
use crate::model::{
    ArgValue, Arguments, GlobalParameter, OnRemove, Origin, Parameter, ParameterName, Setting,
    TopologyParts, VhostName,
};

/// Keys that can stand around a value.
const AROUND: [&str; 3] = ["value", "manage", "on_remove"];

/// A value, whether it is managed, and what becomes of it.
type Handled = (ArgValue, bool, OnRemove);

impl Reading {
    /// `parameters:`, by component and in it by name.
    pub(super) fn parameters(
        &mut self,
        entry: Entry,
        vhost: &VhostName,
        parts: &mut TopologyParts,
    ) {
        let Some(component) = self.key_name(&entry, ParameterName::new) else { return };
        for entry in self.section(entry) {
            let origin = entry.key_origin;
            let Some(name) = self.key_name(&entry, ParameterName::new) else { continue };
            let Some((value, managed, on_remove)) = self.handled(&entry.key, origin, entry.value)
            else {
                continue;
            };
            parts.settings.push(Setting::Parameter(Parameter {
                vhost: vhost.clone(),
                component: component.clone(),
                name,
                value,
                managed,
                on_remove,
                origin,
            }));
        }
    }

    /// `global_parameters:`, by name.
    pub(super) fn global_parameter(&mut self, entry: Entry, parts: &mut TopologyParts) {
        let origin = entry.key_origin;
        let Some(name) = self.key_name(&entry, ParameterName::new) else { return };
        let handled = self.handled(&entry.key, origin, entry.value);
        let Some((value, managed, on_remove)) = handled else { return };
        parts.settings.push(Setting::GlobalParameter(GlobalParameter {
            name,
            value,
            managed,
            on_remove,
            origin,
        }));
    }

    /// A value as it is, or with `manage` or `on_remove` around it.
    fn handled(&mut self, key: &str, owner: Origin, node: Node) -> Option<Handled> {
        let around = match &node.value {
            Value::Map(entries) => {
                entries.iter().all(|entry| AROUND.contains(&entry.key.as_str()))
                    && entries.iter().any(|entry| entry.key != "value")
            }
            _ => false,
        };
        if !around {
            return Some((self.free_value(key, &node)?, true, OnRemove::Delete));
        }
        let mut fields = self.fields(key, owner, node)?;
        let value = fields.read("value", self, Self::free_value);
        let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
        let on_remove = self.on_remove(&mut fields);
        fields.finish(self, &[]);
        // What is not managed needs no value.
        Some((value.unwrap_or(ArgValue::Map(Arguments::new())), managed, on_remove))
    }
}
