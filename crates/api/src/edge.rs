//! What stands between a connection and a handler, outermost first: request id and error envelope, time limit, panics,
//! authentication with scopes and rate limits; and the extractors that handlers read their arguments with.

mod address;
mod feed;
mod guard;
mod json;
pub mod operations;
mod operators;
mod paging;
mod path;
mod problem;
mod query;
mod rate;
mod request_id;
mod tokens;

pub(crate) use address::Proxies;
pub(crate) use feed::Feed;
pub use guard::{AsOperator, Authenticated, Presented, PresentedOperator};
pub(crate) use guard::{Guard, check};
pub use json::{Json, LARGEST_BODY, RawJson};
pub use paging::{PageParameters, Paging};
pub use path::{Id, Ids};
pub(crate) use problem::chain;
pub use problem::{Problem, Result};
pub use query::Query;
pub(crate) use rate::Rates;
pub use request_id::RequestId;
pub(crate) use request_id::envelope;
pub(crate) use tokens::Tokens;
