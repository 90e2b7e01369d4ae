//! Hands mails to a server for mail, over SMTP.

use crate::settings::{Encryption, Smtp};
use anyhow::{Context, Result};
use async_trait::async_trait;
use cloud::mail::{Post, Undelivered};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::time::Duration;
use store::mails::Mail;

/// A server that does not answer for so long does not answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One server for mail.
pub(crate) struct SmtpPost(Smtp);

impl SmtpPost {
    /// Nothing is connected before there is something to send.
    pub(crate) fn new(settings: Smtp) -> Self {
        Self(settings)
    }

    /// A connection of its own for each mail: mails are few, and the password may have changed.
    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>> {
        let Smtp { host, port, encryption, login, authority, .. } = &self.0;
        let mut tls = TlsParameters::builder(host.clone());
        if let Some(path) = authority {
            let pem = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let certificate =
                Certificate::from_pem(&pem).with_context(|| format!("{} is no certificate", path.display()))?;
            tls = tls.add_root_certificate(certificate);
        }
        let tls = tls.build_rustls().context("the certificates of authorities cannot be read")?;
        let tls = match encryption {
            Encryption::FromTheBeginning => Tls::Wrapper(tls),
            Encryption::Upgraded => Tls::Required(tls),
            Encryption::IfOffered => Tls::Opportunistic(tls),
        };
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(*port).tls(tls).timeout(Some(TIMEOUT));
        if let Some((user, file)) = login {
            let password =
                std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            transport = transport.credentials(Credentials::new(user.clone(), password.trim_end().to_owned()));
        }
        Ok(transport.build())
    }

    fn message(&self, mail: &Mail, to: Mailbox) -> Result<Message, lettre::error::Error> {
        Message::builder()
            .from(self.0.from.clone())
            .to(to)
            .subject(&mail.subject)
            .message_id(None)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
    }
}

