//! Migrations: a server goes to another host because an operator says so, or because its host is being emptied.

use crate::server::life::subject;
use crate::server::migrate::{Migrate as MigrateServer, MigrateInput};
use crate::{Operator, Result};
use model::ids::{HostId, ServerId, WorkflowId};
use model::refusal::{Code, Refusal};
use provider::Capabilities;
use serde_json::json;
use store::actions::{NewAction, ResourceType};
use store::hosts::HostDetail;
use store::migrations::{Migration, Reason};
use store::workflow::Inserted;
use store::{Store, Tx, operators};
use workflow::NewWorkflow;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrate {
    /// The server.
    pub server: ServerId,
    /// The host that it is to go to; `None`: placement chooses.
    pub to: Option<HostId>,
}

/// Begins to move a server.
pub async fn start(store: &Store, operator: &Operator, migrate: &Migrate) -> Result<Migration> {
    let to = match migrate.to {
        Some(host) => Some(store::hosts::get(store, host).await?.ok_or_else(no_such_host)?),
        None => None,
    };
    let mut tx = store.begin().await?;
    let id = begin(&mut tx, migrate.server, to.as_ref(), Reason::Operator).await?;
    let detail = json!({ "to": to.map(|host| host.name) });
    operators::record(&mut tx, operator.origin(), "server.migrate", &subject(migrate.server), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(store::migrations::get(store, id).await?.ok_or_else(Refusal::not_found)?)
}

fn no_such_host() -> Refusal {
    Refusal::field("host", "There is no such host.")
}

/// The part that draining shares: everything that happens in the transaction.
pub(crate) async fn begin(
    tx: &mut Tx,
    server: ServerId,
    to: Option<&HostDetail>,
    reason: Reason,
) -> Result<WorkflowId> {
    let found = store::migrations::candidate(tx, server).await?.ok_or_else(Refusal::not_found)?;
    let from = found.host.filter(|_| found.answered).ok_or_else(Refusal::pending_event)?;
    let capabilities: Capabilities = serde_json::from_value(found.capabilities.clone()).unwrap_or_default();
    if !capabilities.migration {
        let message = format!("Region `{}` cannot move servers between its hosts.", found.region);
        return Err(Refusal::new(Code::Unsupported, message).into());
    }
    if let Some(to) = to {
        check_target(to, from, &found.region)?;
    }
    let input = MigrateInput { server, to: to.map(|host| host.id) };
    let new = NewWorkflow::of::<MigrateServer>(subject(server), &input).team(found.team).parent(found.workflow);
    let id = new.id();
    let action = NewAction {
        team: found.team,
        workflow: id,
        direction: "make",
        kind: "migrate",
        resource_type: ResourceType::Server,
        resource_id: server.0,
        region: Some(&found.region),
    };
    if store::actions::begin(tx, &action).await?.is_none() {
        return Err(Refusal::pending_event().into());
    }
    store::migrations::insert(tx, id, server, &found, from, reason).await?;
    store::events::append(tx, found.team, "droplet.migrate", &crate::server::urn(server), &json!({})).await?;
    match new.insert(tx).await? {
        Inserted::New => Ok(id),
        Inserted::Busy => Err(Refusal::pending_event().into()),
        Inserted::ParentLeaving => Err(Refusal::not_found().into()),
    }
}

fn check_target(to: &HostDetail, from: HostId, region: &model::ids::RegionSlug) -> Result<()> {
    if to.region != *region {
        return Err(Refusal::field("host", format!("Host {} is not in the server's region.", to.name)).into());
    }
    if to.id == from {
        return Err(Refusal::field("host", format!("The server is on host {} already.", to.name)).into());
    }
    if to.state != "up" {
        let message = format!("Host {} takes no servers: its state is `{}`.", to.name, to.state);
        return Err(Refusal::new(Code::WrongState, message).at("host").into());
    }
    Ok(())
}
