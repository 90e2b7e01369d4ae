//! The team's events as they happen, as server-sent events.

use crate::Api;
use crate::edge::{Authenticated, Feed, Problem, Query, Result, chain};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use model::ids::TeamId;
use model::refusal::{Code, Refusal};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

/// Events are read and sent in batches of at most so many.
const BATCH: i64 = 100;

/// How often the table is looked at without being told to.
const LOOK: Duration = Duration::from_secs(2);

/// How often a comment is sent, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Beginning {
    /// Begin after the event with this id; the header `Last-Event-ID` goes before it. Without either: with what
    /// happens from now on. `0`: with the oldest that is kept.
    after: Option<i64>,
}

/// Follow what happens to the team's resources
///
/// Answers with server-sent events: `id` is the event's number, `event` its type, `data` the event as JSON. After a
/// broken connection send the last `id` as `Last-Event-ID`, as browsers do, and nothing is missed or sent twice.
#[utoipa::path(get, path = "/cloud/v1/events", operation_id = "events_stream", tag = "Events", params(Beginning),
    security(("bearer_auth" = ["actions:read"])), extensions(("x-cairn" = json!({"rate": "stream"}))),
    responses((status = 200, description = "The events, without end.", body = wire::cloud::Event,
        content_type = "text/event-stream")))]
pub(super) async fn stream(
    State(api): State<Api>,
    Extension(feed): Extension<Feed>,
    Extension(streams): Extension<Streams>,
    Authenticated(caller): Authenticated,
    Query(beginning): Query<Beginning>,
    headers: HeaderMap,
) -> Result<impl IntoResponse> {
    let seat = streams.seat(caller.team, api.options().streams_per_team)?;
    // Before the newest event is looked up, so that none falls between the two.
    let wakes = feed.follow();
    let after = match last_event_id(&headers)?.or(beginning.after) {
        Some(id) => id,
        None => store::events::newest(api.store(), caller.team).await?,
    };
    let stop = api.options().stop.clone();
    let reader = Reader { api, team: caller.team, after, wakes, ready: VecDeque::new(), _seat: seat };
    let events = futures_util::StreamExt::take_until(reader.events(), stop.cancelled_owned());
    let headers = [("cache-control", "no-store"), ("x-accel-buffering", "no")];
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Refusal::field("Last-Event-ID", "must be the id of an event.").into())
}

struct Reader {
    api: Api,
    team: TeamId,
    after: i64,
    wakes: Receiver<TeamId>,
    ready: VecDeque<store::events::Event>,
    _seat: Seat,
}

impl Reader {
    fn events(self) -> impl Stream<Item = std::result::Result<Event, Infallible>> {
        stream::unfold(self, |mut reader| async move {
            loop {
                if let Some(event) = reader.ready.pop_front() {
                    return Some((Ok(write(event)), reader));
                }
                match store::events::after(reader.api.store(), reader.team, reader.after, BATCH).await {
                    Ok(batch) => {
                        reader.after = batch.last().map_or(reader.after, |event| event.id);
                        reader.ready = batch.into();
                    }
                    // The client stays; the database comes back.
                    Err(error) => tracing::warn!(error = chain(&error), "events could not be read"),
                }
                if reader.ready.is_empty() {
                    reader.wait().await;
                }
            }
        })
    }

    /// Until this team has a new event, or it is time to look anyhow.
    async fn wait(&mut self) {
        let (wakes, team) = (&mut self.wakes, self.team);
        let told = async {
            loop {
                match wakes.recv().await {
                    Ok(other) if other != team => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Either way the table is looked at next.
        let _ = tokio::time::timeout(LOOK, told).await;
    }
}

fn write(event: store::events::Event) -> Event {
    let (id, kind) = (event.id, event.kind.clone());
    let data = wire::cloud::Event { id, kind: event.kind, urn: event.urn, at: event.at.into(), body: event.body };
    // An event always serialises; if that were ever untrue, its number and type still arrive.
    Event::default().id(id.to_string()).event(kind).data(serde_json::to_string(&data).unwrap_or_default())
}

/// How many streams each team holds open here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<TeamId, usize>>>);

/// One open stream; given back when dropped.
struct Seat {
    streams: Streams,
    team: TeamId,
}

impl Streams {
    fn seat(&self, team: TeamId, most: usize) -> Result<Seat> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = open.entry(team).or_default();
        if *mine >= most {
            let message = format!("This team holds {most} event streams open already; close one first.");
            return Err(Problem::new(Code::TooManyRequests, message).retry_after(10));
        }
        *mine += 1;
        Ok(Seat { streams: self.clone(), team })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = open.get_mut(&self.team) {
            *mine -= 1;
            if *mine == 0 {
                open.remove(&self.team);
            }
        }
    }
}
