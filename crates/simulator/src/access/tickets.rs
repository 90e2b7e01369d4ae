//! Credentials: `PVEAPIToken=…`, or a ticket with a token against forged requests.

use super::{Access, Caller};
use crate::clock::Time;
use crate::refusal::{Refusal, Served};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

/// How long a ticket opens, in seconds (pve-access-control, AccessControl.pm).
const TICKET_LIFETIME: i64 = 2 * 60 * 60;

/// What a request brings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    token: Option<String>,
    ticket: Option<String>,
    csrf: String,
}

impl Credentials {
    /// From the headers `Authorization`, `Cookie` and `CSRFPreventionToken`.
    pub(crate) fn read(authorization: &str, cookie: &str, csrf: &str) -> Self {
        let ticket = cookie.split(';').find_map(|pair| pair.trim().strip_prefix("PVEAuthCookie="));
        let ticket = ticket.map(|ticket| percent_decode_str(ticket).decode_utf8_lossy().into_owned());
        let token = authorization.strip_prefix("PVEAPIToken=").map(str::to_owned);
        Self { token, ticket, csrf: csrf.to_owned() }
    }

    /// As in `root@pam!cairn`; not looked at whether it is right.
    pub(crate) fn token_id(&self) -> Option<&str> {
        self.token.as_deref()?.split_once('=').map(|(id, _)| id)
    }
}

impl Access {
    /// Who these are. A ticket wins over a token; a change by ticket needs the token against forged requests.
    pub(crate) fn authenticate(&self, credentials: &Credentials, method: &str, now: Time) -> Served<Caller> {
        if let Some(ticket) = &credentials.ticket {
            let invalid = || Refusal::bare(401, "permission denied - invalid PVE ticket");
            let user = self.ticket_user(ticket, now).ok_or_else(invalid)?;
            if method != "GET" && !self.is_csrf(&credentials.csrf, &user, now) {
                return Err(Refusal::bare(401, "Permission denied - invalid csrf token"));
            }
            return Ok(Caller { user, token: None });
        }
        let Some(token) = &credentials.token else {
            return Err(Refusal::bare(401, "No ticket"));
        };
        self.token_caller(token, now).ok_or_else(|| Refusal::bare(401, "Authentication failed!"))
    }

    fn token_caller(&self, header: &str, now: Time) -> Option<Caller> {
        let (id, secret) = header.split_once('=')?;
        let (user, token) = id.split_once('!')?;
        let known = self.users.get(user).filter(|user| user.is_usable(now))?;
        let there = known.tokens.get(token)?;
        let lives = there.expire == 0 || there.expire > now.seconds();
        (lives && there.secret == secret).then(|| Caller { user: user.to_owned(), token: Some(token.to_owned()) })
    }

    /// Whether a password, or a ticket in its place, opens a session.
    pub(crate) fn opens(&self, user: &str, password: &str, now: Time) -> bool {
        let Some(known) = self.users.get(user).filter(|user| user.is_usable(now)) else { return false };
        known.password.as_deref().is_some_and(|right| right == password)
            || password.starts_with("PVE:") && self.ticket_user(password, now).as_deref() == Some(user)
    }

    /// `PVE:USER:HEXTIME::SIGNATURE`
    pub(crate) fn ticket(&self, user: &str, now: Time) -> String {
        let plain = format!("PVE:{user}:{:08X}", now.seconds());
        format!("{plain}::{}", self.sign(&plain))
    }

    /// `HEXTIME:SIGNATURE`
    pub(crate) fn csrf(&self, user: &str, now: Time) -> String {
        let time = format!("{:08X}", now.seconds());
        let signature = self.sign(&format!("{time}:{user}"));
        format!("{time}:{}", signature.trim_end_matches('='))
    }

    /// A ticket for one console, bound to its path.
    pub(crate) fn console_ticket(&self, user: &str, path: &str, now: Time) -> String {
        let time = format!("{:08X}", now.seconds());
        format!("PVEVNC:{time}::{}", self.sign(&format!("PVEVNC:{user}:{path}:{time}")))
    }

    fn ticket_user(&self, ticket: &str, now: Time) -> Option<String> {
        let (plain, signature) = ticket.split_once("::")?;
        let mut parts = plain.strip_prefix("PVE:")?.rsplitn(2, ':');
        let issued = i64::from_str_radix(parts.next()?, 16).ok()?;
        let user = parts.next()?;
        let age = now.seconds() - issued;
        let fresh = (-300..TICKET_LIFETIME).contains(&age);
        let usable = self.users.get(user).is_some_and(|user| user.is_usable(now));
        (fresh && usable && self.sign(plain) == signature).then(|| user.to_owned())
    }

    fn is_csrf(&self, csrf: &str, user: &str, now: Time) -> bool {
        let Some((time, signature)) = csrf.split_once(':') else { return false };
        let Ok(issued) = i64::from_str_radix(time, 16) else { return false };
        let right = self.sign(&format!("{time}:{user}"));
        (-300..TICKET_LIFETIME).contains(&(now.seconds() - issued)) && right.trim_end_matches('=') == signature
    }

    fn sign(&self, text: &str) -> String {
        STANDARD.encode(Sha256::digest(format!("{}:{text}", self.secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use std::time::Duration;

    #[test]
    fn a_ticket_opens_for_two_hours_and_a_change_needs_the_other_token() {
        let access = Access::new(&Scenario::default(), "x".to_owned()).unwrap();
        let now = Time(1_795_223_835_000_000);
        let ticket = access.ticket("root@pam", now);
        let cookie = format!("PVEAuthCookie={ticket}");
        let plain = Credentials::read("", &cookie, "");
        assert!(access.authenticate(&plain, "GET", now).unwrap().is_root());
        let refusal = access.authenticate(&plain, "POST", now).unwrap_err();
        assert_eq!((refusal.status, refusal.reason()), (401, "Permission denied - invalid csrf token"));
        let guarded = Credentials::read("", &cookie, &access.csrf("root@pam", now));
        assert!(access.authenticate(&guarded, "POST", now + Duration::from_secs(7_199)).is_ok());
        assert!(access.authenticate(&guarded, "POST", now + Duration::from_secs(7_200)).is_err());
        assert!(access.opens("root@pam", &ticket, now));
    }

    #[test]
    fn a_token_is_not_its_user() {
        let access = Access::new(&Scenario::default(), "x".to_owned()).unwrap();
        let now = Time(1);
        let caller = access
            .authenticate(&Credentials::read(&Scenario::default().token_header().unwrap(), "", ""), "POST", now)
            .unwrap();
        assert!(!caller.is_root());
        let wrong = Credentials::read("PVEAPIToken=root@pam!cairn=nope", "", "");
        assert_eq!(access.authenticate(&wrong, "GET", now).unwrap_err().reason(), "Authentication failed!");
        assert_eq!(access.authenticate(&Credentials::default(), "GET", now).unwrap_err().reason(), "No ticket");
    }
}
