//! Our mark on what is ours: one line in the description, which says everything, and tags, which a list of all guests
//! shows. Only the line counts where something is changed or deleted.

use model::ids::{ImageId, InstallationId, ServerId};
use percent_encoding::percent_decode_str;
use provider::{Checksum, GuestRef, ImageRef, Mark};

/// The word that our line begins with.
const WORD: &str = "cairn";
/// The tag that everything of every installation has.
pub(crate) const TAG: &str = "cairn";

/// How far a guest or template is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum State {
    /// Being made.
    #[default]
    Making,
    /// Complete.
    Made,
    /// A template that is deleted as soon as no guest's disk builds on it.
    Retired,
}

impl State {
    const ALL: [(Self, &'static str); 3] = [(Self::Making, "making"), (Self::Made, "made"), (Self::Retired, "retired")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("making", |(_, word)| word)
    }

    fn parse(word: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == word).map_or(Self::Making, |(state, _)| *state)
    }
}

/// What our line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    pub(crate) installation: InstallationId,
    pub(crate) server: Option<ServerId>,
    pub(crate) image: Option<ImageId>,
    pub(crate) state: State,
    /// How large a guest's disk was ordered, in GiB: it is whole when its disk is that large.
    pub(crate) disk_gb: Option<u32>,
    /// The token of the last finished rebuild.
    pub(crate) rebuilt: Option<String>,
    /// The token of the rebuild under way.
    pub(crate) rebuilding: Option<String>,
    /// The volume that the rebuild under way replaces.
    pub(crate) replaced: Option<String>,
    /// Where a template's bytes came from, so that another host can fetch them, too.
    pub(crate) source: Option<Source>,
}

/// Where bytes came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    pub(crate) url: String,
    pub(crate) checksum: Option<Checksum>,
}

impl Note {
    /// A guest's.
    pub(crate) fn of_guest(mark: &Mark) -> Self {
        Self { server: Some(mark.server), ..Self::empty(mark.installation) }
    }

    /// A template's.
    pub(crate) fn of_image(image: &ImageRef, source: Option<Source>) -> Self {
        Self { image: Some(image.image), source, ..Self::empty(image.installation) }
    }

    fn empty(installation: InstallationId) -> Self {
        Self {
            installation,
            server: None,
            image: None,
            state: State::Making,
            disk_gb: None,
            rebuilt: None,
            rebuilding: None,
            replaced: None,
            source: None,
        }
    }

    /// Reads it from a description.
    pub(crate) fn read(description: &str) -> Option<Self> {
        description.lines().find_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        if words.next() != Some(WORD) {
            return None;
        }
        let pairs: Vec<(&str, String)> = words.filter_map(|word| word.split_once('=')).map(decoded).collect();
        let value = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let mut note = Self::empty(value("installation")?.parse().ok()?);
        note.server = value("server").and_then(|id| id.parse().ok());
        note.image = value("image").and_then(|id| id.parse().ok());
        note.state = State::parse(&value("state").unwrap_or_default());
        note.disk_gb = value("disk").and_then(|gb| gb.parse().ok());
        note.rebuilt = value("rebuilt");
        note.rebuilding = value("rebuilding");
        note.replaced = value("replaced");
        let checksum = value("sha256").map(Checksum::Sha256).or_else(|| value("sha512").map(Checksum::Sha512));
        note.source = value("source").map(|url| Source { url, checksum });
        Some(note)
    }

    fn line(&self) -> String {
        let mut line = format!("{WORD} installation={}", self.installation);
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line = format!("{line} {name}={}", crate::call::percent(&value));
            }
        };
        add("server", self.server.map(|id| id.to_string()));
        add("image", self.image.map(|id| id.to_string()));
        add("state", Some(self.state.word().to_owned()));
        add("disk", self.disk_gb.map(|gb| gb.to_string()));
        add("rebuilt", self.rebuilt.clone());
        add("rebuilding", self.rebuilding.clone());
        add("replaced", self.replaced.clone());
        if let Some(source) = &self.source {
            add("source", Some(source.url.clone()));
            match &source.checksum {
                Some(Checksum::Sha256(sum)) => add("sha256", Some(sum.clone())),
                Some(Checksum::Sha512(sum)) => add("sha512", Some(sum.clone())),
                None => {}
            }
        }
        line
    }

    /// The description with this line in place of the old one; what else it says stays.
    pub(crate) fn written_into(&self, description: &str) -> String {
        let others = description.lines().filter(|line| Self::parse(line).is_none());
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        lines.push(self.line());
        lines.join("\n")
    }

    /// A description with nothing else.
    pub(crate) fn alone(&self) -> String {
        self.line()
    }

    /// Whether this is the mark of a guest.
    pub(crate) fn is_of(&self, mark: &Mark) -> bool {
        self.installation == mark.installation && self.server == Some(mark.server)
    }

    /// Whether this is the mark of an image's template.
    pub(crate) fn is_of_image(&self, image: &ImageRef) -> bool {
        self.installation == image.installation && self.image == Some(image.image) && self.state != State::Retired
    }

    /// Whose it is, for people.
    pub(crate) fn owner(&self) -> String {
        let what = match (self.server, self.image) {
            (Some(server), _) => format!("server {server}"),
            (None, Some(image)) => format!("image {image}"),
            (None, None) => "something".to_owned(),
        };
        format!("{what} of installation {}", self.installation)
    }
}

