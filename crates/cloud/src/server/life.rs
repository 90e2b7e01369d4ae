//! A server's life: everything a new server needs, in order. Deleting a server walks this list backwards, and so does
//! a create that fails.

use crate::server::{observe, placing};
use crate::site::{self, Site};
use async_trait::async_trait;
use model::ids::{HostId, ServerId};
use model::placement::{self, Placement};
use model::refusal::Code;
use provider::{FaultKind, Guest, GuestPower, NetworkKind, NetworkSpec, PowerWish};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use store::addresses::Claimed;
use store::servers::Work;
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, Weight, steps};

/// The workflow of a server's life.
pub struct Life;

impl Kind for Life {
    const KIND: &'static str = "server";
    const SHAPE: Shape = Shape::Lifecycle;
    const MADE_WITHIN: Duration = Duration::from_secs(600);
    const UNMADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = ServerInput;
}

/// What every workflow about a server starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInput {
    /// The server.
    pub server: ServerId,
}

impl Recorded for ServerInput {
    fn sample() -> Self {
        Self { server: ServerId(42) }
    }
}

/// The workflows' word for a server.
pub fn subject(server: ServerId) -> String {
    format!("server:{server}")
}

/// The steps, in order.
pub fn definition() -> Definition<Site> {
    Definition::of::<Life>(steps![
        Place,
        ClaimAddresses,
        FetchImage,
        ConnectNetworks,
        CreateGuest,
        Start,
        Answer,
        Meter
    ])
    .firm_after::<Answer>()
}

/// The server's row, read once for all steps that run in one go.
async fn work(cx: &Site, run: &mut Run<Site>) -> Result<Arc<Work>, Fault> {
    if let Some(known) = run.kept::<Work>() {
        return Ok(known);
    }
    let work = cx.server(run.input::<Life>()?.server).await?;
    Ok(run.keep(work))
}

/// The same as the step's transaction sees it.
async fn work_within(run: &mut Run<Site>) -> Result<Arc<Work>, Fault> {
    if let Some(known) = run.kept::<Work>() {
        return Ok(known);
    }
    let server = run.input::<Life>()?.server;
    let work = site::server_within(run.tx().await?, server).await?;
    Ok(run.keep(work))
}

/// A server's addresses.
struct Owned(Vec<Claimed>);

/// The server's addresses, read once like its row.
async fn claimed(cx: &Site, run: &mut Run<Site>) -> Result<Arc<Owned>, Fault> {
    if let Some(known) = run.kept::<Owned>() {
        return Ok(known);
    }
    let server = run.input::<Life>()?.server;
    let mut connection = cx.store.connection().await?;
    let addresses = store::addresses::of(&mut connection, &[server]).await?;
    Ok(run.keep(Owned(addresses)))
}

/// Reserves room on a host.
pub struct Place;

/// Where it was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The host.
    pub host: HostId,
    /// Its name at that time, for whoever reads the record.
    pub name: String,
}

impl Recorded for Placed {
    fn sample() -> Self {
        Self { host: HostId(uuid::Uuid::nil()), name: "host-1".to_owned() }
    }
}

