//! What a request can do to SSH keys.

use crate::record::record;
use crate::{Caller, Result};
use model::names::KeyName;
use model::quota::{self, Amounts};
use model::refusal::Refusal;
use model::ssh::PublicKey;
use serde_json::json;
use store::keys::{self, Key, Which};
use store::{Store, Tx};

/// The public key of a team; at most one of each fingerprint.
pub async fn create(store: &Store, caller: &Caller, name: &str, public_key: &str) -> Result<Key> {
    let name = KeyName::parse(name)?;
    let key = PublicKey::parse(public_key)?;
    let mut tx = store.tenant(caller.team).await?;
    let quota = store::quota::lock(&mut tx).await?;
    let used = Amounts { ssh_keys: keys::count(&mut tx, caller.team).await?, ..quota.used };
    let inserted = keys::insert(&mut tx, caller.team, name.as_str(), key.line(), key.fingerprint()).await?;
    // Before the limit: who has the key already is not helped by being told to delete another.
    let id = inserted.ok_or_else(|| Refusal::field("public_key", "SSH Key is already in use on your account"))?;
    quota::admit(&quota.limits, &used, &Amounts::ssh_key())?;
    let key = Key {
        id,
        name: name.as_str().to_owned(),
        public_key: key.line().to_owned(),
        fingerprint: key.fingerprint().to_owned(),
    };
    finish(tx, caller, "ssh_key.create", &key).await
}

/// Gives a key another name; without one, nothing changes.
pub async fn rename(store: &Store, caller: &Caller, which: Which<'_>, name: Option<&str>) -> Result<Key> {
    let name = name.map(KeyName::parse).transpose()?;
    let mut tx = store.tenant(caller.team).await?;
    let renamed = keys::rename(&mut tx, caller.team, which, name.as_ref().map(KeyName::as_str)).await?;
    let key = renamed.ok_or_else(Refusal::not_found)?;
    finish(tx, caller, "ssh_key.update", &key).await
}

/// Removes a key. Servers that were given it keep it.
pub async fn delete(store: &Store, caller: &Caller, which: Which<'_>) -> Result<()> {
    let mut tx = store.tenant(caller.team).await?;
    let key = keys::delete(&mut tx, caller.team, which).await?.ok_or_else(Refusal::not_found)?;
    finish(tx, caller, "ssh_key.delete", &key).await?;
    Ok(())
}

async fn finish(mut tx: Tx, caller: &Caller, operation: &str, key: &Key) -> Result<Key> {
    let detail = json!({ "name": key.name, "fingerprint": key.fingerprint });
    record(&mut tx, caller, operation, &format!("do:ssh_key:{}", key.id), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(key.clone())
}
