//! `cairn account`, `quota`, `size` and `region`: what is only looked at.

use crate::client::Call;
use crate::failure::Result;
use crate::session::Session;
use clap::Subcommand;
use wire::account::Account;
use wire::cloud::QuotaResponse;
use wire::region::Region;
use wire::size::Size;

/// What can be done with sizes.
#[derive(Debug, Subcommand)]
pub(crate) enum SizeCommand {
    /// List sizes
    List,
}

/// What can be done with regions.
#[derive(Debug, Subcommand)]
pub(crate) enum RegionCommand {
    /// List regions
    List,
}

/// Shows the account.
pub(crate) async fn show(session: &Session) -> Result<()> {
    let account = session.client.one::<Account>(&Call::get(&[&"v2", &"account"]), "account").await?;
    session.printer.one(&account)
}

/// Shows the quota.
pub(crate) async fn quota(session: &Session) -> Result<()> {
    let quota = session.client.whole::<QuotaResponse>(&Call::get(&[&"cloud", &"v1", &"quotas"])).await?;
    session.printer.one(&quota)
}

/// Lists the sizes.
pub(crate) async fn sizes(session: &Session) -> Result<()> {
    session.printer.many(&session.client.list::<Size>(&Call::get(&[&"v2", &"sizes"]), "sizes").await?)
}

/// Lists the regions.
pub(crate) async fn regions(session: &Session) -> Result<()> {
    session.printer.many(&session.client.list::<Region>(&Call::get(&[&"v2", &"regions"]), "regions").await?)
}
