//! What an operator is told before the first server is made.

use crate::stage::{Stage, scenario};
use provider::{Finding, Provider, Severity};
use simulator::Deed;

async fn errors(stage: &Stage) -> Vec<Finding> {
    let findings = stage.proxmox.preflight().await.unwrap();
    findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
}

#[tokio::test]
async fn a_cluster_that_has_everything_has_no_errors() {
    assert_eq!(errors(&Stage::new().await).await, []);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let stage = Stage::of(scenario(), |config| {
        config.pool = "nopool".to_owned();
        config.storage = "nostorage".to_owned();
        config.private_zone = Some("nozone".to_owned());
        config.bridges.get_mut("public").unwrap().name = "vmbr9".to_owned();
    })
    .await;
    let found = errors(&stage).await;
    for subject in ["pool nopool", "storage nostorage", "zone nozone", "bridge vmbr9"] {
        assert!(found.iter().any(|finding| finding.subject == subject), "{subject} is not in {found:?}");
    }
    assert_eq!(found.iter().filter(|finding| finding.subject == "bridge vmbr9").count(), 3);
}

#[tokio::test]
async fn a_wrong_token_and_an_old_version_are_the_first_things_said() {
    let stage = Stage::of(scenario(), |config| config.token_id = "root@pam!other".to_owned()).await;
    assert_eq!(errors(&stage).await.iter().map(|finding| finding.subject.as_str()).collect::<Vec<_>>(), ["token"]);
    let mut one = scenario();
    one.version = "8.1.4".to_owned();
    let stage = Stage::of(one, |_| {}).await;
    assert!(errors(&stage).await.iter().any(|finding| finding.subject == "version"));
}

#[tokio::test]
async fn nobody_there_is_a_finding_and_not_a_fault() {
    let stage = Stage::of(scenario(), |config| config.fingerprints.clear()).await;
    let found = errors(&stage).await;
    assert!(found.len() == 1 && found[0].subject == "entries", "{found:?}");
}

#[tokio::test]
async fn a_dead_host_is_a_warning() {
    let stage = Stage::new().await;
    stage.simulator.control.deed(Deed::NodeDies { node: "pve2".to_owned() }).await.unwrap();
    let findings = stage.proxmox.preflight().await.unwrap();
    let host = findings.iter().find(|finding| finding.subject == "host pve2").unwrap();
    assert_eq!(host.severity, Severity::Warning);
}

#[tokio::test]
async fn lost_quorum_is_an_error() {
    let stage = Stage::new().await;
    stage.simulator.control.deed(Deed::QuorumLost).await.unwrap();
    assert!(errors(&stage).await.iter().any(|finding| finding.subject == "quorum"));
}
