//! What must not stand in which file.

use super::Finding;
use crate::workspace;
use std::path::Path;

/// A source file.
#[derive(Clone, Debug)]
pub struct Text {
    /// Relative to the workspace, with `/`.
    pub path: String,
    /// What it says.
    pub content: String,
}

/// What the product is about, in the singular. The engine must work for things that nobody has thought of yet.
/// Not here: `team`, whose column row-level security needs on every row, and words with an everyday sense (snapshot).
const NOUNS: &[&str] = &[
    "server",
    "droplet",
    "guest",
    "vm",
    "image",
    "address",
    "volume",
    "disk",
    "network",
    "subnet",
    "tenant",
    "hypervisor",
    "firewall",
    "kubernetes",
    "vcpu",
    "qemu",
    "proxmox",
];
const ENGINE: &str = "the workflow engine and its SQL name no product noun (comments included)";
const SQL: &str = "every SQL statement stands in crates/store";
const LENGTH: &str = "no file over 800 lines; past 600 a file wants to be two";
const LONGEST: usize = 800;
const SHELL: &str = "no blocking Command and no shell: tokio::process::Command with arguments as a list";

/// What breaks a rule and may for now: file, what a line must say, why. A line that pardons nothing is a finding
/// itself, so this table only shrinks.
const PARDONED: &[Pardon] = &[
    ("crates/store/migrations/0003_workflow.up.sql", "tenant", OWED),
    ("crates/store/src/workflow/commit.rs", "tenant", OWED),
    ("crates/store/src/workflow/view.rs", "tenant", OWED),
    ("crates/workflow/src/definition.rs", "tenant", OWED),
    ("crates/workflow/src/measure.rs", "tenant", OWED),
    ("crates/workflow/src/outcome.rs", "tenant", OWED),
    ("crates/workflow/src/outcome.rs", "guest", OWED),
    ("crates/workflow/src/step.rs", "tenant", OWED),
];
const OWED: &str = "owed: what the engine says holds for whoever asked and whatever was asked for; reword";
const PARDONS: &str = "a pardon that is not needed goes (PARDONED in acceptance/src/architecture/words.rs)";

/// Product nouns in the engine.
pub fn nouns_in_engine(texts: &[Text]) -> Vec<Finding> {
    let engine = texts.iter().filter(|text| {
        text.path.starts_with("crates/workflow/src/")
            || text.path.starts_with("crates/store/src/workflow")
            || (text.path.starts_with("crates/store/migrations/") && text.path.contains("_workflow."))
    });
    lines(engine, ENGINE, |line| {
        words(line)
            .into_iter()
            .find(|word| NOUNS.iter().any(|noun| is_noun(word, noun)))
            .map(|word| format!("says {word:?}"))
    })
}

/// SQL outside of the store.
pub fn sql_outside_store(texts: &[Text]) -> Vec<Finding> {
    let outside = texts.iter().filter(|text| {
        // What tests and measures the database from outside asks it directly; neither ships.
        let outside = ["crates/store/", "crates/acceptance/", "crates/bench/"];
        is_source(text) && !outside.iter().any(|folder| text.path.starts_with(folder))
    });
    const STATEMENTS: [&str; 6] =
        ["\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM ", "\"WITH ", "\"CREATE TABLE "];
    lines(outside, SQL, |line| {
        let library = line.contains("sqlx::") && !line.trim_start().starts_with("//");
        let statement = STATEMENTS.into_iter().find(|statement| line.contains(statement));
        if library { Some("uses sqlx".to_owned()) } else { statement.map(|statement| format!("says {statement}…")) }
    })
}

/// Files that are too long.
pub fn long_files(texts: &[Text]) -> Vec<Finding> {
    let long = texts.iter().map(|text| (text, text.content.lines().count())).filter(|(_, count)| *count > LONGEST);
    long.map(|(text, count)| Finding { rule: LENGTH, place: text.path.clone(), what: format!("{count} lines") })
        .collect()
}

/// Blocking or shell commands.
pub fn shells(texts: &[Text]) -> Vec<Finding> {
    // In pieces, so that this file does not find itself.
    let blocking = concat!("std::process", "::Command");
    let imported = concat!("use std::process", "::{");
    let shells = [concat!("\"", "sh\""), concat!("\"", "bash\""), concat!("\"", "/bin/sh\""), concat!("s", "h -c ")];
    lines(texts.iter().filter(|text| is_source(text)), SHELL, |line| {
        let std = line.contains(blocking) || (line.contains(imported) && line.contains("Command"));
        let shell = shells.into_iter().find(|shell| line.contains(shell));
        if std { Some("uses the blocking Command".to_owned()) } else { shell.map(|shell| format!("calls {shell}")) }
    })
}

fn is_source(text: &Text) -> bool {
    text.path.ends_with(".rs") && text.path.contains("/src/")
}

fn lines<'a>(
    texts: impl Iterator<Item = &'a Text>,
    rule: &'static str,
    wrong: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in texts {
        for (number, line) in (1..).zip(text.content.lines()) {
            if let Some(what) = wrong(line)
                && !pardoned(&text.path, line, PARDONED)
            {
                findings.push(Finding { rule, place: format!("{}:{number}", text.path), what });
            }
        }
    }
    findings
}

