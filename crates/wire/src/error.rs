//! What is answered when a request was not granted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer with a 4xx or 5xx status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A stable code, such as `not_found`; each has a page in the documentation.
    pub id: String,
    /// A sentence that says what to do; names the field when one is at fault.
    pub message: String,
    /// The same as the header `x-request-id`; the log has the cause under it. Cairn always sends it; a proxy in
    /// front of Cairn may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
}

/// A request that has the right JSON types but does not fit together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldFault {
    /// The field, as it is called on the wire.
    pub field: &'static str,
    /// What it should be, as the end of a sentence that begins with the field.
    pub problem: &'static str,
}

impl FieldFault {
    /// The field has to be there and is not (or is `null`).
    pub const fn missing(field: &'static str) -> Self {
        Self { field, problem: "is required for this type of action" }
    }
}

impl std::fmt::Display for FieldFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.field, self.problem)
    }
}

impl std::error::Error for FieldFault {}
