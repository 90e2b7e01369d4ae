//! The published specification of the tenant API as a judge over requests and responses.
//!
//! ```no_run
//! # let body = b"{}";
//! use acceptance::contract::Contract;
//! let Some(contract) = Contract::load() else { return }; // has said SKIP
//! let headers = [("content-type", "application/json")];
//! contract.check_request("POST", "/v2/droplets", body).unwrap();
//! let checked = contract.check("GET", "/v2/droplets/12", 200, headers, body).unwrap();
//! assert_eq!(checked.operation_id, "droplets_get");
//! ```
//!
//! A 2xx response that passes covers its operation; see [`coverage`].

pub mod coverage;
mod relaxations;
mod schema;

use crate::{skip, workspace};
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use schema::Direction;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where the contracts are, if not beside the workspace.
const ELSEWHERE: &str = "CAIRN_CONTRACTS";
/// The file, below that.
const SPECIFICATION: &str = "digitalocean/openapi.json";
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// The specification. Cheap to clone; parsed once per process.
#[derive(Clone, Debug)]
pub struct Contract(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    document: Value,
    operations: Vec<Operation>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One operation of the specification.
#[derive(Clone, Debug)]
pub struct Operation {
    /// In capitals.
    pub method: String,
    /// With its parameters in braces: `/v2/droplets/{droplet_id}`.
    pub template: String,
    /// Its name in the specification.
    pub operation_id: String,
    /// The chapter it stands in.
    pub tag: String,
}

/// A request or response that keeps to the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The operation's name in the specification.
    pub operation_id: String,
    /// The chapter it stands in.
    pub tag: String,
}

/// One departure from the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where: `body/droplet/id`, `header ratelimit-limit`, `status`, `path`.
    pub at: String,
    /// What is wrong there.
    pub what: String,
}

/// All departures of one request or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    /// What was checked: `GET /v2/droplets/12 → 200 (droplets_get)`.
    pub of: String,
    /// At least one.
    pub all: Vec<Violation>,
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} breaks the contract:", self.of)?;
        self.all.iter().try_for_each(|violation| write!(f, "\n  {}: {}", violation.at, violation.what))
    }
}

impl std::error::Error for Violations {}

fn violation(at: impl Into<String>, what: impl Into<String>) -> Violation {
    Violation { at: at.into(), what: what.into() }
}

impl Contract {
    /// Reads the specification from `$CAIRN_CONTRACTS`, or from `shared/contracts` beside the workspace. Where it
    /// is absent, says so loudly and returns `None`.
    pub fn load() -> Option<Self> {
        static LOADED: OnceLock<Option<Contract>> = OnceLock::new();
        LOADED
            .get_or_init(|| {
                let file = directory().join(SPECIFICATION);
                let Ok(text) = std::fs::read_to_string(&file) else {
                    skip(&format!("contract: no {SPECIFICATION}; set {ELSEWHERE} to the directory that holds it"));
                    return None;
                };
                Some(Self::parse(&text))
            })
            .clone()
    }

