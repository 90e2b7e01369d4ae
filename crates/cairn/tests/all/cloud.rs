//! A server that answers what it was told to, and remembers what it was asked. And the program, run against it.

use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The token that the program is given: recognisable wherever it should not be.
pub(crate) const TOKEN: &str = "cairn_v1_0123456789abcdef-do-not-print-me";

/// What is answered to one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status, headers and a body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Nothing: the connection is closed after the request was read.
    Lost,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let content = ("content-type".to_owned(), "application/json".to_owned());
        Self::Answer(status, vec![content], body.to_string().into_bytes())
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::Answer(status, vec![], vec![])
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /v2/droplets?page=1`.
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Script {
    /// By method and path without parameters. The last reply stays.
    replies: HashMap<String, VecDeque<Reply>>,
    asked: Vec<Asked>,
}

pub(crate) struct Cloud {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    pub(crate) home: TempDir,
    tls: bool,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        Self::serve(None)
    }

    /// With TLS, by a certificate of this configuration.
    pub(crate) fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::serve(Some(config))
    }

    fn serve(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, script) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Script::default())));
        let cloud = Self { address, script: script.clone(), home: tempfile::tempdir().unwrap(), tls: tls.is_some() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, script, tls) = (stream.unwrap(), script.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    // A client may go away whenever it likes.
                    None => drop(exchange(stream, &script)),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        drop(exchange(rustls::StreamOwned::new(connection, stream), &script));
                    }
                });
            }
        });
        cloud
    }

    /// Answers `line` (`GET /v2/account`) with these, one after the other, and then with the last for ever.
    pub(crate) fn on(&self, line: &str, replies: impl IntoIterator<Item = Reply>) -> &Self {
        self.script.lock().unwrap().replies.insert(line.to_owned(), replies.into_iter().collect());
        self
    }

    /// Answers `line` with this.
    pub(crate) fn json(&self, line: &str, body: &Value) -> &Self {
        self.on(line, [Reply::json(200, body)])
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    /// The requests with this beginning.
    pub(crate) fn asked_for(&self, beginning: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.line.starts_with(beginning)).collect()
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}", if self.tls { "https" } else { "http" }, self.address.port())
    }

    /// The program, told by its environment where this is.
    pub(crate) fn cairn(&self, words: &str) -> Run {
        self.bare(words).env("CAIRN_URL", &self.url()).env("CAIRN_TOKEN", TOKEN)
    }

    /// The program, told nothing.
    pub(crate) fn bare(&self, words: &str) -> Run {
        Run {
            words: words.split_whitespace().map(str::to_owned).collect(),
            environment: vec![("HOME".to_owned(), self.home.path().display().to_string())],
            stdin: String::new(),
            port: self.address.port(),
            home: self.home.path().to_owned(),
        }
    }
}

fn exchange(mut stream: impl Read + Write, script: &Mutex<Script>) -> std::io::Result<()> {
    let asked = read(&mut stream)?;
    let key = asked.line.split('?').next().unwrap().to_owned();
    let reply = {
        let mut script = script.lock().unwrap();
        script.asked.push(asked);
        match script.replies.get_mut(&key) {
            Some(replies) if replies.len() > 1 => replies.pop_front().unwrap(),
            Some(replies) => replies.front().unwrap().clone(),
            None => {
                Reply::json(404, &crate::values::error("not_found", "The resource you requested could not be found."))
            }
        }
    };
    let Reply::Answer(status, headers, body) = reply else { return Ok(()) };
    write!(stream, "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&body)?;
    stream.flush()
}

fn read(stream: &mut impl Read) -> std::io::Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let headers: HashMap<_, _> = lines[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    let line = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
    Ok(Asked { line, headers, body: String::from_utf8(body).unwrap() })
}

/// The program, about to be run.
pub(crate) struct Run {
    words: Vec<String>,
    environment: Vec<(String, String)>,
    stdin: String,
    port: u16,
    home: PathBuf,
}

/// How it ended.
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
    /// Everything, with what changes from run to run made the same.
    pub(crate) transcript: String,
}

impl Run {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a word that may have blanks in it.
    pub(crate) fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdin);
        self
    }

    pub(crate) fn run(self) -> Ran {
        #[expect(clippy::disallowed_methods, reason = "a test waits for the program, and there is no runtime to block")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(&self.words).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It need not read it.
        let _ = child.stdin.take().unwrap().write_all(self.stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stdout.contains(TOKEN) && !stderr.contains(TOKEN), "the token was printed: {stdout}\n{stderr}");
        let code = output.status.code().unwrap();
        let (port, home) = (format!(":{}", self.port), self.home.display().to_string());
        let same = |text: &str| text.replace(&port, ":PORT").replace(&home, "HOME");
        let transcript = format!(
            "$ cairn {}\n--- stdout\n{}--- stderr\n{}--- exit code {code}\n",
            same(&self.words.join(" ")),
            same(&stdout),
            same(&stderr)
        );
        Ran { stdout, stderr, code, transcript }
    }
}
