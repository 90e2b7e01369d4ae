//! What steps and observers have to work with: the store, the regions' providers, and which installation we are.
//! Nothing that answers a request ever holds one.

use async_trait::async_trait;
use model::ids::{ImageId, InstallationId, RegionSlug, ServerId};
use model::states::Power;
use provider::{
    Begun, FaultKind, GuestPower, GuestRef, GuestSpec, ImageRef, ImageSource, Mark, Provider, Resources, Sighting,
    TaskRef,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use store::Store;
use store::regions::Connection;
use store::servers::{Seen, Work};
use workflow::{Fault, Followed, Outcome, TaskEnd, TaskName};

/// Opens connections to providers. Whoever starts the process knows which providers it was built with.
#[async_trait]
pub trait Opener: Send + Sync + 'static {
    /// Opens one. The detail of a fault is for the operator: what is wrong and what to do, no secret.
    async fn open(&self, connection: &Connection) -> provider::Result<Arc<dyn Provider>>;
}

/// The providers that this process can reach, by region. A region that cannot be reached at the start is connected when
/// it can; the others do not wait for it.
#[derive(Default)]
pub struct Providers {
    connected: RwLock<HashMap<RegionSlug, Arc<dyn Provider>>>,
    opener: Option<Arc<dyn Opener>>,
}

impl FromIterator<(RegionSlug, Arc<dyn Provider>)> for Providers {
    fn from_iter<I: IntoIterator<Item = (RegionSlug, Arc<dyn Provider>)>>(regions: I) -> Self {
        Self { connected: RwLock::new(regions.into_iter().collect()), opener: None }
    }
}

impl Providers {
    /// None yet, and what opens them.
    pub fn opened_by(opener: Arc<dyn Opener>) -> Self {
        Self { connected: RwLock::default(), opener: Some(opener) }
    }

    /// Opens a connection, which is not kept here.
    pub async fn open(&self, connection: &Connection) -> provider::Result<Arc<dyn Provider>> {
        match &self.opener {
            Some(opener) => opener.open(connection).await,
            None => Err(provider::Fault::refused("this process opens no connections")),
        }
    }

    /// Adds a region's provider, or replaces it.
    pub fn insert(&self, region: RegionSlug, provider: Arc<dyn Provider>) {
        self.connected.write().unwrap_or_else(PoisonError::into_inner).insert(region, provider);
    }

    /// Forgets a region's provider. Steps that hold it finish with it.
    pub fn remove(&self, region: &RegionSlug) {
        self.connected.write().unwrap_or_else(PoisonError::into_inner).remove(region);
    }

    /// The provider of a region, if it is connected.
    pub fn get(&self, region: &RegionSlug) -> Option<Arc<dyn Provider>> {
        self.connected.read().unwrap_or_else(PoisonError::into_inner).get(region).cloned()
    }
}

/// The world of a step or an observer. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// The database.
    pub store: Store,
    /// Which installation we are; part of every mark.
    pub installation: InstallationId,
    /// The regions' providers.
    pub providers: Arc<Providers>,
}

impl Site {
    /// The provider of a region. Another process may serve regions that this one does not, hence transient.
    pub fn provider(&self, region: &RegionSlug) -> Result<Arc<dyn Provider>, Fault> {
        match self.providers.get(region) {
            Some(provider) => Ok(provider),
            None => Err(Fault::transient(format!("no provider for region {region} in this process"))
                .told("the region, which is not connected at the moment")),
        }
    }

    /// The server's row; a bug if there is none, because rows outlive their workflows.
    pub async fn server(&self, id: ServerId) -> Result<Work, Fault> {
        let mut connection = self.store.connection().await?;
        server_within(&mut connection, id).await
    }

    /// The mark of a server's guest.
    pub fn mark(&self, server: ServerId) -> Mark {
        Mark { installation: self.installation, server }
    }

    /// The guest of a placed server. `None` while it has no host.
    pub fn guest(&self, work: &Work) -> Option<GuestRef> {
        let (_, host) = work.host.as_ref()?;
        let name = match work.guest_number {
            Some(number) => number.to_string(),
            None => format!("s{}", work.id),
        };
        Some(GuestRef { host: host.clone(), name, mark: self.mark(work.id) })
    }

    /// The guest of a server whose earlier steps have placed it.
    pub fn placed_guest(&self, work: &Work) -> Result<GuestRef, Fault> {
        self.guest(work)
            .ok_or_else(|| Fault::bug(format!("BUG: server {} is past its placement without a host", work.id)))
    }

    /// An image's name at the providers.
    pub fn image(&self, image: ImageId) -> ImageRef {
        ImageRef { installation: self.installation, image }
    }
}

/// The server's row as a transaction sees it; a bug if there is none, because rows outlive their workflows.
pub async fn server_within(connection: &mut store::Connection, id: ServerId) -> Result<Work, Fault> {
    store::servers::work(connection, id)
        .await?
        .ok_or_else(|| Fault::bug(format!("BUG: server {id} has a running workflow and no row")))
}

/// What a server should have of its host.
pub fn resources(work: &Work) -> Resources {
    Resources { vcpus: work.vcpus, memory_mib: work.memory_mib, disk_gb: work.disk_gb }
}

/// Reads a stored image source.
pub fn image_source(stored: &serde_json::Value) -> Result<ImageSource, Fault> {
    let mut source = stored.clone();
    // From which list its checksum was read is the catalogue's business (store::catalogue::resolve).
    if let Some(entries) = source.as_object_mut() {
        entries.remove("was");
    }
    serde_json::from_value(source).map_err(|error| Fault::bug(format!("a stored image source cannot be read: {error}")))
}