    /// The contract that `text`, an OpenAPI 3.0 document in JSON, states.
    pub fn parse(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).expect("the specification is JSON");
        let operations = operations(&document);
        Self(Arc::new(Inner { document, operations, validators: Mutex::default() }))
    }

    /// Every operation, in no particular order.
    pub fn operations(&self) -> &[Operation] {
        &self.0.operations
    }

    /// The operation that a request goes to: literal segments win over parameters.
    pub fn operation(&self, method: &str, path: &str) -> Option<&Operation> {
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let fitting = self.0.operations.iter().filter(|operation| operation.method.eq_ignore_ascii_case(method));
        fitting
            .filter_map(|operation| Some((literals(&operation.template, path)?, operation)))
            .max_by(|(one, _), (other, _)| one.cmp(other))
            .map(|(_, operation)| operation)
    }

    /// Checks a response: the status is declared, the headers and the content type are as declared, and the body
    /// fits the schema. A 2xx response that passes counts as coverage.
    pub fn check<K: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        method: &str,
        path: &str,
        status: u16,
        headers: impl IntoIterator<Item = (K, V)>,
        body: &[u8],
    ) -> Result<Checked, Violations> {
        let of = format!("{method} {path} → {status}");
        let operation = self.known(method, path, &of)?;
        let of = format!("{of} ({})", operation.operation_id);
        let at = operation.pointer();
        let Some((declared, response)) = self.response(&at, status) else {
            return Err(Violations { of, all: vec![violation("status", "the operation declares no such response")] });
        };
        let headers: HashMap<String, String> = headers
            .into_iter()
            .map(|(name, value)| {
                (name.as_ref().to_ascii_lowercase(), String::from_utf8_lossy(value.as_ref()).into_owned())
            })
            .collect();
        let mut all = self.headers(response, &headers);
        all.extend(self.body(response, &format!("{at}/responses/{declared}"), &headers, body));
        if !all.is_empty() {
            return Err(Violations { of, all });
        }
        if (200..300).contains(&status) {
            coverage::note(self, operation);
        }
        Ok(operation.checked())
    }

    /// Checks the body of a request; an empty one where the operation requires none.
    pub fn check_request(&self, method: &str, path: &str, body: &[u8]) -> Result<Checked, Violations> {
        let of = format!("{method} {path}, request");
        let operation = self.known(method, path, &of)?;
        let at = format!("{}/requestBody", operation.pointer());
        let declared = self.0.document.pointer(&at).map(|declared| self.followed(declared));
        let json = declared.and_then(|declared| declared.pointer("/content/application~1json/schema"));
        let required = declared.is_some_and(|declared| declared["required"] == Value::Bool(true));
        let all = match json {
            _ if body.is_empty() && !required => Vec::new(),
            Some(schema) => self.judged(&format!("{at} request"), schema, Direction::Request, body),
            None if declared.is_some() => Vec::new(),
            None => vec![violation("body", "the operation takes no body")],
        };
        if all.is_empty() { Ok(operation.checked()) } else { Err(Violations { of, all }) }
    }

    fn known(&self, method: &str, path: &str, of: &str) -> Result<&Operation, Violations> {
        self.operation(method, path).ok_or_else(|| Violations {
            of: of.to_owned(),
            all: vec![violation("path", "the specification has no such operation")],
        })
    }

    /// What is behind a `$ref`, or the value itself.
    fn followed<'a>(&'a self, value: &'a Value) -> &'a Value {
        schema::followed(&self.0.document, value)
    }

    /// The declared response for `status`: exact, then `4XX`, then `default`; with the key it stands under.
    fn response(&self, operation: &str, status: u16) -> Option<(String, &Value)> {
        let responses = self.0.document.pointer(&format!("{operation}/responses"))?;
        let keys = [status.to_string(), format!("{}XX", status / 100), "default".to_owned()];
        keys.into_iter().find_map(|key| Some((key.clone(), self.followed(responses.get(&key)?))))
    }

    /// The rate-limit headers must be there wherever they are declared; others are checked where they are present
    /// (OpenAPI calls a header optional unless it says otherwise).
    fn headers(&self, response: &Value, headers: &HashMap<String, String>) -> Vec<Violation> {
        let declared = response.get("headers").and_then(Value::as_object).into_iter().flatten();
        declared
            .filter_map(|(name, header)| {
                let name = name.to_ascii_lowercase();
                let header = self.followed(header);
                let required = name.starts_with("ratelimit-") || header["required"] == Value::Bool(true);
                let at = format!("header {name}");
                match headers.get(&name) {
                    None if required => Some(violation(at, "is missing")),
                    Some(value) if header["schema"]["type"] == "integer" && value.parse::<i64>().is_err() => {
                        Some(violation(at, format!("must be an integer, not {value:?}")))
                    }
                    _ => None,
                }
            })
            .collect()
    }

    fn body(&self, response: &Value, at: &str, headers: &HashMap<String, String>, body: &[u8]) -> Vec<Violation> {
        let content = response.get("content").and_then(Value::as_object).filter(|content| !content.is_empty());
        let Some(content) = content else {
            let empty = if body.is_empty() { None } else { Some(violation("body", "must be empty")) };
            return empty.into_iter().collect();
        };
        let given = headers.get("content-type").map(|value| value.split(';').next().unwrap_or(value).trim());
        let Some(given) = given else {
            return vec![violation("header content-type", "is missing")];
        };
        let Some((_, media)) = content.iter().find(|(declared, _)| declared.eq_ignore_ascii_case(given)) else {
            let declared: Vec<&str> = content.keys().map(String::as_str).collect();
            return vec![violation("header content-type", format!("is {given}, must be {}", declared.join(" or ")))];
        };
        match media.get("schema") {
            Some(schema) if given.eq_ignore_ascii_case("application/json") => {
                self.judged(at, schema, Direction::Response, body)
            }
            _ => Vec::new(),
        }
    }

    /// The departures of `body` from `schema`. `key` names the compiled validator in the cache.
    fn judged(&self, key: &str, schema: &Value, direction: Direction, body: &[u8]) -> Vec<Violation> {
        let instance: Value = match serde_json::from_slice(body) {
            Ok(instance) => instance,
            Err(error) => return vec![violation("body", format!("is not JSON: {error}"))],
        };
        let validator = self.validator(key, schema, direction);
        let mut all = Vec::new();
        for error in validator.iter_errors(&instance) {
            explain(&error, &mut all);
        }
        all
    }

    fn validator(&self, key: &str, schema: &Value, direction: Direction) -> Arc<Validator> {
        let cached = || self.0.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = cached().get(key) {
            return validator.clone();
        }
        let converted = schema::convert(&self.0.document, schema, direction);
        let compiled = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&converted)
            .unwrap_or_else(|error| panic!("the schema of {key} does not compile: {error}"));
        cached().entry(key.to_owned()).or_insert(Arc::new(compiled)).clone()
    }
}