#[async_trait]
impl Post for SmtpPost {
    async fn send(&self, mail: &Mail) -> Result<(), Undelivered> {
        let to = mail.to.parse::<lettre::Address>().map_err(|error| Undelivered::Never(error.to_string()))?;
        let message = self
            .message(mail, Mailbox::new(None, to))
            .map_err(|error| Undelivered::Never(format!("it cannot be written as a mail: {error}")))?;
        let transport = self.transport().map_err(|error| Undelivered::Later(format!("{error:#}")))?;
        let Err(error) = transport.send(message).await else { return Ok(()) };
        let text = chain(&error);
        // 53x is about our login, not about the mail: an operator can mend it.
        let about_us = error.status().is_some_and(|status| status.to_string().starts_with("53"));
        Err(if error.is_permanent() && !about_us { Undelivered::Never(text) } else { Undelivered::Later(text) })
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    /// A server that speaks SMTP over TLS. It answers DATA as it is told to, and keeps what was said.
    struct MailServer {
        smtp: Smtp,
        said: Arc<Mutex<Vec<String>>>,
        answers: Arc<Mutex<Vec<&'static str>>>,
        _directory: tempfile::TempDir,
    }

    impl MailServer {
        async fn start(answers: &[&'static str]) -> Self {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
            let config =
                ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("ca.pem"), cert.pem()).unwrap();
            std::fs::write(directory.path().join("password"), "hunter2\n").unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let smtp = Smtp {
                host: "localhost".to_owned(),
                port: listener.local_addr().unwrap().port(),
                encryption: Encryption::FromTheBeginning,
                login: Some(("cloud@example.org".to_owned(), directory.path().join("password"))),
                from: "Cairn <cloud@example.org>".parse().unwrap(),
                authority: Some(directory.path().join("ca.pem")),
            };
            let answers = Arc::new(Mutex::new(answers.iter().rev().copied().collect::<Vec<_>>()));
            let said = Arc::new(Mutex::new(Vec::new()));
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let (kept, told) = (Arc::clone(&said), Arc::clone(&answers));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let stream = acceptor.accept(stream).await.unwrap();
                    tokio::spawn(talk(stream, Arc::clone(&kept), Arc::clone(&told)));
                }
            });
            Self { smtp, said, answers, _directory: directory }
        }

        fn said(&self) -> String {
            self.said.lock().unwrap().join("\n")
        }
    }

    async fn talk<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
        stream: S,
        said: Arc<Mutex<Vec<String>>>,
        answers: Arc<Mutex<Vec<&'static str>>>,
    ) {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 localhost ESMTP\r\n").await.unwrap();
        let (mut line, mut in_data) = (String::new(), false);
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let text = line.trim_end().to_owned();
            said.lock().unwrap().push(text.clone());
            let answer = match text.split(' ').next().unwrap_or_default() {
                "." if in_data => {
                    in_data = false;
                    answers.lock().unwrap().pop().unwrap_or("250 taken")
                }
                _ if in_data => continue,
                "EHLO" => "250-localhost\r\n250 AUTH PLAIN",
                "AUTH" => "235 welcome",
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 fine",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
    }

    fn mail(to: &str) -> Mail {
        let text = "Follow this link: https://cloud.example.org/invitations/s3cret\n".to_owned();
        Mail { to: to.to_owned(), subject: "You are invited – Cairn".to_owned(), text }
    }

    #[tokio::test]
    async fn a_mail_is_sent_once() {
        let (database, server) = (store::testing::database().await, MailServer::start(&[]).await);
        let store = database.store();
        let mut tx = store.tenant(model::ids::TeamId(uuid::Uuid::now_v7())).await.unwrap();
        store::mails::enqueue(&mut tx, &mail("ada@example.org")).await.unwrap();
        tx.commit().await.unwrap();

        let post = SmtpPost::new(server.smtp.clone());
        let round = cloud::mail::deliver(store, &post, Timestamp::now()).await.unwrap();
        assert_eq!((round.sent, round.postponed, round.given_up), (1, 0, 0), "{}", server.said());
        let said = server.said();
        assert!(said.contains("RCPT TO:<ada@example.org>") && said.contains("MAIL FROM:<cloud@example.org>"), "{said}");
        assert!(said.contains("AUTH PLAIN ") && said.contains("invitations/s3cret"), "{said}");
        let again = cloud::mail::deliver(store, &post, Timestamp::now() + SignedDuration::from_hours(1)).await.unwrap();
        assert_eq!(again, cloud::mail::Round::default());
        assert_eq!(store::mails::waiting(store).await.unwrap().count, 0);
    }

    #[tokio::test]
    async fn what_fails_for_now_goes_later_and_what_fails_for_good_is_given_up() {
        let database = store::testing::database().await;
        let server = MailServer::start(&["451 not now", "550 nobody of that name"]).await;
        let store = database.store();
        let mut tx = store.begin().await.unwrap();
        for to in ["later@example.org", "never@example.org", "not an address"] {
            store::mails::enqueue(&mut tx, &mail(to)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let (post, now) = (SmtpPost::new(server.smtp.clone()), Timestamp::now());
        let round = cloud::mail::deliver(store, &post, now).await.unwrap();
        assert_eq!((round.sent, round.postponed, round.given_up), (0, 1, 2));
        assert!(server.answers.lock().unwrap().is_empty());
        let waiting = store::mails::waiting(store).await.unwrap();
        assert_eq!(waiting.count, 1);
        assert!(waiting.last_error.unwrap().contains("not now"));
        // Nothing is due yet; a minute later it is.
        assert_eq!(cloud::mail::deliver(store, &post, now).await.unwrap(), cloud::mail::Round::default());
        let later = now + SignedDuration::from_mins(1);
        assert_eq!(cloud::mail::deliver(store, &post, later).await.unwrap().sent, 1);
    }

    #[tokio::test]
    async fn without_a_server_mails_wait_and_an_operator_is_told() {
        let database = store::testing::database().await;
        let store = database.store();
        let mut tx = store.begin().await.unwrap();
        store::mails::enqueue(&mut tx, &mail("ada@example.org")).await.unwrap();
        tx.commit().await.unwrap();
        let alerts = async || store::alerts::list(store, store::alerts::Which::Open, 10, 0).await.unwrap().0;
        let now = Timestamp::now();
        cloud::mail::watch(store, now).await.unwrap();
        assert!(alerts().await.is_empty());
        cloud::mail::watch(store, now + SignedDuration::from_hours(1)).await.unwrap();
        let told = alerts().await;
        assert_eq!((told[0].kind.as_str(), told[0].severity.as_str()), ("mail_unsent", "info"));
        assert!(told[0].message.contains("smtp.url"), "{}", told[0].message);
        // Too old to be true: given up, and the alert is over.
        cloud::mail::watch(store, now + SignedDuration::from_hours(24 * 4)).await.unwrap();
        assert!(alerts().await.is_empty());
        assert_eq!(store::mails::waiting(store).await.unwrap().count, 0);
    }

    #[tokio::test]
    async fn a_server_that_nobody_vouches_for_gets_nothing() {
        let server = MailServer::start(&[]).await;
        let post = SmtpPost::new(Smtp { authority: None, ..server.smtp.clone() });
        let refused = post.send(&mail("ada@example.org")).await.unwrap_err();
        assert!(matches!(refused, Undelivered::Later(_)), "{refused:?}");
        assert_eq!(server.said(), "");
    }
}
