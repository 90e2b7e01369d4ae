//! The API that is compatible with DigitalOcean's. One file per resource.

mod account;
mod actions;
mod backups;
mod image_actions;
mod image_transfers;
mod images;
mod keys;
mod regions;
mod server_actions;
mod server_copies;
mod servers;
pub(crate) mod shapes;
mod sizes;
mod snapshots;
mod tags;

use crate::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(account::show))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::update, keys::delete))
        .routes(routes!(regions::list))
        .routes(routes!(servers::list, servers::create, servers::destroy_tagged))
        .routes(routes!(servers::show, servers::destroy))
        .routes(routes!(servers::kernels))
        .routes(routes!(servers::firewalls))
        .routes(routes!(servers::neighbors))
        .routes(routes!(servers::neighbor_ids))
        .routes(routes!(server_copies::snapshots))
        .routes(routes!(server_copies::backups))
        .routes(routes!(server_copies::associated))
        .routes(routes!(server_copies::destroy_selected))
        .routes(routes!(server_copies::destroy_all))
        .routes(routes!(server_copies::destroy_status))
        .routes(routes!(server_copies::destroy_again))
        .routes(routes!(server_actions::list, server_actions::ask))
        .routes(routes!(server_actions::ask_tagged))
        .routes(routes!(server_actions::show))
        .routes(routes!(actions::list))
        .routes(routes!(actions::show))
        .routes(routes!(backups::supported))
        .routes(routes!(backups::list))
        .routes(routes!(backups::show))
        .routes(routes!(images::list, images::create))
        .routes(routes!(images::show, images::update, images::delete))
        .routes(routes!(image_transfers::create))
        .routes(routes!(image_transfers::accept))
        .routes(routes!(image_transfers::cancel))
        .routes(routes!(image_transfers::decline))
        .routes(routes!(image_actions::list, image_actions::ask))
        .routes(routes!(image_actions::show))
        .routes(routes!(snapshots::list))
        .routes(routes!(snapshots::show, snapshots::delete))
        .routes(routes!(sizes::list))
        .routes(routes!(tags::list, tags::create))
        .routes(routes!(tags::show, tags::delete))
        .routes(routes!(tags::assign, tags::unassign))
}
