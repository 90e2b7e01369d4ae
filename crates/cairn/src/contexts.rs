//! The installations that this person uses: the file that `cairn login` writes.

use crate::client::Token;
use crate::failure::{Ending, Failure, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the file holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Contexts {
    /// The one that is used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All of them, by name.
    #[serde(default, rename = "contexts")]
    pub(crate) all: BTreeMap<String, Context>,
}

/// One installation, and a token for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Context {
    /// Where it is.
    pub(crate) url: String,
    /// The file with the certificate authorities to trust, if it is not those of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The secret of a team's token; none where only an operator's is known.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Token>,
    /// The secret of an operator's token.
    #[serde(default, with = "secret", skip_serializing_if = "Option::is_none")]
    pub(crate) operator_token: Option<Token>,
}

mod secret {
    use crate::client::Token;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(token: &Option<Token>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(&token.as_ref().map(Token::reveal))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Token>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Token::parse(&text).map(Some).map_err(|failure| D::Error::custom(failure.sentence))
    }
}

/// For whom is asked: for a team, or for the operators of the installation. Each has tokens of its own kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Audience {
    /// `/v2` and `/cloud/v1`.
    Team,
    /// `/admin/v1`.
    Operator,
}

impl Context {
    /// The token for this audience.
    pub(crate) fn token_for(&self, audience: Audience) -> Option<Token> {
        match audience {
            Audience::Team => self.token.clone(),
            Audience::Operator => self.operator_token.clone(),
        }
    }
}

impl Audience {
    /// How to get a token for it.
    fn advice(self, url: &str) -> String {
        match self {
            Self::Team => format!("cairn login --url {url}, or CAIRN_TOKEN in the environment"),
            Self::Operator => format!(
                "cairn admin login --url {url}, --operator-token-file FILE, or CAIRN_OPERATOR_TOKEN in the environment"
            ),
        }
    }
}

/// Where the file is: `${XDG_CONFIG_HOME:-~/.config}/cairn/config.toml`.
pub(crate) fn path() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    directory.map(|directory| directory.join("cairn").join("config.toml")).ok_or_else(|| {
        Failure::new(
            Ending::Refused,
            "there is no place for the configuration: neither HOME nor XDG_CONFIG_HOME is set",
        )
        .suggest("CAIRN_URL and CAIRN_TOKEN in the environment")
    })
}

impl Contexts {
    /// Reads the file. One that is not there holds nothing.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::file("read", path, &error)),
        };
        // The error's own text would repeat the line, and with it perhaps the token.
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(1, |span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
            Failure::file("use", path, &format!("line {line}: {}", error.message()))
                .suggest("correct it, or remove it and log in again")
        })
    }

    /// Writes the file, readable by its owner alone, in one piece: a reader sees the old or the new one.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let fail = |error: &dyn std::fmt::Display| Failure::file("write", path, &error.to_string());
        let text = toml::to_string(self).map_err(|error| fail(&error))?;
        let directory = path.parent().ok_or_else(|| fail(&"it is in no directory"))?;
        make_private(directory).map_err(|error| fail(&error))?;
        let mut file =
            tempfile::Builder::new().prefix(".config").tempfile_in(directory).map_err(|error| fail(&error))?;
        file.write_all(text.as_bytes()).map_err(|error| fail(&error))?;
        file.as_file().sync_all().map_err(|error| fail(&error))?;
        file.persist(path).map_err(|error| fail(&error.error))?;
        Ok(())
    }

    /// One that has to be there.
    pub(crate) fn get(&self, name: &str) -> Result<&Context> {
        self.all.get(name).ok_or_else(|| self.unknown(name))
    }

    /// Says that one is not there.
    pub(crate) fn unknown(&self, name: &str) -> Failure {
        let known: Vec<_> = self.all.keys().map(String::as_str).collect();
        let failure = Failure::new(Ending::NotFound, format!("there is no context `{name}`"));
        if known.is_empty() {
            failure.suggest("cairn login")
        } else {
            failure.suggest(format!("one of: {}", known.join(", ")))
        }
    }
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// What says on the command line or in the environment which installation is meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// A context's name.
    pub(crate) context: Option<String>,
    /// Where the installation is.
    pub(crate) url: Option<String>,
    /// The file with the certificate authorities to trust.
    pub(crate) ca: Option<PathBuf>,
}

/// The same from the environment, with the token, which is nowhere on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `CAIRN_CONTEXT`, `CAIRN_URL` and `CAIRN_CA`.
    pub(crate) choice: Choice,
    /// `CAIRN_TOKEN`.
    pub(crate) token: Option<Token>,
    /// `CAIRN_OPERATOR_TOKEN`.
    pub(crate) operator_token: Option<Token>,
}

impl Environment {
    /// Of this process. What is set to nothing is not set.
    pub(crate) fn read() -> Result<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = |name: &str| set(name).map(|text| Token::parse(&text).map_err(|f| f.during(name))).transpose();
        Ok(Self {
            choice: Choice {
                context: set("CAIRN_CONTEXT"),
                url: set("CAIRN_URL"),
                ca: set("CAIRN_CA").map(PathBuf::from),
            },
            token: token("CAIRN_TOKEN")?,
            operator_token: token("CAIRN_OPERATOR_TOKEN")?,
        })
    }

    fn token_for(&self, audience: Audience) -> Option<Token> {
        match audience {
            Audience::Team => self.token.clone(),
            Audience::Operator => self.operator_token.clone(),
        }
    }
}

