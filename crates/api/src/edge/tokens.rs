//! From a bearer token to a caller.

use super::Problem;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use model::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::Store;
use store::tenancy::{self, SECRET_PREFIX, Token};
use subtle::ConstantTimeEq;

/// The most tokens that are kept.
const CAPACITY: usize = 10_000;

/// The longest secret that is worth hashing.
const LONGEST_SECRET: usize = 256;

/// Tokens that were looked up a moment ago.
///
/// What it means for revocation: while this process hears the database (`LISTEN tokens`), a revoked token ceases to
/// work within milliseconds of the commit. If the connection dies without anybody noticing, it ceases after at most
/// [`Options::token_cache`](crate::Options::token_cache) (five seconds by default). While the connection is known
/// to be down, nothing is kept and each request asks the database.
#[derive(Debug)]
pub(crate) struct Tokens {
    store: Store,
    keep_for: Duration,
    known: Mutex<HashMap<[u8; 32], Known>>,
    /// Odd while notices are heard; goes up by one at each change and by two at each revocation. What was looked up
    /// under one value is kept only if the value is still the same, so that a lookup which raced a revocation is
    /// never kept.
    epoch: AtomicU64,
}

#[derive(Debug)]
struct Known {
    token: Arc<Token>,
    until: Instant,
}

impl Tokens {
    pub(crate) fn new(store: Store, keep_for: Duration) -> Self {
        Self { store, keep_for, known: Mutex::default(), epoch: AtomicU64::new(0) }
    }

    /// Notices are heard from now on.
    pub(crate) fn heard(&self) {
        if self.epoch.load(Ordering::SeqCst).is_multiple_of(2) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.clear();
    }

    /// Notices may be missed from now on.
    pub(crate) fn deaf(&self) {
        if !self.epoch.load(Ordering::SeqCst).is_multiple_of(2) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.clear();
    }

    /// Some token changed.
    pub(crate) fn changed(&self) {
        self.epoch.fetch_add(2, Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The token that the headers present.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Token>, Problem> {
        let secret = bearer(headers).ok_or_else(Refusal::unauthorized)?;
        if secret.starts_with(store::operators::SECRET_PREFIX) {
            let message =
                "Unable to authenticate you: this is an operator's token, which opens /admin/v1 and nothing else.";
            return Err(Problem::new(Code::Unauthorized, message));
        }
        let hash = tenancy::hash_secret(secret);
        if let Some(token) = self.recall(&hash) {
            return Ok(token);
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let token = tenancy::authenticate(&self.store, &hash).await?.ok_or_else(Refusal::unauthorized)?;
        // The index found it by its hash already; this keeps the decision from depending on how an index compares.
        if !bool::from(token.secret_hash.ct_eq(&hash)) {
            return Err(Refusal::unauthorized().into());
        }
        let token = Arc::new(token);
        self.keep(hash, &token, epoch);
        self.touch(&token);
        Ok(token)
    }

    fn recall(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(hash).filter(|known| known.until > Instant::now())?;
        let valid = found.token.expires_at.is_none_or(|end| end > Timestamp::now());
        (valid && bool::from(found.token.secret_hash.ct_eq(hash))).then(|| Arc::clone(&found.token))
    }

    fn keep(&self, hash: [u8; 32], token: &Arc<Token>, epoch: u64) {
        if self.keep_for.is_zero() || epoch.is_multiple_of(2) {
            return;
        }
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch.load(Ordering::SeqCst) != epoch {
            return;
        }
        if known.len() >= CAPACITY {
            known.retain(|_, known| known.until > now);
        }
        if known.len() < CAPACITY {
            known.insert(hash, Known { token: Arc::clone(token), until: now + self.keep_for });
        }
    }

    /// Writes down that the token is in use, beside the request and only now and then.
    fn touch(&self, token: &Token) {
        let stale = token.last_used_at.is_none_or(|used| used.duration_until(Timestamp::now()).as_secs() > 600);
        if stale {
            let (store, id) = (self.store.clone(), token.id);
            tokio::spawn(async move {
                if let Err(error) = tenancy::touch(&store, id).await {
                    tracing::warn!(error = super::problem::chain(&error), "a token's last use was not written down");
                }
            });
        }
    }
}

/// The secret in `Authorization: Bearer …`, if it looks like one of a tenant's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    presented(headers).filter(|secret| secret.starts_with(SECRET_PREFIX))
}

/// What stands in `Authorization: Bearer …`, if it is not longer than any secret.
pub(super) fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && secret.len() <= LONGEST_SECRET).then_some(secret)
}

/// Whether who holds these scopes may do what needs `scope`. No scopes at all, or `*`, is full access.
pub(crate) fn allows(scopes: &[String], scope: &str) -> bool {
    scopes.is_empty() || scopes.iter().any(|held| held == "*" || held == scope)
}
