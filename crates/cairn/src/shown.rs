//! How the API's objects look to a person.

use crate::print::Shown;
use crate::waiting::describe;
use wire::account::Account;
use wire::action::Action;
use wire::cloud::{Direction, QuotaResponse, ServerGroup, StepState, Workflow};
use wire::image::Image;
use wire::key::SshKey;
use wire::region::Region;
use wire::server::{NetworkKind, Server};
use wire::size::{GpuInfo, Size};
use wire::snapshot::{Snapshot, SnapshotResource};
use wire::tag::Tag;
use wire::time::WireTime;

impl Shown for Server {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "STATUS", "ADDRESS", "SIZE", "IMAGE", "REGION", "CREATED"];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.status.to_string(),
            addresses(self).into_iter().next().unwrap_or_default(),
            self.size_slug.clone(),
            image_word(&self.image),
            self.region.slug.clone(),
            self.created_at.to_string(),
        ]
    }

    fn word(&self) -> String {
        self.name.clone()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let cloud = self.cloud.clone().unwrap_or_default();
        let size = format!("{} ({} vCPU, {} MiB, {} GB)", self.size_slug, self.vcpus, self.memory, self.disk);
        let mut lines = vec![
            ("ID", self.id.to_string()),
            ("NAME", self.name.clone()),
            ("STATUS", self.status.to_string()),
            ("KIND", Some(cloud.kind).filter(|kind| kind != "machine").unwrap_or_default()),
            ("STATE", cloud.state),
            ("LAST ERROR", cloud.last_error.unwrap_or_default()),
            ("SSH", cloud.ssh.map(|ssh| format!("{}@{} port {}", ssh.user, ssh.host, ssh.port)).unwrap_or_default()),
            ("ADDRESSES", addresses(self).join("\n")),
            ("SIZE", size),
            ("GPUS", self.gpu_info.as_ref().map(gpus).unwrap_or_default()),
            ("IMAGE", format!("{} ({} {})", image_word(&self.image), self.image.distribution, self.image.name)),
            ("REGION", self.region.slug.clone()),
            ("TAGS", self.tags.join(", ")),
            ("GROUP", cloud.group.map(group_word).unwrap_or_default()),
            ("FEATURES", self.features.join(", ")),
            ("AVAILABILITY", if cloud.high_availability { "high".to_owned() } else { String::new() }),
            ("CREATED", self.created_at.to_string()),
        ];
        let optional = ["KIND", "GPUS", "GROUP", "AVAILABILITY", "STATE", "LAST ERROR", "SSH"];
        lines.retain(|(name, value)| !value.is_empty() || !optional.contains(name));
        lines
    }
}

fn group_word(group: ServerGroup) -> String {
    let policy = group.policy.map(|policy| format!(" ({policy})")).unwrap_or_default();
    format!("{}{policy}", group.name)
}

/// The public ones first.
fn addresses(server: &Server) -> Vec<String> {
    let v4 = |kind| {
        let of_kind = server.networks.v4.iter().filter(move |v4| v4.kind == kind);
        of_kind.map(|v4| v4.ip_address.to_string())
    };
    let v6 = server.networks.v6.iter().map(|v6| v6.ip_address.to_string());
    v4(NetworkKind::Public).chain(v6).chain(v4(NetworkKind::Private)).collect()
}

fn image_word(image: &Image) -> String {
    image.slug.clone().unwrap_or_else(|| image.id.to_string())
}

impl Shown for Image {
    const COLUMNS: &'static [&'static str] =
        &["ID", "SLUG", "NAME", "DISTRIBUTION", "TYPE", "STATUS", "DISK", "REGIONS"];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.slug.clone().unwrap_or_default(),
            self.name.clone(),
            self.distribution.clone(),
            self.kind.to_string(),
            self.status.to_string(),
            self.min_disk_size.map(|size| format!("{size} GB")).unwrap_or_default(),
            self.regions.join(", "),
        ]
    }

    fn word(&self) -> String {
        image_word(self)
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = Self::COLUMNS.iter().copied().zip(self.row()).collect();
        lines.extend([
            ("TAGS", self.tags.join(", ")),
            ("DESCRIPTION", self.description.clone()),
            ("CREATED", self.created_at.to_string()),
        ]);
        lines
            .extend(self.error_message.clone().filter(|message| !message.is_empty()).map(|message| ("ERROR", message)));
        lines
    }
}

impl Shown for Snapshot {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "OF", "SIZE", "DISK", "REGIONS", "CREATED"];

    fn row(&self) -> Vec<String> {
        let of = match self.resource_type {
            SnapshotResource::Server => "server",
            SnapshotResource::Volume => "volume",
        };
        vec![
            self.id.clone(),
            self.name.clone(),
            format!("{of} {}", self.resource_id),
            format!("{} GB", self.size_gigabytes),
            format!("{} GB", self.min_disk_size),
            self.regions.join(", "),
            self.created_at.to_string(),
        ]
    }

    fn word(&self) -> String {
        self.id.clone()
    }
}

impl Shown for SshKey {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "FINGERPRINT"];

    fn row(&self) -> Vec<String> {
        vec![self.id.to_string(), self.name.clone(), self.fingerprint.clone()]
    }

    fn word(&self) -> String {
        self.name.clone()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = Self::COLUMNS.iter().copied().zip(self.row()).collect();
        lines.push(("PUBLIC KEY", self.public_key.clone()));
        lines
    }
}

