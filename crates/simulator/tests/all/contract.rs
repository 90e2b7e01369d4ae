//! What the published schema refuses is refused here, and for the parameters that it names: every one of its
//! operations, with an unknown parameter, wrong types, values out of range, and without what is required.

use crate::client::{Client, encoded, instant, percent};
use crate::exchanges::contracts;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// No operation has it.
const UNKNOWN: &str = "cairn-unknown";

/// A session of root@pam: whatever is refused to it is refused for its parameters.
struct Session {
    client: Client,
    cookie: String,
    csrf: String,
}

impl Session {
    async fn open(client: Client) -> Self {
        let login = [("username", "root@pam"), ("password", simulator::ROOT_PASSWORD)];
        let got = client.done("POST", "/access/ticket", &login).await;
        let text = |key: &str| got.data()[key].as_str().unwrap().to_owned();
        Self {
            cookie: format!("PVEAuthCookie={}", percent(&text("ticket"))),
            csrf: text("CSRFPreventionToken"),
            client,
        }
    }

    /// The parameters that a request was refused for; `None`: it was not refused with 400.
    async fn blamed(&self, method: &str, path: &str, form: &[(String, String)]) -> Option<BTreeSet<String>> {
        let form: Vec<(&str, &str)> = form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let in_query = matches!(method, "GET" | "DELETE");
        let query = if in_query { format!("?{}", encoded(&form)) } else { String::new() };
        let request = self.client.anonymous(method, &format!("{path}{query}"));
        let request = request.header("Cookie", &self.cookie).header("CSRFPreventionToken", &self.csrf);
        let form_type = "application/x-www-form-urlencoded";
        let request = if in_query { request } else { request.header("Content-Type", form_type).body(encoded(&form)) };
        let got = self.client.send(request).await?;
        (got.status == 400).then(|| got.body["errors"].as_object().unwrap().keys().cloned().collect())
    }
}

/// A number, which the schema writes as one or as a text; a fraction is rounded up.
fn number(value: &Value) -> Option<i64> {
    let exact = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    exact.or_else(|| format!("{:.0}", value.as_f64()?.ceil()).parse().ok())
}

fn is_optional(spec: &Value) -> bool {
    number(&spec["optional"]) == Some(1)
}

/// A value of another type, or none of the enumerated ones.
fn of_another_type(spec: &Value) -> Option<String> {
    let typed = matches!(spec["type"].as_str(), Some("integer" | "number" | "boolean"));
    (typed || spec["enum"].is_array()).then(|| "no-such-thing".to_owned())
}

/// A value of the right type that is too small, too large or too long.
fn out_of_range(spec: &Value) -> Option<String> {
    if matches!(spec["type"].as_str(), Some("integer" | "number")) {
        let low = number(&spec["minimum"]).map(|least| least - 1);
        return low.or_else(|| number(&spec["maximum"])?.checked_add(1)).map(|value| value.to_string());
    }
    let longest = number(&spec["maxLength"]).filter(|_| !spec["enum"].is_array())?;
    Some("a".repeat(usize::try_from(longest).ok()? + 1))
}

/// Formats that only PVE's own modules know: whatever is passed is taken.
const OPEN: &[&str] = &[
    "backup-fleecing",
    "backup-performance",
    "FullRangeCIDR",
    "graphite-path",
    "ldap-simple-attr",
    "ldap-simple-attr-list",
    "lxc-ip-with-ll-iface-list",
    "proxmox-remote",
    "prune-backups",
    "pve-calendar-event",
    "pve-command-batch",
    "pve-dir-override-list",
    "pve-fw-conntrack-helper",
    "pve-phys-bits",
    "pve-qemu-sev-fmt",
    "pve-qemu-tdx-fmt",
    "pve-qm-cicustom",
    "pve-qm-hostpci",
    "pve-qm-ide",
    "pve-qm-rng",
    "pve-qm-smbios1",
    "pve-qm-watchdog",
    "pve-sdn-bgp-rt-list",
    "pve-sdn-fabric-id",
    "pve-sdn-isis-net",
    "pve-sdn-prefix-list-id",
    "pve-sdn-route-map-id",
    "pve-sdn-subnet-id",
    "pve-storage-options",
    "pve-storage-zfs-blocksize",
    "pve-tfa-config",
    "pve-vlan-id-or-range-list",
    "pve-vm-cpu-conf",
    "realm-sync-options",
    "string-list",
];

/// A text that no pattern and no format takes: not as a whole, and not as a list.
const SHAPELESS: &str = "no such thing \u{1}?";

fn shapeless(spec: &Value) -> Option<String> {
    let formatted = spec["format"].as_str().is_some_and(|format| !OPEN.contains(&format));
    let text = spec["type"].as_str() == Some("string") && !spec["enum"].is_array();
    (text && (formatted || spec["pattern"].is_string())).then(|| SHAPELESS.to_owned())
}

