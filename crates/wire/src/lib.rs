//! The JSON shapes of the API, in both directions: the server writes what the client reads, so one type serves
//! both, and the OpenAPI document is generated from the same types.
//!
//! One file per resource. The noun is *server*; `droplet` stands only in `serde(rename)`, because that is the
//! word of the API that Cairn is compatible with. What is our own (`cloud`) stands in the one object `cloud`
//! or under `/cloud/v1`; what operators see and ask for stands in `admin`.
//!
//! Three kinds of optional field, told apart by their attributes:
//! - always present, `null` when there is none: `Option` with `#[schema(required)]`;
//! - absent when there is none: `Option` with `skip_serializing_if` and `#[schema(nullable = false)]`;
//! - optional in a request: `Option` with `skip_serializing_if`; absent and `null` mean the same.
//!
//! Unknown fields are ignored, except in requests of operators ([`admin`]). A request that does not fit fails to
//! deserialise with an error that names the field (through `serde_path_to_error`, and for missing fields in the
//! message), which is why no request uses serde's tagged or untagged enums: those forget where they were. Requests are read strictly: see
//! `strict.rs`.

pub mod account;
pub mod action;
pub mod admin;
pub mod cloud;
pub mod envelope;
pub mod error;
pub mod firewall;
pub mod image;
pub mod image_action;
pub mod key;
pub mod reference;
pub mod region;
pub mod server;
pub mod server_action;
pub mod server_backup;
pub mod server_destroy;
pub mod size;
pub mod snapshot;
mod strict;
pub mod tag;
pub mod time;
pub mod token_info;
mod words;
