//! What can be asked of a server that exists.

use crate::reference::IdOrSlug;
use crate::server_backup::BackupPolicy;
use crate::strict::{objects, words};
use model::ids::ImageId;
use model::refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks something of a server. Which of the other fields count depends on `type`; the others are ignored.
// Flat, because serde's tagged enums forget which field was wrong; `wish` makes the enum of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ServerActionRequest {
    /// What to do.
    #[serde(rename = "type")]
    pub kind: ServerActionKind,
    /// For `enable_backups` (optional) and `change_backup_policy`: when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_policy: Option<BackupPolicy>,
    /// For `restore` (an id) and `rebuild` (an id or a slug): what the disk is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<IdOrSlug>,
    /// For `resize`: whether the disk grows, too, which cannot be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<bool>,
    /// For `resize`: the slug of the new size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// For `rename`: the new name. For `snapshot` (optional): the snapshot's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For `change_kernel`: the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<i64>,
}

/// What can be asked of a server, by its word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum ServerActionKind {
    /// Take backups from now on.
    EnableBackups,
    /// Take no more backups.
    DisableBackups,
    /// Take backups at another time.
    ChangeBackupPolicy,
    /// Restart, asking the guest.
    Reboot,
    /// Restart, by cutting the power.
    PowerCycle,
    /// Stop, asking the guest.
    Shutdown,
    /// Stop, by cutting the power.
    PowerOff,
    /// Start.
    PowerOn,
    /// Put a backup or snapshot of this server back onto its disk.
    Restore,
    /// Set a new password for root.
    PasswordReset,
    /// Give it another size.
    Resize,
    /// Make its disk anew from an image.
    Rebuild,
    /// Give it another name.
    Rename,
    /// Boot another kernel.
    ChangeKernel,
    /// Give it an IPv6 address.
    #[serde(rename = "enable_ipv6")]
    EnableIpv6,
    /// Keep a copy of its disk.
    Snapshot,
}

impl ServerActionKind {
    /// Every kind, in the order of the specification.
    pub const ALL: [Self; 16] = [
        Self::EnableBackups,
        Self::DisableBackups,
        Self::ChangeBackupPolicy,
        Self::Reboot,
        Self::PowerCycle,
        Self::Shutdown,
        Self::PowerOff,
        Self::PowerOn,
        Self::Restore,
        Self::PasswordReset,
        Self::Resize,
        Self::Rebuild,
        Self::Rename,
        Self::ChangeKernel,
        Self::EnableIpv6,
        Self::Snapshot,
    ];

    /// The word, as asked for and as the action's `type` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnableBackups => "enable_backups",
            Self::DisableBackups => "disable_backups",
            Self::ChangeBackupPolicy => "change_backup_policy",
            Self::Reboot => "reboot",
            Self::PowerCycle => "power_cycle",
            Self::Shutdown => "shutdown",
            Self::PowerOff => "power_off",
            Self::PowerOn => "power_on",
            Self::Restore => "restore",
            Self::PasswordReset => "password_reset",
            Self::Resize => "resize",
            Self::Rebuild => "rebuild",
            Self::Rename => "rename",
            Self::ChangeKernel => "change_kernel",
            Self::EnableIpv6 => "enable_ipv6",
            Self::Snapshot => "snapshot",
        }
    }

    /// Whether it can be asked of all servers with a tag at once (`POST /v2/droplets/actions?tag_name=`).
    pub const fn allowed_by_tag(self) -> bool {
        matches!(
            self,
            Self::EnableBackups
                | Self::DisableBackups
                | Self::PowerCycle
                | Self::Shutdown
                | Self::PowerOff
                | Self::PowerOn
                | Self::EnableIpv6
                | Self::Snapshot
        )
    }
}

impl std::fmt::Display for ServerActionKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was asked of a server, with what it needs and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerWish {
    /// Take backups from now on, at a chosen time if none is given.
    EnableBackups(Option<BackupPolicy>),
    /// Take no more backups.
    DisableBackups,
    /// Take backups at another time.
    ChangeBackupPolicy(BackupPolicy),
    /// Restart, asking the guest.
    Reboot,
    /// Restart, by cutting the power.
    PowerCycle,
    /// Stop, asking the guest.
    Shutdown,
    /// Stop, by cutting the power.
    PowerOff,
    /// Start.
    PowerOn,
    /// Put a backup or snapshot back.
    Restore(ImageId),
    /// Set a new password for root.
    PasswordReset,
    /// Give it another size.
    Resize {
        /// The slug of the size.
        size: String,
        /// What happens to the disk.
        disk: DiskOnResize,
    },
    /// Make its disk anew.
    Rebuild(IdOrSlug),
    /// Give it another name.
    Rename(String),
    /// Boot another kernel.
    ChangeKernel(i64),
    /// Give it an IPv6 address.
    EnableIpv6,
    /// Keep a copy of its disk, under a chosen name if none is given.
    Snapshot(Option<String>),
}

