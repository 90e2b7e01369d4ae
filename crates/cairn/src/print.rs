//! The one place that writes to stdout: data, and nothing else.

use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use clap::ValueEnum;
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

/// How data is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// The API's objects.
    Json,
    /// The API's objects, as YAML.
    Yaml,
    /// One word for each, by which other commands take it.
    Name,
}

/// What can be shown to a person.
pub(crate) trait Shown {
    /// The columns of a list.
    const COLUMNS: &'static [&'static str];

    /// Its cells.
    fn row(&self) -> Vec<String>;

    /// The word by which other commands take it.
    fn word(&self) -> String;

    /// What is shown of one by itself: name and value, line by line.
    fn details(&self) -> Vec<(&'static str, String)> {
        Self::COLUMNS.iter().copied().zip(self.row()).collect()
    }
}

/// Prints data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// How.
    pub(crate) output: Output,
}

impl Printer {
    /// Prints one object.
    pub(crate) fn one<T: Shown>(self, document: &Document<T>) -> Result<()> {
        match self.output {
            Output::Table => write(&details(&document.value.details())),
            Output::Name => write(&line(&document.value.word())),
            Output::Json | Output::Yaml => self.structured(document),
        }
    }

    /// Prints any number of objects: a list, also when there is one or none.
    pub(crate) fn many<T: Shown>(self, documents: &[Document<T>]) -> Result<()> {
        match self.output {
            Output::Table => write(&table(T::COLUMNS, documents.iter().map(|document| document.value.row()))),
            Output::Name => write(&documents.iter().map(|document| line(&document.value.word())).collect::<String>()),
            Output::Json | Output::Yaml => self.structured(&documents),
        }
    }

    /// Prints one of a sequence that has no end: a line, or a YAML document of its own.
    pub(crate) fn next<T: Shown>(self, document: &Document<T>) -> Result<()> {
        match self.output {
            Output::Table => write(&line(&document.value.row().join("  "))),
            Output::Name => write(&line(&document.value.word())),
            Output::Json => {
                let text = serde_json::to_string(document).map_err(|error| unprintable(&error))?;
                write(&format!("{text}\n"))
            }
            Output::Yaml => {
                write("---\n")?;
                self.structured(document)
            }
        }
    }

    /// Prints text as it is.
    pub(crate) fn text(self, text: &str) -> Result<()> {
        write(text)
    }

    fn structured<T: Serialize>(self, value: &T) -> Result<()> {
        let text = if self.output == Output::Yaml {
            // A line stays a line, however long: it is searched and compared.
            let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
            serde_saphyr::to_string_with_options(value, options).map_err(|error| unprintable(&error))?
        } else {
            serde_json::to_string_pretty(value).map_err(|error| unprintable(&error))?
        };
        write(&format!("{}\n", text.trim_end_matches('\n')))
    }
}

/// Writes bytes to stdout. A reader that has seen enough (`| head`) is no failure: the process ends there.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(Ending::Refused, format!("cannot write to stdout: {error}"))),
    }
}

/// Bytes in the largest unit of which there is at least one, to a tenth: `1.5 GB`.
pub(crate) fn size(bytes: i64) -> String {
    let mut unit = 1_i64;
    let mut word = "B";
    for (next, name) in [(1_000, "kB"), (1_000_000, "MB"), (1_000_000_000, "GB"), (1_000_000_000_000, "TB")] {
        if bytes >= next {
            (unit, word) = (next, name);
        }
    }
    match (bytes / unit, bytes % unit * 10 / unit) {
        (whole, 0) => format!("{whole} {word}"),
        (whole, tenth) => format!("{whole}.{tenth} {word}"),
    }
}

fn write(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

fn unprintable(error: &impl std::fmt::Display) -> Failure {
    Failure::new(Ending::Broken, format!("the server's answer cannot be printed: {error}"))
}

fn line(text: &str) -> String {
    format!("{}\n", visible(text))
}

fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns);
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell)));
    }
    // Columns stand two blanks apart, the first at the edge.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

fn details(lines: &[(&'static str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        for (index, part) in value.split('\n').enumerate() {
            let name = if index == 0 { *name } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", format!("{name:width$}  {}", visible(part)).trim_end());
        }
        text
    })
}

/// Text from elsewhere, made harmless for a terminal: what would move the cursor is shown instead.
pub(crate) fn visible(text: &str) -> String {
    // Control characters, and those that turn the direction of writing.
    let moves = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(moves) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if moves(c) { c.escape_default().collect() } else { vec![c] }).collect()
}
