//! Glances: what a worker fetched from a guest for a tenant that asked to see it. Kept for minutes.

use crate::{Result, Store, Tx};
use model::ids::{ServerId, TeamId, WorkflowId};

/// Writes what was fetched; `None`: there is nothing to see. Old ones go at the same time.
pub async fn write(
    tx: &mut Tx,
    workflow: WorkflowId,
    team: TeamId,
    server: ServerId,
    content: Option<&[u8]>,
) -> Result<()> {
    sqlx::query(
        "WITH old AS (DELETE FROM glances WHERE created_at < now() - interval '10 minutes')
         INSERT INTO glances (workflow_id, team_id, server_id, content) VALUES ($1, $2, $3, $4)
         ON CONFLICT (workflow_id) DO UPDATE SET content = $4",
    )
    .bind(workflow.0)
    .bind(team.0)
    .bind(server.0)
    .bind(content)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What was fetched. The outer `None`: not yet.
pub async fn read(store: &Store, team: TeamId, workflow: WorkflowId) -> Result<Option<Option<Vec<u8>>>> {
    let mut tx = store.tenant(team).await?;
    Ok(sqlx::query_scalar("SELECT content FROM glances WHERE team_id = $1 AND workflow_id = $2")
        .bind(team.0)
        .bind(workflow.0)
        .fetch_optional(&mut *tx)
        .await?)
}
