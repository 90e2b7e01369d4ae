//! Rows as clients see them: servers, actions, the copies of disks. Used by every handler that shows one.

use super::sizes::gpu_info;
use crate::Api;
use crate::edge::Result;
use model::ids::{ActionId, ImageId};
use model::states::{Power, ServerStatus};
use std::sync::Arc;
use store::catalogue::Shelf;
use store::servers::{ImageOf, Server};
use wire::action::Action;
use wire::cloud::{ServerCloud, ServerGroup, SshEndpoint};
use wire::envelope::ActionLink;
use wire::image::Image;
use wire::region::Region;
use wire::server::{NetworkKind, NetworkV4, Networks};
use wire::size::{DiskInfo, Size, price_from_micros};

/// Bytes in the GB that clients are shown.
const GIGABYTE: f64 = 1_000_000_000.0;

/// Turns rows into shapes; holds what every one of them shows.
pub(crate) struct Shapes {
    shelf: Arc<Shelf>,
}

impl Shapes {
    /// With the catalogue as it is.
    pub(crate) async fn of(api: &Api) -> Result<Self> {
        Ok(Self { shelf: store::catalogue::shelf(api.store()).await? })
    }

    /// A region by slug; one that has left the catalogue keeps its slug and nothing else.
    pub(crate) fn region(&self, slug: &str) -> Region {
        match self.shelf.regions.get(slug) {
            Some(region) => Region {
                name: region.name.clone(),
                slug: region.slug.clone(),
                features: region.features.clone(),
                available: region.available,
                sizes: region.sizes.clone(),
            },
            None => Region {
                name: slug.to_owned(),
                slug: slug.to_owned(),
                features: Vec::new(),
                available: false,
                sizes: Vec::new(),
            },
        }
    }

    fn size(&self, server: &Server) -> Size {
        let known = self.shelf.sizes.get(server.size.as_str());
        // What the server has, not what the catalogue says today: a kept disk differs from its size's.
        Size {
            slug: server.size.0.clone(),
            memory: i64::from(server.memory_mib),
            vcpus: i64::from(server.vcpus),
            disk: known.map_or(i64::from(server.disk_gb), |size| i64::from(size.disk_gb)),
            transfer: known.map_or(0.0, |size| size.transfer_tb),
            price_monthly: price_from_micros(known.map_or(0, |size| size.price_monthly)),
            price_hourly: price_from_micros(known.map_or(0, |size| size.price_hourly)),
            regions: known.map(|size| size.regions.clone()).unwrap_or_default(),
            available: known.is_some_and(|size| size.available),
            description: known.map(|size| size.description.clone()).unwrap_or_default(),
            disk_info: vec![DiskInfo::local(i64::from(server.disk_gb))],
            gpu_info: server.gpus.as_ref().map(gpu_info),
        }
    }

    /// A server.
    pub(crate) fn server(&self, server: Server) -> wire::server::Server {
        let size = self.size(&server);
        wire::server::Server {
            id: server.id,
            memory: i64::from(server.memory_mib),
            vcpus: i64::from(server.vcpus),
            disk: i64::from(server.disk_gb),
            disk_info: vec![DiskInfo::local(i64::from(server.disk_gb))],
            locked: server.locked,
            status: status(server.answered, server.seen_power),
            kernel: None,
            created_at: server.created_at.into(),
            features: features(&server),
            backup_ids: server.backup_images.iter().copied().map(ImageId).collect(),
            next_backup_window: super::backups::next_window(&server, jiff::Timestamp::now()),
            snapshot_ids: server.snapshots.iter().copied().map(ImageId).collect(),
            volume_ids: Vec::new(),
            size_slug: size.slug.clone(),
            size,
            gpu_info: server.gpus.as_ref().map(gpu_info),
            networks: networks(&server),
            region: self.region(server.region.as_str()),
            // Its row names a VPC in any case; without an address of it, the server is not in it.
            vpc_uuid: server.private_address.map(|_| server.vpc.0),
            cloud: Some(extension(&server)),
            image: self.image_of(server.image),
            tags: server.tags,
            name: server.name,
        }
    }

