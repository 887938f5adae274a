//! Paths, methods, tokens and bodies; what they hold goes to the desk as from any other front end.
//!
//! Source: RFC 9110 (methods, codes), RFC 6750 §2.1 and §3 (tokens).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use greylatch_core::{Answer, Request as Question};
use greylatch_proto::{
    HttpProblem, decode_check, decode_list, decode_removal, decode_standing, encode_count,
    encode_judgement, encode_page, encode_problem,
};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::front::Front;
use super::tokens::Scope;
use crate::desk::{Desk, Visitor};

/// What the log calls those who ask this way.
const FRONTEND: &str = "http";

/// The longest body that is read.
const BODY_MAX: usize = 64 << 10;

/// So much of a longer body is read and dropped, so that who still writes hears why it is refused.
const DROPPED_MAX: usize = 1 << 20;

/// What an answer is made with.
pub(super) struct Room {
    pub(super) desk: Arc<Desk>,
    pub(super) front: Arc<Front>,
    /// Permissions of the socket say who may have attempts judged.
    pub(super) is_local: bool,
    /// How long a body may take.
    pub(super) patience: Duration,
}

/// Where a request comes from; nowhere that an address tells at a unix socket.
#[derive(Clone, Copy)]
pub(super) struct Caller(pub(super) Option<IpAddr>);

/// All paths.
pub(super) fn router(room: Room) -> Router {
    Router::new()
        .route("/v1/check", post(check))
        .route("/v1/entries", get(list).put(set).delete(remove))
        .fallback(async || Refusal(HttpProblem::Path))
        .method_not_allowed_fallback(async || Refusal(HttpProblem::Method))
        .with_state(Arc::new(room))
}

async fn check(State(room): State<Arc<Room>>, request: Request) -> Result<Response, Refusal> {
    room.admit(&request, Scope::Check)?;
    let attempt = decode_check(&room.body(request).await?)?;
    let mut visitor = Visitor::new(FRONTEND);
    let judgement = room.desk.judge_aloud(&mut visitor, &attempt).await;
    Ok(json(encode_judgement(&judgement)))
}

async fn list(State(room): State<Arc<Room>>, request: Request) -> Result<Response, Refusal> {
    room.admit(&request, Scope::Admin)?;
    let query = decode_list(request.uri().query().unwrap_or_default())?;
    room.ask(Question::List(query)).await
}

async fn set(State(room): State<Arc<Room>>, request: Request) -> Result<Response, Refusal> {
    room.admit(&request, Scope::Admin)?;
    let question = decode_standing(&room.body(request).await?)?;
    room.ask(question).await
}

async fn remove(State(room): State<Arc<Room>>, request: Request) -> Result<Response, Refusal> {
    room.admit(&request, Scope::Admin)?;
    let query = decode_removal(request.uri().query().unwrap_or_default())?;
    room.ask(Question::Remove(query)).await
}

impl Room {
    /// Whether a request may go so far; one that may not is logged and counted.
    fn admit(&self, request: &Request, wanted: Scope) -> Result<(), HttpProblem> {
        self.reaches(request.headers(), wanted)
            .inspect_err(|problem| {
                let caller = request.extensions().get::<Caller>();
                let why = match problem {
                    HttpProblem::NoToken => "it has no token",
                    HttpProblem::Scope(_) => "its token does not reach so far",
                    _ => "its token is wrong",
                };
                let from = caller.and_then(|caller| caller.0);
                self.desk.observer.turned_away(from, why);
            })
    }

    fn reaches(&self, headers: &HeaderMap, wanted: Scope) -> Result<(), HttpProblem> {
        let Some(given) = headers.get(AUTHORIZATION) else {
            let is_free = self.is_local && wanted == Scope::Check;
            return is_free.then_some(()).ok_or(HttpProblem::NoToken);
        };
        match self.front.scope(bearer(given.as_bytes())) {
            None => Err(HttpProblem::WrongToken),
            Some(scope) if scope < wanted => Err(HttpProblem::Scope(wanted.word())),
            Some(_) => Ok(()),
        }
    }

    async fn ask(&self, question: Question) -> Result<Response, Refusal> {
        let mut visitor = Visitor::new(FRONTEND);
        match self.desk.answer(&mut visitor, question).await {
            Answer::Page(page) => Ok(json(encode_page(&page))),
            Answer::Done(count) => Ok(json(encode_count(count))),
            Answer::Failed(why) => Err(Refusal(HttpProblem::Unavailable(why))),
            other => unreachable!("a page or a count answers these questions: {other:?}"),
        }
    }

    /// The body of a request, which is JSON.
    async fn body(&self, request: Request) -> Result<Vec<u8>, HttpProblem> {
        if !is_json(request.headers()) {
            return Err(HttpProblem::MediaType);
        }
        match timeout(self.patience, read(request.into_body())).await {
            Ok(read) => read,
            Err(_) => Err(HttpProblem::TooSlow),
        }
    }
}

async fn read(mut body: Body) -> Result<Vec<u8>, HttpProblem> {
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        // Nobody is left to hear of it, or what is left says that it is not JSON.
        let Ok(frame) = frame else { break };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        length += piece.len();
        if length <= BODY_MAX {
            kept.extend_from_slice(&piece);
        } else if length > DROPPED_MAX {
            break;
        }
    }
    match length <= BODY_MAX {
        true => Ok(kept),
        false => Err(HttpProblem::TooLong(BODY_MAX)),
    }
}

/// The token behind `Bearer`; all of it where that is missing, which is no token then.
fn bearer(given: &[u8]) -> &[u8] {
    match given.split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => token.trim_ascii(),
        _ => given,
    }
}

const SCHEME: &[u8] = b"Bearer ";

/// Whether the body is said to be JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let kind = given.as_bytes().split(|byte| *byte == b';').next();
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

fn json(body: Vec<u8>) -> Response {
    answer(StatusCode::OK, "application/json", body)
}

fn answer(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

/// A request that is not answered as asked.
struct Refusal(HttpProblem);

impl From<HttpProblem> for Refusal {
    fn from(problem: HttpProblem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status())
            .expect("a problem's code is one of those of RFC 9110");
        let mut response = answer(status, "application/problem+json", encode_problem(&self.0));
        let challenge = match self.0 {
            HttpProblem::NoToken => Some("Bearer realm=\"greylatch\""),
            HttpProblem::WrongToken => Some("Bearer realm=\"greylatch\", error=\"invalid_token\""),
            HttpProblem::Scope(_) => {
                Some("Bearer realm=\"greylatch\", error=\"insufficient_scope\"")
            }
            _ => None,
        };
        let headers = response.headers_mut();
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(self.0, HttpProblem::TooSlow | HttpProblem::TooLong(_)) {
            // What is left of the body is no request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
