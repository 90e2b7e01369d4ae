//! What the product answers when it will not do something: one code, one sentence, and, where the
//! fault lies in one value of the request, the name of that value.
//!
//! A refusal is for the person at the other end. The internal cause never goes into it; that goes to the
//! log, under the same request id.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($variant:ident = $word:literal, $wire:literal, $status:literal, $meaning:literal;)+) => {
        /// Why something was refused. The words are stable: they are stored, sent and documented.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum Code { $(#[doc = $meaning] #[serde(rename = $word)] $variant),+ }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Our own word: what is stored with an action and what the page in the documentation is called.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }

            /// The `id` of the error on the wire: one of the words that DigitalOcean's clients know for this status.
            pub const fn wire_id(self) -> &'static str { match self { $(Self::$variant => $wire),+ } }

            /// The HTTP status.
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status),+ } }

            /// One sentence for the documentation page.
            pub const fn meaning(self) -> &'static str { match self { $(Self::$variant => $meaning),+ } }
        }

        impl std::str::FromStr for Code {
            type Err = crate::states::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(crate::states::UnknownWord(text.to_owned())),
                }
            }
        }
    };
}

// The first block are the ids of the specification (components.responses of the bundled openapi.json);
// the second are ours, each with the id that a DigitalOcean client expects for its status.
codes! {
    BadRequest = "bad_request", "bad_request", 400, "The request could not be read: its body is not valid JSON, or its path or query is malformed.";
    Unauthorized = "unauthorized", "unauthorized", 401, "The request carries no token, or one that is unknown, expired or revoked.";
    Forbidden = "forbidden", "forbidden", 403, "The token is valid but lacks the scope or role that this needs.";
    NotFound = "not_found", "not_found", 404, "There is nothing of that id that this token may see.";
    MethodNotAllowed = "method_not_allowed", "method_not_allowed", 405, "The path exists, but not for this method.";
    Conflict = "conflict", "conflict", 409, "The request contradicts the present state of the resource.";
    PreconditionFailed = "precondition_failed", "precondition_failed", 412, "Something that must be true first is not true yet.";
    PayloadTooLarge = "payload_too_large", "payload_too_large", 413, "The body of the request is larger than this endpoint accepts.";
    UnprocessableEntity = "unprocessable_entity", "unprocessable_entity", 422, "The request was read, but a value in it is missing, of the wrong type or out of range.";
    TooManyRequests = "too_many_requests", "too_many_requests", 429, "The token has used up its requests for now; the ratelimit-reset header says when it may go on.";
    ServerError = "server_error", "server_error", 500, "Something broke on our side; nothing about the request was wrong.";
    ServiceUnavailable = "service_unavailable", "service_unavailable", 503, "The service cannot answer at the moment; the same request may be sent again.";

    QuotaExceeded = "quota_exceeded", "unprocessable_entity", 422, "The request would exceed a limit of the team.";
    NoCapacity = "no_capacity", "unprocessable_entity", 422, "No host of the region has room for a server of this size.";
    AddressesExhausted = "addresses_exhausted", "unprocessable_entity", 422, "The network has no free address left.";
    RegionUnavailable = "region_unavailable", "unprocessable_entity", 422, "The region does not exist or takes no new servers.";
    SizeUnavailable = "size_unavailable", "unprocessable_entity", 422, "The size does not exist or is not offered in the region.";
    ImageUnavailable = "image_unavailable", "unprocessable_entity", 422, "The image does not exist, is not ready, or could not be fetched.";
    ImageCorrupt = "image_corrupt", "unprocessable_entity", 422, "The image's bytes do not match its published checksum.";
    DiskTooSmall = "disk_too_small", "unprocessable_entity", 422, "The disk of the size is smaller than the image or the present disk needs.";
    PendingEvent = "pending_event", "unprocessable_entity", 422, "Another action on the same resource has not finished.";
    WrongState = "wrong_state", "unprocessable_entity", 422, "The resource is not in a state in which this can be done.";
    Unsupported = "unsupported", "unprocessable_entity", 422, "The region's provider cannot do this.";
    InUse = "in_use", "conflict", 409, "Something else still depends on the resource.";
    NameTaken = "name_taken", "conflict", 409, "Another resource of the team has this name already.";
    IdempotencyMismatch = "idempotency_mismatch", "unprocessable_entity", 422, "The idempotency key was used before with a different request.";
    GuestIdTaken = "guest_id_taken", "conflict", 409, "The name reserved for the guest at its provider belongs to something that is not ours.";
    GuestLost = "guest_lost", "conflict", 409, "The guest is no longer at its provider; it was removed there by someone else.";
    GuestSilent = "guest_silent", "unprocessable_entity", 422, "The server was started but did not answer in time.";
    ProviderRefused = "provider_refused", "unprocessable_entity", 422, "The provider answered with a final no.";
    Cancelled = "cancelled", "conflict", 409, "The owner changed their mind before this was finished.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal for the user. Stored as JSON with actions (`{code, message, field?}`); on the wire it becomes
/// `{id, message, request_id}` with [`Code::wire_id`] and [`Refusal::wire_message`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Which kind of refusal.
    pub code: Code,
    /// A sentence that says what is wrong and what to do. Never an internal cause, never a secret.
    pub message: String,
    /// The request's field at fault, as the client spells it (`size`, `ssh_keys[2]`), if it is one field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Refusal {
    /// A refusal that is not about one field.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// A value of the request is wrong: `unprocessable_entity` with the field named.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::UnprocessableEntity, message).at(field)
    }

    /// Names (or renames) the field at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Replaces the code and keeps the sentence, as where a general check is used for a special purpose.
    #[must_use]
    pub fn as_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// `not_found`, in the words of the specification's example. Also for what exists but belongs to another
    /// team: the two must not be told apart.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "The resource you requested could not be found.")
    }

    /// `unauthorized`, in the words of the specification's example.
    pub fn unauthorized() -> Self {
        Self::new(Code::Unauthorized, "Unable to authenticate you.")
    }

    /// `forbidden`, in the words of the specification's example, with the scope that is missing.
    pub fn forbidden(scope: &str) -> Self {
        let message = format!("You do not have permission to perform this action: the token lacks the scope {scope}.");
        Self::new(Code::Forbidden, message)
    }

    /// `conflict` with a sentence.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message)
    }

    /// Another action is under way. Clients retry on exactly this sentence (wire notes, section 3).
    pub fn pending_event() -> Self {
        Self::new(Code::PendingEvent, "Droplet already has a pending event.")
    }

    /// `server_error`. The cause belongs into the log.
    pub fn server_error() -> Self {
        let message = "Something broke on our side. Please try again; if it stays, report it with the request id.";
        Self::new(Code::ServerError, message)
    }

    /// The `message` on the wire: the sentence, with the field in front of it where one is at fault.
    pub fn wire_message(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_distinct_and_speaks_in_sentences() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!((400..600).contains(&code.status()), "{code}");
            assert!(code.meaning().ends_with('.'), "{code}");
            assert_eq!(code.as_str().parse::<Code>().unwrap(), *code);
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn one_status_has_one_wire_id() {
        let mut seen = std::collections::HashMap::new();
        for code in Code::ALL {
            assert_eq!(*seen.entry(code.status()).or_insert(code.wire_id()), code.wire_id(), "{code}");
        }
        assert_eq!(seen[&422], "unprocessable_entity");
        assert_eq!(seen[&404], "not_found");
        assert_eq!(seen[&409], "conflict");
    }

    #[test]
    fn the_field_is_named_in_the_message_and_kept_in_store() {
        let refusal = Refusal::field("size", "unknown size.");
        assert_eq!(refusal.wire_message(), "size: unknown size.");
        let stored = serde_json::to_string(&refusal).unwrap();
        assert_eq!(stored, r#"{"code":"unprocessable_entity","message":"unknown size.","field":"size"}"#);
        assert_eq!(serde_json::from_str::<Refusal>(&stored).unwrap(), refusal);
        assert_eq!(Refusal::pending_event().wire_message(), "Droplet already has a pending event.");
    }
}
