//! The schema goes up, all the way down, and up again to the same.

use store::testing::{self, TestDatabase};
use tokio::process::Command;

/// The schema as `pg_dump` writes it, without what differs from run to run.
async fn schema(database: &TestDatabase) -> String {
    let program = newest_pg_dump();
    let output = Command::new(program)
        .args(["--schema-only", "--exclude-table=_sqlx_migrations", "--dbname"])
        .arg(database.url().replace("&sslmode=disable", ""))
        .output()
        .await
        .expect("pg_dump, which comes with PostgreSQL");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // \restrict and \unrestrict carry a random key since the releases of August 2025.
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.starts_with("\\") && !line.starts_with("--")).collect::<Vec<_>>().join("\n")
}

/// A dump program older than the server refuses to work; each version stands in its own directory on Debian.
fn newest_pg_dump() -> std::path::PathBuf {
    let version = |path: &std::path::PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let entries = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = entries.filter(|path| version(path).is_some()).max_by_key(version);
    let there = newest.map(|path| path.join("bin/pg_dump")).filter(|path| path.is_file());
    there.unwrap_or_else(|| "pg_dump".into())
}

#[tokio::test]
async fn up_down_up() {
    let database = testing::empty_database().await;
    let nothing = schema(&database).await;
    database.store().migrate().await.unwrap();
    let first = schema(&database).await;
    assert!(first.contains("CREATE TABLE public.teams"), "{first}");

    store::MIGRATIONS.undo(database.store().pool(), 0).await.unwrap();
    assert_eq!(schema(&database).await, nothing, "the way down leaves something behind");

    database.store().migrate().await.unwrap();
    assert_eq!(schema(&database).await, first, "the second way up differs from the first");
}

/// Each migration alone: a way down that only works because a later one cleared the field is found here.
#[tokio::test]
async fn every_migration_can_be_undone_by_itself() {
    let database = testing::empty_database().await;
    let mut versions: Vec<i64> = store::MIGRATIONS.iter().map(|migration| migration.version).collect();
    versions.dedup();
    let pool = database.store().pool();
    let mut before = 0;
    for version in versions {
        let untouched = schema(&database).await;
        store::MIGRATIONS.run_to(version, pool).await.unwrap();
        store::MIGRATIONS.undo(pool, before).await.unwrap();
        assert_eq!(schema(&database).await, untouched, "migration {version} leaves something behind");
        store::MIGRATIONS.run_to(version, pool).await.unwrap();
        before = version;
    }
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let database = testing::database().await;
    let before = schema(&database).await;
    database.store().migrate().await.unwrap();
    assert_eq!(schema(&database).await, before);
}
