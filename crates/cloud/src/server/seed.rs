//! A server's interfaces and its cloud-init seed.

use model::addressing::{Mac, NetworkRole};
use model::cloud_init::{Guest, Nic, UserData, render};
use model::ids::{InstallationId, ServerId};
use model::names::ServerName;
use model::ssh::PublicKey;
use provider::{Interface, InterfaceRole, NetworkRef, PlainSeed, Seed};
use std::net::IpAddr;
use store::addresses::Claimed;
use store::servers::Work;
use workflow::Fault;

fn roles(claimed: &Claimed) -> (NetworkRole, InterfaceRole, NetworkRef) {
    match claimed.vpc {
        None => (NetworkRole::Public, InterfaceRole::Public, NetworkRef::Public(claimed.pool.clone())),
        Some(vpc) => (NetworkRole::Private, InterfaceRole::Private, NetworkRef::Vpc(vpc)),
    }
}

/// One interface for each address, public first.
pub(crate) fn interfaces(installation: InstallationId, server: ServerId, addresses: &[Claimed]) -> Vec<Interface> {
    addresses
        .iter()
        .map(|claimed| {
            let (role, seen_as, network) = roles(claimed);
            Interface {
                role: seen_as,
                network,
                mac: Mac::of(installation, server, role).0,
                address: claimed.address,
                prefix: claimed.range.prefix_len(),
                gateway: claimed.gateway,
            }
        })
        .collect()
}

/// The seed of one incarnation. What was checked at the edge is checked again on the way out of the database: a value
/// that no longer passes is a bug, not a guest with an odd document.
pub(crate) fn seed(
    installation: InstallationId,
    work: &Work,
    addresses: &[Claimed],
    incarnation: &str,
) -> Result<Seed, Fault> {
    let unreadable = |refusal: model::refusal::Refusal| {
        Fault::bug(format!("BUG: server {} holds what the edge should have refused: {}", work.id, refusal.message))
    };
    let nics: Vec<Nic> = addresses
        .iter()
        .map(|claimed| {
            let (role, ..) = roles(claimed);
            Nic {
                role,
                mac: Mac::of(installation, work.id, role),
                address: claimed.address,
                prefix: claimed.range.prefix_len(),
                gateway: claimed.gateway,
            }
        })
        .collect();
    let keys = work
        .public_keys
        .iter()
        .map(|line| PublicKey::parse(line))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    let user_data = work.user_data.as_deref().map(UserData::parse).transpose().map_err(unreadable)?;
    let resolvers: Vec<IpAddr> = work.resolvers.iter().copied().map(IpAddr::V4).collect();
    let documents = render(&Guest {
        installation,
        server: work.id,
        incarnation,
        name: &ServerName::parse(&work.name).map_err(unreadable)?,
        keys: &keys,
        user_data: user_data.as_ref(),
        nics: &nics,
        resolvers: &resolvers,
    });
    Ok(Seed {
        user_data: documents.user_data,
        meta_data: documents.meta_data,
        network_config: documents.network_config,
        plain: PlainSeed {
            host_name: work.name.clone(),
            // As the answers say, and as clients of the compatible API expect. A provider with single values gives the keys to
            // nobody else; the documents let the image's own user in as well.
            user: "root".to_owned(),
            keys: work.public_keys.clone(),
            resolvers: work.resolvers.clone(),
            has_user_data: work.user_data.is_some(),
        },
    })
}
