//! Files with what the program printed when somebody looked at it and was content.

use std::path::PathBuf;

/// Compares with `golden/NAME.txt`; with `UPDATE_GOLDEN=1`, writes it.
pub(crate) fn check(name: &str, text: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", &format!("{name}.txt")].iter().collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        known,
        "\n{} has become different. If that is right: UPDATE_GOLDEN=1 cargo test -p cairn",
        path.display()
    );
}
