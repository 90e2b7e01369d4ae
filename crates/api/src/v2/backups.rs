//! When servers are backed up.

use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Result};
use axum::extract::State;
use cloud::server::backups;
use jiff::Timestamp;
use model::backup::{self, Plan, Policy, WINDOW_HOURS};
use model::ids::ServerId;
use store::servers::{Filter, Server};
use wire::envelope::{List, Meta, PageLinks};
use wire::server_backup::{
    BackupPlan, BackupPolicy, BackupPolicyMap, BackupPolicyRecord, BackupPolicyResponse, BackupWindow,
    SupportedBackupPolicies, SupportedBackupPolicy, Weekday,
};

fn wire(policy: Policy) -> BackupPolicy {
    BackupPolicy {
        plan: Some(match policy.plan() {
            Plan::Daily => BackupPlan::Daily,
            Plan::Weekly => BackupPlan::Weekly,
        }),
        weekday: policy.weekday().map(|day| match day {
            backup::Weekday::Sun => Weekday::Sun,
            backup::Weekday::Mon => Weekday::Mon,
            backup::Weekday::Tue => Weekday::Tue,
            backup::Weekday::Wed => Weekday::Wed,
            backup::Weekday::Thu => Weekday::Thu,
            backup::Weekday::Fri => Weekday::Fri,
            backup::Weekday::Sat => Weekday::Sat,
        }),
        hour: Some(policy.hour()),
        window_length_hours: Some(WINDOW_HOURS),
        retention_period_days: Some(policy.plan().retention_days()),
    }
}

/// A policy as a request words it.
pub(super) fn asked(policy: BackupPolicy) -> backup::Asked {
    backup::Asked {
        plan: policy.plan.map(|plan| match plan {
            BackupPlan::Daily => Plan::Daily,
            BackupPlan::Weekly => Plan::Weekly,
        }),
        weekday: policy.weekday.map(|day| match day {
            Weekday::Sun => backup::Weekday::Sun,
            Weekday::Mon => backup::Weekday::Mon,
            Weekday::Tue => backup::Weekday::Tue,
            Weekday::Wed => backup::Weekday::Wed,
            Weekday::Thu => backup::Weekday::Thu,
            Weekday::Fri => backup::Weekday::Fri,
            Weekday::Sat => backup::Weekday::Sat,
        }),
        hour: policy.hour,
    }
}

/// In which window a server is backed up next, if it is.
pub(super) fn next_window(server: &Server, now: Timestamp) -> Option<BackupWindow> {
    backups::next_window(server, now).map(|window| BackupWindow { start: window.start.into(), end: window.end.into() })
}

fn record(server: &Server, now: Timestamp) -> BackupPolicyRecord {
    BackupPolicyRecord {
        server_id: server.id,
        backup_enabled: server.backups,
        backup_policy: backups::policy(server).map(wire),
        next_backup_window: next_window(server, now),
    }
}

/// Show when a server is backed up
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/backups/policy", operation_id = "droplets_get_backup_policy",
    tag = "Droplets", params(("droplet_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The policy.", body = BackupPolicyResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<Json<BackupPolicyResponse>> {
    let mut tx = api.store().tenant(caller.team).await?;
    let server = store::servers::get(&mut tx, caller.team, id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(BackupPolicyResponse { policy: record(&server, Timestamp::now()) }))
}

/// A page of records on its way to being the one list of this API that is an object.
struct Page {
    records: Vec<BackupPolicyRecord>,
    links: PageLinks,
    meta: Meta,
}

impl List for Page {
    type Item = BackupPolicyRecord;
    fn new(records: Vec<BackupPolicyRecord>, links: PageLinks, meta: Meta) -> Self {
        Self { records, links, meta }
    }
    fn into_items(self) -> Vec<BackupPolicyRecord> {
        self.records
    }
    fn links(&self) -> &PageLinks {
        &self.links
    }
    fn meta(&self) -> Meta {
        self.meta
    }
}

/// List when each server is backed up
#[utoipa::path(get, path = "/v2/droplets/backups/policies", operation_id = "droplets_list_backup_policies",
    tag = "Droplets", params(PageParameters),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of policies, by server.", body = BackupPolicyMap)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    paging: Paging,
) -> Result<Json<BackupPolicyMap>> {
    let mut tx = api.store().tenant(caller.team).await?;
    let (servers, total) =
        store::servers::list(&mut tx, caller.team, &Filter::default(), paging.limit(), paging.offset()).await?;
    let now = Timestamp::now();
    let Json(page): Json<Page> = paging.answer(&api, servers.iter().map(|server| record(server, now)).collect(), total);
    let policies = page.records.into_iter().map(|record| (record.server_id.to_string(), record)).collect();
    Ok(Json(BackupPolicyMap { policies, links: page.links, meta: page.meta }))
}

/// List what can be set
#[utoipa::path(get, path = "/v2/droplets/backups/supported_policies",
    operation_id = "droplets_list_supported_backup_policies", tag = "Droplets",
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "One entry for each plan.", body = SupportedBackupPolicies)))]
pub(super) async fn supported(_: Authenticated) -> Json<SupportedBackupPolicies> {
    let days = |plan| match plan {
        Plan::Daily => Vec::new(),
        Plan::Weekly => backup::Weekday::ALL.iter().map(|day| day.as_str().to_owned()).collect(),
    };
    let supported = |plan: Plan| SupportedBackupPolicy {
        name: plan.as_str().to_owned(),
        possible_window_starts: backup::HOURS.to_vec(),
        window_length_hours: WINDOW_HOURS,
        retention_period_days: plan.retention_days(),
        possible_days: days(plan),
    };
    Json(SupportedBackupPolicies { supported_policies: Plan::ALL.into_iter().map(supported).collect() })
}
