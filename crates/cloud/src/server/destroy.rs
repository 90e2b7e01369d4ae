//! What a request to destroy servers does: they are no longer listed from this moment on, and their workflow turns
//! round. Quota and addresses are held until the guest is really gone.

use crate::{Caller, Result};
use model::ids::{ActionId, ServerId};
use model::refusal::Refusal;
use store::actions::{NewAction, ResourceType};
use store::{Store, Tx};
use workflow::UNMAKE;

/// Destroys one server.
pub async fn destroy(store: &Store, caller: &Caller, server: ServerId) -> Result<ActionId> {
    let mut tx = store.tenant(caller.team).await?;
    let actions = request(&mut tx, caller, &[server.0], "droplets_destroy").await?;
    let action = actions.first().copied().ok_or_else(Refusal::not_found)?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(action)
}

/// Destroys every server of the team that has this tag; none is fine.
pub async fn destroy_tagged(store: &Store, caller: &Caller, tag: &str) -> Result<Vec<ActionId>> {
    let mut tx = store.tenant(caller.team).await?;
    let servers = store::servers::ids_tagged(&mut tx, caller.team, tag).await?;
    let actions = request(&mut tx, caller, &servers, "droplets_destroy_byTag").await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(actions)
}

/// The part that both share, and that composite resources use: everything that happens in the transaction.
pub async fn request(tx: &mut Tx, caller: &Caller, servers: &[i32], operation: &str) -> Result<Vec<ActionId>> {
    let mut actions = Vec::with_capacity(servers.len());
    for leaving in store::servers::request_destroy(tx, caller.team, servers).await? {
        let new = NewAction {
            team: caller.team,
            workflow: leaving.workflow,
            direction: "unmake",
            kind: "destroy",
            resource_type: ResourceType::Server,
            resource_id: leaving.server.0,
            region: Some(&leaving.region),
        };
        if let Some(action) = store::actions::begin(tx, &new).await? {
            actions.push(action.id);
        }
        let urn = super::urn(leaving.server);
        store::audit::append_with_event(tx, caller.origin(), operation, &urn, &serde_json::json!({})).await?;
        // Workflow rows are locked last, so that a step that writes its server first never waits for us in a circle.
        store::workflow::wish(&mut **tx, leaving.workflow, UNMAKE, None).await?;
    }
    Ok(actions)
}