type Pardon = (&'static str, &'static str, &'static str);

fn pardoned(path: &str, line: &str, pardons: &[Pardon]) -> bool {
    pardons.iter().any(|(file, said, _)| *file == path && line.contains(said))
}

/// Pardons that nothing needs any more.
pub fn idle_pardons(texts: &[Text]) -> Vec<Finding> {
    idle(texts, PARDONED)
}

fn idle(texts: &[Text], pardons: &[Pardon]) -> Vec<Finding> {
    let idle = pardons
        .iter()
        .filter(|(file, said, _)| texts.iter().any(|text| text.path == *file && !text.content.contains(said)));
    idle.map(|(file, said, _)| Finding {
        rule: PARDONS,
        place: (*file).to_owned(),
        what: format!("does not say {said:?} any more"),
    })
    .collect()
}

/// The words of a line in lower case; `server_id`, `ServerId` and `SERVER` all hold `server`.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in line.chars() {
        let boundary = !c.is_ascii_alphabetic() || (c.is_ascii_uppercase() && before.is_ascii_lowercase());
        if boundary {
            words.push(String::new());
        }
        if c.is_ascii_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_noun(word: &str, noun: &str) -> bool {
    word.strip_prefix(noun).is_some_and(|ending| matches!(ending, "" | "s" | "es"))
}

/// Every Rust and SQL file of the workspace's crates, and the portal's own sources.
pub fn texts() -> Vec<Text> {
    let mut texts = Vec::new();
    for top in ["crates", "portal/src"] {
        collect(&workspace().join(top), top, &mut texts);
    }
    texts.sort_by(|one, other| one.path.cmp(&other.path));
    texts
}

fn collect(directory: &Path, name: &str, texts: &mut Vec<Text>) {
    const KINDS: [&str; 5] = ["rs", "sql", "ts", "tsx", "css"];
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let (path, name) = (entry.path(), format!("{name}/{file}"));
        if path.is_dir() && !matches!(file.as_str(), "target" | "node_modules" | "generated") {
            collect(&path, &name, texts);
        } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| *known == kind)) {
            let content = std::fs::read_to_string(&path).expect("read a source file");
            texts.push(Text { path: name, content });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, content: &str) -> [Text; 1] {
        [Text { path: path.to_owned(), content: content.to_owned() }]
    }

    #[test]
    fn nouns_are_found_in_any_dress() {
        for said in
            ["// the server", "server_id: i32", "struct ServerId;", "volume_ids", "addresses", "VM", "x = \"guest\""]
        {
            assert_eq!(nouns_in_engine(&text("crates/workflow/src/run.rs", said)).len(), 1, "{said}");
        }
        for said in ["// to observe", "preserver", "vmm_like", "observer", "imagery", "steam"] {
            assert_eq!(nouns_in_engine(&text("crates/workflow/src/run.rs", said)), [], "{said}");
        }
    }

    #[test]
    fn the_engines_sql_is_the_engine() {
        let said = "-- a server\n";
        assert_eq!(
            nouns_in_engine(&text("crates/store/src/workflow/lease.rs", said))[0].place,
            "crates/store/src/workflow/lease.rs:1"
        );
        assert_eq!(nouns_in_engine(&text("crates/store/migrations/0003_workflow.up.sql", said)).len(), 1);
        assert_eq!(nouns_in_engine(&text("crates/store/src/servers.rs", said)), []);
    }

    #[test]
    fn sql_is_found_outside_of_the_store() {
        let said = "    sqlx::query!(\"SELECT 1\")";
        assert_eq!(sql_outside_store(&text("crates/cloud/src/server.rs", said)).len(), 1);
        assert_eq!(
            sql_outside_store(&text("crates/cloud/src/server.rs", "run(\"UPDATE servers SET x = 1\")")).len(),
            1
        );
        assert_eq!(sql_outside_store(&text("crates/store/src/servers.rs", said)), []);
        assert_eq!(sql_outside_store(&text("crates/cloud/src/server.rs", "Select { first: 1 }")), []);
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(long_files(&text("crates/api/src/v2.rs", &"x\n".repeat(801))).len(), 1);
        assert_eq!(long_files(&text("crates/api/src/v2.rs", &"x\n".repeat(800))), []);
    }

    #[test]
    fn a_pardon_holds_for_its_line_and_goes_with_it() {
        let pardons = [("crates/a/src/x.rs", "odd", "because")];
        assert!(pardoned("crates/a/src/x.rs", "an odd line", &pardons));
        assert!(!pardoned("crates/a/src/x.rs", "a line", &pardons));
        assert!(!pardoned("crates/a/src/y.rs", "an odd line", &pardons));
        assert_eq!(idle(&text("crates/a/src/x.rs", "odd"), &pardons), []);
        assert_eq!(idle(&text("crates/a/src/x.rs", "even"), &pardons).len(), 1);
    }

    #[test]
    fn shells_and_blocking_commands_are_found() {
        for said in [
            concat!("let c = std::process", "::Command::new(\"ls\");"),
            concat!("use std::process", "::{Command, Stdio};"),
            concat!("Command::new(\"", "sh\").arg(\"-c\")"),
        ] {
            assert_eq!(shells(&text("crates/cloud/src/a.rs", said)).len(), 1, "{said}");
        }
        assert_eq!(shells(&text("crates/cloud/src/a.rs", "use std::process::Stdio;")), []);
        assert_eq!(shells(&text("crates/cloud/src/a.rs", "use tokio::process::Command;")), []);
    }
}
