//! Teams as operators see them: whose servers there are, and how much of their quotas they use.

use crate::rows::Columns as _;
use crate::{Result, Store};
use jiff::Timestamp;
use model::ids::{OrganizationId, TeamId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// Where its mail goes.
    pub email: String,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// That organization's name.
    pub organization_name: String,
    /// Servers that it has, and may have.
    pub servers: (i64, i64),
    /// vCPUs that it has, and may have.
    pub vcpus: (i64, i64),
    /// MiB that it has, and may have.
    pub memory_mib: (i64, i64),
    /// GB that it has, and may have.
    pub disk_gb: (i64, i64),
    /// Since when.
    pub created_at: Timestamp,
}

/// One page of the teams of a name (all of them without one), by name, and the count of all that match.
pub async fn list(store: &Store, name: Option<&str>, limit: i64, offset: i64) -> Result<(Vec<Team>, i64)> {
    let rows = sqlx::query(
        "SELECT t.id, t.name, t.email, t.organization_id, o.name AS organization, t.created_at,
                count(r.server_id) AS servers, coalesce(sum(r.vcpus), 0)::bigint AS vcpus,
                coalesce(sum(r.memory_mib), 0)::bigint AS memory_mib, coalesce(sum(r.disk_gb), 0)::bigint AS disk_gb,
                q.servers::bigint AS most_servers, q.vcpus::bigint AS most_vcpus, q.memory_mib AS most_memory_mib,
                q.disk_gb AS most_disk_gb
         FROM (SELECT * FROM teams WHERE $1::text IS NULL OR name = $1 ORDER BY name, id LIMIT $2 OFFSET $3) t
         JOIN organizations o ON o.id = t.organization_id LEFT JOIN quotas q ON q.team_id = t.id
         LEFT JOIN reservations r ON r.team_id = t.id AND r.purpose = 'home'
         GROUP BY t.id, t.name, t.email, t.organization_id, t.created_at, o.name, q.team_id ORDER BY t.name, t.id",
    )
    .bind(name)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.pool())
    .await?;
    let total = sqlx::query_scalar("SELECT count(*) FROM teams WHERE $1::text IS NULL OR name = $1")
        .bind(name)
        .fetch_one(store.pool())
        .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

fn read(row: &PgRow) -> Result<Team> {
    let of = |has: &str, most: &str| -> Result<(i64, i64)> {
        Ok((row.try_get(has)?, row.try_get::<Option<i64>, _>(most)?.unwrap_or(0)))
    };
    Ok(Team {
        id: TeamId(row.try_get("id")?),
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        organization: OrganizationId(row.try_get("organization_id")?),
        organization_name: row.try_get("organization")?,
        servers: of("servers", "most_servers")?,
        vcpus: of("vcpus", "most_vcpus")?,
        memory_mib: of("memory_mib", "most_memory_mib")?,
        disk_gb: of("disk_gb", "most_disk_gb")?,
        created_at: row.time("created_at")?,
    })
}
