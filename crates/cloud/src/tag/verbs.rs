//! What a request can do to tags.

use crate::record::record;
use crate::{Caller, Error, Result};
use model::names::TagName;
use model::refusal::{Code, Refusal};
use serde_json::json;
use store::Store;
use store::tags::{self, Resource, Tag};

/// The most resources of one request.
pub const MOST_RESOURCES: usize = 1000;

/// Makes a tag, or finds it: making one that is there already is no mistake.
pub async fn create(store: &Store, caller: &Caller, name: &str) -> Result<Tag> {
    let name = TagName::parse(name)?;
    let mut tx = store.tenant(caller.team).await?;
    if tags::insert(&mut tx, caller.team, name.as_str()).await? {
        record(&mut tx, caller, "tag.create", &urn(name.as_str()), &json!({})).await?;
    }
    let tag = tags::one(&mut tx, caller.team, name.as_str()).await?;
    tx.commit().await.map_err(store::Error::from)?;
    // Another request may have removed it between the two statements; for this one it was there.
    Ok(tag.unwrap_or_else(|| Tag { name: name.as_str().to_owned(), counts: Vec::new() }))
}

/// Removes a tag from everything that has it.
pub async fn delete(store: &Store, caller: &Caller, name: &str) -> Result<()> {
    let mut tx = store.tenant(caller.team).await?;
    let name = tags::delete(&mut tx, caller.team, name).await?.ok_or_else(Refusal::not_found)?;
    record(&mut tx, caller, "tag.delete", &urn(&name), &json!({})).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// Puts a tag on resources: all of them, or none.
pub async fn assign(store: &Store, caller: &Caller, name: &str, resources: &[Resource]) -> Result<()> {
    check(resources)?;
    let mut tx = store.tenant(caller.team).await?;
    // Clients make the tag and try again when this is a 404, so the tag is asked for before the resources.
    let name = tags::hold(&mut tx, caller.team, name).await?.ok_or_else(Refusal::not_found)?;
    let missing = tags::assign(&mut tx, caller.team, &name, resources).await?;
    if let Some(place) = missing {
        let sentence = "there is no resource of that type with that id.";
        return Err(Refusal::field(format!("resources[{place}].resource_id"), sentence).into());
    }
    record(&mut tx, caller, "tag.assign", &urn(&name), &detail(resources)).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// Takes a tag off resources.
pub async fn unassign(store: &Store, caller: &Caller, name: &str, resources: &[Resource]) -> Result<()> {
    check(resources)?;
    let mut tx = store.tenant(caller.team).await?;
    let name = tags::hold(&mut tx, caller.team, name).await?.ok_or_else(Refusal::not_found)?;
    tags::unassign(&mut tx, caller.team, &name, resources).await?;
    record(&mut tx, caller, "tag.unassign", &urn(&name), &detail(resources)).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

fn check(resources: &[Resource]) -> Result<()> {
    if resources.len() > MOST_RESOURCES {
        return Err(Refusal::field("resources", format!("may name at most {MOST_RESOURCES} resources at once.")).into());
    }
    for (place, resource) in resources.iter().enumerate() {
        if !matches!(resource.resource_type, "droplet" | "image") {
            let sentence = format!("there are no resources of the type {} here.", resource.resource_type);
            let refusal = Refusal::new(Code::Unsupported, sentence).at(format!("resources[{place}].resource_type"));
            return Err(Error::Refused(refusal));
        }
    }
    Ok(())
}

fn urn(name: &str) -> String {
    format!("do:tag:{name}")
}

fn detail(resources: &[Resource]) -> serde_json::Value {
    let names: Vec<_> = resources.iter().map(|one| format!("do:{}:{}", one.resource_type, one.id)).collect();
    json!({ "resources": names })
}