    fn image_of(&self, image: ImageOf) -> Image {
        Image {
            id: image.id,
            kind: image.kind,
            distribution: image.distribution,
            slug: image.slug,
            public: image.public,
            regions: image.regions.unwrap_or_else(|| self.shelf.regions.keys().cloned().collect()),
            created_at: image.created_at.into(),
            min_disk_size: Some(i64::from(image.min_disk_gb)),
            size_gigabytes: image.stored_bytes.map(gigabytes),
            description: image.description,
            tags: Vec::new(),
            status: image.status,
            error_message: None,
            name: image.name,
        }
    }

    /// An action.
    pub(crate) fn action(&self, action: store::actions::Action) -> Action {
        Action {
            id: action.id,
            status: action.status,
            kind: action.kind,
            started_at: action.started_at.into(),
            completed_at: action.completed_at.map(Into::into),
            resource_id: Some(i64::from(action.resource_id)),
            resource_type: action.resource_type,
            region: action.region.as_ref().map(|slug| self.region(slug.as_str())),
            region_slug: action.region.map(|slug| slug.0),
        }
    }
}

/// Bytes as the GB that clients are shown, to two digits.
#[allow(clippy::cast_precision_loss)] // nine digits of a number of bytes are more than is shown
pub(crate) fn gigabytes(bytes: i64) -> f64 {
    (bytes as f64 / GIGABYTE * 100.0).round() / 100.0
}

/// Where an action can be followed, on our own public host: clients fetch this as it stands.
pub(crate) fn action_link(api: &Api, id: ActionId, rel: &str) -> ActionLink {
    ActionLink { id, rel: rel.to_owned(), href: api.href(&format!("/v2/actions/{id}")) }
}

/// `new` until it has answered for the first time; then what was last seen. What is not at its provider any more is off.
pub(crate) fn status(answered: bool, seen_power: Option<Power>) -> ServerStatus {
    match (answered, seen_power) {
        (false, _) => ServerStatus::New,
        (true, Some(Power::On)) => ServerStatus::Active,
        (true, Some(Power::Off) | None) => ServerStatus::Off,
    }
}

fn features(server: &Server) -> Vec<String> {
    let switched = [
        (server.backups, "backups"),
        (server.ipv6, "ipv6"),
        (server.monitoring, "monitoring"),
        (server.private_address.is_some(), "private_networking"),
    ];
    switched.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect()
}

fn networks(server: &Server) -> Networks {
    let public = server.public_address.as_ref().map(|(address, range, gateway)| NetworkV4 {
        ip_address: *address,
        netmask: range.netmask(),
        gateway: gateway.map(|gateway| gateway.to_string()),
        kind: NetworkKind::Public,
    });
    let private = server.private_address.as_ref().map(|(address, range)| NetworkV4 {
        ip_address: *address,
        netmask: range.netmask(),
        gateway: None,
        kind: NetworkKind::Private,
    });
    Networks { v4: private.into_iter().chain(public).collect(), v6: Vec::new() }
}

fn extension(server: &Server) -> ServerCloud {
    // The one that every seed gives the keys to (`cloud::server::seed`).
    let endpoint = |host: String, port| SshEndpoint { host, port, user: "root".to_owned() };
    let ssh = match (&server.seen_ssh, &server.public_address) {
        (Some((host, port)), _) => Some(endpoint(host.clone(), *port)),
        (None, Some((address, ..))) if server.answered => Some(endpoint(address.to_string(), 22)),
        _ => None,
    };
    let state = match (server.answered, server.seen_power, server.locked) {
        (false, ..) => "is being made",
        (true, Some(Power::On), false) => "is running",
        (true, Some(Power::Off), false) => "is stopped",
        (true, None, false) => "is not at its provider any more",
        (true, _, true) => "is being worked on",
    };
    let kind = server.image.guest.as_str().to_owned();
    let group = server
        .group
        .as_ref()
        .map(|group| ServerGroup { name: group.name.as_str().to_owned(), policy: Some(group.policy.to_string()) });
    let (state, incarnation) = (state.to_owned(), server.incarnation.clone());
    let high_availability = server.high_availability;
    ServerCloud { kind, group, high_availability, ssh, state, last_error: None, incarnation }
}
