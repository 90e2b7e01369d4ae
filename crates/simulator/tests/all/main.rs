//! The simulator against what genuine daemons said, against its own promises, and against its script of faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod client;
mod contract;
mod digest;
mod exchanges;
mod life;
mod lists;
mod mappings;
mod recordings;
mod scale;
mod script;
mod transport;

/// Writes `target/figures/simulator-NAME.json`, which `script/test` prints.
pub(crate) fn figures(name: &str, figures: &[(&str, usize)]) {
    let flat: serde_json::Map<String, serde_json::Value> =
        figures.iter().map(|(key, figure)| ((*key).to_owned(), (*figure).into())).collect();
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/figures");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(format!("simulator-{name}.json")), serde_json::Value::Object(flat).to_string())
        .unwrap();
}