/// The directory that holds the contracts, which may be absent.
pub fn directory() -> PathBuf {
    match std::env::var_os(ELSEWHERE) {
        Some(elsewhere) if !elsewhere.is_empty() => PathBuf::from(elsewhere),
        _ => workspace().parent().unwrap_or(Path::new("/")).join("shared/contracts"),
    }
}

/// Turns an error into sentences. Of alternatives, the one that comes closest is explained: "not valid under any
/// of the given schemas" helps nobody.
fn explain(error: &jsonschema::ValidationError<'_>, all: &mut Vec<Violation>) {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) = error.kind() else {
        let mut what = error.to_string();
        if let Some((cut, _)) = what.char_indices().nth(300) {
            what.truncate(cut);
            what.push('…');
        }
        all.push(violation(format!("body{}", error.instance_path()), what));
        return;
    };
    // The depth counts too: a branch that failed at its root has not recognised the value at all.
    let depth = |errors: &Vec<jsonschema::ValidationError<'_>>| {
        errors.iter().map(|error| error.instance_path().as_str().matches('/').count()).min().unwrap_or_default()
    };
    let closest = context.iter().min_by_key(|errors| (errors.len(), std::cmp::Reverse(depth(errors))));
    for inner in closest.into_iter().flatten() {
        explain(inner, all);
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(template, item)| {
            METHODS.into_iter().filter_map(move |method| Some((template, method, item.get(method)?)))
        })
        .map(|(template, method, operation)| Operation {
            method: method.to_ascii_uppercase(),
            template: template.clone(),
            operation_id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
            tag: operation["tags"][0].as_str().unwrap_or("(none)").to_owned(),
        })
        .collect()
}

/// Which segments of `template` are literal, if `path` fits it; compares greater the earlier a literal stands.
fn literals(template: &str, path: &str) -> Option<Vec<bool>> {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    if template.len() != path.len() {
        return None;
    }
    template
        .into_iter()
        .zip(path)
        .map(|(expected, given)| {
            if expected.starts_with('{') && expected.ends_with('}') {
                (!given.is_empty()).then_some(false)
            } else {
                (expected == given).then_some(true)
            }
        })
        .collect()
}

impl Operation {
    fn pointer(&self) -> String {
        format!("/paths/{}/{}", schema::escaped(&self.template), self.method.to_ascii_lowercase())
    }

    fn checked(&self) -> Checked {
        Checked { operation_id: self.operation_id.clone(), tag: self.tag.clone() }
    }
}

#[cfg(test)]
mod tests;
