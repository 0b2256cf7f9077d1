//! Makes an exchange anew with the bindings that lead to it and from it.
//!
//! While it is gone, two exchanges that nobody publishes to hold copies of its bindings: one of those
//! that lead to it, which thereby also keep an `auto_delete` source alive, one of those that lead
//! from it. They stay until all bindings are back, so a process that was killed is followed by one
//! that puts them back.

use futures_util::{StreamExt, TryStreamExt, stream};
use lapin::ExchangeKind;
use lapin::options::ExchangeDeleteOptions;

use super::mover::limited;
use super::refusal::RemakeError;
use super::sight::{found, legible};
use crate::broker::declare::{CONCURRENCY, DeclareError, Declarer, exchange_options, field_table};
use crate::broker::management::{ExchangeInfo, ManagementClient};
use crate::broker::observe::table;
use crate::model::{
    Arguments, Destination, Exchange, ExchangeName, ExchangeType, OnConflict, OnRemove, Origin,
};
use crate::plan::{
    BindingKey, ObservedExchange, ShadowNames, exchange_is_as_declared, from_another, redirect,
};

/// Makes an exchange as it is declared. Goes on where an earlier attempt has ended.
pub(in crate::broker) async fn remake_exchange(
    exchange: &Exchange,
    client: &ManagementClient,
    declarer: &Declarer,
) -> Result<(), RemakeError> {
    let vhost = &exchange.vhost;
    let ShadowNames { to, from } = ShadowNames::of(&exchange.name);
    let keys = async |bindings: Option<Vec<_>>| {
        let legible = bindings.into_iter().flatten().map(|info| legible(vhost, info));
        legible.collect::<Result<Vec<BindingKey>, _>>()
    };
    let leading_to =
        async |name| keys(found(client.bindings_to_exchange(vhost, name).await)?).await;
    let leading_from =
        async |name| keys(found(client.bindings_from_exchange(vhost, name).await)?).await;
    let as_declared = |info: ExchangeInfo| {
        let ExchangeInfo { kind, durable, auto_delete, internal, arguments, .. } = info;
        let arguments = table(&arguments);
        let have = ObservedExchange { kind, durable, auto_delete, internal, arguments };
        exchange_is_as_declared(exchange, &have)
    };
    let is_as_declared = found(client.exchange(vhost, &exchange.name).await)?.map(as_declared);
    if is_as_declared == Some(false) {
        for name in [&to, &from] {
            declarer.exchange(&shadow(exchange, name)).await?;
        }
        let copies = leading_to(&exchange.name)
            .await?
            .into_iter()
            .map(|key| redirect(&key, Destination::Exchange(to.clone())));
        let others =
            leading_from(&exchange.name).await?.into_iter().map(|key| from_another(&key, &from));
        bind(declarer, copies.chain(others)).await?;
    }
    if is_as_declared != Some(true) {
        tracing::info!(exchange = %exchange.name, "making it anew");
        let channel = declarer.channel().await?;
        let name = exchange.name.as_str();
        let delete = channel.exchange_delete(name.into(), ExchangeDeleteOptions::default());
        let declare = channel.exchange_declare(
            name.into(),
            ExchangeKind::Custom(exchange.kind.0.clone()),
            exchange_options(exchange),
            field_table(&exchange.arguments)?,
        );
        // Both are on their way before the answer to the first.
        let (deleted, declared) = tokio::join!(limited(delete), limited(declare));
        deleted?;
        declared?;
    }
    let copies = leading_to(&to).await?;
    let here = Destination::Exchange(exchange.name.clone());
    let copies = copies.iter().map(|key| redirect(key, here.clone()));
    let others = leading_from(&from).await?;
    bind(declarer, copies.chain(others.iter().map(|key| from_another(key, &exchange.name))))
        .await?;
    for name in [&to, &from] {
        declarer.delete_exchange(name, true).await?;
    }
    Ok(())
}

async fn bind(
    declarer: &Declarer,
    keys: impl IntoIterator<Item = BindingKey>,
) -> Result<(), DeclareError> {
    stream::iter(keys)
        .map(async |key| declarer.binding(&key.binding()).await)
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

/// One that takes any binding and routes nothing, since nothing comes to it.
fn shadow(of: &Exchange, name: &ExchangeName) -> Exchange {
    Exchange {
        vhost: of.vhost.clone(),
        name: name.clone(),
        kind: ExchangeType("direct".into()),
        durable: true,
        auto_delete: false,
        internal: true,
        arguments: Arguments::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: OnConflict::Refuse,
        origin: Origin::default(),
    }
}
