//! Adoption: a guest that was at its provider before it was ours becomes a team's server. The request writes the server
//! down as it was seen; its life's workflow then puts our mark on the guest and changes nothing else of it.

use crate::server::life::{Life, ServerInput, subject};
use crate::{Operator, Result};
use model::ids::{RegionSlug, ServerId, TeamId, WorkflowId};
use model::names::ServerName;
use model::refusal::{Code, Refusal};
use provider::Capabilities;
use serde_json::json;
use store::servers::Adopted;
use store::strangers::Stranger;
use store::workflow::Inserted;
use store::{Store, Tx, operators};
use workflow::NewWorkflow;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// Where the guest is.
    pub region: RegionSlug,
    /// Its number at the provider.
    pub name: String,
    /// Whose it becomes.
    pub team: TeamId,
    /// Its name from now on; `None`: as it is called there, as far as that is a server's name.
    pub server_name: Option<String>,
    /// The size that it is billed as; `None`: the cheapest that holds it.
    pub size: Option<String>,
}

/// Adopts a guest. Quotas are not asked: the operator decides; what is adopted counts from then on.
pub async fn adopt(store: &Store, operator: &Operator, adopt: &Adopt) -> Result<(ServerId, WorkflowId)> {
    let mut tx = store.begin().await?;
    let stranger = store::strangers::find(&mut tx, &adopt.region, &adopt.name).await?.ok_or_else(Refusal::not_found)?;
    let home = store::servers::home(&mut tx, &adopt.region, adopt.team).await?.ok_or_else(Refusal::not_found)?;
    if !home.team_exists {
        return Err(Refusal::field("team", "There is no such team.").into());
    }
    let capabilities: Capabilities = serde_json::from_value(home.capabilities).unwrap_or_default();
    let number = check(&stranger, capabilities)?;
    let host = store::hosts::find(store, &adopt.region, &stranger.host).await?.ok_or_else(Refusal::not_found)?;
    let id = store::servers::draw_id(&mut tx).await?;
    if !store::guest_numbers::take(&mut tx, &adopt.region, id, number).await? {
        return Err(Refusal::new(Code::InUse, "The guest is a server of ours already.").into());
    }
    let amounts = (stranger.vcpus.max(1), stranger.memory_mib.max(1), stranger.disk_gb.max(1));
    let size = store::servers::fitting_size(&mut tx, &adopt.region, adopt.size.as_deref(), amounts).await?;
    let size = size.ok_or_else(|| {
        let message = "No size of the region is large enough, or the one named is not offered there. Name another one.";
        Refusal::new(Code::SizeUnavailable, message).at("size")
    })?;
    let range = crate::server::create::default_range(home.vpc_range);
    let vpc = store::networks::default_vpc(&mut tx, adopt.team, &adopt.region, range).await?;
    let name = server_name(adopt, &stranger)?;
    let life = NewWorkflow::of::<Life>(subject(id), &ServerInput { server: id }).team(adopt.team);
    let workflow = life.id();
    let row = Adopted {
        id,
        team: adopt.team,
        name: name.as_str(),
        region: &adopt.region,
        host: host.id,
        size: &size,
        vcpus: amounts.0,
        memory_mib: amounts.1,
        disk_gb: amounts.2,
        vpc: vpc.id,
        running: stranger.power.as_deref() == Some("running"),
        workflow,
    };
    store::servers::adopt(&mut tx, &row).await?;
    if life.insert(&mut tx).await? != Inserted::New {
        return Err(Refusal::pending_event().into());
    }
    record(&mut tx, operator, adopt, id).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok((id, workflow))
}

async fn record(tx: &mut Tx, operator: &Operator, adopt: &Adopt, id: ServerId) -> Result<()> {
    store::strangers::forget(tx, &adopt.region, &adopt.name).await?;
    store::events::append(tx, adopt.team, "droplet.create", &crate::server::urn(id), &json!({ "adopted": true }))
        .await?;
    let detail = json!({ "region": adopt.region, "guest": adopt.name, "team": adopt.team });
    operators::record(tx, operator.origin(), "guest.adopt", &subject(id), &detail).await?;
    Ok(())
}

/// Whether it may be adopted; its number.
fn check(stranger: &Stranger, capabilities: Capabilities) -> Result<i64> {
    if let Some(owner) = &stranger.owner {
        let message = format!("The guest belongs to somebody else: {owner}. It is not touched.");
        return Err(Refusal::new(Code::WrongState, message).into());
    }
    if stranger.kind != "machine" {
        let message = "Containers cannot be adopted; only virtual machines can.";
        return Err(Refusal::new(Code::Unsupported, message).into());
    }
    let number = stranger.name.parse().ok().filter(|_| capabilities.guest_numbers.is_some());
    number.ok_or_else(|| Refusal::new(Code::Unsupported, "The region's provider cannot hand guests over.").into())
}

fn server_name(adopt: &Adopt, stranger: &Stranger) -> Result<ServerName> {
    match &adopt.server_name {
        Some(name) => Ok(ServerName::parse(name)?),
        None => match ServerName::parse(&stranger.title) {
            Ok(name) => Ok(name),
            Err(_) => Ok(ServerName::parse(&format!("adopted-{}", stranger.name))?),
        },
    }
}
