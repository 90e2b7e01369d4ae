//! Row-level security: a query of the API's role that forgets its team filter finds nothing of another team.

use model::ids::TeamId;
use store::testing::{self, TestDatabase};
use uuid::Uuid;

/// Two organizations with one team each, and one token and one quota per team.
async fn two_teams(database: &TestDatabase) -> [TeamId; 2] {
    let mut tx = database.store().begin().await.unwrap();
    let mut teams = Vec::new();
    for name in ["red", "blue"] {
        let (organization, team) = (Uuid::now_v7(), Uuid::now_v7());
        sqlx::query("INSERT INTO organizations (id, name) VALUES ($1, $2)")
            .bind(organization)
            .bind(name)
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("INSERT INTO teams (id, organization_id, name, email) VALUES ($1, $2, $3, 'a@example.org')")
            .bind(team)
            .bind(organization)
            .bind(name)
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("INSERT INTO tokens (id, team_id, name, secret_hash) VALUES ($1, $2, $3, sha256($3::bytea))")
            .bind(Uuid::now_v7())
            .bind(team)
            .bind(name)
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO quotas (team_id, servers, vcpus, memory_mib, disk_gb, snapshots, ssh_keys)
             VALUES ($1, 1, 1, 1, 1, 1, 1)",
        )
        .bind(team)
        .execute(&mut *tx)
        .await
        .unwrap();
        teams.push(TeamId(team));
    }
    tx.commit().await.unwrap();
    [teams[0], teams[1]]
}

/// Table and the column that names the team, for what 0001 creates.
const TENANT_TABLES: [(&str, &str); 3] = [("teams", "id"), ("tokens", "team_id"), ("quotas", "team_id")];

#[tokio::test]
async fn a_team_sees_its_own_rows_only() {
    let database = testing::database().await;
    for team in two_teams(&database).await {
        let mut tx = database.store().tenant(team).await.unwrap();
        for (table, column) in TENANT_TABLES {
            let all = sqlx::AssertSqlSafe(format!("SELECT {column} FROM {table}"));
            let seen: Vec<Uuid> = sqlx::query_scalar(all).fetch_all(&mut *tx).await.unwrap();
            assert_eq!(seen, [team.0], "{table}");
        }
    }
}

#[tokio::test]
async fn without_a_team_nothing_is_seen() {
    let database = testing::database().await;
    two_teams(&database).await;
    let mut tx = database.store().begin().await.unwrap();
    sqlx::query("SET LOCAL ROLE cairn_api").execute(&mut *tx).await.unwrap();
    for (table, column) in TENANT_TABLES {
        let all = sqlx::AssertSqlSafe(format!("SELECT {column} FROM {table}"));
        let seen: Vec<Uuid> = sqlx::query_scalar(all).fetch_all(&mut *tx).await.unwrap();
        assert!(seen.is_empty(), "{table}");
    }
}

#[tokio::test]
async fn a_team_cannot_write_another_teams_rows() {
    let database = testing::database().await;
    let [red, blue] = two_teams(&database).await;
    let mut tx = database.store().tenant(red).await.unwrap();
    let changed = sqlx::query("UPDATE tokens SET name = 'mine now'").execute(&mut *tx).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let planted = sqlx::query("INSERT INTO tokens (id, team_id, name, secret_hash) VALUES ($1, $2, 'x', sha256('x'))")
        .bind(Uuid::now_v7())
        .bind(blue.0)
        .execute(&mut *tx)
        .await;
    let refused = planted.unwrap_err();
    // insufficient_privilege: "new row violates row-level security policy"
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "{refused}");
}

/// The connection goes back to the pool as the daemon's own: the role and the team end with the transaction.
#[tokio::test]
async fn the_team_ends_with_its_transaction() {
    let database = testing::database().await;
    let [red, _] = two_teams(&database).await;
    drop(database.store().tenant(red).await.unwrap());
    for _ in 0..4 {
        let mut tx = database.store().begin().await.unwrap();
        let teams: i64 = sqlx::query_scalar("SELECT count(*) FROM teams").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(teams, 2);
    }
}

/// Generic over what later migrations add: a table that the API's role may read is either under row-level
/// security, or has no team to protect.
#[tokio::test]
async fn every_readable_table_with_a_team_is_under_row_level_security() {
    let database = testing::database().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND has_any_column_privilege('cairn_api', c.oid, 'SELECT, INSERT, UPDATE')
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'team_id')
           AND NOT c.relrowsecurity",
    )
    .fetch_all(database.store().pool())
    .await
    .unwrap();
    assert!(open.is_empty(), "readable by every team: {open:?}");
}
