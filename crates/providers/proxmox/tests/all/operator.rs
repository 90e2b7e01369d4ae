//! Requests that an operator makes beside us.

use crate::stage::Stage;

/// Sends a request as somebody else would.
pub(crate) async fn raw(stage: &Stage, token: &str, method: &str, path: &str, form: &str) -> String {
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let url = format!("{}/api2/json{path}", stage.simulator.url);
    let request = client.request(method.parse().unwrap(), url).header("Authorization", token);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned());
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
    answer.text().await.unwrap()
}
