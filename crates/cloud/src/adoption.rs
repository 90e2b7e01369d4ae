//! Adoption: a guest that was at its provider before it was ours becomes a team's server. The request writes the server
//! down as it was seen; its life's workflow then puts our mark on the guest and changes nothing else of it.

use crate::server::life::{Life, ServerInput, subject};
use crate::site::{self, Site};
use crate::{Operator, Result};
use jiff::Timestamp;
use model::ids::{RegionSlug, ServerId, TeamId, WorkflowId};
use model::names::ServerName;
use model::quota::Amounts;
use model::refusal::{Code, Refusal};
use model::states::GuestKind;
use provider::{Capabilities, FaultKind, GuestRef, Provider};
use serde_json::json;
use std::time::Duration;
use store::alerts::{self, Severity};
use store::servers::{Adopted, Unclaimed, Work};
use store::strangers::Stranger;
use store::workflow::Inserted;
use store::{Store, Tx, operators};
use workflow::{Fault, NewWorkflow, Outcome, Run};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// Where the guest is.
    pub region: RegionSlug,
    /// Its number at the provider, or what it is called there.
    pub name: String,
    /// Whose it becomes.
    pub team: TeamId,
    /// Its name from now on; `None`: as it is called there, as far as that is a server's name.
    pub server_name: Option<String>,
    /// The size that it is billed as; `None`: the cheapest that holds it.
    pub size: Option<String>,
    /// What the team's quota has to say.
    pub quota: Quota,
}

/// Whether a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// It has to have room.
    Kept,
    /// The operator gives the guest to the team although it has none; nothing else is made there until it has again.
    Overrun,
}

/// Adopts a guest, which counts against the team's quota from then on.
pub async fn adopt(store: &Store, operator: &Operator, adopt: &Adopt) -> Result<(ServerId, WorkflowId)> {
    let mut tx = store.begin().await?;
    let home = store::servers::home(&mut tx, &adopt.region, adopt.team).await?.ok_or_else(|| no_region(adopt))?;
    let stranger = find(&mut tx, adopt).await?;
    if !home.team_exists {
        let message = "There is no such team. `cairn admin team list` shows them.";
        return Err(Refusal::field("team_id", message).into());
    }
    let capabilities: Capabilities = serde_json::from_value(home.capabilities).unwrap_or_default();
    let (kind, number) = check(&stranger, capabilities)?;
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
    admit(&mut tx, adopt, amounts).await?;
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
        guest: kind,
        vpc: vpc.id,
        running: stranger.power.as_deref() == Some("running"),
        workflow,
    };
    store::servers::adopt(&mut tx, &row).await?;
    if life.insert(&mut tx).await? != Inserted::New {
        return Err(Refusal::pending_event().into());
    }
    record(&mut tx, operator, adopt, &stranger, id).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok((id, workflow))
}

/// The guest of that number, or the only one of that name.
async fn find(tx: &mut Tx, adopt: &Adopt) -> Result<Stranger> {
    if let Some(stranger) = store::strangers::find(tx, &adopt.region, &adopt.name).await? {
        return Ok(stranger);
    }
    // Some guests have no name, and nobody means those.
    if adopt.name.is_empty() {
        return Err(no_guest(adopt).into());
    }
    let mut called = store::strangers::titled(tx, &adopt.region, &adopt.name).await?;
    if called.len() > 1 {
        let numbers = called.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!("Several guests are called `{}`: {numbers}. Say the number of one.", adopt.name);
        return Err(Refusal::field("guest", message).into());
    }
    Ok(called.pop().ok_or_else(|| no_guest(adopt))?)
}

fn no_region(adopt: &Adopt) -> Refusal {
    let message = format!("There is no region `{}`. `cairn admin region list` shows them.", adopt.region);
    Refusal::new(Code::NotFound, message).at("region")
}

fn no_guest(adopt: &Adopt) -> Refusal {
    let message = format!(
        "Nothing that is not ours was seen under `{name}` in region `{region}`. `cairn admin guest list --region {region}` \
         shows what there is; what was made a moment ago is seen within half a minute, and what is ours already is a \
         server (`cairn admin server list --region {region}`).",
        name = adopt.name,
        region = adopt.region
    );
    Refusal::new(Code::NotFound, message).at("guest")
}

/// Asks the team's quota, under its lock.
async fn admit(tx: &mut Tx, adopt: &Adopt, (vcpus, memory_mib, disk_gb): (i32, i32, i32)) -> Result<()> {
    if adopt.quota == Quota::Overrun {
        return Ok(());
    }
    let whole = |amount: i32| u32::try_from(amount).unwrap_or(0);
    let ask = Amounts::servers(1, whole(vcpus), whole(memory_mib), whole(disk_gb));
    let quota = store::quota::lock_of(tx, adopt.team).await?;
    model::quota::admit(&quota.limits, &quota.used, &ask).map_err(|full| {
        let message = format!(
            "The team's quota has no room for this guest: {} Say `over_quota` (--over-quota) to give it to the team all \
             the same.",
            full.message
        );
        Refusal { message, field: Some("over_quota".to_owned()), ..full }
    })?;
    Ok(())
}

async fn record(tx: &mut Tx, operator: &Operator, adopt: &Adopt, stranger: &Stranger, id: ServerId) -> Result<()> {
    store::strangers::forget(tx, &adopt.region, &stranger.name).await?;
    store::events::append(tx, adopt.team, "droplet.create", &crate::server::urn(id), &json!({ "adopted": true }))
        .await?;
    let detail = json!({ "region": adopt.region, "guest": stranger.name, "team": adopt.team,
                         "over_quota": adopt.quota == Quota::Overrun });
    operators::record(tx, operator.origin(), "guest.adopt", &subject(id), &detail).await?;
    Ok(())
}

