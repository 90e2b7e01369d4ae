//! Alerts: what somebody should look at.

use crate::envelope::{Meta, PageLinks, list};
use crate::time::WireTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of alerts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminAlertList)]
pub struct AlertList {
    /// The newest first.
    pub alerts: Vec<Alert>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(AlertList, alerts, Alert);

/// One alert.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminAlertResponse)]
pub struct AlertResponse {
    /// The alert.
    pub alert: Alert,
}

/// Something that somebody should look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminAlert)]
pub struct Alert {
    /// The alert.
    pub id: i64,
    /// How bad it is: `info`, `warning` or `error`.
    pub severity: String,
    /// What is the matter, as a stable word.
    pub kind: String,
    /// What it is about, such as `server:42`.
    pub subject: String,
    /// What is the matter, in a sentence.
    pub message: String,
    /// Since when.
    pub raised_at: WireTime,
    /// When an operator said that they know; `null` before.
    #[schema(required)]
    pub acknowledged_at: Option<WireTime>,
    /// Until when; `null` while it lasts.
    #[schema(required)]
    pub resolved_at: Option<WireTime>,
}
