//! Two regions may be one cluster; then each has numbers of its own to give to guests, or they would take each other's.

use crate::Result;
use model::ids::RegionSlug;
use model::numbers::{Numbers, USUAL_GUESTS, USUAL_TEMPLATES, overlap};
use model::refusal::{Code, Refusal};
use serde_json::Value;
use std::collections::BTreeSet;
use store::Tx;

/// Refuses a region that reaches a cluster of another one (by an entry or a certificate that both name) and would give
/// numbers of the same range.
pub(super) async fn refuse_overlap(
    tx: &mut Tx,
    slug: &RegionSlug,
    provider: &str,
    settings: &Value,
    fingerprints: &[String],
) -> Result<()> {
    let (ours, there) = (Ranges::read(settings), reached(settings, fingerprints));
    for (other, settings, fingerprints) in store::regions::of_provider(tx, slug, provider).await? {
        if there.is_disjoint(&reached(&settings, &fingerprints)) {
            continue;
        }
        if let Some((key, (first, last))) = ours.taken_by(&Ranges::read(&settings)) {
            let message = format!(
                "Region `{other}` reaches the same cluster and gives numbers from {first} to {last} as well. Give this one \
                 ranges of its own, such as `guest_numbers` [200000,299999] and `template_numbers` [80000,89999]."
            );
            return Err(Refusal::new(Code::UnprocessableEntity, message).at(format!("settings.{key}")).into());
        }
    }
    Ok(())
}

/// Entries and certificates, each in one way of writing: who has one in common reaches the same machine.
pub(super) fn reached(settings: &Value, fingerprints: &[String]) -> BTreeSet<String> {
    let words = |key: &str| {
        let list = settings.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let entries = words("entries").into_iter().map(|entry| entry.trim_end_matches('/').to_lowercase());
    let pinned = words("fingerprints").into_iter().chain(fingerprints.iter().cloned());
    entries.chain(pinned.map(|text| text.replace(':', "").to_lowercase())).collect()
}

/// The numbers that a region gives.
struct Ranges {
    guests: Numbers,
    templates: Numbers,
}

impl Ranges {
    /// What is not said, or not in that form, is as usual; the provider refuses what cannot be read.
    fn read(settings: &Value) -> Self {
        let said = |key: &str| -> Option<Numbers> { serde_json::from_value(settings.get(key)?.clone()).ok() };
        Self {
            guests: said("guest_numbers").unwrap_or(USUAL_GUESTS),
            templates: said("template_numbers").unwrap_or(USUAL_TEMPLATES),
        }
    }

    /// The setting of ours that meets one of theirs, and what it meets.
    fn taken_by(&self, theirs: &Self) -> Option<(&'static str, Numbers)> {
        let ours = [("guest_numbers", self.guests), ("template_numbers", self.templates)];
        ours.into_iter().find_map(|(key, range)| {
            let met = [theirs.guests, theirs.templates].into_iter().find(|other| overlap(range, *other))?;
            Some((key, met))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cluster_is_known_by_an_entry_or_a_certificate_however_it_is_written() {
        let one = reached(&json!({"entries": ["https://PVE1:8006/"]}), &["AB:CD".to_owned()]);
        assert!(!one.is_disjoint(&reached(&json!({"entries": ["https://pve1:8006"]}), &[])));
        assert!(!one.is_disjoint(&reached(&json!({"fingerprints": ["abcd"]}), &[])));
        assert!(one.is_disjoint(&reached(&json!({"entries": ["https://pve2:8006"]}), &["AB:CE".to_owned()])));
    }

    #[test]
    fn what_is_not_said_is_as_usual_and_meets_its_like() {
        let usual = Ranges::read(&json!({}));
        assert_eq!(usual.taken_by(&Ranges::read(&json!({}))), Some(("guest_numbers", USUAL_GUESTS)));
        let apart = Ranges::read(&json!({"guest_numbers": [200_000, 299_999], "template_numbers": [80_000, 89_999]}));
        assert_eq!(apart.taken_by(&usual), None);
        let half = Ranges::read(&json!({"guest_numbers": [200_000, 299_999]}));
        assert_eq!(half.taken_by(&usual), Some(("template_numbers", USUAL_TEMPLATES)));
        let crossed = Ranges::read(&json!({"guest_numbers": [95_000, 96_000], "template_numbers": [1000, 1999]}));
        assert_eq!(crossed.taken_by(&usual), Some(("guest_numbers", USUAL_TEMPLATES)));
    }
}
