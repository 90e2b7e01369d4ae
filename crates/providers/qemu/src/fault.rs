//! The one place where what the host said becomes a [`Fault`].

use provider::Fault;
use std::io;

/// Turns an I/O error into a fault; `doing` says what was tried.
pub(crate) fn from_io(doing: impl std::fmt::Display, error: &io::Error) -> Fault {
    let detail = format!("{doing}: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::TooManyLinks => Fault::full(detail),
        io::ErrorKind::OutOfMemory => Fault::full(detail),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Fault::bug(detail),
        _ => Fault::transient(detail),
    }
}

/// A program of the host (`qemu-img`, `ip`, `nft`, QEMU itself) that ended badly, by what it printed.
pub(crate) fn from_program(program: &str, said: &str) -> Fault {
    let detail = format!("{program}: {}", said.trim());
    if said.contains("No space left on device") || said.contains("Cannot allocate memory") {
        return Fault::full(detail);
    }
    if said.contains("cannot set up guest memory") {
        return Fault::full(detail);
    }
    // Another process still holds the image (a QEMU that is just ending), or a port was taken meanwhile.
    Fault::transient(detail)
}

/// An error reply of QMP or of the guest agent.
pub(crate) fn from_reply(command: &str, class: &str, description: &str) -> Fault {
    let detail = format!("{command}: {class}: {description}");
    match class {
        "CommandNotFound" => Fault::bug(detail),
        _ if description.contains("No space left") => Fault::full(detail),
        _ => Fault::transient(detail),
    }
}

/// A failed download, by the client's error. A request that was not answered changes nothing, so it may be repeated.
pub(crate) fn from_http(error: &reqwest::Error) -> Fault {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        detail = format!("{detail}: {deeper}");
        source = deeper.source();
    }
    if error.is_builder() || error.is_redirect() { Fault::refused(detail) } else { Fault::transient(detail) }
}

/// A download that was answered with this status.
pub(crate) fn from_status(url: &str, status: reqwest::StatusCode) -> Fault {
    let detail = format!("{url} answered {status}");
    if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
        Fault::transient(detail)
    } else {
        Fault::refused(detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider::FaultKind;

    /// Sentences as QEMU 7.2, qemu-img 7.2 and iproute2 6.1 print them.
    #[test]
    fn recorded_sentences_keep_their_kind() {
        let samples = [
            ("qemu-img: error while writing at byte 0: No space left on device", FaultKind::Full),
            ("qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory", FaultKind::Full),
            ("qemu-system-x86_64: Failed to get \"write\" lock", FaultKind::Transient),
            ("RTNETLINK answers: Operation not permitted", FaultKind::Transient),
        ];
        for (said, kind) in samples {
            assert_eq!(from_program("x", said).kind, kind, "{said}");
        }
        assert_eq!(from_io("x", &io::Error::from_raw_os_error(28)).kind, FaultKind::Full);
        assert_eq!(from_reply("backup", "GenericError", "No space left on device").kind, FaultKind::Full);
    }
}
