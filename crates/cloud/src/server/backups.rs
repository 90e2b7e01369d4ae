//! Backups: whether and when a copy of a server's disk is kept by itself, and the schedule that takes and deletes them.
//!
//! A backup is what a snapshot is, with another owner of the wish: the same workflow makes it, the same verb deletes it.
//! A server's row says up to when its windows are served; whoever moves that forwards takes the backup. So any number
//! of schedulers may run, and a window that nobody was there for is made up for.

use super::life::subject as server_subject;
use super::power::subject;
use super::snapshot::{Snapshot, SnapshotInput};
use crate::site::Site;
use crate::{Error, Result};
use async_trait::async_trait;
use jiff::Timestamp;
use model::backup::{Asked, Policy, Window};
use model::ids::{ImageId, RegionSlug, ServerId, TeamId};
use model::refusal::Code;
use model::states::ImageKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use store::actions::{NewAction, ResourceType};
use store::audit::Origin;
use store::images::NewCopy;
use store::servers::{BackedUp, Server};
use store::workflow::Inserted;
use store::{Store, Tx};
use workflow::{Definition, Fault, Kind, NewWorkflow, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// How many rows are looked at in one go.
const BATCH: i64 = 500;

/// Switches backups on, off, or to another time.
pub struct Arrange;

/// To what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrangeInput {
    /// The server.
    pub server: ServerId,
    /// `{plan, weekday?, hour}`; `None`: no backups.
    pub policy: Option<Value>,
}

impl Recorded for ArrangeInput {
    fn sample() -> Self {
        Self { server: ServerId(42), policy: Some(json!({ "plan": "weekly", "weekday": "SUN", "hour": 4 })) }
    }
}

impl Kind for Arrange {
    const KIND: &'static str = "server.backups";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = ArrangeInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Arrange>(steps![WritePolicy])
}

/// Writes the policy on the server's row, which the scheduler reads.
pub struct WritePolicy;

#[async_trait]
impl Step<Site> for WritePolicy {
    type Memo = ();
    const NAME: &'static str = "write_policy";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> std::result::Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let policy = run.input::<Arrange>()?.policy;
        store::servers::set_backups(run.tx().await?, work.team, work.id, policy.as_ref()).await?;
        Ok(Outcome::done(()))
    }
}

/// When a server is backed up; `None`: it is not. What cannot be read is the usual policy, because a backup at another
/// time than was asked for is better than none.
pub fn policy(server: &Server) -> Option<Policy> {
    server.backups.then(|| read(server.backup_policy.as_ref(), server.id))
}

/// In which window a server is backed up next; `None`: it is not.
pub fn next_window(server: &Server, now: Timestamp) -> Option<Window> {
    policy(server).map(|policy| policy.next_window(now, server.backups_served))
}

fn read(stored: Option<&Value>, server: ServerId) -> Policy {
    let readable = stored.and_then(|value| serde_json::from_value(value.clone()).ok());
    readable.or_else(|| Policy::choose(Asked::default(), seed(server)).ok()).unwrap_or_default()
}

fn seed(server: ServerId) -> u64 {
    u64::from(server.0.unsigned_abs())
}

/// Begins every backup that is due, one transaction each; how many. A server that is busy is asked again next time. Runs
/// once a minute in every observer.
pub async fn run_due(store: &Store, now: Timestamp) -> Result<usize> {
    let (mut begun, mut after) = (0, ServerId(0));
    loop {
        let servers = {
            let mut connection = store.connection().await?;
            store::servers::backed_up(&mut connection, after, BATCH).await?
        };
        let Some(last) = servers.last() else { return Ok(begun) };
        after = last.id;
        for server in &servers {
            let policy = read(server.policy.as_ref(), server.id);
            if !policy.is_due(now, server.served, seed(server.id)) {
                continue;
            }
            match begin(store, server, policy, now).await {
                Ok(true) => begun += 1,
                Ok(false) => {}
                // The others are not to go without because of one.
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(server = %server.id, %error, cause, "a backup could not be begun");
                }
            }
        }
    }
}

/// False: somebody else has taken it, or the server is busy with something else.
async fn begin(store: &Store, due: &BackedUp, policy: Policy, now: Timestamp) -> Result<bool> {
    let mut tx = store.tenant(due.team).await?;
    if !store::servers::claim_backup(&mut tx, due, now).await? {
        return Ok(false);
    }
    let Some(server) = store::servers::get(&mut tx, due.team, due.id).await? else { return Ok(false) };
    let name = format!("{} {}", server.name, now.strftime("%Y-%m-%d %H:%M"));
    let new = NewCopy {
        team: due.team,
        server: server.id,
        kind: ImageKind::Backup,
        name: name.get(..255).unwrap_or(&name),
        region: &server.region,
        min_disk_gb: server.disk_gb,
        expires_at: Some(policy.keep_until(now)),
    };
    let image = store::images::insert_copy(&mut tx, &new).await?;
    if !start(&mut tx, due.team, &server, image).await? {
        return Ok(false);
    }
    let detail = json!({ "image": image });
    trace(&mut tx, due.team, "droplet.backup", &super::urn(server.id), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(true)
}

async fn start(tx: &mut Tx, team: TeamId, server: &Server, image: ImageId) -> Result<bool> {
    let input = SnapshotInput { server: server.id, image };
    let new = NewWorkflow::of::<Snapshot>(server_subject(server.id), &input).team(team).parent(server.workflow);
    let region: &RegionSlug = &server.region;
    let action = NewAction {
        team,
        workflow: new.id(),
        direction: "make",
        kind: "backup",
        resource_type: ResourceType::Server,
        resource_id: server.id.0,
        region: Some(region),
    };
    let free = store::actions::begin(tx, &action).await?.is_some();
    Ok(free && new.insert(tx).await? == Inserted::New)
}

/// Deletes backups whose time is over; how many. One that a server is just being made from is left for next time.
pub async fn prune(store: &Store, now: Timestamp) -> Result<usize> {
    let expired = {
        let mut connection = store.connection().await?;
        store::images::expired(&mut connection, now, BATCH).await?
    };
    let mut deleted = 0;
    for (team, image) in expired {
        let mut tx = store.tenant(team).await?;
        match crate::image::verbs::leave(&mut tx, team, image).await {
            Ok(()) => {
                trace(&mut tx, team, "image.expire", &crate::image::verbs::urn(image), &json!({})).await?;
                tx.commit().await.map_err(store::Error::from)?;
                deleted += 1;
            }
            // Not found: another process was faster.
            Err(Error::Refused(refusal)) if matches!(refusal.code, Code::InUse | Code::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}

/// Audit and event of what the product does by itself: no token, and a request id of its own.
async fn trace(tx: &mut Tx, team: TeamId, operation: &str, urn: &str, detail: &Value) -> Result<()> {
    let origin = Origin { team, token: None, request_id: uuid::Uuid::now_v7() };
    Ok(store::audit::append_with_event(tx, origin, operation, urn, detail).await?)
}