/// What a resize does to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskOnResize {
    /// It grows, and the server can never become smaller again.
    Grow,
    /// It stays as it is.
    Keep,
}

impl ServerActionRequest {
    /// A request of this kind with no further field.
    pub const fn new(kind: ServerActionKind) -> Self {
        Self { kind, backup_policy: None, image: None, disk: None, size: None, name: None, kernel: None }
    }

    /// What is asked for, or the field that is missing for it.
    pub fn wish(self) -> Result<ServerWish, Refusal> {
        use ServerActionKind as Kind;
        Ok(match self.kind {
            Kind::EnableBackups => ServerWish::EnableBackups(self.backup_policy),
            Kind::DisableBackups => ServerWish::DisableBackups,
            Kind::ChangeBackupPolicy => ServerWish::ChangeBackupPolicy(need(self.backup_policy, "backup_policy")?),
            Kind::Reboot => ServerWish::Reboot,
            Kind::PowerCycle => ServerWish::PowerCycle,
            Kind::Shutdown => ServerWish::Shutdown,
            Kind::PowerOff => ServerWish::PowerOff,
            Kind::PowerOn => ServerWish::PowerOn,
            Kind::Restore => ServerWish::Restore(image_id(need(self.image, "image")?)?),
            Kind::PasswordReset => ServerWish::PasswordReset,
            Kind::Resize => ServerWish::Resize {
                size: need(self.size, "size")?,
                disk: if self.disk == Some(true) { DiskOnResize::Grow } else { DiskOnResize::Keep },
            },
            Kind::Rebuild => ServerWish::Rebuild(need(self.image, "image")?),
            Kind::Rename => ServerWish::Rename(need(self.name, "name")?),
            Kind::ChangeKernel => ServerWish::ChangeKernel(need(self.kernel, "kernel")?),
            Kind::EnableIpv6 => ServerWish::EnableIpv6,
            Kind::Snapshot => ServerWish::Snapshot(self.name),
        })
    }
}

/// What a kind of action cannot do without.
fn need<T>(value: Option<T>, field: &'static str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::field(field, "This type of action needs it."))
}

fn image_id(image: IdOrSlug) -> Result<ImageId, Refusal> {
    let id = match image {
        IdOrSlug::Id(id) => i32::try_from(id).ok(),
        IdOrSlug::Slug(_) => None,
    };
    id.map(ImageId).ok_or_else(|| Refusal::field("image", "It has to be the id of a backup or snapshot."))
}

impl From<ServerWish> for ServerActionRequest {
    fn from(wish: ServerWish) -> Self {
        use ServerActionKind as Kind;
        let plain = Self::new;
        match wish {
            ServerWish::EnableBackups(policy) => Self { backup_policy: policy, ..plain(Kind::EnableBackups) },
            ServerWish::DisableBackups => plain(Kind::DisableBackups),
            ServerWish::ChangeBackupPolicy(policy) => {
                Self { backup_policy: Some(policy), ..plain(Kind::ChangeBackupPolicy) }
            }
            ServerWish::Reboot => plain(Kind::Reboot),
            ServerWish::PowerCycle => plain(Kind::PowerCycle),
            ServerWish::Shutdown => plain(Kind::Shutdown),
            ServerWish::PowerOff => plain(Kind::PowerOff),
            ServerWish::PowerOn => plain(Kind::PowerOn),
            ServerWish::Restore(id) => Self { image: Some(i64::from(id.0).into()), ..plain(Kind::Restore) },
            ServerWish::PasswordReset => plain(Kind::PasswordReset),
            ServerWish::Resize { size, disk } => {
                Self { size: Some(size), disk: Some(disk == DiskOnResize::Grow), ..plain(Kind::Resize) }
            }
            ServerWish::Rebuild(image) => Self { image: Some(image), ..plain(Kind::Rebuild) },
            ServerWish::Rename(name) => Self { name: Some(name), ..plain(Kind::Rename) },
            ServerWish::ChangeKernel(kernel) => Self { kernel: Some(kernel), ..plain(Kind::ChangeKernel) },
            ServerWish::EnableIpv6 => plain(Kind::EnableIpv6),
            ServerWish::Snapshot(name) => Self { name, ..plain(Kind::Snapshot) },
        }
    }
}

objects!(ServerActionRequest);
words!(ServerActionKind);