#[async_trait]
impl Step<Site> for Place {
    type Memo = Placed;
    const NAME: &'static str = "place";
    const WEIGHT: Weight = Weight::Rows;

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<Placed>, Fault> {
        let work = work_within(run).await?;
        if let Some((host, name)) = work.host.clone() {
            return Ok(Outcome::done(Placed { host, name }));
        }
        let numbers = cx.provider(&work.region)?.capabilities().guest_numbers;
        let tx = run.tx().await?;
        let mut guest_number = work.guest_number;
        if let Some(range) = numbers {
            guest_number = store::guest_numbers::claim(tx, &work.region, work.id, range).await?;
            if guest_number.is_none() {
                tracing::error!(server = %work.id, ?range, "every guest number of the region's range is taken");
                let refusal = Placement::refusal();
                return Ok(Outcome::refuse(refusal.code.as_str(), refusal.message));
            }
        }
        let candidates = store::servers::candidates(tx, &work.region, work.id).await?;
        if candidates.is_empty() {
            // Not full, only not looked at yet: a region that was just connected.
            return Ok(Outcome::wait_for(
                "the region's hosts to be seen for the first time",
                Duration::from_millis(500),
            ));
        }
        let (request, hosts) = (placing::wanted(&work, &candidates)?, placing::hosts(&work, &candidates));
        let placement = placement::place(&request, &hosts);
        for choice in &placement.ranked {
            if store::servers::place(tx, work.id, choice.host).await? {
                let name = candidates.iter().find(|host| host.id == choice.host).map(|host| host.name.clone());
                let name = name.unwrap_or_default();
                run.keep(Work { host: Some((choice.host, name.clone())), guest_number, ..Work::clone(&work) });
                return Ok(Outcome::done(Placed { host: choice.host, name }));
            }
        }
        for (host, reason) in &placement.rejected {
            tracing::info!(server = %work.id, %host, %reason, "host rejected");
        }
        let refusal = placement.refused();
        Ok(Outcome::refuse(refusal.code.as_str(), refusal.message))
    }

    async fn unmake(&self, _cx: &Site, run: &mut Run<Site>, _memo: Option<Placed>) -> Result<Outcome<()>, Fault> {
        let server = run.input::<Life>()?.server;
        let tx = run.tx().await?;
        store::servers::unplace(tx, server).await?;
        // The request has claimed them; where no host was found, no later step was reached that would give them back.
        store::addresses::release(tx, server).await?;
        Ok(Outcome::done(()))
    }
}

/// Gives the server its addresses. The request claimed them already, so that an exhausted pool is its answer; here the
/// claim finds what the server has.
pub struct ClaimAddresses;

/// What was claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Public first.
    pub addresses: Vec<Ipv4Addr>,
}

impl Recorded for Addresses {
    fn sample() -> Self {
        Self { addresses: vec![Ipv4Addr::new(198, 18, 64, 2), Ipv4Addr::new(10, 116, 0, 2)] }
    }
}

#[async_trait]
impl Step<Site> for ClaimAddresses {
    type Memo = Addresses;
    const NAME: &'static str = "claim_addresses";
    const WEIGHT: Weight = Weight::Rows;

    async fn make(&self, _cx: &Site, run: &mut Run<Site>) -> Result<Outcome<Addresses>, Fault> {
        let work = work_within(run).await?;
        if work.adopted {
            return Ok(Outcome::done(Addresses { addresses: Vec::new() })); // it has those that it came with
        }
        let tx = run.tx().await?;
        let Some(owned) = store::addresses::owned(tx, work.team, work.id).await? else {
            return Ok(Outcome::refuse(
                Code::AddressesExhausted.as_str(),
                format!("Region {} has no free address left. Ask your operator to add a range.", work.region),
            ));
        };
        let owned = run.keep(Owned(owned));
        Ok(Outcome::done(Addresses { addresses: owned.0.iter().map(|claimed| claimed.address).collect() }))
    }

    async fn unmake(&self, _cx: &Site, run: &mut Run<Site>, _memo: Option<Addresses>) -> Result<Outcome<()>, Fault> {
        let server = run.input::<Life>()?.server;
        store::addresses::release(run.tx().await?, server).await?;
        Ok(Outcome::done(()))
    }
}

/// Brings the image's bytes to the region, if they are not there.
pub struct FetchImage;

#[async_trait]
impl Step<Site> for FetchImage {
    type Memo = ();
    const NAME: &'static str = "fetch_image";
    const WEIGHT: Weight = Weight::Light;

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        if work.adopted {
            return Ok(Outcome::done(())); // its disk was made elsewhere
        }
        crate::image::fetch::ensure(cx, run, &work.region, work.image, &work.image_source).await
    }

    /// Images are shared; the cache keeps them.
    async fn unmake(&self, _cx: &Site, _run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}

/// Makes the networks that the server's interfaces are on.
pub struct ConnectNetworks;

/// Numbers that a server may lose to strangers before its making is given up.
const NUMBERS_LOST: i64 = 20;

