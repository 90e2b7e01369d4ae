//! Consoles: Proxmox opens a port for one connection and carries it through a WebSocket; we carry it on.

use crate::call::Kind;
use crate::calls::{GetConsoleSocket, PostScreenProxy, PostTerminalProxy};
use crate::region::Region;
use crate::scalar::{Lenient, small};
use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use provider::{ConsoleKind, ConsoleStream, Fault, GuestPower, GuestRef, Result};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const BUFFER: usize = 64 << 10;
/// The terminal proxy closes what is silent for longer.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(20);

type Socket = WebSocketStream<reqwest::Upgraded>;

impl Region {
    /// See [`provider::Provider::console`].
    pub(crate) async fn console(&self, guest: &GuestRef, wanted: ConsoleKind) -> Result<ConsoleStream> {
        let there = self.ours(guest).await?;
        let (node, kind, vmid) = (there.place.node.clone(), there.place.kind, there.place.number);
        if wanted == ConsoleKind::Screen && kind == Kind::Container {
            return Err(Fault::refused("a container has no screen; it has a serial console"));
        }
        if self.status(&there.place).await?.power == GuestPower::Stopped {
            return Err(Fault::refused(format!("guest {} does not run", guest.name)));
        }
        let opened = match wanted {
            ConsoleKind::Screen => {
                let call = PostScreenProxy { node: node.clone(), kind, vmid, websocket: Some(true) };
                self.transport.ask(&call).await?
            }
            ConsoleKind::Serial => self.transport.ask(&PostTerminalProxy { node: node.clone(), kind, vmid }).await?,
        };
        let ticket = opened.text("ticket").ok_or_else(|| Fault::bug("a console without a ticket"))?;
        let port = opened.number("port").map(small).ok_or_else(|| Fault::bug("a console without a port"))?;
        let call = GetConsoleSocket { node, kind, vmid, port, vncticket: ticket.clone() };
        let mut socket = self.socket(&call).await?;
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        match wanted {
            ConsoleKind::Screen => {
                tokio::spawn(carry(socket, theirs, Framing::Plain));
                // Newer versions make a password for the screen; before, it was the ticket.
                let password = opened.text("password").or(Some(ticket));
                Ok(ConsoleStream { bytes: Box::new(ours), password })
            }
            ConsoleKind::Serial => {
                let user = opened.text("user").unwrap_or_default();
                log_in(&mut socket, &format!("{user}:{ticket}\n")).await?;
                tokio::spawn(carry(socket, theirs, Framing::Terminal));
                Ok(ConsoleStream { bytes: Box::new(ours), password: None })
            }
        }
    }

    async fn socket(&self, call: &GetConsoleSocket) -> Result<Socket> {
        // Any sixteen bytes do: the key only shows that the other side speaks WebSocket.
        let digest = Sha256::digest(call.vncticket.as_bytes());
        let key = base64::engine::general_purpose::STANDARD.encode(&digest[..16]);
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "binary"),
            ("Sec-WebSocket-Key", key.as_str()),
        ];
        let upgraded = self.transport.upgrade(call, &headers).await?;
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }
}

/// What bytes of ours look like on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// As they are.
    Plain,
    /// As the terminal proxy wants them: `0:LENGTH:bytes`.
    Terminal,
}

impl Framing {
    fn wrap(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Terminal => [format!("0:{}:", bytes.len()).as_bytes(), bytes].concat(),
        }
    }
}

async fn log_in(socket: &mut Socket, line: &str) -> Result<()> {
    let sent = socket.send(Message::binary(line.as_bytes().to_vec())).await;
    sent.map_err(|error| Fault::transient(format!("the console's connection broke: {error}")))?;
    match socket.next().await {
        Some(Ok(answer)) if answer.clone().into_data().starts_with(b"OK") => Ok(()),
        Some(Ok(_)) => Err(Fault::refused("the console's terminal did not take its own ticket")),
        Some(Err(error)) => Err(Fault::transient(format!("the console's connection broke: {error}"))),
        None => Err(Fault::transient("the console's connection was closed")),
    }
}

/// Carries bytes both ways until one side ends.
async fn carry(mut socket: Socket, mut stream: DuplexStream, framing: Framing) {
    let mut buffer = vec![0; BUFFER];
    let mut tick = tokio::time::interval(KEEP_ALIVE);
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    if socket.send(Message::binary(framing.wrap(&buffer[..count]))).await.is_err() {
                        return;
                    }
                }
                _ => {
                    drop(socket.close(None).await);
                    return;
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Text(text))) => {
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            _ = tick.tick(), if framing == Framing::Terminal => {
                if socket.send(Message::binary(b"2".to_vec())).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_proxy_is_told_how_many_bytes_come() {
        assert_eq!(Framing::Terminal.wrap("é\n".as_bytes()), b"0:3:\xc3\xa9\n");
        assert_eq!(Framing::Plain.wrap(b"x"), b"x");
    }
}
