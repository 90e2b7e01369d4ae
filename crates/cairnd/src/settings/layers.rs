//! Where settings come from: command line, then environment, then file. A value always remembers which, so that
//! a complaint about it can say where to look.

use super::{Key, Problem};
use crate::arguments::Flags;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where a value was written.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// On the command line, as this flag.
    Flag(String),
    /// In the environment, as this variable.
    Variable(String),
    /// In this file.
    File(PathBuf),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "from {flag}"),
            Origin::Variable(variable) => write!(f, "from {variable}"),
            Origin::File(path) => write!(f, "in {}", path.display()),
        }
    }
}

/// A value as it was written, and where.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: Key,
    pub(super) text: String,
    pub(super) origin: Origin,
}

impl Given {
    /// A complaint about this value. `what` continues the sentence that begins with the setting's name.
    pub(super) fn problem(&self, what: impl std::fmt::Display, fix: impl Into<String>) -> Problem {
        Problem::new(format!("{} ({}) {what}", self.key.name(), self.origin), fix)
    }
}

/// The three layers.
pub(super) struct Layers<'a> {
    flags: &'a Flags,
    variables: &'a dyn Fn(&str) -> Option<String>,
    file: Option<(PathBuf, Table)>,
}

impl<'a> Layers<'a> {
    /// Reads the file (the given one, or the first default one that exists) and checks that it names only settings.
    pub(super) fn read(flags: &'a Flags, variables: &'a dyn Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let path = match &flags.config {
            Some(path) => Some(path.clone()),
            None => default_files(variables).into_iter().find(|path| path.is_file()),
        };
        let file = path.map(|path| read_file(&path).map(|table| (path, table))).transpose()?;
        Ok(Self { flags, variables, file })
    }

    /// The value that counts for `key`. An empty variable counts as unset.
    pub(super) fn get(&self, key: Key) -> Result<Option<Given>, Problem> {
        if let Some(text) = self.flags.value(key) {
            return Ok(Some(Given { key, text, origin: Origin::Flag(key.flag()) }));
        }
        if let Some(text) = (self.variables)(&key.variable()).filter(|text| !text.is_empty()) {
            return Ok(Some(Given { key, text, origin: Origin::Variable(key.variable()) }));
        }
        let Some((path, table)) = &self.file else { return Ok(None) };
        let Some(value) = find(table, key.name()) else { return Ok(None) };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            // The one setting that is a table of the operator's own words; the other layers write it as a=b,c=d.
            Value::Table(files) if key == Key::ImageFiles => {
                let pair = |(slug, file): (&String, &Value)| format!("{slug}={}", file.as_str().unwrap_or_default());
                files.iter().map(pair).collect::<Vec<_>>().join(",")
            }
            other => {
                let given = Given { key, text: String::new(), origin: Origin::File(path.clone()) };
                return Err(given.problem(
                    format_args!("is {}", with_article(other.type_str())),
                    "write it as text in quotes, or as a whole number",
                ));
            }
        };
        Ok(Some(Given { key, text, origin: Origin::File(path.clone()) }))
    }
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn default_files(variables: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let user = variables("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variables("HOME").map(|home| Path::new(&home).join(".config")))
        .map(|directory| directory.join("cairn/cairnd.toml"));
    user.into_iter().chain([PathBuf::from("/etc/cairn/cairnd.toml")]).collect()
}

fn read_file(path: &Path) -> Result<Table, Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Problem::new(
            format!("the configuration file {} cannot be read: {error}", path.display()),
            "check the path given with --config or CAIRN_CONFIG, and the file's permissions",
        )
    })?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        Problem::new(
            format!("{} is not valid TOML: {}", path.display(), error.message()),
            place(&text, error.span()).unwrap_or_else(|| "docs/configuration.md shows a complete file".to_owned()),
        )
    })?;
    refuse_unknown(path, &table)?;
    Ok(table)
}

fn place(text: &str, span: Option<std::ops::Range<usize>>) -> Option<String> {
    let before = text.get(..span?.start)?;
    let line = before.matches('\n').count();
    Some(format!("look at line {}: {}", line + 1, text.lines().nth(line).unwrap_or_default().trim()))
}

fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Value> {
    match name.split_once('.') {
        None => table.get(name),
        Some((head, rest)) => table.get(head)?.as_table().and_then(|inner| find(inner, rest)),
    }
}

/// A misspelt setting would otherwise silently keep its default.
fn refuse_unknown(path: &Path, table: &Table) -> Result<(), Problem> {
    for name in names(table) {
        if Key::ALL.iter().any(|key| key.name() == name) {
            continue;
        }
        let nearest = Key::ALL.iter().map(|key| (distance(key.name(), &name), key.name())).min();
        let fix = match nearest {
            Some((difference, nearest)) if difference <= 3 => format!("did you mean {nearest}?"),
            _ => "docs/configuration.md lists the settings".to_owned(),
        };
        return Err(Problem::new(format!("{name} (in {}) is not a setting", path.display()), fix));
    }
    Ok(())
}

fn names(table: &Table) -> Vec<String> {
    table
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Table(inner) if name != Key::ImageFiles.name() => {
                names(inner).into_iter().map(|rest| format!("{name}.{rest}")).collect()
            }
            _ => vec![name.clone()],
        })
        .collect()
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.chars().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.chars().count()]
}
