//! The load: connections that are kept alive, each sending its next request when the last one is answered. Written by
//! hand, so that the generator costs as little as it can beside what it measures.

use anyhow::{Context, Result, bail};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection of one client.
pub(crate) struct Client {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(port: u16, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, token: token.to_owned(), buffer: Vec::with_capacity(1 << 16) })
    }

    /// Sends a request and reads the whole answer: status and body.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, &[u8])> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.buffer.clear();
        let end = loop {
            self.read().await?;
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
        let status = head.get(9..12).context("no status line")?.parse()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = match length {
            Some(length) => length.trim().parse()?,
            None if status == 204 => 0,
            None => bail!("an answer without its length: {head}"),
        };
        while self.buffer.len() < end + length {
            self.read().await?;
        }
        Ok((status, &self.buffer[end..end + length]))
    }

    /// The same; anything but `expected` is an error.
    pub(crate) async fn expect(&mut self, expected: u16, method: &str, path: &str, body: &str) -> Result<&[u8]> {
        let (status, answer) = self.send(method, path, body).await?;
        if status != expected {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(answer));
        }
        Ok(answer)
    }

    async fn read(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}

/// What a number of clients measured together.
pub(crate) struct Measured {
    /// Each request's time.
    pub(crate) times: Vec<Duration>,
    /// From the first request to the last answer.
    pub(crate) whole: Duration,
}

impl Measured {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        let count = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.whole.as_secs_f64()
    }
}

/// A request for one server, as small as a real one can be.
pub(crate) fn order(number: usize) -> String {
    format!(r#"{{"name":"bench-{number}","region":"bench","size":"small","image":"bench"}}"#)
}

/// One request: method, path and body.
pub(crate) type Request = (&'static str, String, String);

/// Sends every request once; each of so many clients takes the next one when its last was answered as `expected`.
pub(crate) async fn in_turn(
    port: u16,
    token: &str,
    clients: usize,
    expected: u16,
    requests: Vec<Request>,
) -> Result<Measured> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        let mut client = Client::connect(port, token).await?;
        client.expect(200, "GET", "/v2/account", "").await?;
        connected.push(client);
    }
    let began = Instant::now();
    let waiting = Arc::new(Mutex::new(requests.into_iter()));
    let next = move || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut tasks = JoinSet::new();
    for mut client in connected {
        let next = next.clone();
        tasks.spawn(async move {
            let mut times = Vec::new();
            while let Some((method, path, body)) = next() {
                let sent = Instant::now();
                client.expect(expected, method, &path, &body).await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(client) = tasks.join_next().await {
        times.extend(client??);
    }
    Ok(Measured { times, whole: began.elapsed() })
}

/// The same with a cloud-init document that no other order has.
pub(crate) fn order_unlike_others(number: usize) -> String {
    format!(
        r##"{{"name":"bench-{number}","region":"bench","size":"small","image":"bench","user_data":"#cloud-config\n# {number}\n"}}"##
    )
}

/// Orders `each` servers a client, one client per token at once, in the words of `order`.
pub(crate) async fn order_servers(
    port: u16,
    tokens: &[&str],
    each: usize,
    order: fn(usize) -> String,
) -> Result<Measured> {
    let mut connected = Vec::new();
    for token in tokens {
        let mut client = Client::connect(port, token).await?;
        // The connection is accepted and the token known before the clock runs.
        client.expect(200, "GET", "/v2/account", "").await?;
        connected.push(client);
    }
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for (place, mut client) in connected.into_iter().enumerate() {
        clients.spawn(async move {
            let mut times = Vec::with_capacity(each);
            for number in 0..each {
                let body = order(place * each + number);
                let sent = Instant::now();
                client.expect(202, "POST", "/v2/droplets", &body).await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(client) = clients.join_next().await {
        times.extend(client??);
    }
    Ok(Measured { times, whole: began.elapsed() })
}
