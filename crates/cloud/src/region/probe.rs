//! Would this connection work? A request cannot reach a provider, so it asks by row, and a worker opens the connection,
//! looks at everything that making servers takes, and writes down what it found.

use crate::site::Site;
use async_trait::async_trait;
use provider::{Capabilities, Provider};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::probes::{Finding, Tested};
use store::regions::Connection;
use store::{Store, Tx};
use workflow::{Definition, Fault, Kind, NewWorkflow, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

use crate::Result;
use model::ids::{RegionSlug, ServerId, WorkflowId};
use model::numbers::Numbers;
use model::refusal::{Code, Refusal};

/// How long a request waits for a worker.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a provider may take to be looked at.
const LOOK: Duration = Duration::from_secs(20);
/// How often a waiting request looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// Tries a connection out.
pub(crate) struct Probe;

/// Nothing: what is asked stands in the probe's row, because part of it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeInput {}

impl Recorded for ProbeInput {
    fn sample() -> Self {
        Self {}
    }
}

impl Kind for Probe {
    const KIND: &'static str = "region.probe";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const EXCLUSIVE: bool = false;
    const MADE_WITHIN: Duration = Duration::from_secs(120);
    type Input = ProbeInput;
}

/// The workflow.
pub(crate) fn definition() -> Definition<Site> {
    Definition::of::<Probe>(steps![TryConnection])
}

/// Opens the connection, looks, and writes the findings down.
pub(crate) struct TryConnection;

#[async_trait]
impl Step<Site> for TryConnection {
    type Memo = ();
    const NAME: &'static str = "try_connection";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> std::result::Result<Outcome<()>, Fault> {
        let id = run.id();
        let Some(connection) = store::probes::connection(&cx.store, id).await? else { return Ok(Outcome::done(())) };
        let tested = match tokio::time::timeout(LOOK, look(cx, &connection)).await {
            Ok(tested) => tested,
            Err(_) => failed(&format!("The provider did not answer within {} seconds.", LOOK.as_secs())),
        };
        store::probes::answer(run.tx().await?, id, &tested).await?;
        Ok(Outcome::done(()))
    }
}

async fn look(cx: &Site, connection: &Connection) -> Tested {
    // What a provider says of its own settings and privileges is for the operator; it holds no secret (Fault::detail).
    let provider = match cx.providers.open(connection).await {
        Ok(provider) => provider,
        Err(fault) => return failed(&fault.detail),
    };
    let mut findings: Vec<Finding> = match provider.preflight().await {
        Ok(findings) => findings.into_iter().map(told).collect(),
        Err(fault) => return failed(&fault.detail),
    };
    // Whoever is not let in sees nothing to choose from; the findings say why.
    let offers = provider.offers().await.ok().and_then(|offers| serde_json::to_value(offers).ok());
    if findings.iter().all(|finding| finding.severity != "error") {
        findings.extend(overlap(cx, connection, &*provider).await);
    }
    findings.extend(shared_addresses(cx, connection).await);
    Tested { findings, offers }
}

/// Public addresses of a stored region that others give as well. One that is not stored has none yet.
async fn shared_addresses(cx: &Site, connection: &Connection) -> Vec<Finding> {
    let Ok(mut tx) = cx.store.begin().await else { return Vec::new() };
    let warnings = super::pools::warnings(&mut tx, &connection.region).await.unwrap_or_default();
    let finding = |sentence| Finding { severity: "warning".to_owned(), subject: "pools".to_owned(), sentence };
    warnings.into_iter().map(finding).collect()
}

/// Whether another region is the same cluster and takes numbers from the same range: for certain, where guests of its
/// servers stand here; perhaps, where it has hosts of the same names.
async fn overlap(cx: &Site, connection: &Connection, provider: &dyn Provider) -> Option<Finding> {
    let (first, last) = provider.capabilities().guest_numbers?;
    let inventory = provider.inventory().await.ok()?;
    let mend = "set guest_numbers and template_numbers of this one to ranges of its own, such as [200000,299999] and \
                [80000,89999]";
    if let Some(other) = stands_here(cx, connection, &inventory, (first, last)).await {
        let sentence = format!(
            "Servers of region {other} stand in this cluster, with guest numbers of the range {first} to {last}: {mend}."
        );
        return Some(Finding { severity: "error".to_owned(), subject: "numbers".to_owned(), sentence });
    }
    let names: Vec<String> = inventory.hosts.into_iter().map(|host| host.name).collect();
    let others = store::regions::with_hosts(&cx.store, &connection.region, &names).await.ok()?;
    let overlaps = |said: &serde_json::Value| {
        let capabilities: Capabilities = serde_json::from_value(said.clone()).unwrap_or_default();
        capabilities.guest_numbers.is_some_and(|numbers| model::numbers::overlap(numbers, (first, last)))
    };
    let (other, _) = others.iter().find(|(_, capabilities)| overlaps(capabilities))?;
    let sentence = format!(
        "Region {other} has hosts of the same names ({}). If it is the same cluster, both would take the guest numbers \
         {first} to {last}: {mend}.",
        names.join(", ")
    );
    Some(Finding { severity: "warning".to_owned(), subject: "numbers".to_owned(), sentence })
}

async fn stands_here(
    cx: &Site,
    connection: &Connection,
    inventory: &provider::Inventory,
    (first, last): Numbers,
) -> Option<RegionSlug> {
    let within = |name: &str| name.parse().is_ok_and(|number| (first..=last).contains(&number));
    let guests = inventory.guests.iter().filter(|seen| within(&seen.guest.name));
    let servers: Vec<ServerId> = guests.map(|seen| seen.guest.mark.server).collect();
    let mut tx = cx.store.begin().await.ok()?;
    store::servers::elsewhere(&mut tx, &connection.region, &servers).await.ok()?
}

fn failed(sentence: &str) -> Tested {
    let (severity, subject) = ("error".to_owned(), "connection".to_owned());
    Tested { findings: vec![Finding { severity, subject, sentence: sentence.to_owned() }], offers: None }
}

fn told(finding: provider::Finding) -> Finding {
    let severity = match finding.severity {
        provider::Severity::Fine => "fine",
        provider::Severity::Warning => "warning",
        provider::Severity::Error => "error",
    };
    Finding { severity: severity.to_owned(), subject: finding.subject, sentence: finding.sentence }
}

/// Asks, in the request's transaction.
pub(super) async fn ask(tx: &mut Tx, connection: &Connection) -> Result<WorkflowId> {
    let new = NewWorkflow::of::<Probe>(format!("probe:{}", connection.region), &ProbeInput {});
    let id = new.id();
    store::probes::insert(tx, id, connection).await?;
    new.insert(tx).await?;
    Ok(id)
}

/// Waits for the answer.
pub(super) async fn wait(store: &Store, id: WorkflowId) -> Result<Tested> {
    let patience_ends = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(tested) = store::probes::read(store, id).await? {
            return Ok(tested);
        }
        if tokio::time::Instant::now() > patience_ends {
            let message = "No worker answered in time. Is a `cairnd work` running? Try again in a moment.";
            return Err(Refusal::new(Code::ServiceUnavailable, message).into());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
