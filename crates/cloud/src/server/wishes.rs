//! What a request asks of a server that exists: one transaction that checks, reserves, and writes an action with its
//! workflow down.

use super::backups::{Arrange, ArrangeInput};
use super::create::{check_image, offered};
use super::life::{ServerInput, subject};
use super::power::{PowerCycle, PowerOff, PowerOn, Reboot, Shutdown};
use super::rebuild::{Rebuild, RebuildInput, Restore};
use super::rename::{Rename, RenameInput};
use super::resize::{Resize, ResizeInput};
use super::snapshot::{Snapshot, SnapshotInput};
use crate::record::record;
use crate::{Caller, Error, Result};
use model::ids::{ImageId, RegionSlug, ServerId};
use model::names::{ImageName, ServerName};
use model::quota::{self, Amounts, Ask};
use model::refusal::{Code, Refusal};
use model::states::{ImageKind, Power};
use provider::Capabilities;
use serde_json::{Value, json};
use store::actions::{Action, NewAction, ResourceType};
use store::images::NewCopy;
use store::servers::{Growth, ImageChoice, Server};
use store::workflow::Inserted;
use store::{Store, Tx};
use workflow::{Kind, NewWorkflow};

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Start.
    PowerOn,
    /// Cut the power.
    PowerOff,
    /// Ask the guest to stop.
    Shutdown,
    /// Ask the guest to restart.
    Reboot,
    /// Cut the power and start again.
    PowerCycle,
    /// Another size.
    Resize {
        /// Its slug.
        size: String,
        /// The disk grows to the size's; otherwise it stays.
        grow_disk: bool,
    },
    /// The disk anew from an image.
    Rebuild(ImageChoice),
    /// The disk as it was in a snapshot or backup of this server.
    Restore(ImageId),
    /// Another name.
    Rename(String),
    /// A copy of the disk; a name is made up where none is given.
    Snapshot(Option<String>),
    /// Backups on, with this policy.
    EnableBackups(Value),
    /// Backups off.
    DisableBackups,
    /// Backups at another time.
    ChangeBackupPolicy(Value),
    /// A password for root.
    PasswordReset,
    /// A kernel from outside of the disk.
    ChangeKernel,
    /// An IPv6 address.
    EnableIpv6,
}

impl Wish {
    /// The action's type on the wire.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PowerOn => "power_on",
            Self::PowerOff => "power_off",
            Self::Shutdown => "shutdown",
            Self::Reboot => "reboot",
            Self::PowerCycle => "power_cycle",
            Self::Resize { .. } => "resize",
            Self::Rebuild(_) => "rebuild",
            Self::Restore(_) => "restore",
            Self::Rename(_) => "rename",
            Self::Snapshot(_) => "snapshot",
            Self::EnableBackups(_) => "enable_backups",
            Self::DisableBackups => "disable_backups",
            Self::ChangeBackupPolicy(_) => "change_backup_policy",
            Self::PasswordReset => "password_reset",
            Self::ChangeKernel => "change_kernel",
            Self::EnableIpv6 => "enable_ipv6",
        }
    }
}

/// Asks one server.
pub async fn ask(store: &Store, caller: &Caller, server: ServerId, wish: &Wish) -> Result<Action> {
    let mut tx = store.tenant(caller.team).await?;
    let found = store::servers::get(&mut tx, caller.team, server).await?.ok_or_else(Refusal::not_found)?;
    let action = accept(&mut tx, caller, &found, wish, "dropletActions_post").await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(action)
}

