//! Users and what they may do.

use secrecy::SecretString;

use super::node::{Entry, Node, Value};
use super::read::{Fields, Reading};
use crate::model::{
    BrokerLimits, Credential, ExchangeName, HashAlgorithm, Origin, PasswordHash, Permission,
    Problem, Setting, TopicPermission, TopologyParts, USER_LIMITS, User, UserName, VhostName,
    codes,
};

impl Reading {
    /// `users:`
    pub(super) fn user(&mut self, entry: Entry, parts: &mut TopologyParts) {
        let origin = entry.key_origin;
        let Some(name) = self.key_name(&entry, UserName::new) else { return };
        let Some(mut fields) = self.fields(&entry.key, origin, entry.value) else { return };
        let credential = self.credential(&name, &mut fields);
        let tags = fields.read("tags", self, Self::tags).unwrap_or_default();
        let limits: BrokerLimits = self.broker_limits(&mut fields, USER_LIMITS);
        let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
        let on_remove = self.on_remove(&mut fields);
        fields.finish(self, &[]);
        parts.settings.push(Setting::User(User {
            name,
            credential,
            tags,
            limits,
            managed,
            on_remove,
            origin,
        }));
    }

    /// `password:`, or `password_hash:` with `hashing_algorithm:`. No message repeats either.
    fn credential(&mut self, name: &UserName, fields: &mut Fields) -> Credential {
        let words = HashAlgorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
        let password = fields.take("password");
        let hash = fields.take("password_hash");
        let algorithm =
            fields.read("hashing_algorithm", self, |r, key, node| r.choice(key, node, &words));
        if let (Some(password), Some(hash)) = (&password, &hash) {
            let message = "`password` and `password_hash` exclude each other";
            self.push(
                Problem::error(codes::EXCLUSIVE, hash.key_origin, message)
                    .related(password.key_origin, "also given here")
                    .hint("keep one of the two"),
            );
            return Credential::Unsaid;
        }
        if let Some(entry) = password {
            return self
                .secret(&entry.value, name)
                .map_or(Credential::Unsaid, Credential::Password);
        }
        let Some(entry) = hash else { return Credential::Unsaid };
        let Some(text) = self.text("password_hash", &entry.value) else {
            return Credential::Unsaid;
        };
        Credential::Hash(PasswordHash {
            text: text.into(),
            algorithm: Some(algorithm.unwrap_or_default()),
        })
    }

    /// A password; advice where the file itself spells it.
    fn secret(&mut self, node: &Node, name: &UserName) -> Option<SecretString> {
        let text = self.text("password", node)?;
        if text.is_empty() {
            let message = format!("the password of user `{name}` is empty");
            self.push(
                Problem::error(codes::VALUE, node.origin, message)
                    .hint("leave `password` out for a user whom no password lets in"),
            );
            return None;
        }
        if let Value::Scalar(scalar) = &node.value
            && scalar.shown().contains(&text)
        {
            let message = format!("the password of user `{name}` stands in the file");
            self.push(
                Problem::warning(codes::LITERAL_PASSWORD, node.origin, message)
                    .hint("write `${NAME}` or `${file:/path}`, or give its `password_hash`"),
            );
        }
        Some(text.into())
    }

    /// `permissions:`, by the name of the user.
    pub(super) fn permission(
        &mut self,
        entry: Entry,
        vhost: &VhostName,
        parts: &mut TopologyParts,
    ) {
        let origin = entry.key_origin;
        let Some(user) = self.key_name(&entry, UserName::new) else { return };
        let Some(mut fields) = self.fields(&entry.key, origin, entry.value) else { return };
        let mut pattern = |r: &mut Self, key| fields.read(key, r, Self::text).unwrap_or_default();
        let configure = pattern(self, "configure");
        let write = pattern(self, "write");
        let read = pattern(self, "read");
        let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
        let on_remove = self.on_remove(&mut fields);
        fields.finish(self, &[]);
        parts.settings.push(Setting::Permission(Permission {
            vhost: vhost.clone(),
            user,
            configure,
            write,
            read,
            managed,
            on_remove,
            origin,
        }));
    }

    /// `topic_permissions:`, by the name of the user and in it of the exchange.
    pub(super) fn topic_permissions(
        &mut self,
        entry: Entry,
        vhost: &VhostName,
        parts: &mut TopologyParts,
    ) {
        let Some(user) = self.key_name(&entry, UserName::new) else { return };
        for entry in self.section(entry) {
            let origin: Origin = entry.key_origin;
            let Some(exchange) = self.key_name(&entry, ExchangeName::new) else { continue };
            let Some(mut fields) = self.fields(&entry.key, origin, entry.value) else { continue };
            let write = fields.read("write", self, Self::text).unwrap_or_default();
            let read = fields.read("read", self, Self::text).unwrap_or_default();
            let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
            let on_remove = self.on_remove(&mut fields);
            fields.finish(self, &[]);
            parts.settings.push(Setting::TopicPermission(TopicPermission {
                vhost: vhost.clone(),
                user: user.clone(),
                exchange,
                write,
                read,
                managed,
                on_remove,
                origin,
            }));
        }
    }
}