/// Ensures the networks of these addresses on the server's host. Also called before every start: between two starts
/// the last other guest of a network may have gone, and the network with it.
pub(crate) async fn ensure_networks(
    cx: &Site,
    work: &Work,
    claimed: &[Claimed],
) -> Result<Result<(), Outcome<()>>, Fault> {
    let guest = cx.placed_guest(work)?;
    ensure_networks_on(cx, work, claimed, &guest.host).await
}

/// The same on a host where the server is going to be.
pub(crate) async fn ensure_networks_on(
    cx: &Site,
    work: &Work,
    claimed: &[Claimed],
    host: &str,
) -> Result<Result<(), Outcome<()>>, Fault> {
    let provider = cx.provider(&work.region)?;
    // Where there are no private networks, there is none to make.
    let claimed = &site::attached(cx, work, claimed)?;
    for (interface, claimed) in super::seed::interfaces(cx.installation, work.id, claimed).into_iter().zip(claimed) {
        let spec = NetworkSpec {
            network: interface.network,
            kind: match (claimed.vpc, claimed.bridged) {
                (Some(_), _) => NetworkKind::Private,
                (None, true) => NetworkKind::PublicBridged,
                (None, false) => NetworkKind::PublicNat,
            },
            gateway: claimed.gateway,
            base: claimed.range.network(),
            prefix: claimed.range.prefix_len(),
        };
        let answer = provider.ensure_network(host, &spec).await;
        let sentence = "The region's network cannot be set up on its host. Ask your operator to look at the log.";
        if let Err(refusal) = site::settle(answer, Code::ProviderRefused, sentence)? {
            return Ok(Err(refusal));
        }
    }
    Ok(Ok(()))
}

#[async_trait]
impl Step<Site> for ConnectNetworks {
    type Memo = ();
    const NAME: &'static str = "connect_networks";
    const WEIGHT: Weight = Weight::Light;

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        let claimed = claimed(cx, run).await?;
        Ok(match ensure_networks(cx, &work, &claimed.0).await? {
            Ok(()) => Outcome::done(()),
            Err(refusal) => refusal,
        })
    }

    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        let Some(guest) = cx.guest(&work) else { return Ok(Outcome::done(())) };
        let provider = cx.provider(&work.region)?;
        let mut claimed = site::attached(cx, &work, &claimed(cx, run).await?.0)?;
        // A server that is just being made is not at the provider yet, and its network would go before it comes.
        let stayed_in = store::networks::stayed_in(&mut *cx.store.connection().await?, work.id).await?;
        claimed.retain(|claimed| claimed.vpc.is_none_or(|vpc| !stayed_in.contains(&vpc)));
        for interface in super::seed::interfaces(cx.installation, work.id, &claimed) {
            provider.delete_network(&guest.host, &interface.network).await.map_err(site::fault)?;
        }
        Ok(Outcome::done(()))
    }
}

/// Makes the guest: disk, seed, interfaces; stopped.
pub struct CreateGuest;

#[async_trait]
impl Step<Site> for CreateGuest {
    type Memo = ();
    const NAME: &'static str = "create_guest";
    const WEIGHT: Weight = Weight::Light;

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        let guest = cx.placed_guest(&work)?;
        let provider = cx.provider(&work.region)?;
        match provider.find_guest(&guest).await.map_err(site::fault)? {
            Guest::Ours(_) => return Ok(Outcome::done(())), // a repeat, or a lost answer
            Guest::Forming => return Ok(forming(run)),
            Guest::Foreign(_) if work.adopted => {
                return crate::adoption::take_over(cx, run, &work, &*provider, &guest).await;
            }
            Guest::Absent if work.adopted => {
                return Ok(Outcome::refuse(Code::GuestLost.as_str(), "The guest to adopt is not there any more."));
            }
            Guest::Foreign(mark) => {
                tracing::error!(server = %work.id, guest = %guest.name, %mark, "the guest's name is taken by a stranger");
                return another_number(cx, run, &work).await;
            }
            Guest::Absent | Guest::Unfinished => {}
        }
        if let Some(failure) = site::failed(run.followed()) {
            tracing::warn!(server = %work.id, detail = %failure.detail, "making the guest failed; trying again");
        }
        let addresses = claimed(cx, run).await?;
        let spec = site::guest_spec(cx, &work, &addresses.0, work.image, &work.incarnation)?;
        let answer = provider.create_guest(&guest, &spec).await;
        if answer.as_ref().is_err_and(|no| no.kind == FaultKind::Transient)
            && matches!(provider.find_image(&cx.image(work.image)).await, Ok(None))
        {
            return fetch_again(cx, run, &work).await;
        }
        let sentence = "The provider would not make this server. Ask your operator to look at the log.";
        Ok(match site::settle(answer, Code::ProviderRefused, sentence)? {
            Ok(begun) => site::follow(begun, ()),
            Err(refusal) => refusal,
        })
    }

    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        let Some(guest) = cx.guest(&work).filter(|_| !untouchable(&work)) else { return Ok(Outcome::done(())) };
        let provider = cx.provider(&work.region)?;
        match provider.find_guest(&guest).await.map_err(site::fault)? {
            Guest::Absent | Guest::Foreign(_) => Ok(Outcome::done(())),
            Guest::Forming => Ok(forming(run)),
            Guest::Ours(_) | Guest::Unfinished => {
                Ok(site::follow(provider.delete_guest(&guest).await.map_err(site::fault)?, ()))
            }
        }
    }
}

