//! Servers (`droplet` on the wire).

use model::ids::ServerId;

pub mod backups;
pub(crate) mod containers;
pub mod create;
pub mod destroy;
mod drift;
pub mod glance;
pub(crate) mod gpus;
pub mod group;
pub mod life;
pub mod migrate;
pub mod observe;
mod placing;
pub mod power;
pub mod rebuild;
pub mod rename;
pub mod resize;
pub(crate) mod seed;
pub mod snapshot;
mod surroundings;
pub mod wishes;

/// A server's name in events, audit and usage.
pub fn urn(server: ServerId) -> String {
    format!("do:droplet:{server}")
}
