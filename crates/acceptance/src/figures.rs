//! Numbers that tests and benchmarks count: `target/figures/NAME.json`, a flat object of numbers.
//! `script/test` and `script/bench` print all of them as one table at the end.

use crate::workspace;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Where the figures stand. Always in the workspace's own `target`, where the scripts look for them.
pub fn directory() -> PathBuf {
    workspace().join("target/figures")
}

/// Writes the figures of `name`, replacing those of an earlier run in one move: a reader never sees half a file.
///
/// ```no_run
/// acceptance::figures::write("fault-matrix", &[("cases", 312), ("workflows", 4)]);
/// ```
pub fn write<K: AsRef<str>, N: Serialize>(name: &str, figures: &[(K, N)]) {
    let flat: Map<String, Value> =
        figures.iter().map(|(key, figure)| (key.as_ref().to_owned(), number(figure))).collect();
    let directory = directory();
    std::fs::create_dir_all(&directory).expect("create target/figures");
    let forming = directory.join(format!("{name}.{}.new", std::process::id()));
    std::fs::write(&forming, format!("{:#}\n", Value::Object(flat))).expect("write the figures");
    std::fs::rename(&forming, directory.join(format!("{name}.json"))).expect("put the figures in their place");
}

fn number(figure: &impl Serialize) -> Value {
    let value = serde_json::to_value(figure).expect("a figure is a number");
    assert!(value.is_number(), "a figure is a number, not {value}");
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_flat_numbers() {
        let name = format!("self-test-{}", std::process::id());
        write(&name, &[("cases", 3_u32), ("all", 4)]);
        let file = directory().join(format!("{name}.json"));
        let read: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(read, serde_json::json!({"cases": 3, "all": 4}));
    }

    #[test]
    #[should_panic(expected = "a figure is a number")]
    fn words_are_no_figures() {
        write("never", &[("cases", "three")]);
    }
}