/// Brings back an image whose bytes went after they had been fetched: somebody deleted them, or the region's storage is
/// another one now.
async fn fetch_again(cx: &Site, run: &mut Run<Site>, work: &Work) -> Result<Outcome<()>, Fault> {
    tracing::warn!(server = %work.id, image = %work.image, "the image is not in the region any more; fetching it again");
    Ok(match crate::image::fetch::ensure(cx, run, &work.region, work.image, &work.image_source).await? {
        // The image is there; the guest is not.
        Outcome::Done(()) => Outcome::wait_for("the image, which was fetched again", Duration::from_millis(500)),
        other => other,
    })
}

/// Waits for a guest that is being made: looked at soon at first, and seldom where the lock of a killed clone waits for an
/// administrator.
fn forming(run: &Run<Site>) -> Outcome<()> {
    let after = Duration::from_millis(250).saturating_mul(run.attempt()).min(Duration::from_secs(10));
    Outcome::wait_for("the disk that is still being made", after)
}

/// A guest that was somebody's before it was ours, and has not become its tenant's: whatever happens to the adoption, it
/// stays as it is.
fn untouchable(work: &Work) -> bool {
    work.adopted && !work.answered
}

/// Leaves the guest's number to the stranger that has it, and takes another one.
async fn another_number(cx: &Site, run: &mut Run<Site>, work: &Work) -> Result<Outcome<()>, Fault> {
    if let Some(range) = cx.provider(&work.region)?.capabilities().guest_numbers {
        let tx = run.tx().await?;
        let lost = store::guest_numbers::lose(tx, work.id).await?;
        if lost < NUMBERS_LOST && store::guest_numbers::claim(tx, &work.region, work.id, range).await?.is_some() {
            return Ok(Outcome::wait_for("another number for the guest", Duration::ZERO));
        }
    }
    Ok(Outcome::refuse(
        Code::GuestIdTaken.as_str(),
        "The place for this server is taken by something that is not ours. Ask your operator to look at the host.",
    ))
}

/// Starts the guest.
pub struct Start;

#[async_trait]
impl Step<Site> for Start {
    type Memo = ();
    const NAME: &'static str = "start";
    const WEIGHT: Weight = Weight::Light;

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        if work.adopted || site::succeeded(run.followed()) {
            return Ok(Outcome::done(())); // its power stays as it was found; whether it runs is the next step's to see
        }
        if let Some(refusal) = super::gpus::taken(&work, run.followed()) {
            return Ok(refusal);
        }
        let claimed = claimed(cx, run).await?;
        if let Err(refusal) = ensure_networks(cx, &work, &claimed.0).await? {
            return Ok(refusal);
        }
        switch_on(cx, &work).await
    }

    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        let Some(guest) = cx.guest(&work).filter(|_| !untouchable(&work)) else { return Ok(Outcome::done(())) };
        if site::succeeded(run.followed()) {
            return Ok(Outcome::done(())); // one that was started again is stopped before it is deleted
        }
        let provider = cx.provider(&work.region)?;
        match provider.find_guest(&guest).await.map_err(site::fault)? {
            Guest::Ours(seen) if seen.power == GuestPower::Running => {
                Ok(site::follow(provider.power(&guest, PowerWish::Off).await.map_err(site::fault)?, ()))
            }
            _ => Ok(Outcome::done(())),
        }
    }
}