/// Asks every server of the team with this tag: all or none.
pub async fn ask_tagged(store: &Store, caller: &Caller, tag: &str, wish: &Wish) -> Result<Vec<Action>> {
    let mut tx = store.tenant(caller.team).await?;
    let ids = store::servers::ids_tagged(&mut tx, caller.team, tag).await?;
    let mut actions = Vec::with_capacity(ids.len());
    for server in store::servers::by_ids(&mut tx, caller.team, &ids).await? {
        actions.push(accept(&mut tx, caller, &server, wish, "dropletActions_post_byTag").await?);
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(actions)
}

async fn accept(tx: &mut Tx, caller: &Caller, server: &Server, wish: &Wish, operation: &str) -> Result<Action> {
    if !server.answered {
        // The create is the pending event; nothing else can be asked before it has ended.
        return Err(Refusal::pending_event().into());
    }
    super::containers::check_wish(server, wish)?;
    let plan = Plan { caller, server };
    let action = match wish {
        Wish::PowerOn => plan.begin::<PowerOn>(tx, wish, &plan.input()).await?,
        Wish::PowerOff => plan.begin::<PowerOff>(tx, wish, &plan.input()).await?,
        Wish::Shutdown => plan.begin::<Shutdown>(tx, wish, &plan.input()).await?,
        Wish::Reboot => plan.begin::<Reboot>(tx, wish, &plan.input()).await?,
        Wish::PowerCycle => plan.begin::<PowerCycle>(tx, wish, &plan.input()).await?,
        Wish::Resize { size, grow_disk } => plan.resize(tx, wish, size, *grow_disk).await?,
        Wish::Rebuild(choice) => plan.rebuild(tx, wish, choice).await?,
        Wish::Restore(image) => plan.restore(tx, wish, *image).await?,
        Wish::Rename(name) => {
            let name = ServerName::parse(name)?;
            plan.begin::<Rename>(tx, wish, &RenameInput { server: server.id, name }).await?
        }
        Wish::Snapshot(name) => plan.snapshot(tx, wish, name.as_deref()).await?,
        Wish::EnableBackups(policy) | Wish::ChangeBackupPolicy(policy) => plan.backups(tx, wish, Some(policy)).await?,
        Wish::DisableBackups => plan.backups(tx, wish, None).await?,
        Wish::PasswordReset => {
            return Err(unsupported(
                "Passwords are not set from outside. Log in with an SSH key, or rebuild the server with one.",
            ));
        }
        Wish::ChangeKernel => {
            return Err(unsupported(
                "Servers boot the kernel of their own disk. Install another one inside the server.",
            ));
        }
        Wish::EnableIpv6 => return Err(unsupported("The region has no IPv6.")),
    };
    let detail = json!({ "type": wish.kind() });
    record(tx, caller, operation, &super::urn(server.id), &detail).await?;
    Ok(action)
}

fn unsupported(message: &str) -> Error {
    Refusal::new(Code::Unsupported, message).at("type").into()
}

/// One server, asked by one caller.
struct Plan<'a> {
    caller: &'a Caller,
    server: &'a Server,
}