/// A value that the schema takes, where it is simple to tell.
fn good(spec: &Value) -> Option<String> {
    if let Some(values) = spec["enum"].as_array() {
        return values.first()?.as_str().map(str::to_owned);
    }
    match spec["type"].as_str()? {
        "boolean" => Some("1".to_owned()),
        "integer" | "number" => {
            Some(number(&spec["minimum"]).or_else(|| number(&spec["maximum"])).unwrap_or(1).to_string())
        }
        _ => None,
    }
}

struct Operation<'a> {
    method: &'a str,
    path: String,
    in_path: BTreeSet<&'a str>,
    /// Those that can be sent under one name: `net[n]` as `net0`.
    parameters: Vec<(String, &'a Value)>,
}

impl<'a> Operation<'a> {
    fn new(method: &'a str, template: &'a str, properties: &'a Map<String, Value>) -> Self {
        let names = template.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let in_path: BTreeSet<&str> = names.collect();
        let path = in_path.iter().fold(template.to_owned(), |path, name| {
            let value = match *name {
                "node" => "pve1",
                "vmid" => "100",
                _ => "x1",
            };
            path.replace(&format!("{{{name}}}"), value)
        });
        let sent = properties.iter().filter(|(name, _)| !in_path.contains(name.as_str()));
        let parameters = sent.map(|(name, spec)| (name.replace("[n]", "0"), spec)).collect();
        Self { method, path, in_path, parameters }
    }

    /// Sends a value for each parameter that `value` has one for, and an unknown one. `None`: exactly these, the unknown
    /// one and the required ones that were left out are blamed, of those that do not stand in the path. With `wrong`,
    /// what was sent is to be blamed as well.
    async fn try_with(&self, session: &Session, value: fn(&Value) -> Option<String>, wrong: Blame) -> Option<String> {
        let values = self.parameters.iter().filter_map(|(name, spec)| Some((name.clone(), value(spec)?)));
        let mut form: Vec<(String, String)> = values.collect();
        let sent: BTreeSet<String> = form.iter().map(|(name, _)| name.clone()).collect();
        form.push((UNKNOWN.to_owned(), "1".to_owned()));
        let left_out = self.parameters.iter().filter(|(name, spec)| !is_optional(spec) && !sent.contains(name));
        let mut expected: BTreeSet<String> = left_out.map(|(name, _)| name.clone()).collect();
        expected.insert(UNKNOWN.to_owned());
        if matches!(wrong, Blame::Sent) {
            expected.extend(sent);
        }
        let blamed = session.blamed(self.method, &self.path, &form).await;
        let blamed = blamed.map(|names| {
            names.into_iter().filter(|name| !self.in_path.contains(name.as_str())).collect::<BTreeSet<String>>()
        });
        (blamed.as_ref() != Some(&expected))
            .then(|| format!("{} {} with {form:?}: blamed {blamed:?}, not {expected:?}", self.method, self.path))
    }
}

/// Whether what is sent is wrong.
#[derive(Clone, Copy)]
enum Blame {
    Sent,
    NotSent,
}

#[tokio::test]
async fn what_the_schema_refuses_is_refused_and_named() {
    let Some(contracts) = contracts() else {
        println!("SKIP what_the_schema_refuses_is_refused_and_named: ../shared/contracts/proxmox is absent");
        return;
    };
    let schema = std::fs::read_to_string(contracts.join("pve-9.2-api.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let (simulator, client) = instant(1).await;
    let session = Session::open(client).await;
    let none = Map::new();
    let mut wrong = Vec::new();
    let (mut operations, mut parameters) = (0, 0);
    let mut formats = BTreeSet::new();
    for (template, methods) in schema["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            let properties = described["parameters"]["properties"].as_object().unwrap_or(&none);
            let operation = Operation::new(method, template, properties);
            operations += 1;
            parameters += operation.parameters.len();
            formats.extend(operation.parameters.iter().filter_map(|(_, spec)| spec["format"].as_str()));
            wrong.extend(operation.try_with(&session, of_another_type, Blame::Sent).await);
            wrong.extend(operation.try_with(&session, out_of_range, Blame::Sent).await);
            wrong.extend(operation.try_with(&session, shapeless, Blame::Sent).await);
            wrong.extend(operation.try_with(&session, good, Blame::NotSent).await);
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(simulator.control.guests(), [], "nothing of it had an effect");
    assert_eq!(operations, 675);
    let unknown: Vec<&&str> = OPEN.iter().filter(|format| !formats.contains(**format)).collect();
    assert_eq!(unknown, Vec::<&&str>::new(), "these are no formats of the schema");
    let figures = [
        ("operations held to it", operations),
        ("parameters", parameters),
        ("formats", formats.len()),
        ("formats that take anything", OPEN.len()),
    ];
    crate::figures("schema", &figures);
}
