//! `cairnd dev`: a whole cloud in one directory. Brings a PostgreSQL of its own and makes the first organization,
//! team and token; everything else is what an installation of any size runs.

use crate::certificates::Certificates;
use crate::demonstration::Demonstration;
use crate::files;
use crate::prepare;
use crate::roles::{self, Role};
use crate::settings::Settings;
use anyhow::{Context, Result};
use model::catalogue::Catalogue;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use store::Store;
use store::private::PrivatePostgres;
use tokio_util::sync::CancellationToken;

/// The name of the database in the private cluster.
const DATABASE: &str = "cairn";
/// Whoever still holds a connection by then loses it.
const CLOSING: Duration = Duration::from_secs(2);

/// Runs until `stopping`.
pub(crate) async fn run(settings: &Settings, stopping: CancellationToken) -> Result<()> {
    let everything = [Role::Serve, Role::Work, Role::Observe];
    // First, so that an address in use is reported before anything is started.
    let sockets = roles::sockets(settings, &everything)?;
    let catalogue = prepare::catalogue(settings)?;
    let (demo, catalogue) = Demonstration::offer(settings, catalogue).await?;
    let postgres = PrivatePostgres::start(&settings.data_dir.join("postgres")).await?;
    let outcome = with_database(settings, &catalogue, &postgres, |store| async move {
        announce(settings)?;
        roles::run(settings, store, &everything, sockets, stopping).await
    })
    .await;
    drop(demo);
    // Also after a failure: nothing of ours is left behind.
    let stopped = postgres.stop().await.context("the private PostgreSQL did not stop");
    outcome.and(stopped)
}

async fn with_database<F, R>(
    settings: &Settings,
    catalogue: &Catalogue,
    postgres: &PrivatePostgres,
    then: F,
) -> Result<()>
where
    F: FnOnce(Store) -> R,
    R: Future<Output = Result<()>>,
{
    postgres.create_database_if_missing(DATABASE).await?;
    let store = Store::connect(&postgres.url(DATABASE), settings.database_connections).await?;
    prepare::apply(&store, catalogue).await?;
    first_token(&store, &settings.data_dir.join("token")).await?;
    first_operator(&store, &settings.data_dir.join("operator-token")).await?;
    let outcome = then(store.clone()).await;
    // Otherwise the database is stopped under the connections, and each of them says so in the log.
    let _ = tokio::time::timeout(CLOSING, store.pool().close()).await;
    outcome
}

/// Makes the first organization, team and token, once. The token is written where only its owner reads it.
async fn first_token(store: &Store, file: &Path) -> Result<()> {
    let made = store::tenancy::bootstrap(store, "Cairn", "Default", "operator@localhost.localdomain").await?;
    match made {
        Some(made) => files::write(file, format!("{}\n", made.token.secret.reveal()).as_bytes(), files::PRIVATE),
        None if file.exists() => Ok(()),
        None => {
            tracing::warn!(file = %file.display(), "the first token's file is gone, and its secret is kept nowhere else");
            Ok(())
        }
    }
}

/// Makes the first operator's token, once. Beside the first team's, because whoever starts this is both; the two open
/// different doors.
async fn first_operator(store: &Store, file: &Path) -> Result<()> {
    match store::operators::bootstrap(store).await? {
        Some(made) => files::write(file, format!("{}\n", made.secret.reveal()).as_bytes(), files::PRIVATE),
        None if file.exists() => Ok(()),
        None => {
            tracing::warn!(
                file = %file.display(),
                "the first operator token's file is gone, and its secret is kept nowhere else"
            );
            Ok(())
        }
    }
}

/// What a person needs to know, on stdout.
fn announce(settings: &Settings) -> Result<()> {
    let data = settings.data_dir.display();
    let mut text = format!("Cairn answers at {}\n\n  export CAIRN_TOKEN=$(cat {data}/token)\n", settings.public_url);
    let authority = Certificates::from_settings(settings).authority_file();
    let trust = authority.map(|file| format!(" --ca {}", file.display())).unwrap_or_default();
    text += &format!("  cairn login --url {}{trust} --token-file {data}/token\n", settings.public_url);
    text += &format!("  cairn admin login --operator-token-file {data}/operator-token   # for operators\n");
    // Whoever started us may have closed the other end of a pipe; that is no reason to stop.
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}
