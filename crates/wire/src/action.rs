//! Actions: what was asked for, and how far it is.

use crate::envelope::{Meta, PageLinks, list};
use crate::region::Region;
use crate::time::WireTime;
use crate::words;
use model::ids::ActionId;
use model::states::ActionStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that was asked for. Some clients take `status`, others a `completed_at` that is not `null`, as the
/// sign that it is over, so both change together. How it goes step by step is `GET /cloud/v1/actions/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Action {
    /// The action.
    #[schema(value_type = i32)]
    pub id: ActionId,
    /// How far it is.
    #[schema(schema_with = words::action_status)]
    pub status: ActionStatus,
    /// What was asked for, such as `create` or `power_off`. More words may come.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was asked for.
    pub started_at: WireTime,
    /// When it was over; `null` until then.
    #[schema(required)]
    pub completed_at: Option<WireTime>,
    /// The resource it is about.
    #[schema(required)]
    pub resource_id: Option<i64>,
    /// What kind of resource that is.
    pub resource_type: String,
    /// Where. Absent when the resource belongs to no region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub region: Option<Region>,
    /// The slug of `region`.
    #[schema(required)]
    pub region_slug: Option<String>,
}

/// One action.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActionResponse {
    /// The action.
    pub action: Action,
}

/// The actions that one request started, one for each resource that it was about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StartedActions {
    /// In the order of the resources.
    pub actions: Vec<Action>,
}

/// A page of actions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActionList {
    /// The newest first.
    pub actions: Vec<Action>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(ActionList, actions, Action);