/// A sighting in the table's words.
pub fn seen(sighting: &Sighting) -> Seen {
    let power = match sighting.power {
        GuestPower::Running => Power::On,
        GuestPower::Stopped => Power::Off,
    };
    Seen { power: Some(power), ssh: sighting.reached.ssh.clone() }
}

/// A provider's fault as the engine understands it. Final answers (`Refused`, `Full`) are for the step to turn into a
/// refusal. One that reaches this point came from a look, or from undoing: a right that was taken away, a guest that
/// went between look and act. What refuses today may not tomorrow, so it is tried again; the deadline tells operators.
pub fn fault(fault: provider::Fault) -> Fault {
    let detail = fault.detail;
    match fault.kind {
        FaultKind::Transient => {
            Fault::transient(detail).told("the provider, which is busy or cannot be reached at the moment")
        }
        FaultKind::Unknown => Fault::unknown(detail).told("the provider, whose answer was lost; looking again"),
        FaultKind::Full => Fault::transient(detail).told("room on the host"),
        FaultKind::Refused => {
            Fault::transient(detail).told("the provider, which refuses at the moment; your operator can see why")
        }
        FaultKind::Bug => Fault::bug(detail),
    }
}

/// What the provider's answer means for the step that asked: a final no becomes a refusal with `code` and `sentence`.
pub fn settle<M>(
    answer: provider::Result<M>,
    code: model::refusal::Code,
    sentence: &str,
) -> Result<Result<M, Outcome<()>>, Fault> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(no) if no.kind == FaultKind::Refused => {
            tracing::warn!(detail = %no.detail, code = code.as_str(), "the provider refused");
            Ok(Err(Outcome::refuse(code.as_str(), sentence)))
        }
        Err(no) if no.kind == FaultKind::Full => {
            tracing::warn!(detail = %no.detail, "the host is full");
            Ok(Err(Outcome::refuse(
                model::refusal::Code::NoCapacity.as_str(),
                "The host ran out of room for this server's disk. Try a smaller size, or ask your operator for room.",
            )))
        }
        Err(other) => Err(fault(other)),
    }
}

/// Begun work, as an outcome: done, or a task to follow.
pub fn follow<M>(begun: Begun, memo: M) -> Outcome<M> {
    match begun {
        Begun::Done => Outcome::Done(memo),
        Begun::Task(task) => Outcome::Follow(TaskName(task.0)),
    }
}

/// How a followed task failed, with the provider's own kind of fault; `None` if it did not.
pub fn failed(followed: Option<&Followed>) -> Option<provider::Fault> {
    match followed?.end.as_ref()? {
        TaskEnd::Failed(text) => {
            Some(serde_json::from_str(text).unwrap_or_else(|_| provider::Fault::transient(text.clone())))
        }
        TaskEnd::Succeeded | TaskEnd::Unknown => None,
    }
}

/// Whether the task that was followed ended well.
pub fn succeeded(followed: Option<&Followed>) -> bool {
    followed.is_some_and(|followed| followed.end == Some(TaskEnd::Succeeded))
}

/// Asks the region's provider about a task.
pub async fn task_state(provider: &dyn Provider, task: &TaskName) -> Result<workflow::TaskState, Fault> {
    use workflow::TaskState;
    Ok(match provider.task(&TaskRef(task.0.clone())).await.map_err(fault)? {
        provider::TaskState::Running { progress } => TaskState::Running {
            progress: progress.map(|fraction| format!("{:.0} %", (fraction * 100.0).clamp(0.0, 100.0))),
        },
        provider::TaskState::Done => TaskState::Ended(TaskEnd::Succeeded),
        provider::TaskState::Failed(end) => {
            TaskState::Ended(TaskEnd::Failed(serde_json::to_string(&end).unwrap_or(end.detail)))
        }
        provider::TaskState::Vanished => TaskState::Ended(TaskEnd::Unknown),
    })
}

/// The addresses that the guest has an interface for. Where the provider has no private networks, a seed that named one
/// would make cloud-init wait for an interface that never comes.
pub fn attached(
    site: &Site,
    work: &Work,
    addresses: &[store::addresses::Claimed],
) -> Result<Vec<store::addresses::Claimed>, Fault> {
    let private = site.provider(&work.region)?.capabilities().private_networks;
    Ok(addresses.iter().filter(|claimed| private || claimed.vpc.is_none()).cloned().collect())
}

/// What a guest should be: the server's row, its addresses, and which incarnation its seed is for.
pub fn guest_spec(
    site: &Site,
    work: &Work,
    addresses: &[store::addresses::Claimed],
    image: ImageId,
    incarnation: &str,
) -> Result<GuestSpec, Fault> {
    let addresses = &attached(site, work, addresses)?;
    let interfaces = crate::server::seed::interfaces(site.installation, work.id, addresses);
    Ok(GuestSpec {
        kind: work.guest,
        title: work.name.clone(),
        image: site.image(image),
        source: image_source(&work.image_source).ok().filter(|_| image == work.image),
        resources: resources(work),
        seed: crate::server::seed::seed(site.installation, work, addresses, incarnation)?,
        interfaces,
        gpus: crate::server::gpus::devices(work.gpus.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_whose_checksum_was_read_from_a_list_is_a_source() {
        let resolved = serde_json::json!({
            "url": { "url": "https://images.example/a.qcow2", "checksum": { "sha256": "ab" } },
            "was": { "url": "https://images.example/a.qcow2", "file": "a.qcow2", "list": "https://images.example/SUMS" },
        });
        let checksum = Some(provider::Checksum::Sha256("ab".to_owned()));
        let source = ImageSource::Url { url: "https://images.example/a.qcow2".to_owned(), checksum };
        assert_eq!(image_source(&resolved).unwrap(), source);
        assert!(image_source(&serde_json::json!({ "listed": {} })).is_err());
    }
}
