//! Public addresses that two regions give: legitimate where each is a network of its own (a private range on two sites), a
//! mistake where they are one. On one bridge of one cluster they certainly are.

use super::numbers::reached;
use crate::Result;
use model::ids::RegionSlug;
use model::refusal::{Code, Refusal};
use serde_json::Value;
use store::Tx;
use store::regions::SharedAddresses;

/// What an operator is told of addresses that other regions give as well, a sentence each.
pub(super) async fn warnings(tx: &mut Tx, slug: &RegionSlug) -> store::Result<Vec<String>> {
    let shared = store::regions::shared_addresses(tx, slug).await?;
    Ok(shared
        .iter()
        .map(|shared| {
            format!(
                "{} If both are one network, two servers will get one address: give one of the pools other addresses. On \
                 separate sites it is fine.",
                sentence(shared)
            )
        })
        .collect())
}

fn sentence(shared: &SharedAddresses) -> String {
    let SharedAddresses { pool, region, of, first, last } = shared;
    format!("Pool `{pool}` gives {first} to {last}, and so does pool `{of}` of region `{region}`.")
}

/// Refuses a region that gives addresses of another one on the same bridge of the same cluster. Asked when the pools are
/// written.
pub(super) async fn refuse_shared(
    tx: &mut Tx,
    slug: &RegionSlug,
    provider: &str,
    settings: &Value,
    fingerprints: &[String],
) -> Result<()> {
    let shared = store::regions::shared_addresses(tx, slug).await?;
    if shared.is_empty() {
        return Ok(());
    }
    let there = reached(settings, fingerprints);
    let others = store::regions::of_provider(tx, slug, provider).await?;
    let meets = |one: &SharedAddresses| {
        others.iter().any(|(other, theirs, pinned)| {
            *other == one.region
                && !there.is_disjoint(&reached(theirs, pinned))
                && bridge(settings, &one.pool) == bridge(theirs, &one.of)
        })
    };
    let Some(one) = shared.iter().find(|one| meets(one)) else { return Ok(()) };
    let message = format!(
        "{} Both are on one bridge of one cluster, so two servers would get one address: choose `first` and `last` so that \
         each region gives its own.",
        sentence(one)
    );
    Err(Refusal::new(Code::UnprocessableEntity, message).at("pools").into())
}

/// The bridge and VLAN of a pool, as far as the settings say.
fn bridge<'a>(settings: &'a Value, pool: &str) -> (Option<&'a Value>, Option<&'a Value>) {
    let said = settings.get("bridges").and_then(|bridges| bridges.get(pool));
    let part = |key: &str| said.and_then(|bridge| bridge.get(key)).filter(|value| !value.is_null());
    (part("name"), part("vlan"))
}
