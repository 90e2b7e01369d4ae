//! Running the host's own programs: arguments as a list, a time limit, bounded output, never a shell.

use provider::{Fault, Result};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// More than this of a program's output is not read.
const LARGEST_OUTPUT: u64 = 16 << 20;

/// One run of one program.
pub(crate) struct Program<'a> {
    program: &'a Path,
    arguments: Vec<OsString>,
    input: Option<String>,
    limit: Duration,
}

/// How it ended.
pub(crate) struct Ended {
    /// Exit status zero.
    pub(crate) success: bool,
    /// What it printed.
    pub(crate) output: String,
    /// What it complained.
    pub(crate) complaint: String,
}

impl<'a> Program<'a> {
    /// A run of this program, which may take half a minute.
    pub(crate) fn new(program: &'a Path) -> Self {
        Self { program, arguments: Vec::new(), input: None, limit: Duration::from_secs(30) }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// What it reads from standard input.
    pub(crate) fn input(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }

    /// How long it may take.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it and wants success.
    pub(crate) async fn run(self) -> Result<String> {
        let name = self.program.display().to_string();
        let what = self.arguments.first().map(|first| first.to_string_lossy().into_owned()).unwrap_or_default();
        let ended = self.end().await?;
        if ended.success {
            return Ok(ended.output);
        }
        Err(crate::fault::from_program(&format!("{name} {what}"), &ended.complaint))
    }

    /// Runs it and tells how it ended.
    pub(crate) async fn end(self) -> Result<Ended> {
        let name = self.program.display().to_string();
        let limit = self.limit;
        match tokio::time::timeout(limit, self.wait()).await {
            Ok(ended) => ended,
            Err(_) => Err(Fault::transient(format!("{name} was given up after {limit:?}"))),
        }
    }

    async fn wait(self) -> Result<Ended> {
        let io = |error: &std::io::Error| crate::fault::from_io(format!("running {}", self.program.display()), error);
        let mut child = Command::new(self.program)
            .args(&self.arguments)
            .env("LC_ALL", "C")
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Fault::bug(format!("{} is not installed", self.program.display())),
                _ => io(&error),
            })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let (Some(mut stdin), Some(input)) = (stdin, &self.input) {
                // A program that ends before it has read everything says why on its standard error.
                if let Err(error) = stdin.write_all(input.as_bytes()).await {
                    tracing::debug!(%error, "a program did not read its input");
                }
            }
        };
        let ((), output, complaint) = tokio::join!(write, read(stdout), read(stderr));
        let status = child.wait().await.map_err(|error| io(&error))?;
        Ok(Ended { success: status.success(), output, complaint })
    }
}

async fn read(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(stream) = stream
        && let Err(error) = stream.take(LARGEST_OUTPUT).read_to_end(&mut text).await
    {
        tracing::debug!(%error, "a program's output broke off");
    }
    String::from_utf8_lossy(&text).into_owned()
}