impl Plan<'_> {
    fn input(&self) -> ServerInput {
        ServerInput { server: self.server.id }
    }

    /// Writes the action and its workflow down. The server's own workflow is the parent: its deletion calls this off.
    async fn begin<K: Kind>(&self, tx: &mut Tx, wish: &Wish, input: &K::Input) -> Result<Action> {
        let server = self.server;
        let new = NewWorkflow::of::<K>(subject(server.id), input).team(self.caller.team).parent(server.workflow);
        let action = NewAction {
            team: self.caller.team,
            workflow: new.id(),
            direction: "make",
            kind: wish.kind(),
            resource_type: ResourceType::Server,
            resource_id: server.id.0,
            region: Some(&server.region),
        };
        let Some(action) = store::actions::begin(tx, &action).await? else {
            return Err(Refusal::pending_event().into());
        };
        match new.insert(tx).await? {
            Inserted::New => Ok(action),
            Inserted::Busy => Err(Refusal::pending_event().into()),
            Inserted::ParentLeaving => Err(Refusal::not_found().into()),
        }
    }

    async fn resize(&self, tx: &mut Tx, wish: &Wish, slug: &str, grow_disk: bool) -> Result<Action> {
        let server = self.server;
        if server.seen_power != Some(Power::Off) {
            let message = "Power the server off before it is resized.";
            return Err(Refusal::new(Code::WrongState, message).into());
        }
        let size = store::servers::size(tx, slug).await?.filter(|size| size.available);
        let Some(size) = size.filter(|size| offered(size.regions.as_deref(), server.region.as_str())) else {
            let message = "There is no such size in the server's region. GET /v2/sizes lists them.";
            return Err(Refusal::new(Code::SizeUnavailable, message).at("size").into());
        };
        if size.disk_gb < server.disk_gb {
            let message = format!(
                "Size `{}` has a disk of {} GB and the server's has {} GB; disks never shrink. Choose a larger size.",
                size.slug, size.disk_gb, server.disk_gb
            );
            return Err(Refusal::new(Code::DiskTooSmall, message).at("size").into());
        }
        let capabilities = match &size.gpus {
            Some(_) => capabilities(tx, &server.region).await?,
            None => Capabilities::default(),
        };
        let gpus = super::gpus::check_resize(server, &size, capabilities)?;
        let disk_gb = if grow_disk { size.disk_gb } else { server.disk_gb };
        let quota = store::quota::lock(tx).await?;
        let has = amounts(server.vcpus, server.memory_mib, server.disk_gb);
        let ask: Ask = Amounts::growth(has, amounts(size.vcpus, size.memory_mib, disk_gb));
        quota::admit(&quota.limits, &quota.used, &ask)?;
        let held = Growth {
            vcpus: size.vcpus.max(server.vcpus),
            memory_mib: size.memory_mib.max(server.memory_mib),
            disk_gb,
            gpus,
        };
        let whole = |value: i32| u32::try_from(value).unwrap_or(0);
        let input = ResizeInput {
            server: server.id,
            size: size.slug.clone(),
            vcpus: whole(size.vcpus),
            memory_mib: whole(size.memory_mib),
            disk_gb: whole(disk_gb),
            price_hourly: size.price_hourly,
            gpus: size.gpus,
        };
        let action = self.begin::<Resize>(tx, wish, &input).await?;
        store::servers::reserve_growth(tx, server.id, &held).await?;
        Ok(action)
    }

    async fn rebuild(&self, tx: &mut Tx, wish: &Wish, choice: &ImageChoice) -> Result<Action> {
        let found = store::images::choose(tx, self.caller.team, choice).await?;
        let Some(image) = found else {
            let message = "There is no such image. GET /v2/images lists those that you can use.";
            return Err(Refusal::new(Code::ImageUnavailable, message).at("image").into());
        };
        check_image(&image, self.server.region.as_str(), self.server.size.as_str(), self.server.disk_gb)?;
        super::containers::check_rebuild(&image)?;
        let input = RebuildInput { server: self.server.id, image: image.id };
        self.begin::<Rebuild>(tx, wish, &input).await
    }

    async fn restore(&self, tx: &mut Tx, wish: &Wish, image: ImageId) -> Result<Action> {
        let own = self.server.snapshots.contains(&image.0) || self.server.backup_images.contains(&image.0);
        let found = store::images::choose(tx, self.caller.team, &ImageChoice::Id(image)).await?;
        let Some(image) = found.filter(|_| own) else {
            let message = "It has to be a backup or snapshot of this server. Use `rebuild` for any other image.";
            return Err(Refusal::new(Code::ImageUnavailable, message).at("image").into());
        };
        check_image(&image, self.server.region.as_str(), self.server.size.as_str(), self.server.disk_gb)?;
        let input = RebuildInput { server: self.server.id, image: image.id };
        self.begin::<Restore>(tx, wish, &input).await
    }

    async fn snapshot(&self, tx: &mut Tx, wish: &Wish, name: Option<&str>) -> Result<Action> {
        let made_up;
        let name = match name {
            Some(name) => name,
            None => {
                made_up = format!("{}-{}", self.server.name, jiff::Timestamp::now().as_second());
                &made_up
            }
        };
        let name = ImageName::parse(name)?;
        let image = copy(tx, self.caller, self.server, &name).await?;
        self.begin::<Snapshot>(tx, wish, &SnapshotInput { server: self.server.id, image }).await
    }

    async fn backups(&self, tx: &mut Tx, wish: &Wish, policy: Option<&Value>) -> Result<Action> {
        let input = ArrangeInput { server: self.server.id, policy: policy.cloned() };
        self.begin::<Arrange>(tx, wish, &input).await
    }
}

/// What a region's provider can do.
async fn capabilities(tx: &mut Tx, region: &RegionSlug) -> Result<Capabilities> {
    Ok(serde_json::from_value(store::servers::capabilities(tx, region).await?).unwrap_or_default())
}

/// Writes a copy of a server's disk down as pending, within the quota.
async fn copy(tx: &mut Tx, caller: &Caller, server: &Server, name: &ImageName) -> Result<ImageId> {
    crate::image::verbs::admit_one_more(tx, caller.team).await?;
    let new = NewCopy {
        team: caller.team,
        server: server.id,
        kind: ImageKind::Snapshot,
        name: name.as_str(),
        region: &server.region,
        min_disk_gb: server.disk_gb,
        expires_at: None,
    };
    Ok(store::images::insert_copy(tx, &new).await?)
}

fn amounts(vcpus: i32, memory_mib: i32, disk_gb: i32) -> Amounts {
    Amounts {
        vcpus: i64::from(vcpus),
        memory_mib: i64::from(memory_mib),
        disk_gb: i64::from(disk_gb),
        ..Amounts::default()
    }
}