/// Whether it may be adopted; what it is, and its number.
fn check(stranger: &Stranger, capabilities: Capabilities) -> Result<(GuestKind, i64)> {
    if let Some(owner) = &stranger.owner {
        let message = format!("The guest belongs to somebody else: {owner}. It is not touched.");
        return Err(Refusal::new(Code::WrongState, message).at("guest").into());
    }
    let kind = match stranger.kind.as_str() {
        "machine" => GuestKind::Machine,
        "container" if capabilities.containers => GuestKind::Container,
        _ => {
            let message = "The region's provider cannot hand over containers, only virtual machines.";
            return Err(Refusal::new(Code::Unsupported, message).at("guest").into());
        }
    };
    let number = stranger.name.parse().ok().filter(|_| capabilities.guest_numbers.is_some());
    let number = number.ok_or_else(|| {
        Refusal::new(Code::Unsupported, "The region's provider cannot hand guests over.").at("region")
    })?;
    Ok((kind, number))
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

/// Takes a guest over, for the step that makes a server's guest: its addresses are written down first, then it gets our
/// mark, and the next look finds it ours. What stands against it ends the adoption, is told to operators, and leaves the
/// guest as it is.
pub(crate) async fn take_over(
    cx: &Site,
    run: &mut Run<Site>,
    work: &Work,
    provider: &dyn Provider,
    guest: &GuestRef,
) -> std::result::Result<Outcome<()>, Fault> {
    let addresses = provider.stranger_addresses(guest).await.map_err(site::fault)?;
    let known = {
        let mut connection = cx.store.connection().await?;
        store::servers::known_addresses(&mut connection, work.id).await?
    };
    if addresses.iter().any(|address| !known.contains(address)) {
        let tx = run.tx().await?;
        let against = store::servers::claim_addresses(tx, &work.region, work.team, work.id, &addresses).await?;
        return match against {
            None => Ok(Outcome::wait_for("its addresses to be written down", Duration::ZERO)),
            Some(against) => {
                let why = sentence(&against);
                fail(run, work, guest, Code::InUse, &why, &why).await
            }
        };
    }
    match provider.adopt_guest(guest).await {
        Ok(()) => Ok(Outcome::wait_for("the guest to be seen as ours", Duration::from_millis(100))),
        // What a provider says of privileges and paths is for the operator, and holds no secret (Fault::detail).
        Err(no) if no.kind == FaultKind::Refused => {
            let told = "its provider would not let it be marked as ours; your operator can see why";
            fail(run, work, guest, Code::ProviderRefused, &no.detail, told).await
        }
        Err(other) => Err(site::fault(other)),
    }
}

fn sentence(against: &Unclaimed) -> String {
    match against {
        Unclaimed::Taken(address, owner) => format!(
            "its address {address} is server {owner}'s. Give one of the two another address, and adopt the guest again"
        ),
        Unclaimed::Second(address, pool) => format!(
            "its address {address} is a second one of pool {pool}, of which a server has one. Take one of them away, and \
             adopt the guest again"
        ),
    }
}

/// Ends the adoption: operators hear why, the team hears `told`.
async fn fail(
    run: &mut Run<Site>,
    work: &Work,
    guest: &GuestRef,
    code: Code,
    why: &str,
    told: &str,
) -> std::result::Result<Outcome<()>, Fault> {
    let subject = alert_subject(&work.region, &guest.name);
    let message = format!("guest {} of region {} was not adopted: {why}", guest.name, work.region);
    alerts::raise_as(run.tx().await?, Severity::Info, "adoption_failed", &subject, &message).await?;
    Ok(Outcome::refuse(code.as_str(), format!("The guest was not adopted: {told}.")))
}

fn alert_subject(region: &RegionSlug, guest: &str) -> String {
    format!("guest:{region}/{guest}")
}

/// How an adoption stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The server that the guest becomes.
    pub server: ServerId,
    /// Where the guest is.
    pub region: RegionSlug,
    /// Its number at the provider.
    pub guest: String,
    /// Where it stands.
    pub state: State,
    /// What stands against it, for the operator; `None`: nothing that is known.
    pub sentence: Option<String>,
    /// When it was asked for.
    pub started_at: Timestamp,
}

/// Where an adoption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// The guest is a server.
    Completed,
    /// It is not, and was left as it was.
    Failed,
}

/// How an adoption stands; `None`: there is no such one.
pub async fn standing(store: &Store, workflow: WorkflowId) -> Result<Option<Standing>> {
    let Some(found) = store::servers::adoption(store, workflow).await? else { return Ok(None) };
    let (state, sentence) = match (found.over, found.error) {
        (false, _) => {
            (State::Running, found.last_error.or(found.waiting_for.map(|what| format!("waiting for {what}"))))
        }
        (true, None) => (State::Completed, None),
        (true, Some(error)) => {
            let subject = alert_subject(&found.region, &found.guest);
            let told = store::alerts::latest(store, "adoption_failed", &subject, found.started_at).await?;
            (State::Failed, Some(told.unwrap_or(error)))
        }
    };
    let (server, region, guest, started_at) = (found.server, found.region, found.guest, found.started_at);
    Ok(Some(Standing { server, region, guest, state, sentence, started_at }))
}
