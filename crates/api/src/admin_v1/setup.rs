//! How to prepare a provider's side: what its administrator runs there, so that Cairn may do what it needs and no more.

use crate::edge::{AsOperator, Id, Json, Problem, Query, Result};
use crate::{Api, SetupWish};
use axum::extract::State;
use model::refusal::Refusal;
use utoipa::IntoParams;
use wire::admin::{ProviderSetup, ProviderSetupResponse};

/// What of the provider is to be used; what is not said is as usual there.
#[derive(serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wish {
    /// What the token is to be called, such as `cairn@pve!cairn`.
    token_id: Option<String>,
    /// Where servers' disks go.
    storage: Option<String>,
    /// Where images are downloaded to.
    file_storage: Option<String>,
    /// The bridge of the public network.
    bridge: Option<String>,
    /// The version of the software there, such as `9.0`.
    version: Option<String>,
    /// The mappings whose devices servers may be given, separated by commas: `a100,l4`.
    gpu_mappings: Option<String>,
}

/// Show how to prepare a provider
///
/// The script makes a user, a token and roles with the least privileges; its administrator reads it and runs it there.
#[utoipa::path(get, path = "/admin/v1/providers/{provider}/setup", operation_id = "admin_providers_setup",
    tag = "Admin", params(("provider" = String, Path, description = "The provider, such as `proxmox`."), Wish),
    security(("operator_auth" = ["region:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "What to run there.", body = ProviderSetupResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    _: AsOperator,
    Id(provider): Id<String>,
    Query(asked): Query<Wish>,
) -> Result<Json<ProviderSetupResponse>> {
    let mappings = asked.gpu_mappings.iter().flat_map(|list| list.split(','));
    let mappings = mappings.map(|one| word("gpu_mappings", Some(one.to_owned())));
    let wish = SetupWish {
        gpu_mappings: mappings.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect(),
        token_id: word("token_id", asked.token_id)?,
        storage: word("storage", asked.storage)?,
        file_storage: word("file_storage", asked.file_storage)?,
        bridge: word("bridge", asked.bridge)?,
        version: word("version", asked.version)?,
    };
    let script = api.options().setup_script.as_ref().and_then(|write| write(&provider, &wish));
    let script = script.ok_or_else(Problem::not_found)?;
    Ok(Json(ProviderSetupResponse { setup: ProviderSetup { provider, script } }))
}

/// A word that a shell takes as it is: somebody will run the script as root.
fn word(field: &str, value: Option<String>) -> Result<Option<String>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@!._-".contains(c);
    match value {
        Some(word) if word.is_empty() || word.len() > 128 || !word.chars().all(plain) || word.starts_with('-') => {
            Err(Refusal::field(field, "must be a word of letters, digits and `@!._-`.").into())
        }
        word => Ok(word),
    }
}
