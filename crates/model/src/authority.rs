//! What a token or a person may do: scopes in the words of the published specification (and ours for what it lacks), sets
//! of them, and the roles that stand for sets.
//!
//! A set is five words of bits, and what a role may do is worked out once, so that deciding about a request is five ANDs.

use crate::refusal::Refusal;
use std::fmt;
use std::sync::LazyLock;

mod role;
mod vocabulary;

pub use role::{OrganizationRole, Role, Standing};
pub use vocabulary::{Plane, scopes};

use vocabulary::SCOPES;

const WORDS: usize = 5;

/// Scopes, as bits in the order of the vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet([u64; WORDS]);

/// Every scope that there is.
pub static EVERYTHING: LazyLock<ScopeSet> = LazyLock::new(|| ScopeSet::of(|_, _| true));

fn position(scope: &str) -> Option<usize> {
    SCOPES.binary_search_by_key(&scope, |(name, _)| name).ok()
}

impl ScopeSet {
    /// None at all.
    pub const NONE: Self = Self([0; WORDS]);

    /// Those scopes of the vocabulary that are wanted.
    pub fn of(wanted: impl Fn(&str, Plane) -> bool) -> Self {
        let mut set = Self::NONE;
        for (at, (name, plane)) in SCOPES.iter().enumerate() {
            if wanted(name, *plane) {
                set.0[at / 64] |= 1 << (at % 64);
            }
        }
        set
    }

    /// The set of one scope; `None` for a word that is none.
    pub fn one(scope: &str) -> Option<Self> {
        let at = position(scope)?;
        let mut set = Self::NONE;
        set.0[at / 64] |= 1 << (at % 64);
        Some(set)
    }

    /// What a list of scopes stands for, as a token or a role holds it: no scopes at all, or `*`, is everything. Words that
    /// are no scopes (any more) stand for nothing.
    pub fn held(scopes: &[String]) -> Self {
        if scopes.is_empty() || scopes.iter().any(|scope| scope == "*") {
            return *EVERYTHING;
        }
        scopes.iter().filter_map(|scope| Self::one(scope)).fold(Self::NONE, Self::union)
    }

    /// The same, for scopes that somebody asks for.
    ///
    /// # Errors
    /// `unprocessable_entity`, for `field`, that names.
    pub fn asked(field: &str, scopes: &[String]) -> Result<Self, Refusal> {
        if let Some(unknown) = scopes.iter().find(|scope| *scope != "*" && position(scope).is_none()) {
            let noun = unknown.split(':').next().unwrap_or_default();
            let near: Vec<&str> =
                SCOPES.iter().map(|(name, _)| *name).filter(|name| name.split(':').next() == Some(noun)).collect();
            let hint = if near.is_empty() {
                "GET /cloud/v1/scopes lists all that there are".to_owned()
            } else {
                format!("of {noun} there are {}", near.join(", "))
            };
            return Err(Refusal::field(field, format!("`{unknown}` is no scope; {hint}.")));
        }
        Ok(Self::held(scopes))
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.intersection(other) == other
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// The names, in alphabetical order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let held = move |at: usize| self.0[at / 64] & (1 << (at % 64)) != 0;
        SCOPES.iter().enumerate().filter(move |(at, _)| held(*at)).map(|(_, (name, _))| *name)
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_fits_and_is_in_order() {
        assert!(SCOPES.len() <= 64 * WORDS, "{}", SCOPES.len());
        assert!(SCOPES.is_sorted_by_key(|(name, _)| name));
        assert!(SCOPES.windows(2).all(|pair| pair[0].0 != pair[1].0));
    }

    #[test]
    fn a_list_and_its_set_say_the_same() {
        let words = ["droplet:read".to_owned(), "tag:create".to_owned()];
        let set = ScopeSet::held(&words);
        assert_eq!(set.names().collect::<Vec<_>>(), ["droplet:read", "tag:create"]);
        assert!(set.contains(ScopeSet::one("tag:create").unwrap()));
        assert!(!set.contains(ScopeSet::one("tag:delete").unwrap()));
        assert_eq!(ScopeSet::held(&[]), *EVERYTHING);
        assert_eq!(ScopeSet::held(&["*".to_owned()]), *EVERYTHING);
        assert_eq!(ScopeSet::held(&["no:such".to_owned()]), ScopeSet::NONE);
        assert_eq!(EVERYTHING.without(set).union(set), *EVERYTHING);
    }

    #[test]
    fn a_word_that_is_no_scope_is_named_with_what_there_is() {
        let said = ScopeSet::asked("scopes", &["tag:write".to_owned()]).unwrap_err().to_string();
        assert_eq!(said, "scopes: `tag:write` is no scope; of tag there are tag:create, tag:delete, tag:read.");
        let said = ScopeSet::asked("scopes", &["x".to_owned()]).unwrap_err().to_string();
        assert!(said.contains("GET /cloud/v1/scopes"), "{said}");
    }
}
