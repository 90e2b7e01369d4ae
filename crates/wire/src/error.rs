//! What is answered when a request was not granted.

use model::refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer with a 4xx or 5xx status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A stable code that clients know, such as `not_found`; one for each HTTP status.
    pub id: String,
    /// A sentence that says what to do; names the field when one is at fault.
    pub message: String,
    /// The same as the header `x-request-id`; the log has the cause under it. Cairn always sends it; a proxy in
    /// front of Cairn may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
    /// What Cairn adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cloud: Option<ErrorCloud>,
}

/// What Cairn says about a refusal beyond the API it is compatible with, whose `id` is one for each HTTP status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorCloud {
    /// The stable code of exactly this refusal, such as `no_capacity`; each has a page in the documentation.
    pub code: String,
    /// The field at fault, as a path into the request such as `ssh_keys[2]`; absent when it is not one field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
}

impl ErrorBody {
    /// The body for a refusal.
    pub fn new(refusal: &Refusal, request_id: impl Into<String>) -> Self {
        Self {
            id: refusal.code.wire_id().to_owned(),
            message: refusal.wire_message(),
            request_id: Some(request_id.into()),
            cloud: Some(ErrorCloud { code: refusal.code.as_str().to_owned(), field: refusal.field.clone() }),
        }
    }
}
