//! Hosts: what operators do with them.

use crate::{Error, Operator, Result};
use model::ids::{HostId, WorkflowId};
use model::refusal::{Code, Refusal};
use serde_json::json;
use store::alerts::{self, Severity};
use store::hosts::{HostDetail, Keeping, ToMove};
use store::migrations::Reason;
use store::{Store, operators};

/// Servers of one host that are on their way at once: each copies memory, and maybe disks, over the same links.
const AT_ONCE: usize = 4;
/// A server that could not be moved is tried again after so many seconds.
const PATIENCE: i64 = 600;

/// Whether a host is kept free of new servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// It takes none.
    On,
    /// It takes some.
    Off,
}

/// What came of asking for a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Migrations that began.
    pub begun: Vec<WorkflowId>,
    /// Servers that follow: when others are through, when what is being done with them has ended.
    pub waiting: i64,
}

fn urn(host: HostId) -> String {
    format!("host:{host}")
}

/// Closes a host to new servers, or opens it again (which also ends a drain). Those on it stay.
pub async fn set_maintenance(
    store: &Store,
    operator: &Operator,
    host: HostId,
    maintenance: Maintenance,
) -> Result<HostDetail> {
    let keeping = match maintenance {
        Maintenance::On => Keeping::Closed,
        Maintenance::Off => Keeping::Open,
    };
    keep(store, operator, host, keeping).await?;
    Ok(store::hosts::get(store, host).await?.ok_or_else(Refusal::not_found)?)
}

async fn keep(store: &Store, operator: &Operator, host: HostId, keeping: Keeping) -> Result<()> {
    let mut tx = store.begin().await?;
    if !store::hosts::keep(&mut tx, host, keeping).await? {
        return Err(Refusal::not_found().into());
    }
    if keeping != Keeping::Draining {
        alerts::resolve(&mut tx, "drain_waits", &urn(host)).await?;
    }
    let word = match keeping {
        Keeping::Open => "open",
        Keeping::Closed => "closed",
        Keeping::Draining => "draining",
    };
    operators::record(&mut tx, operator.origin(), "host.keep", &urn(host), &json!({ "keeping": word })).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// The operator's words for a host, for placement.
pub async fn set_tags(store: &Store, operator: &Operator, host: HostId, tags: &[String]) -> Result<HostDetail> {
    let plain = |tag: &&String| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b":_-.".contains(&byte);
        tag.is_empty() || tag.len() > 63 || !tag.bytes().all(word)
    };
    if let Some(bad) = tags.iter().find(plain) {
        let message = format!("`{bad}` is no tag: write letters, digits, `:`, `_`, `-` and `.`, at most 63.");
        return Err(Refusal::field("tags", message).into());
    }
    let mut tx = store.begin().await?;
    if !store::hosts::set_tags(&mut tx, host, tags).await? {
        return Err(Refusal::not_found().into());
    }
    operators::record(&mut tx, operator.origin(), "host.tags", &urn(host), &json!({ "tags": tags })).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(store::hosts::get(store, host).await?.ok_or_else(Refusal::not_found)?)
}

/// Closes a host and moves every server off it: some at once, the others as soon as they can be. The host stays closed
/// when it is empty.
pub async fn drain(store: &Store, operator: &Operator, host: HostId) -> Result<Drained> {
    let found = store::hosts::get(store, host).await?.ok_or_else(Refusal::not_found)?;
    let region = store::regions::get(store, &found.region).await?.ok_or_else(Refusal::not_found)?;
    let capabilities: provider::Capabilities = serde_json::from_value(region.capabilities).unwrap_or_default();
    if !capabilities.migration {
        let message = format!("Region `{}` cannot move servers between its hosts.", found.region);
        return Err(Refusal::new(Code::Unsupported, message).into());
    }
    keep(store, operator, host, Keeping::Draining).await?;
    go_on(store, host).await
}

/// Carries every drain on; how many migrations began. Any number of processes may do so: each begins in a transaction of
/// its own, and a server has one action at a time.
pub async fn run_drains(store: &Store) -> Result<usize> {
    let mut begun = 0;
    for host in store::hosts::draining(store).await? {
        match go_on(store, host).await {
            Ok(drained) => begun += drained.begun.len(),
            // The others are not to wait because of one.
            Err(error) => tracing::warn!(%host, %error, "a drain cannot go on"),
        }
    }
    Ok(begun)
}

async fn go_on(store: &Store, host: HostId) -> Result<Drained> {
    let left = store::hosts::left_on(store, host, PATIENCE).await?;
    let under_way = usize::try_from(left.moving).unwrap_or(usize::MAX);
    let mut drained = Drained::default();
    for server in left.ready.iter().take(AT_ONCE.saturating_sub(under_way)) {
        let mut tx = store.begin().await?;
        match crate::migration::begin(&mut tx, *server, None, Reason::Drain).await {
            Ok(id) => {
                tx.commit().await.map_err(store::Error::from)?;
                drained.begun.push(id);
            }
            // Something else was faster; it is asked again.
            Err(Error::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let begun = i64::try_from(drained.begun.len()).unwrap_or(i64::MAX);
    let ready = i64::try_from(left.ready.len()).unwrap_or(i64::MAX);
    drained.waiting = left.waiting.saturating_add(ready).saturating_sub(begun);
    settle(store, host, &left).await?;
    Ok(drained)
}

/// Ends a drain that has nothing left to do; tells operators of one that gets no further.
async fn settle(store: &Store, host: HostId, left: &ToMove) -> Result<()> {
    if !left.ready.is_empty() || left.moving > 0 {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    if store::hosts::drained(&mut tx, host).await? {
        alerts::resolve(&mut tx, "drain_waits", &urn(host)).await?;
    } else if left.waiting > 0 {
        let called = store::hosts::get(store, host).await?;
        let called = called.map_or_else(|| host.to_string(), |host| format!("{}/{}", host.region, host.name));
        let message = format!(
            "servers on host {called}, which is being emptied, cannot leave it at the moment: they are busy, or no other \
             host takes them. They are tried again by themselves; `cairn admin migration list` says why the last tries \
             failed"
        );
        alerts::raise_as(&mut tx, Severity::Warning, "drain_waits", &urn(host), &message).await?;
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}
