//! In front of every endpoint: who asks, whether they may, and how often they have.

use super::address::Proxies;
use super::operations::{Operation, Permission, RateClass, Table};
use super::rate::{Rates, Standing};
use super::request_id::RequestId;
use super::tokens::{Tokens, allows};
use super::{Feed, Problem, operators};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cloud::{Caller, Operator};
use ipnet::IpNet;
use model::authority::ScopeSet;
use model::refusal::{Code, Refusal};
use std::net::IpAddr;
use std::sync::Arc;
use store::Store;
use store::tenancy::Token;
use uuid::Uuid;

/// What the guard needs; one for the process.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) store: Store,
    pub(crate) operations: Arc<Table>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) proxies: Arc<Proxies>,
    /// Held so that the listener lives as long as the router does.
    pub(crate) feed: Feed,
}

/// The authenticated origin of the request. A handler that takes it is behind a token for certain.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Caller);

/// The token that was presented.
#[derive(Clone, Debug)]
pub struct Presented(pub Arc<Token>);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        admitted(parts, "BUG: a public endpoint asks who calls")
    }
}

impl<S: Sync> FromRequestParts<S> for Presented {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        admitted(parts, "BUG: a public endpoint asks who calls")
    }
}

/// The operator whose request it is. A handler that takes it is behind an operator's token for certain.
#[derive(Clone, Debug)]
pub struct AsOperator(pub Operator);

/// The operator's token that was presented.
#[derive(Clone, Debug)]
pub struct PresentedOperator(pub Arc<store::operators::Token>);

impl<S: Sync> FromRequestParts<S> for AsOperator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        admitted(parts, "BUG: an endpoint that is not the operators' asks which operator calls")
    }
}

impl<S: Sync> FromRequestParts<S> for PresentedOperator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        admitted(parts, "BUG: an endpoint that is not the operators' asks which operator calls")
    }
}

/// What the guard left with a request that it admitted.
fn admitted<T: Clone + Send + Sync + 'static>(parts: &Parts, otherwise: &str) -> Result<T, Problem> {
    parts.extensions.get::<T>().cloned().ok_or_else(|| Problem::internal(otherwise))
}

/// The layer.
pub(crate) async fn check(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let limited = ["/v2/", "/cloud/", "/admin/"].iter().any(|plane| request.uri().path().starts_with(plane));
    let (mut response, standing) = match guard.admit(&mut request).await {
        Ok(standing) => (next.run(request).await, standing),
        Err(refused) => (refused.problem.into_response(), refused.standing),
    };
    if limited {
        standing.unwrap_or_else(|| guard.rates.idle()).write(response.headers_mut());
    }
    response
}

struct Refused {
    problem: Problem,
    standing: Option<Standing>,
}

impl<P: Into<Problem>> From<P> for Refused {
    fn from(problem: P) -> Self {
        Self { problem: problem.into(), standing: None }
    }
}

impl Guard {
    async fn admit(&self, request: &mut Request) -> Result<Option<Standing>, Refused> {
        let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(None) };
        // A method that the path does not have goes on to be answered 405.
        let Some(operation) = self.operations.find(path.as_str(), request.method()) else { return Ok(None) };
        let request_id = request.extensions().get::<RequestId>().map_or_else(Uuid::now_v7, |id| id.0);
        match &operation.permission {
            Some(Permission::Public) => Ok(None),
            Some(Permission::AnyToken | Permission::Scopes(_)) => self.tenant(request, request_id, operation).await,
            Some(Permission::Operator(scopes)) => self.operator(request, request_id, operation, scopes).await,
            None => Err(Problem::internal(format!("BUG: {} declares no permission", operation.id)).into()),
        }
    }

    /// A request of a team.
    async fn tenant(
        &self,
        request: &mut Request,
        request_id: Uuid,
        operation: &Operation,
    ) -> Result<Option<Standing>, Refused> {
        let token = self.tokens.authenticate(request.headers()).await?;
        let address = self.proxies.client_of(request);
        if !comes_from(&token.networks, address) {
            return Err(Problem::new(
                Code::Unauthorized,
                "Unable to authenticate you: this token may not be used from this address.",
            )
            .into());
        }
        let standing = self.count(operation, token.id.0)?;
        if !token.authority.contains(operation.needs) {
            return Err(Refused { problem: lacks(operation, token.authority), standing });
        }
        let caller = Caller {
            team: token.team,
            organization: token.organization,
            token: token.id,
            user: token.user,
            authority: token.authority,
            address,
            request_id,
        };
        request.extensions_mut().insert(Authenticated(caller));
        request.extensions_mut().insert(Presented(token));
        Ok(standing)
    }

    /// A request of an operator.
    async fn operator(
        &self,
        request: &mut Request,
        request_id: Uuid,
        operation: &Operation,
        scopes: &[String],
    ) -> Result<Option<Standing>, Refused> {
        let token = operators::authenticate(&self.store, request.headers()).await?;
        let standing = self.count(operation, token.id.0)?;
        require(&token.scopes, scopes).map_err(|problem| Refused { problem, standing })?;
        request.extensions_mut().insert(AsOperator(Operator { token: token.id, request_id }));
        request.extensions_mut().insert(PresentedOperator(Arc::new(token)));
        Ok(standing)
    }

    /// Counts the request, and refuses it if it is one too many.
    fn count(&self, operation: &Operation, token: Uuid) -> Result<Option<Standing>, Refused> {
        let standing = match operation.rate {
            Some(RateClass::Free) => None,
            _ => Some(self.rates.admit(token)),
        };
        let Some(wait) = standing.and_then(|standing| standing.wait) else { return Ok(standing) };
        let message = format!("This token has used up its requests for now; try again in {wait} s.");
        Err(Refused { problem: Problem::new(Code::TooManyRequests, message).retry_after(wait), standing })
    }
}

/// Whether a token may be used from where the request comes. Where that is not known, no list admits it.
fn comes_from(networks: &[IpNet], address: Option<IpAddr>) -> bool {
    networks.is_empty() || address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}

/// What is told to a token that lacks a scope: which one, the first that the endpoint declares.
fn lacks(operation: &Operation, held: ScopeSet) -> Problem {
    let declared = match &operation.permission {
        Some(Permission::Scopes(scopes)) => scopes.as_slice(),
        _ => &[],
    };
    let missing = |scope: &&String| ScopeSet::one(scope).is_none_or(|one| !held.contains(one));
    Refusal::forbidden(declared.iter().find(missing).map_or("*", String::as_str)).into()
}

/// Whether what the token holds is all that is needed.
fn require(held: &[String], needed: &[String]) -> Result<(), Problem> {
    match needed.iter().find(|scope| !allows(held, scope)) {
        Some(missing) => Err(Refusal::forbidden(missing).into()),
        None => Ok(()),
    }
}
