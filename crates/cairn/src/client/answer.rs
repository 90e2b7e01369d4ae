//! What an answer that is not a success, or no answer at all, means to a person.

use super::patience::Heard;
use crate::failure::{Ending, Failure, suggestion};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};
use std::error::Error;
use wire::error::ErrorBody;

/// Under which the server's log has the request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("x-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// What a refusal says.
pub(super) fn refusal(base: &Url, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let ending = match status.as_u16() {
        401 | 403 => Ending::Unauthorised,
        404 => Ending::NotFound,
        400..=499 => Ending::Refused,
        _ => Ending::Broken,
    };
    let Ok(body) = serde_json::from_slice::<ErrorBody>(body) else { return stranger(base, status, headers) };
    let code = body.cloud.map_or(body.id, |cloud| cloud.code);
    let mut failure = Failure::new(ending, body.message);
    failure.suggestion = suggestion(&code).map(str::to_owned);
    failure.request = body.request_id.or_else(|| request_id(headers));
    failure.code = Some(code);
    failure
}

/// An answer in other words than ours: of a proxy, or of something else altogether.
fn stranger(base: &Url, status: StatusCode, headers: &HeaderMap) -> Failure {
    let ending = match status.as_u16() {
        401 | 403 => Ending::Unauthorised,
        404 => Ending::NotFound,
        _ => Ending::Broken,
    };
    let mut failure = Failure::new(ending, format!("{base} answered with {status}, in words that are not Cairn's"));
    failure.request = request_id(headers);
    match headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
        Some(elsewhere) => failure.suggest(format!("the URL that it points to: {}", crate::print::visible(elsewhere))),
        None => failure.suggest("check that the URL is that of a Cairn installation"),
    }
}

/// Whether another try may help where there was no answer.
pub(super) fn heard(error: &reqwest::Error) -> Option<Heard> {
    if error.is_builder() || tls(error).is_some() {
        return None;
    }
    Some(if error.is_connect() { Heard::NoConnection } else { Heard::NothingBack })
}

/// Why there was no answer.
pub(super) fn unreachable(base: &Url, error: &reqwest::Error) -> Failure {
    let fail = |sentence: String| Failure::new(Ending::Unreachable, sentence);
    match tls(error) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let found = fail(format!("cannot reach {base}: its certificate is not trusted ({why})"));
            found.suggest("--ca FILE, with the certificate authority of the installation (cairnd keeps its own in `ca.pem` in its data directory)")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            fail(format!("cannot reach {base}: there is something, but it does not speak TLS"))
                .suggest("a URL with http:// if that is what it speaks there")
        }
        Some(other) => fail(format!("cannot reach {base}: {other}"))
            .suggest("--ca FILE, if the installation has a certificate authority of its own"),
        None if error.is_timeout() => fail(format!("cannot reach {base}: no answer in time")).suggest(LOOK),
        None => fail(format!("cannot reach {base}: {}", causes(error))).suggest(LOOK),
    }
}

const LOOK: &str = "check the URL (cairn context show) and that the server runs";

/// What TLS had against the connection.
fn tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error passes over what it carries when it is asked for its source.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(carried) = carried {
            let carried: &(dyn Error + 'static) = carried;
            return tls(carried);
        }
        next = error.source();
    }
    None
}

/// The innermost cause of an error: what is in front of it repeats what we say ourselves.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
