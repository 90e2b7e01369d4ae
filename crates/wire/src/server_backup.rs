//! When servers are backed up.

use crate::envelope::{Meta, PageLinks};
use crate::strict::{objects, words};
use crate::time::WireTime;
use model::ids::ServerId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// When a server is backed up. In a request, what is absent is chosen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct BackupPolicy {
    /// How often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<BackupPlan>,
    /// On which day, in the weekly plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<Weekday>,
    /// The hour of the day (UTC) at which the window opens: 0, 4, 8, 12, 16 or 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<i64>,
    /// How long the window is. Only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, read_only)]
    pub window_length_hours: Option<i64>,
    /// How long a backup is kept. Only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, read_only)]
    pub retention_period_days: Option<i64>,
}

/// The hours at which a backup window can open.
pub const BACKUP_HOURS: [i64; 6] = [0, 4, 8, 12, 16, 20];

/// How often a server is backed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
pub enum BackupPlan {
    /// Every day.
    Daily,
    /// Once a week.
    Weekly,
}

/// A day of the week, in three capitals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "UPPERCASE")]
pub enum Weekday {
    /// Sunday.
    Sun,
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
}

/// When the next backup is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BackupWindow {
    /// Not before.
    pub start: WireTime,
    /// Not after.
    pub end: WireTime,
}

/// What is set for one server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BackupPolicyRecord {
    /// The server.
    #[serde(rename = "droplet_id")]
    #[schema(value_type = i32)]
    pub server_id: ServerId,
    /// Whether backups are taken.
    pub backup_enabled: bool,
    /// When; absent when not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backup_policy: Option<BackupPolicy>,
    /// When next; absent when not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_backup_window: Option<BackupWindow>,
}

/// What is set for one server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BackupPolicyResponse {
    /// The setting.
    pub policy: BackupPolicyRecord,
}

/// A page of what is set for all servers. The one list of this API that is an object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BackupPolicyMap {
    /// By server id, in decimal.
    pub policies: BTreeMap<String, BackupPolicyRecord>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}

/// What can be set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SupportedBackupPolicies {
    /// One for each plan.
    pub supported_policies: Vec<SupportedBackupPolicy>,
}

/// What can be set in one plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SupportedBackupPolicy {
    /// The plan.
    pub name: String,
    /// The hours at which the window can open.
    pub possible_window_starts: Vec<i64>,
    /// How long the window is.
    pub window_length_hours: i64,
    /// How long a backup is kept.
    pub retention_period_days: i64,
    /// The days that can be chosen; empty where every day is one.
    #[serde(default, deserialize_with = "crate::words::null_as_default")]
    #[schema(required)]
    pub possible_days: Vec<String>,
}

objects!(BackupPolicy);
words!(BackupPlan, Weekday);
