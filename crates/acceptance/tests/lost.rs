//! What was covered stays covered. `script/test` runs this last, by name, when everything that checks responses has
//! ended (in whichever crate it stands), with the same `CAIRN_TEST_RUN` as the tests themselves:
//! `cargo test -p acceptance --test lost -- --ignored`.

use acceptance::contract::{Contract, coverage};

#[test]
#[ignore = "judges a whole run; script/test runs it last"]
fn no_operation_is_lost() {
    if let Some(contract) = Contract::load() {
        coverage::assert_nothing_lost(&contract);
    }
}
