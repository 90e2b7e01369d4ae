//! What a wrong configuration is told: the setting, where it was written, and what to write instead. The expected
//! words stand in `wrong-configuration.txt`; `UPDATE_GOLDEN=1 cargo test` writes them anew.

use crate::daemon::cairnd;
use std::fmt::Write;
use std::net::TcpListener;

enum Given {
    File(&'static str),
    Variable(&'static str, &'static str),
    Arguments(&'static [&'static str]),
}
use Given::{Arguments, File, Variable};

const WRONG: &[Given] = &[
    File("listn.http = \"127.0.0.1:80\""),
    File("colour = \"blue\""),
    File("[listen]\nhttp = 8080"),
    File("[listen]\nhttp = true"),
    File("[listen\nhttp = \"off\""),
    File("[log]\nformat = \"xml\""),
    File("[tls]\ncertificate = \"/etc/hostname\""),
    File("[tls]\ncertificate = \"/nowhere/cert.pem\"\nkey = \"/nowhere/key.pem\""),
    File("[image_files]\ndebian-12-x64 = \"image.qcow2\""),
    File("[work]\nconcurrency = 0"),
    Variable("CAIRN_LISTEN_HTTPS", "localhost"),
    Variable("CAIRN_PUBLIC_URL", "cloud.example.org"),
    Variable("CAIRN_DATABASE_CONNECTIONS", "many"),
    Variable("CAIRN_QEMU_NETWORKING", "bridge"),
    Variable("DATABASE_URL", "mysql://cairn:hunter2@localhost/cairn"),
    Variable("DATABASE_URL", ""),
    Arguments(&["--listen-http", "off", "--listen-https", "off"]),
    Arguments(&["--log-filter", "loud=noise=none"]),
    Arguments(&["--catalogue", "/nowhere/catalogue.toml"]),
    Arguments(&["--config", "/nowhere/cairnd.toml"]),
];

async fn told(given: &Given) -> String {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("cairnd.toml");
    let mut command = cairnd(home.path());
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(home.path().join("data"))
        .env("DATABASE_URL", "postgres://127.0.0.1:1/none");
    match given {
        File(text) => {
            std::fs::write(&file, text).unwrap();
            command.arg("--config").arg(&file);
        }
        Variable(name, value) => {
            command.env(name, value);
        }
        Arguments(arguments) => {
            command.args(*arguments);
        }
    }
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap().replace(home.path().to_str().unwrap(), "HOME")
}

#[tokio::test]
async fn a_wrong_setting_is_named_with_its_remedy() {
    let mut text = String::new();
    for given in WRONG {
        match given {
            File(content) => writeln!(text, "# {}", content.replace('\n', "; ")).unwrap(),
            Variable(name, value) => writeln!(text, "# {name}={value}").unwrap(),
            Arguments(arguments) => writeln!(text, "# {}", arguments.join(" ")).unwrap(),
        }
        writeln!(text, "{}", told(given).await).unwrap();
    }
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/wrong-configuration.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(golden).unwrap_or_default());
}

#[tokio::test]
async fn an_address_in_use_is_said_before_anything_is_started() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = cairnd(home.path());
    command.args(["dev", "--listen-https", "off", "--listen-http", &address]);
    let output = command.arg("--data-dir").arg(home.path().join("data")).output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("another process listens there"), "{told}");
    assert!(!home.path().join("data/postgres").exists(), "PostgreSQL was set up for nothing");
}
