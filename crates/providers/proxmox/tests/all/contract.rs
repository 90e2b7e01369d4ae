//! What the provider can ask for, against the published description and what the simulator serves.

use provider_proxmox::CALLS;
use simulator::Control;
use std::collections::BTreeMap;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/contracts/proxmox/pve-9.2-api.json");

#[test]
fn every_call_is_described_takes_tokens_and_is_served() {
    let served: BTreeMap<(String, String), bool> =
        Control::endpoints().into_iter().map(|(method, path, served)| ((method, path), served)).collect();
    // What comes after a console's ticket is no HTTP, and not simulated.
    for (method, path) in CALLS.iter().filter(|(_, path)| !path.ends_with("/vncwebsocket")) {
        let found = served.get(&((*method).to_owned(), (*path).to_owned()));
        assert_eq!(found, Some(&true), "{method} {path} is not in the simulator");
    }
    let Ok(text) = std::fs::read_to_string(SCHEMA) else {
        println!("SKIP every_call_is_described_takes_tokens_and_is_served: {SCHEMA} is not there");
        return;
    };
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (method, path) in CALLS {
        let operation = &schema["paths"][*path][*method];
        assert_eq!(operation["method"], *method, "{method} {path}");
        assert_eq!(operation["allowtoken"], 1, "{method} {path} takes no token");
    }
}
