//! Alerts: what somebody should look at.

use crate::Api;
use crate::edge::{AsOperator, Id, Json, PageParameters, Paging, Query, Result};
use axum::extract::State;
use store::alerts::Which;
use utoipa::IntoParams;
use wire::admin::{Alert, AlertList, AlertResponse};

/// What the list can be narrowed to.
#[derive(serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Narrow {
    /// `true`: also those that are over.
    all: Option<bool>,
}

/// List the alerts
#[utoipa::path(get, path = "/admin/v1/alerts", operation_id = "admin_alerts_list", tag = "Admin",
    params(PageParameters, Narrow),
    security(("operator_auth" = ["alert:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of alerts, the newest first.", body = AlertList)))]
pub(super) async fn list(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(narrow): Query<Narrow>,
) -> Result<Json<AlertList>> {
    let which = if narrow.all == Some(true) { Which::All } else { Which::Open };
    let (alerts, total) = store::alerts::list(api.store(), which, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, alerts.into_iter().map(wire).collect(), total))
}

/// Acknowledge an alert
///
/// Says that somebody knows. It stays open until what it speaks of is over.
#[utoipa::path(post, path = "/admin/v1/alerts/{alert_id}/acknowledge", operation_id = "admin_alerts_acknowledge",
    tag = "Admin", params(("alert_id" = i64, Path, description = "The alert.")),
    security(("operator_auth" = ["alert:update"])),
    extensions(("x-cairn" = json!({"audit": "alert.acknowledge", "rate": "standard"}))),
    responses((status = 200, description = "The alert.", body = AlertResponse)))]
pub(super) async fn acknowledge(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Id(id): Id<i64>,
) -> Result<Json<AlertResponse>> {
    let alert = cloud::alert::acknowledge(api.store(), &operator, id).await?;
    Ok(Json(AlertResponse { alert: wire(alert) }))
}

fn wire(alert: store::alerts::Alert) -> Alert {
    Alert {
        id: alert.id,
        severity: alert.severity,
        kind: alert.kind,
        subject: alert.subject,
        message: alert.message,
        raised_at: alert.raised_at.into(),
        acknowledged_at: alert.acknowledged_at.map(Into::into),
        resolved_at: alert.resolved_at.map(Into::into),
    }
}