/// `2 × nvidia_a100 (80 gib)`
fn gpus(gpus: &GpuInfo) -> String {
    format!("{} × {} ({} {})", gpus.count, gpus.model, gpus.vram.amount, gpus.vram.unit)
}

impl Shown for Size {
    const COLUMNS: &'static [&'static str] =
        &["SLUG", "VCPUS", "MEMORY", "DISK", "GPU", "MONTHLY", "HOURLY", "AVAILABLE", "REGIONS"];

    fn row(&self) -> Vec<String> {
        vec![
            self.slug.clone(),
            self.vcpus.to_string(),
            format!("{} MiB", self.memory),
            format!("{} GB", self.disk),
            self.gpu_info.as_ref().map(gpus).unwrap_or_default(),
            format!("{:.2}", self.price_monthly),
            self.price_hourly.to_string(),
            yes(self.available),
            self.regions.join(", "),
        ]
    }

    fn word(&self) -> String {
        self.slug.clone()
    }
}

impl Shown for Region {
    const COLUMNS: &'static [&'static str] = &["SLUG", "NAME", "AVAILABLE", "FEATURES"];

    fn row(&self) -> Vec<String> {
        vec![self.slug.clone(), self.name.clone(), yes(self.available), self.features.join(", ")]
    }

    fn word(&self) -> String {
        self.slug.clone()
    }
}

impl Shown for Tag {
    const COLUMNS: &'static [&'static str] = &["NAME", "RESOURCES", "SERVERS", "IMAGES"];

    fn row(&self) -> Vec<String> {
        let on = &self.resources;
        vec![self.name.clone(), on.count.to_string(), on.servers.count.to_string(), on.images.count.to_string()]
    }

    fn word(&self) -> String {
        self.name.clone()
    }
}

impl Shown for Account {
    const COLUMNS: &'static [&'static str] = &["TEAM", "EMAIL", "STATUS", "SERVER LIMIT", "ID"];

    fn row(&self) -> Vec<String> {
        let team = self.team.as_ref().map(|team| team.name.clone()).or_else(|| self.name.clone());
        let status = serde_json::to_value(self.status).ok();
        let status = status.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
        let message = if self.status_message.is_empty() { String::new() } else { format!(": {}", self.status_message) };
        vec![
            team.unwrap_or_default(),
            self.email.clone(),
            format!("{status}{message}"),
            self.droplet_limit.to_string(),
            self.uuid.clone(),
        ]
    }

    fn word(&self) -> String {
        self.email.clone()
    }
}

impl Shown for QuotaResponse {
    const COLUMNS: &'static [&'static str] =
        &["SERVERS", "VCPUS", "MEMORY (MiB)", "DISK (GB)", "SNAPSHOTS", "SSH KEYS"];

    fn row(&self) -> Vec<String> {
        let (used, limit) = (&self.used, &self.limits);
        [
            (used.servers, limit.servers),
            (used.vcpus, limit.vcpus),
            (used.memory_mib, limit.memory_mib),
            (used.disk_gb, limit.disk_gb),
            (used.snapshots, limit.snapshots),
            (used.ssh_keys, limit.ssh_keys),
        ]
        .map(|(used, limit)| format!("{used} of {limit}"))
        .into()
    }

    fn word(&self) -> String {
        self.row().join(", ")
    }
}

impl Shown for Action {
    const COLUMNS: &'static [&'static str] = &["ID", "TYPE", "STATUS", "RESOURCE", "REGION", "STARTED", "COMPLETED"];

    fn row(&self) -> Vec<String> {
        let kind = if self.resource_type == "droplet" { "server" } else { self.resource_type.as_str() };
        vec![
            self.id.to_string(),
            self.kind.clone(),
            self.status.to_string(),
            self.resource_id.map_or_else(|| kind.to_owned(), |id| format!("{kind} {id}")),
            self.region_slug.clone().unwrap_or_default(),
            self.started_at.to_string(),
            moment(self.completed_at),
        ]
    }

    fn word(&self) -> String {
        self.id.to_string()
    }
}

impl Shown for Workflow {
    const COLUMNS: &'static [&'static str] = &["STATE", "PROGRESS", "DEADLINE"];

    fn row(&self) -> Vec<String> {
        vec![self.sentence.clone(), self.progress.clone().unwrap_or_default(), moment(self.deadline)]
    }

    fn word(&self) -> String {
        let running = self.steps.iter().find(|step| step.state == StepState::Running);
        running.map_or_else(|| self.sentence.clone(), |step| step.name.clone())
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = Self::COLUMNS.iter().copied().zip(self.row()).collect();
        lines.extend(self.refusal.as_ref().map(|no| ("REFUSED", format!("{} ({})", no.message, no.code))));
        lines.extend(self.steps.iter().map(|step| {
            let name = match (step.state, step.direction) {
                (StepState::Pending, _) => "TO DO",
                (StepState::Done, Direction::Make) => "DONE",
                (StepState::Done, Direction::Unmake) => "UNDONE",
                (StepState::Refused, _) => "REFUSED",
                (StepState::Running | StepState::Unknown, _) => "AT WORK",
            };
            (name, describe(step))
        }));
        lines
    }
}

fn moment(time: Option<WireTime>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
