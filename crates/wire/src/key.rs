//! SSH keys that are given to new servers.

use crate::envelope::{Meta, PageLinks, list};
use crate::strict::objects;
use model::ids::SshKeyId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registered public key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SshKey {
    /// The key.
    #[schema(value_type = i32)]
    pub id: SshKeyId,
    /// MD5 of the key in hexadecimal with colons.
    pub fingerprint: String,
    /// The line as it stands in `authorized_keys`.
    pub public_key: String,
    /// For people.
    pub name: String,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SshKeyResponse {
    /// The key.
    pub ssh_key: SshKey,
}

/// A page of keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SshKeyList {
    /// The keys.
    pub ssh_keys: Vec<SshKey>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(SshKeyList, ssh_keys, SshKey);

/// Registers a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct SshKeyCreate {
    /// For people.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// The line as it stands in `authorized_keys`.
    pub public_key: String,
}

/// Gives a key another name. What is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct SshKeyUpdate {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
}

objects!(SshKeyCreate, SshKeyUpdate);
