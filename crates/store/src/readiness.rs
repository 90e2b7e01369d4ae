//! Whether the database is the one that this build was made for.

use crate::{MIGRATIONS, Result, Store};

/// Whether every migration of this build, and none beyond, has been run.
pub async fn migrated(store: &Store) -> Result<bool> {
    let run: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
        .fetch_all(store.pool())
        .await?;
    let mut known: Vec<i64> = MIGRATIONS
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration())
        .map(|m| m.version)
        .collect();
    known.sort_unstable();
    Ok(run == known)
}
