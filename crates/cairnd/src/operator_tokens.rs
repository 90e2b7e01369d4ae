//! `cairnd operator-token`: tokens for those who run the installation, made where the database can be reached and nowhere
//! else. A secret is printed once, and kept by nobody but whoever reads it then.

use crate::arguments::OperatorTokenCommand;
use crate::settings::{Problem, Settings};
use anyhow::Result;
use api::edge::operations::{Permission, enumerate};
use jiff::{SignedDuration, Timestamp};
use model::ids::OperatorTokenId;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use store::Store;
use store::operators::{self, Listed, Origin};

/// Does it.
pub(crate) async fn run(settings: &Settings, command: OperatorTokenCommand) -> Result<()> {
    let store = Store::connect(settings.require_database()?, settings.database_connections).await?;
    if !store::readiness::migrated(&store).await.unwrap_or(false) {
        let fix = "run `cairnd migrate` first, with the same settings";
        return Err(Problem::new("the database has another schema than this build expects", fix).into());
    }
    let told = match command {
        OperatorTokenCommand::Create { name, scopes, days } => create(&store, &name, &scopes, days).await?,
        OperatorTokenCommand::List => list(&store).await?,
        OperatorTokenCommand::Revoke { id } => revoke(&store, &id).await?,
    };
    std::io::stdout().write_all(told.as_bytes())?;
    Ok(())
}

/// Makes a token; its secret, and nothing else, so that it can be piped into a file.
async fn create(store: &Store, name: &str, scopes: &[String], days: Option<u32>) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.len() > 255 {
        return Err(Problem::new("--name is empty or too long", "name whoever is going to use it").into());
    }
    check(scopes)?;
    let until =
        days.and_then(|days| Timestamp::now().checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok());
    let mut tx = store.begin().await?;
    let minted = operators::mint_until(&mut tx, name, scopes, until).await?;
    let detail = serde_json::json!({ "name": name, "scopes": scopes, "expires_at": until });
    record(&mut tx, "operator_token.create", minted.id, &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    tracing::info!(token = %minted.id.0, "made an operator's token; its secret is shown once, on stdout");
    Ok(format!("{}\n", minted.secret.reveal()))
}

async fn list(store: &Store) -> Result<String> {
    let mut table = format!("{:36}  {:24}  {:20}  {:20}  SCOPES\n", "ID", "NAME", "STATE", "LAST USED");
    for token in operators::list(store).await? {
        let scopes = if token.scopes.is_empty() { "everything".to_owned() } else { token.scopes.join(",") };
        let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at| at.strftime("%FT%TZ").to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{:36}  {:24}  {:20}  {used:20}  {scopes}", token.id.0, token.name, state(&token));
    }
    Ok(table)
}

fn state(token: &Listed) -> String {
    match (token.revoked_at, token.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) if at <= Timestamp::now() => "expired".to_owned(),
        (None, Some(at)) => format!("until {}", at.strftime("%F")),
        (None, None) => "valid".to_owned(),
    }
}

async fn revoke(store: &Store, id: &str) -> Result<String> {
    let unknown = || {
        let fix = "`cairnd operator-token list` shows those that there are";
        Problem::new(format!("{id:?} is no valid operator token's id"), fix)
    };
    let token = OperatorTokenId(id.parse().map_err(|_| unknown())?);
    let mut tx = store.begin().await?;
    if !operators::revoke(&mut tx, token).await? {
        return Err(unknown().into());
    }
    record(&mut tx, "operator_token.revoke", token, &serde_json::json!({})).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(format!("{id}: revoked; its next request is refused\n"))
}

async fn record(tx: &mut store::Tx, operation: &str, token: OperatorTokenId, detail: &serde_json::Value) -> Result<()> {
    let origin = Origin { token: None, request_id: uuid::Uuid::now_v7() };
    operators::record(tx, origin, operation, &format!("operator_token:{}", token.0), detail).await?;
    Ok(())
}

/// A misspelt scope would make a token that opens nothing.
fn check(scopes: &[String]) -> Result<(), Problem> {
    let mut known = BTreeSet::new();
    for operation in enumerate(&api::document()) {
        if let Some(Permission::Operator(scopes)) = operation.permission {
            known.extend(scopes);
        }
    }
    match scopes.iter().find(|scope| !known.contains(*scope)) {
        None => Ok(()),
        Some(unknown) => {
            let all = known.into_iter().collect::<Vec<_>>().join(", ");
            Err(Problem::new(
                format!("--scope {unknown:?} is none of those that there are: {all}"),
                "write one of these, or no --scope for a token that may do everything",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scopes_that_open_something_are_taken() {
        check(&[]).unwrap();
        check(&["region:read".to_owned(), "guest:adopt".to_owned()]).unwrap();
        let wrong = check(&["regions:read".to_owned()]).unwrap_err().to_string();
        let said = wrong.lines().next().unwrap();
        assert!(["regions:read", "alert:read", "region:update"].iter().all(|scope| said.contains(scope)), "{wrong}");
    }

    #[tokio::test]
    async fn a_token_is_made_listed_and_revoked() {
        let database = store::testing::database().await;
        let store = database.store();
        let secret = create(store, "night shift", &["alert:read".to_owned()], Some(2)).await.unwrap();
        let hash = store::tenancy::hash_secret(secret.trim_end());
        let token = operators::authenticate(store, &hash).await.unwrap().unwrap();
        assert_eq!((token.name.as_str(), token.scopes.as_slice()), ("night shift", &["alert:read".to_owned()][..]));
        assert!(token.expires_at.unwrap() > Timestamp::now());
        let listed = list(store).await.unwrap();
        assert!(listed.contains("night shift") && listed.contains("until ") && !listed.contains(secret.trim_end()));
        revoke(store, &token.id.0.to_string()).await.unwrap();
        assert!(operators::authenticate(store, &hash).await.unwrap().is_none());
        assert!(list(store).await.unwrap().contains("revoked"));
        assert!(revoke(store, &token.id.0.to_string()).await.is_err(), "once");
        assert!(revoke(store, "night shift").await.unwrap_err().to_string().contains("operator-token list"));
        assert!(create(store, " ", &[], None).await.is_err());
    }
}