/// Asks for the guest to run: the call looks by itself first.
async fn switch_on(cx: &Site, work: &Work) -> Result<Outcome<()>, Fault> {
    let guest = cx.placed_guest(work)?;
    let answer = cx.provider(&work.region)?.power(&guest, PowerWish::On).await;
    if answer.as_ref().is_err_and(|no| no.kind == FaultKind::Refused)
        && let Err(missing) = super::power::look(cx, work).await?
    {
        return Ok(missing);
    }
    let sentence = "The provider would not start the server. Ask your operator to look at the log.";
    Ok(match site::settle(answer, Code::ProviderRefused, sentence)? {
        Ok(begun) => site::follow(begun, ()),
        Err(refusal) => refusal,
    })
}

/// Waits until the guest is seen running. From here on the server is its tenant's, and nothing is unwound by itself.
pub struct Answer;

/// How long a guest that was started and does not run is left alone.
const STARTING: Duration = Duration::from_millis(500);

#[async_trait]
impl Step<Site> for Answer {
    type Memo = ();
    const NAME: &'static str = "answer";
    const WEIGHT: Weight = Weight::Light;

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = work(cx, run).await?;
        if let Some(refusal) = super::gpus::taken(&work, run.followed()) {
            return Ok(refusal);
        }
        let guest = cx.placed_guest(&work)?;
        let wait = || Outcome::wait_for("the guest, which was started and is not seen running yet", STARTING);
        match cx.provider(&work.region)?.find_guest(&guest).await.map_err(site::fault)? {
            Guest::Ours(seen) if seen.power == GuestPower::Running || work.adopted => {
                if let Err(refusal) = keep_available(cx, &work, &guest).await? {
                    return Ok(refusal);
                }
                observe::answered(run.tx().await?, &work, &seen).await?;
                Ok(Outcome::done(()))
            }
            // It stopped again, or its start came to nothing.
            Guest::Ours(_) if run.attempt().is_multiple_of(2) => match switch_on(cx, &work).await? {
                Outcome::Done(()) => Ok(wait()),
                begun => Ok(begun),
            },
            Guest::Ours(_) | Guest::Forming | Guest::Unfinished => Ok(wait()),
            Guest::Absent | Guest::Foreign(_) => Ok(Outcome::refuse(
                Code::GuestLost.as_str(),
                "The server was made and then removed at the provider by someone else. Order it again.",
            )),
        }
    }

    async fn unmake(&self, _cx: &Site, _run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}

/// Hands a guest that was ordered so to the provider's high availability. Deleting the guest takes it out again.
async fn keep_available(cx: &Site, work: &Work, guest: &provider::GuestRef) -> Result<Result<(), Outcome<()>>, Fault> {
    if !work.high_availability {
        return Ok(Ok(()));
    }
    let answer = cx.provider(&work.region)?.keep_available(guest).await;
    let sentence = "The server could not be put under high availability. Ask your operator to look at the log.";
    site::settle(answer, Code::ProviderRefused, sentence)
}

/// Opens the usage range.
pub struct Meter;

#[async_trait]
impl Step<Site> for Meter {
    type Memo = ();
    const NAME: &'static str = "meter";
    const WEIGHT: Weight = Weight::Rows;

    async fn make(&self, _cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = work_within(run).await?;
        let urn = super::urn(work.id);
        let tx = run.tx().await?;
        store::usage::open(tx, work.team, &urn, "server", work.size.as_str(), work.price_hourly).await?;
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, _cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let server = run.input::<Life>()?.server;
        store::usage::close(run.tx().await?, &super::urn(server), "server").await?;
        Ok(Outcome::done(()))
    }
}
