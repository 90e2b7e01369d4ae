//! Where Cairn departs from the specification on purpose. One table; every line has its reason, and a line that
//! matches nothing fails a test.

/// One schema location where a keyword of the specification does not bind us.
pub(super) struct Relaxation {
    /// The location as a path of the document; `*` stands for one segment.
    pub(super) place: &'static str,
    /// The keyword that is left out there.
    pub(super) keyword: &'static str,
    /// Why.
    #[allow(dead_code, reason = "it is for the reader of this table")]
    pub(super) reason: &'static str,
}

pub(super) const RELAXATIONS: &[Relaxation] = &[
    Relaxation {
        place: "components/schemas/region_slug",
        keyword: "enum",
        reason: "regions are the operator's data; the specification lists one company's data centres",
    },
    Relaxation {
        place: "components/schemas/*/properties/region",
        keyword: "enum",
        reason: "the same list, where the specification repeats it",
    },
    Relaxation {
        place: "components/schemas/distribution",
        keyword: "enum",
        reason: "an operator adds images of any distribution (AlmaLinux, NixOS, …)",
    },
];

/// Whether `keyword` does not bind us at `place`, which is given as segments.
pub(super) fn relaxed(place: &[&str], keyword: &str) -> bool {
    RELAXATIONS.iter().any(|relaxation| relaxation.keyword == keyword && fits(relaxation.place, place))
}

pub(super) fn fits(pattern: &str, place: &[&str]) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    pattern.len() == place.len() && pattern.iter().zip(place).all(|(wanted, given)| *wanted == "*" || wanted == given)
}
