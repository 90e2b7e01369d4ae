//! What an operator is told before the first server is made.

use crate::stage::{Stage, scenario};
use provider::{Finding, Provider, Severity};
use simulator::{Deed, Scenario, TOKEN_SECRET, TokenSpec};

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

#[tokio::test]
async fn a_token_without_any_right_is_told_all_that_it_lacks() {
    let mut one = scenario();
    let narrow = TokenSpec { id: "root@pam!narrow".to_owned(), secret: TOKEN_SECRET.to_owned(), privsep: true };
    one.tokens.push(narrow);
    let stage = Stage::of(one, |config| config.token_id = "root@pam!narrow".to_owned()).await;
    let findings = stage.proxmox.preflight().await.unwrap();
    let lacks = findings.iter().filter(|one| one.subject == "privileges" && one.severity == Severity::Error);
    assert_eq!(lacks.count(), 7, "{findings:?}");
    let quorum = findings.iter().find(|one| one.subject == "quorum").unwrap();
    assert_eq!(quorum.severity, Severity::Warning, "a consequence: {quorum:?}");
}

#[tokio::test]
async fn one_command_allows_a_storage_all_that_it_lacks() {
    let mut one = scenario();
    let content = |one: &mut Scenario, id: &str, content: &str| {
        let storage = one.storages.iter_mut().find(|storage| storage.id == id).unwrap();
        storage.content = content.to_owned();
    };
    content(&mut one, "local", "backup");
    content(&mut one, "local-lvm", "images");
    one.images.clear();
    let stage = Stage::of(one.clone(), |_| {}).await;
    let found = errors(&stage).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].sentence.ends_with("pvesm set local --content backup,import,iso"), "{found:?}");
    assert_eq!(stage.proxmox.inventory().await.unwrap().troubles, [found[0].sentence.as_str()]);
    let stage = Stage::of(one, |config| config.file_storage = "local-lvm".to_owned()).await;
    let found = errors(&stage).await;
    assert!(found.len() == 1 && found[0].sentence.contains("keeps no files"), "{found:?}");
}

#[tokio::test]
async fn an_entry_that_is_not_believed_is_told_while_another_one_serves() {
    let stage = Stage::of(scenario(), |config| config.fingerprints.truncate(1)).await;
    let findings = stage.proxmox.preflight().await.unwrap();
    let entry = findings.iter().find(|one| one.subject == "entries").unwrap();
    assert_eq!(entry.severity, Severity::Warning);
    let shown = &stage.simulator.entries[1];
    assert!(entry.sentence.contains(&shown.url) && entry.sentence.contains(&shown.fingerprint_sha256), "{entry:?}");
    assert!(!findings.iter().any(|one| one.severity == Severity::Error), "{findings:?}");
}

#[tokio::test]
async fn a_version_that_is_too_old_and_a_lost_quorum_are_seen_by_every_look() {
    let stage = Stage::of(Scenario { version: "7.4-3".to_owned(), ..scenario() }, |_| {}).await;
    let fault = stage.proxmox.inventory().await.unwrap_err();
    assert!(fault.detail.contains("7.4 is too old: 8.4"), "{fault}");
    let stage = Stage::new().await;
    stage.simulator.control.deed(Deed::QuorumLost).await.unwrap();
    let troubles = stage.proxmox.inventory().await.unwrap().troubles;
    assert!(troubles.len() == 1 && troubles[0].contains("no quorum"), "{troubles:?}");
}
