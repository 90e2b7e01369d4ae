//! A simulated cluster through proxmoxer as it is on PyPI, over TLS: sessions and tokens, lives of guests, tasks, files,
//! and each way in which Proxmox VE says no. Afterwards nothing of it is left.

use crate::pydo::python;
use acceptance::figures;
use serde_json::Value;
use simulator::{ClockKind, Control, ROOT_PASSWORD, Scenario, Simulator, TOKEN_SECRET};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A script that takes longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_driven_through_proxmoxer() {
    let Some(python) = python("python").await else { return };
    // Quick enough for a test, and slow enough that tasks are seen to run.
    let scenario = Scenario::cluster_of(3).with_clock(ClockKind::Scaled { factor: 30.0 });
    let mut simulator = Simulator::start(scenario).await.unwrap();
    let control = simulator.open_control(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/proxmoxer_cluster.py");
    let ran = Command::new(python)
        .arg(script)
        .args([&simulator.url, &simulator.fingerprint_sha256, &control])
        .args([&format!("root@pam!cairn={TOKEN_SECRET}"), ROOT_PASSWORD])
        .arg(files.path())
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(PATIENCE, ran).await.expect("the script waits in vain").unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}; proxmoxer said:\n{err}", ran.status);
    let counted: Value = serde_json::from_str(out.trim()).unwrap();

    assert_eq!(simulator.control.guests(), []);
    let left: Vec<String> =
        simulator.control.volumes().into_iter().filter(|one| one.vmid.is_some()).map(|one| one.volid).collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(simulator.control.rules().iter().all(|rule| rule.hits == 1), "a fault was scripted and not met");
    let calls = simulator.control.calls();
    let refused: BTreeSet<u16> = calls.iter().map(|call| call.status).filter(|status| *status != 200).collect();
    assert_eq!(refused, BTreeSet::from([0, 400, 401, 403, 500, 501, 595, 596, 597, 599]));
    figures::write(
        "proxmoxer",
        &[
            ("requests", Value::from(calls.len())),
            ("operations", Value::from(operations(&simulator.control))),
            ("tasks followed", counted["tasks"].clone()),
            ("refusals raised", counted["errors"].clone()),
        ],
    );
}

/// How many of the schema's operations were answered with success.
fn operations(control: &Control) -> usize {
    let endpoints = Control::endpoints();
    let matches = |template: &str, path: &str| {
        let (mut template, mut path) = (template.split('/'), path.split('/'));
        loop {
            match (template.next(), path.next()) {
                (None, None) => return true,
                // The one parameter that has slashes of its own.
                (Some("{volume}"), Some(_)) => return true,
                (Some(wanted), Some(segment)) if wanted.starts_with('{') || wanted == segment => {}
                _ => return false,
            }
        }
    };
    let answered = control.calls().into_iter().filter(|call| call.status == 200);
    let literal = |template: &str| template.matches('{').count();
    let met: BTreeSet<String> = answered
        .filter_map(|call| {
            let fits = endpoints.iter().filter(|(method, path, _)| *method == call.method && matches(path, &call.path));
            fits.min_by_key(|(_, path, _)| literal(path)).map(|(method, path, _)| format!("{method} {path}"))
        })
        .collect();
    met.len()
}
