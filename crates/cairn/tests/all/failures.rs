//! Exit codes and the sentences that go with them.

use crate::cloud::{Cloud, Reply};
use crate::golden;
use crate::values::{error, server};
use serde_json::json;

#[test]
fn every_ending_has_its_code_and_its_sentence() {
    let cloud = Cloud::start();
    let mut all = String::new();
    let answers = [
        (1, Reply::json(422, &error("quota_exceeded", "The team may have 10 servers, and has them."))),
        (3, Reply::json(401, &error("unauthorized", "Unable to authenticate you."))),
        (3, Reply::json(403, &error("forbidden", "The token lacks the scope account:read."))),
        (4, Reply::json(404, &error("not_found", "The resource you requested could not be found."))),
        (7, Reply::json(501, &error("server_error", "Something broke on our side."))),
        (7, Reply::Answer(200, vec![], b"<html>Welcome</html>".to_vec())),
        (7, Reply::json(200, &json!({"something": "else"}))),
        (7, Reply::Answer(418, vec![], b"I am a teapot".to_vec())),
        (7, Reply::empty(301).header("location", "https://cloud.example.org/v2/account")),
    ];
    for (code, reply) in answers {
        cloud.on("GET /v2/account", [reply]);
        let ran = cloud.cairn("account").run();
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{}", ran.transcript);
        all.push_str(&ran.transcript);
    }
    let ran = cloud.bare("account").run();
    assert_eq!(ran.code, 3);
    all.push_str(&ran.transcript);
    golden::check("failures", &all);
}

#[test]
fn nobody_there() {
    let cloud = Cloud::start();
    // Nothing has listened there for decades.
    let ran = cloud.cairn("account").env("CAIRN_URL", "http://127.0.0.1:1").run();
    assert_eq!(ran.code, 6);
    golden::check("unreachable", &ran.transcript);
}

#[test]
fn the_wrong_command_line() {
    let cloud = Cloud::start();
    for words in
        ["", "server", "server create", "account -o xml", "nonsense", "server start 42 --timeout soon", "account -qv"]
    {
        let ran = cloud.cairn(words).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words}");
    }
    for url in ["ftp://host", "cloud.example.org", "https://user:secret@host", "https://host/?x=1"] {
        let ran = cloud.cairn("account").word("--url").word(url).run();
        assert_eq!(ran.code, 2, "{url}: {}", ran.stderr);
        assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    }
    assert!(cloud.asked().is_empty());
}

#[test]
fn the_token_is_nowhere() {
    // Run::run looks for it in everything that is printed.
    let cloud = Cloud::start();
    let ran = cloud.cairn("account --verbose").run();
    golden::check("verbose", &ran.transcript);
    cloud.cairn("account --verbose").env("CAIRN_TOKEN", &format!("{}\u{7}", crate::cloud::TOKEN)).run();
    cloud.json("GET /v2/droplets/42", &json!({"droplet": server(42, "web-1", "active")}));
    let ran = cloud.cairn("server ssh 42 --print --verbose").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "The authority of a test");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&authority).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority);
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], private).unwrap();
    let cloud = Cloud::start_tls(std::sync::Arc::new(config));
    cloud.json("GET /v2/account", &json!({"account": crate::values::account()}));

    let file = cloud.home.path().join("ca.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    let ran = cloud.cairn("account -o name").env("CAIRN_CA", file.to_str().unwrap()).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "team@example.org\n"), "{}", ran.stderr);

    // Any other authority will do to see the sentence, and needs none installed on this machine.
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap();
    std::fs::write(&file, other.cert.pem()).unwrap();
    let ran = cloud.cairn("account --ca HOME/ca.pem").run();
    assert_eq!(ran.code, 1, "a file that is not there: {}", ran.stderr);
    let ran = cloud.cairn("account").word("--ca").word(file.to_str().unwrap()).run();
    assert_eq!(ran.code, 6);
    golden::check("untrusted", &ran.transcript);
    assert_eq!(cloud.asked().len(), 1, "nothing was sent to whom we do not trust");

    std::fs::write(&file, "nothing").unwrap();
    assert_eq!(cloud.cairn("account").word("--ca").word(file.to_str().unwrap()).run().code, 2);
}
