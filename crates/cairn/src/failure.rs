//! What is told when a command did not do what was asked: what failed, why, and what to try.

use std::fmt;
use std::process::ExitCode;

/// Everything but success ends with one of these.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// How a command ended. The numbers are documented in `docs/cli.md` and stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The request was refused, or what it started failed.
    Refused,
    /// The command line was wrong.
    Usage,
    /// There is no token, or it is not accepted for this.
    Unauthorised,
    /// What was named is not there.
    NotFound,
    /// It did not end in time; it goes on without us.
    TimedOut,
    /// The server could not be reached.
    Unreachable,
    /// The server was reached and broke, or does not speak our language.
    Broken,
    /// The person at the keyboard stopped it.
    Interrupted,
}

impl Ending {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unauthorised => 3,
            Self::NotFound => 4,
            Self::TimedOut => 5,
            Self::Unreachable => 6,
            Self::Broken => 7,
            Self::Interrupted => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        ending.code().into()
    }
}

/// One failure, for a person. Holds no token, ever: nothing that is put in comes from a header.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Decides the exit code.
    pub(crate) ending: Ending,
    /// What failed, and why, in one line.
    pub(crate) sentence: String,
    /// What to try.
    pub(crate) suggestion: Option<String>,
    /// Under which the server's log has the cause.
    pub(crate) request: Option<String>,
    /// The server's stable word for it.
    pub(crate) code: Option<String>,
    /// Nobody knows whether what was asked for was done.
    pub(crate) in_doubt: bool,
}

impl Failure {
    /// A failure with nothing but a sentence.
    pub(crate) fn new(ending: Ending, sentence: impl Into<String>) -> Self {
        Self { ending, sentence: sentence.into(), suggestion: None, request: None, code: None, in_doubt: false }
    }

    /// The command line was wrong.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::new(Ending::Usage, sentence)
    }

    /// Says what to try.
    #[must_use]
    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// Puts in front what we were at.
    #[must_use]
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.sentence = format!("{what}: {}", self.sentence);
        self
    }

    /// A file of this machine could not be read or written.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &impl fmt::Display) -> Self {
        Self::new(Ending::Refused, format!("cannot {what} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::print::visible(&self.sentence))?;
        if let Some(code) = &self.code {
            write!(f, " ({})", crate::print::visible(code))?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  try: {suggestion}")?;
        }
        if let Some(request) = &self.request {
            write!(f, "\n  request id: {}", crate::print::visible(request))?;
        }
        Ok(())
    }
}

/// What to try when the server refuses with this code.
pub(crate) fn suggestion(code: &str) -> Option<&'static str> {
    Some(match code {
        "unauthorized" => "cairn login, to store a token that is valid",
        "forbidden" => "a token with that scope: CAIRN_TOKEN, or cairn login",
        "quota_exceeded" => "cairn quota shows what the team may have and what it uses",
        "no_capacity" => "another region or a smaller size: cairn region list, cairn size list",
        "region_unavailable" => "cairn region list",
        "size_unavailable" => "cairn size list",
        "disk_too_small" => "a size with a larger disk: cairn size list",
        "image_unavailable" | "image_corrupt" => "cairn image list",
        "pending_event" => "again when that is over: cairn server actions SERVER",
        "wrong_state" => "cairn server get SERVER says in which state it is",
        "too_many_requests" => "again in a while",
        "server_error" | "service_unavailable" => "again in a while; if it stays, tell your operator the request id",
        _ => return None,
    })
}
