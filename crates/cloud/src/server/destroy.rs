//! What a request to destroy servers does: they are no longer listed from this moment on, and their workflow turns
//! round. Quota and addresses are held until the guest is really gone.

use crate::{Caller, Result};
use model::ids::{ActionId, ImageId, ServerId};
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

/// Destroys a server together with snapshots of it. `None`: with all of them.
///
/// What belongs to another server, or is no snapshot, is refused by name, and nothing is destroyed.
pub async fn destroy_with(
    store: &Store,
    caller: &Caller,
    server: ServerId,
    chosen: Option<&[ImageId]>,
    operation: &str,
) -> Result<()> {
    let mut tx = store.tenant(caller.team).await?;
    let found = store::servers::get(&mut tx, caller.team, server).await?.ok_or_else(Refusal::not_found)?;
    let snapshots: Vec<ImageId> = match chosen {
        None => found.snapshots.iter().copied().map(ImageId).collect(),
        Some(chosen) => {
            if let Some(stranger) = chosen.iter().find(|image| !found.snapshots.contains(&image.0)) {
                let message = format!("{stranger} is no snapshot of this server.");
                return Err(Refusal::field("snapshots", message).into());
            }
            chosen.to_vec()
        }
    };
    request(&mut tx, caller, &[server.0], operation).await?;
    for image in &snapshots {
        crate::image::verbs::leave(&mut tx, caller.team, *image).await?;
    }
    store::servers::order_destroy(&mut tx, caller.team, server, &snapshots).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// Asks again for what of such an order is not gone yet.
pub async fn retry(store: &Store, caller: &Caller, server: ServerId) -> Result<()> {
    let mut tx = store.tenant(caller.team).await?;
    let order = store::servers::destroy_order(&mut tx, caller.team, server).await?.ok_or_else(Refusal::not_found)?;
    if order.server.gone_at.is_none() {
        request(&mut tx, caller, &[server.0], "droplets_destroy_retryWithAssociatedResources").await?;
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// The part that all share, and that composite resources use: everything that happens in the transaction.
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