fn decoded<'a>((name, value): (&'a str, &str)) -> (&'a str, String) {
    (name, percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// The part of an installation's id that tags and names carry: its random end.
pub(crate) fn short(installation: InstallationId) -> String {
    let text = installation.to_string();
    text.get(text.len().saturating_sub(8)..).unwrap_or_default().to_owned()
}

/// The tag of everything of one installation.
pub(crate) fn installation_tag(installation: InstallationId) -> String {
    format!("{TAG}-i{}", short(installation))
}

/// The tag of a server.
fn server_tag(server: ServerId) -> String {
    format!("{TAG}-s{server}")
}

/// The tag of an image's templates.
pub(crate) fn image_tag(image: &ImageRef) -> String {
    format!("{TAG}-img-{}-{}", short(image.installation), image.image)
}

/// The tag of every guest that is on a private network.
pub(crate) fn network_tag(vnet: &str) -> String {
    format!("{TAG}-n-{vnet}")
}

/// Which server of this installation the tags name.
pub(crate) fn tagged_server(tags: &[String], installation: InstallationId) -> Option<ServerId> {
    if !tags.contains(&installation_tag(installation)) {
        return None;
    }
    tags.iter().find_map(|tag| tag.strip_prefix("cairn-s")?.parse().ok())
}

/// A guest's tags: ours, and those of others that it has.
pub(crate) fn guest_tags(guest: &GuestRef, vnets: &[String], had: &[String]) -> String {
    let mark = &guest.mark;
    let ours = [TAG.to_owned(), installation_tag(mark.installation), server_tag(mark.server)];
    let networks = vnets.iter().map(|vnet| network_tag(vnet));
    let others = had.iter().filter(|tag| *tag != TAG && !tag.starts_with("cairn-")).cloned();
    ours.into_iter().chain(networks).chain(others).collect::<Vec<_>>().join(";")
}

/// A template's tags.
pub(crate) fn image_tags(image: &ImageRef) -> String {
    [TAG.to_owned(), installation_tag(image.installation), image_tag(image)].join(";")
}

/// The tags as Proxmox writes them: separated by `;`, and by `,` or spaces where people wrote them.
pub(crate) fn split(tags: &str) -> Vec<String> {
    tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        let installation = InstallationId("01890000-0000-7000-8000-0000deadbeef".parse().unwrap());
        Mark { installation, server: ServerId(42) }
    }

    #[test]
    fn a_note_comes_back_and_leaves_the_rest_of_the_description_alone() {
        let source = Source { url: "https://x/a b=c".into(), checksum: Some(Checksum::Sha256("ab".into())) };
        let note = Note { state: State::Made, disk_gb: Some(20), source: Some(source), ..Note::of_guest(&mark()) };
        let note = Note { rebuilt: Some("t 1".into()), ..note };
        let written = note.written_into("the boss's machine\ncairn is a pile of stones\n\n");
        assert_eq!(Note::read(&written), Some(note.clone()));
        let later = Note { rebuilt: None, ..note };
        let again = later.written_into(&written);
        assert_eq!(Note::read(&again), Some(later));
        assert!(again.starts_with("the boss's machine\ncairn is a pile of stones\ncairn installation="), "{again}");
    }

    #[test]
    fn tags_name_the_server_of_this_installation_only() {
        let guest = GuestRef { host: "n".into(), name: "100".into(), mark: mark() };
        let tags = split(&guest_tags(&guest, &["cabc".into()], &["prod".into(), "cairn-s7".into()]));
        assert_eq!(tags, ["cairn", "cairn-ideadbeef", "cairn-s42", "cairn-n-cabc", "prod"]);
        assert_eq!(tagged_server(&tags, mark().installation), Some(ServerId(42)));
        let other = InstallationId("01890000-0000-7000-8000-0000deadbee0".parse().unwrap());
        assert_eq!(tagged_server(&tags, other), None);
    }
}
