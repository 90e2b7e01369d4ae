//! What Cairn adds: the object `cloud` of a server, and the answers under `/cloud/v1`.

use crate::action::Action;
use crate::strict::objects;
use crate::time::WireTime;
use crate::words;
use model::ids::ServerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What Cairn says about a server beyond the API it is compatible with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ServerCloud {
    /// What it is: `machine`, a virtual machine, or `container`. The image decides. More words may come; empty: an older
    /// server does not say.
    #[serde(default)]
    #[schema(required)]
    pub kind: String,
    /// The group of servers that it is kept apart from; `null` without one.
    #[serde(default)]
    #[schema(required)]
    pub group: Option<ServerGroup>,
    /// Whether it is started again when it dies, elsewhere when its host does.
    #[serde(default)]
    #[schema(required)]
    pub high_availability: bool,
    /// How to log in; `null` until that is known.
    #[schema(required)]
    pub ssh: Option<SshEndpoint>,
    /// What the server is doing, in a sentence.
    pub state: String,
    /// What last went wrong, in a sentence that is fit for its tenant; `null` when nothing did.
    #[schema(required)]
    pub last_error: Option<String>,
    /// Another word for each time that the disk was made anew: whatever was known of the server's inside, such as its
    /// SSH host keys, is of that time. Empty: an older server does not say.
    #[serde(default)]
    #[schema(required)]
    pub incarnation: String,
}

/// What Cairn takes in a create beyond the API it is compatible with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ServerWishes {
    /// The group that the servers become members of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<ServerGroup>,
    /// Whether they are started again when they die, elsewhere when their host does. Off when absent; a region that cannot
    /// refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_availability: Option<bool>,
}

/// Servers of a team that are kept apart. A group is there as long as it has members.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ServerGroup {
    /// What it is called: letters, digits, `:`, `_` and `-`.
    #[schema(max_length = 255)]
    pub name: String,
    /// How far they are kept apart, the same for all members; `anti-affinity` when absent. More words may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::group_policy)]
    pub policy: Option<String>,
}

objects!(ServerGroup, ServerWishes);

/// Where SSH answers. It need not be the server's own address: a host without a bridge forwards a port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SshEndpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The account that the image expects.
    pub user: String,
}

/// An action with the workflow that carries it out (`GET /cloud/v1/actions/{id}`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActionDetailResponse {
    /// The same as `GET /v2/actions/{id}` answers.
    pub action: Action,
    /// How it goes, step by step.
    pub workflow: Workflow,
}

/// How far a workflow is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Workflow {
    /// Whether it makes or takes down. A refused workflow turns round.
    pub direction: Direction,
    /// Where it stands.
    pub state: WorkflowState,
    /// What it is doing, in a sentence.
    pub sentence: String,
    /// How far the provider is with the task that is waited for, such as `41 %`; `null` when it does not say.
    #[schema(required)]
    pub progress: Option<String>,
    /// Its steps in the order in which they are walked: those of making, then, backwards, those of taking down.
    pub steps: Vec<WorkflowStep>,
    /// When it is taking longer than it should. `null` when it has no deadline (any more).
    #[schema(required)]
    pub deadline: Option<WireTime>,
    /// Why it could not be done; `null` unless something was finally refused.
    #[schema(required)]
    pub refusal: Option<RefusalBody>,
}

/// Which way a workflow walks its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Forwards, ensuring that things are there.
    Make,
    /// Backwards, ensuring that they are not.
    Unmake,
}

/// Where a workflow stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkflowState {
    /// A step is at work, waits, or is about to be tried again.
    Ready,
    /// What it makes is there, and stays until it is no longer wanted.
    Resting,
    /// It did what was asked.
    Completed,
    /// What it made is gone again.
    Undone,
    /// It ended with a final no.
    Refused,
    /// It ended because its owner changed their mind.
    Cancelled,
    /// It stopped, and the operator has been told.
    Parked,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// One step of a workflow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkflowStep {
    /// The step's lasting name.
    pub name: String,
    /// What it does, in words.
    pub sentence: String,
    /// Which way it was walked. A step that was made and then unmade is listed once for each.
    pub direction: Direction,
    /// Where it stands.
    pub state: StepState,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was first tried; `null` before.
    #[schema(required)]
    pub started_at: Option<WireTime>,
    /// When it was done; `null` before.
    #[schema(required)]
    pub finished_at: Option<WireTime>,
    /// What it waits for, in words; `null` when it does not wait.
    #[schema(required)]
    pub waiting_for: Option<String>,
    /// What last went wrong, in a sentence that is fit for the tenant.
    #[schema(required)]
    pub last_error: Option<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not reached yet.
    Pending,
    /// At work, waiting, or about to be tried again.
    Running,
    /// What it makes is there; what it unmakes is gone.
    Done,
    /// Said a final no.
    Refused,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// A final no.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefusalBody {
    /// A stable code.
    pub code: String,
    /// A sentence that says what to do.
    pub message: String,
}

/// Something that happened: the `data` of one server-sent event of `GET /cloud/v1/events`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Also the `id` of the server-sent event, to be sent back in `Last-Event-ID`. Grows.
    pub id: i64,
    /// What happened. More words may come.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it happened to, such as `do:droplet:42`.
    pub urn: String,
    /// When.
    pub at: WireTime,
    /// What depends on `type`.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}

/// The team's quota (`GET /cloud/v1/quotas`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct QuotaResponse {
    /// What the team may have.
    pub limits: QuotaAmounts,
    /// What it has, counting what is being made.
    pub used: QuotaAmounts,
}

/// How much of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct QuotaAmounts {
    /// Servers.
    pub servers: i64,
    /// Virtual processors of servers.
    pub vcpus: i64,
    /// MiB of memory of servers.
    pub memory_mib: i64,
    /// GB of disk of servers.
    pub disk_gb: i64,
    /// Snapshots.
    pub snapshots: i64,
    /// SSH keys.
    pub ssh_keys: i64,
}

/// What a server wrote to its first serial port (`GET /cloud/v1/servers/{id}/console`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConsoleLogResponse {
    /// The log.
    pub console: ConsoleLog,
}

/// The end of a console log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConsoleLog {
    /// The server.
    #[schema(value_type = i32)]
    pub server_id: ServerId,
    /// The last of what was written; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether there was more before it.
    pub truncated: bool,
    /// When it was read.
    pub at: WireTime,
}
