//! Logging in, and the contexts.

use crate::cloud::{Cloud, Reply, TOKEN};
use crate::golden;
use crate::values::{account, error};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

fn cloud() -> Cloud {
    let cloud = Cloud::start();
    cloud.json("GET /v2/account", &json!({"account": account()}));
    cloud
}

#[test]
fn login_tries_the_token_and_stores_it_for_its_owner_alone() {
    let cloud = cloud();
    let ran = cloud.bare("login --url").word(&format!("{}/", cloud.url())).stdin(&format!("{TOKEN}\n")).run();
    golden::check("login", &ran.transcript);
    assert_eq!(cloud.asked()[0].headers["authorization"], format!("Bearer {TOKEN}"));
    let path = cloud.home.path().join(".config/cairn/config.toml");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o600);
    assert_eq!(mode(path.parent().unwrap().to_owned()), 0o700);
    assert!(std::fs::read_to_string(&path).unwrap().contains(TOKEN));
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");

    assert_eq!(cloud.bare("account -o name").run().stdout, "team@example.org\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(cloud.bare("account").run().stderr.contains("others can read"));
    let file = cloud.home.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    cloud.bare("login --url").word(&cloud.url()).word("--token-file").word(file.to_str().unwrap()).run();
    assert_eq!(mode(path), 0o600, "written anew, it is closed again");
}

#[test]
fn a_token_that_is_not_accepted_is_not_stored() {
    let cloud = cloud();
    cloud.on("GET /v2/account", [Reply::json(401, &error("unauthorized", "Unable to authenticate you."))]);
    let ran = cloud.bare("login --url").word(&cloud.url()).stdin(TOKEN).run();
    assert_eq!(ran.code, 3);
    assert!(!cloud.home.path().join(".config").exists());
    for (words, token) in [
        ("login", TOKEN),
        ("login --url http://localhost:1", ""),
        ("login --url http://localhost:1", "two lines\nof it"),
    ] {
        let ran = cloud.bare(words).stdin(token).run();
        assert_eq!(ran.code, 2, "{}", ran.transcript);
    }
    assert_eq!(cloud.bare("login --token").word(TOKEN.split_at(5).0).run().code, 2, "there is no flag for a token");
}

#[test]
fn contexts_are_listed_used_shown_and_forgotten() {
    let cloud = cloud();
    let login = |name: &str| {
        let ran = cloud.bare("login --context").word(name).word("--url").word(&cloud.url()).stdin(TOKEN).run();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    login("home");
    login("work");
    let mut all = String::new();
    for words in [
        "context list",
        "context list -o name",
        "context use home",
        "context show",
        "context show work -o yaml",
        "context use nowhere",
        "context remove work",
        "context remove work",
        "context remove home",
        "context list",
        "context show",
    ] {
        all.push_str(&cloud.bare(words).run().transcript);
    }
    golden::check("contexts", &all);
    login("home");
    let shown: Value = serde_json::from_str(&cloud.bare("context show -o json").run().stdout).unwrap();
    assert_eq!(shown, json!({"name": "home", "current": true, "url": cloud.url(), "ca": null}));
}

#[test]
fn a_stored_token_is_sent_nowhere_else() {
    let (home, elsewhere) = (cloud(), cloud());
    home.bare("login --url").word(&home.url()).stdin(TOKEN).run();
    let ran = home.bare("account --url").word(&elsewhere.url()).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let ran = home.bare("account").env("CAIRN_URL", &elsewhere.url()).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(elsewhere.asked().is_empty());
}