/// Which installation is spoken to. A flag goes before the environment, that before the current context; and a
/// context that is named by `--context` goes before the environment as a whole. A stored token is sent to the URL
/// that it was stored with, and to no other.
pub(crate) fn choose(
    contexts: &Contexts,
    flags: Choice,
    environment: Environment,
    audience: Audience,
) -> Result<(String, Token, Option<PathBuf>)> {
    let flagged = flags.context.as_deref().map(|name| contexts.get(name)).transpose()?;
    let named = environment.choice.context.as_deref().or(contexts.current.as_deref());
    let context = match (flagged, named) {
        (Some(context), _) => Some(context),
        // A name that is not needed need not exist.
        (None, Some(name)) if environment.choice.url.is_none() && flags.url.is_none() => Some(contexts.get(name)?),
        (None, name) => name.and_then(|name| contexts.all.get(name)),
    };
    let surely = flagged.cloned();
    let fallback = context.cloned();
    let given = environment.token_for(audience);
    let url = flags.url.or(surely.as_ref().map(|context| context.url.clone())).or(environment.choice.url);
    let url = url.or(fallback.as_ref().map(|context| context.url.clone())).ok_or_else(|| {
        Failure::new(Ending::Unauthorised, "not logged in: no installation is named").suggest(match audience {
            Audience::Team => "cairn login, or CAIRN_URL and CAIRN_TOKEN in the environment",
            Audience::Operator => "cairn admin login, or CAIRN_URL and CAIRN_OPERATOR_TOKEN in the environment",
        })
    })?;
    let here = |context: &Context| same(&context.url, &url);
    let (surely, fallback) = (surely.filter(here), fallback.filter(here));
    let stored = |context: &Option<Context>| context.as_ref().and_then(|context| context.token_for(audience));
    let token = stored(&surely).or(given).or_else(|| stored(&fallback)).ok_or_else(|| {
        let what = if audience == Audience::Team { "token" } else { "operator's token" };
        Failure::new(Ending::Unauthorised, format!("not logged in: there is no {what} for {url}"))
            .suggest(audience.advice(&url))
    })?;
    let ca = flags.ca.or(surely.and_then(|context| context.ca)).or(environment.choice.ca);
    Ok((url, token, ca.or(fallback.and_then(|context| context.ca))))
}

/// Whether two addresses are one.
fn same(one: &str, other: &str) -> bool {
    match (crate::client::base(one), crate::client::base(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let context = |url: &str, token: &str| Context {
            url: url.to_owned(),
            ca: Some(format!("/{token}.pem").into()),
            token: Some(Token::parse(token).unwrap()),
            operator_token: Some(Token::parse(&format!("{token}-op")).unwrap()),
        };
        Contexts {
            current: Some("home".to_owned()),
            all: [
                ("home".to_owned(), context("https://home.example", "home-secret")),
                ("work".to_owned(), context("https://work.example", "work-secret")),
            ]
            .into(),
        }
    }

    fn chosen(flags: Choice, environment: Environment) -> (String, String, String) {
        let (url, token, ca) = choose(&contexts(), flags, environment, Audience::Team).unwrap();
        (url, token.reveal().to_owned(), ca.map(|path| path.display().to_string()).unwrap_or_default())
    }

    fn environment(url: &str, token: &str) -> Environment {
        let choice = Choice { url: Some(url.to_owned()), ..Choice::default() };
        Environment { choice, token: Some(Token::parse(token).unwrap()), operator_token: None }
    }

    fn strings(url: &str, token: &str, ca: &str) -> (String, String, String) {
        (url.to_owned(), token.to_owned(), ca.to_owned())
    }

    #[test]
    fn flags_then_environment_then_the_current_context() {
        let home = strings("https://home.example", "home-secret", "/home-secret.pem");
        assert_eq!(chosen(Choice::default(), Environment::default()), home);
        let there = environment("https://there.example", "there");
        assert_eq!(chosen(Choice::default(), there.clone()), strings("https://there.example", "there", ""));
        let work = Choice { context: Some("work".to_owned()), ..Choice::default() };
        assert_eq!(chosen(work, there), strings("https://work.example", "work-secret", "/work-secret.pem"));
        let same = Choice { url: Some("https://home.example/".to_owned()), ..Choice::default() };
        assert_eq!(chosen(same, Environment::default()).1, "home-secret");
    }

    #[test]
    fn a_stored_token_goes_nowhere_else() {
        let flags = Choice { url: Some("https://elsewhere.example".to_owned()), ..Choice::default() };
        let failure = choose(&contexts(), flags, Environment::default(), Audience::Team).unwrap_err();
        assert_eq!(failure.ending, Ending::Unauthorised);
        assert!(!failure.to_string().contains("secret"));
        let flags = Choice { context: Some("nowhere".to_owned()), ..Choice::default() };
        assert_eq!(
            choose(&contexts(), flags, Environment::default(), Audience::Team).unwrap_err().ending,
            Ending::NotFound
        );
        assert!(!format!("{:?}", contexts()).contains("secret\""));
    }

    #[test]
    fn an_operators_token_is_another_one() {
        let chosen = |environment| choose(&contexts(), Choice::default(), environment, Audience::Operator);
        assert_eq!(chosen(Environment::default()).unwrap().1.reveal(), "home-secret-op");
        // A team's token in the environment says nothing for operators.
        let failure = chosen(environment("https://there.example", "there")).unwrap_err();
        assert_eq!(failure.ending, Ending::Unauthorised);
        assert!(failure.suggestion.unwrap().contains("CAIRN_OPERATOR_TOKEN"));
    }

    #[test]
    fn a_damaged_file_is_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, "[contexts.home]\nurl = \"https://a\"\ntoken = \"home-secret\" oops\n").unwrap();
        let failure = Contexts::read(&path).unwrap_err();
        assert!(failure.sentence.contains("line 3"), "{failure}");
        assert!(!failure.to_string().contains("home-secret"), "{failure}");
    }
}
