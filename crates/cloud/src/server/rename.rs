//! Rename: the row, and the seed that the next boot reads.

use super::power::{self, subject};
use crate::site::{self, Site};
use async_trait::async_trait;
use model::ids::ServerId;
use model::names::ServerName;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// Gives a server another name.
pub struct Rename;

/// Which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameInput {
    /// The server.
    pub server: ServerId,
    /// The new name.
    pub name: ServerName,
}

impl Recorded for RenameInput {
    fn sample() -> Self {
        #[allow(clippy::expect_used)] // a constant; the snapshot test calls this
        let name = ServerName::parse("web-2").expect("a valid name");
        Self { server: ServerId(42), name }
    }
}

impl Kind for Rename {
    const KIND: &'static str = "server.rename";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(120);
    type Input = RenameInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Rename>(steps![WriteName])
}

/// Writes the name on the guest's seed and, in the same attempt, on the row.
pub struct WriteName;

#[async_trait]
impl Step<Site> for WriteName {
    type Memo = ();
    const NAME: &'static str = "write_name";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let mut work = subject(cx, run).await?;
        run.input::<Rename>()?.name.as_str().clone_into(&mut work.name);
        if let Err(answer) = power::look(cx, &work).await? {
            return Ok(answer);
        }
        let addresses = {
            let mut connection = cx.store.connection().await?;
            store::addresses::of(&mut connection, &[work.id]).await?
        };
        let addresses = site::attached(cx, &work, &addresses)?;
        let seed = super::seed::seed(cx.installation, &work, &addresses, &work.incarnation)?;
        let guest = cx.placed_guest(&work)?;
        cx.provider(&work.region)?.reseed_guest(&guest, &seed).await.map_err(site::fault)?;
        store::servers::set_name(run.tx().await?, work.id, &work.name).await?;
        Ok(Outcome::done(()))
    }
}
