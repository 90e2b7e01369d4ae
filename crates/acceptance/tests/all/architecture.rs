//! The workspace keeps to its own plan. The rules stand in `acceptance::architecture`; each of them is shown to
//! fail there.

use acceptance::architecture::{assert_none, edges, words};

#[tokio::test]
async fn crates_know_only_what_they_may() {
    let crates = edges::crates().await;
    assert!(crates.iter().any(|one| one.name == "model" && one.below.contains("serde")), "cargo metadata was misread");
    assert_none(&edges::forbidden_edges(&crates));
    assert_none(&edges::forbidden_below(&crates));
    assert_none(&edges::testing_in_product(&crates));
}

#[test]
fn files_say_only_what_they_may() {
    let texts = words::texts();
    assert!(texts.iter().any(|text| text.path == "crates/model/src/lib.rs"), "the sources were not found");
    let findings = [
        words::nouns_in_engine(&texts),
        words::sql_outside_store(&texts),
        words::shells(&texts),
        words::long_files(&texts),
        words::idle_pardons(&texts),
    ];
    assert_none(&findings.concat());
}
