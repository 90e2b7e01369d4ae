//! Ids. Each kind has its own type, so that a server id cannot be passed where an image id is meant.
//!
//! Resources that DigitalOcean's clients address by integer (servers, images, actions, SSH keys) have
//! integer ids that stay below 2³¹ (32-bit builds of those clients parse them as `int`); everything
//! else has a UUID, version 7 so that rows of one time stand together in an index.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
    };
}

integer_id!(
    /// A server (`droplet` on the wire).
    ServerId
);
integer_id!(
    /// An image, which includes the snapshots of servers.
    ImageId
);
integer_id!(
    /// An action: one thing that was asked for and its progress.
    ActionId
);
integer_id!(
    /// A registered SSH public key.
    SshKeyId
);
uuid_id!(
    /// One installation of Cairn; part of the mark that guests carry, so that two installations on one
    /// host never touch each other's guests.
    InstallationId
);
uuid_id!(
    /// The customer: bill, identity provider, policies.
    OrganizationId
);
uuid_id!(
    /// The unit of isolation, quota and tokens.
    TeamId
);
uuid_id!(
    /// An API token (never the secret itself).
    TokenId
);
uuid_id!(
    /// Somebody who signs in; of the whole installation.
    UserId
);
uuid_id!(
    /// A role that an organization made itself.
    RoleId
);
uuid_id!(
    /// A program that acts for a team, with a role of its own.
    ServiceAccountId
);
uuid_id!(
    /// An operator's token (never the secret itself). Another plane than [`TokenId`].
    OperatorTokenId
);
uuid_id!(
    /// A virtual private network of a team in a region.
    VpcId
);
uuid_id!(
    /// A durable workflow.
    WorkflowId
);
uuid_id!(
    /// A machine that carries guests.
    HostId
);

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The slug as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self { Self(text.to_owned()) }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self { Self(text) }
        }
    };
}

slug!(
    /// A region: one provider endpoint (a KVM host, a Proxmox cluster, a provider's location).
    RegionSlug
);
slug!(
    /// A size in the catalogue, such as `s-1vcpu-1gb`.
    SizeSlug
);
