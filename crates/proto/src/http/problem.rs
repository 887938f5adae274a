//! What is wrong with a request, as problem details.
//!
//! Source: RFC 9457 §3 (`title`, `status`, `detail`, and `errors` with a JSON pointer as in its
//! example), RFC 9110 §15 (the codes), RFC 6901 (pointers).

use serde_json::{Value, json};

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpProblem {
    /// No token came with it.
    NoToken,
    /// The token is none of ours.
    WrongToken,
    /// The token does not reach so far; the scope that does.
    Scope(&'static str),
    /// There is nothing at this path.
    Path,
    /// The path does not know this method.
    Method,
    /// The body did not come in time.
    TooSlow,
    /// The body is longer than so many bytes.
    TooLong(usize),
    /// The body is of another media type than JSON.
    MediaType,
    /// The body is no JSON; where and why.
    Json(String),
    /// The body or the query has mistakes.
    Faults(Vec<HttpFault>),
    /// The store cannot answer now; why.
    Unavailable(String),
}

/// One mistake in a body or a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFault {
    place: Place,
    what: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A member of the body; empty for the whole.
    Member(String),
    /// A parameter of the query.
    Parameter(String),
}

impl HttpFault {
    /// A mistake in a member of the body, or with no name in the whole of it.
    pub(super) fn at_pointer(name: &str, what: &str) -> Self {
        Self {
            place: Place::Member(name.to_owned()),
            what: what.to_owned(),
        }
    }

    /// A mistake in a parameter of the query.
    pub(super) fn at_parameter(name: &str, what: &str) -> Self {
        Self {
            place: Place::Parameter(name.to_owned()),
            what: what.to_owned(),
        }
    }

    fn detail(&self) -> String {
        match &self.place {
            Place::Member(name) if name.is_empty() => format!("the body {}", self.what),
            Place::Member(name) | Place::Parameter(name) => format!("`{name}` {}", self.what),
        }
    }

    fn to_json(&self) -> Value {
        let detail = self.detail();
        match &self.place {
            Place::Member(name) if name.is_empty() => json!({ "pointer": "", "detail": detail }),
            Place::Member(name) => {
                let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                json!({ "pointer": pointer, "detail": detail })
            }
            Place::Parameter(name) => json!({ "parameter": name, "detail": detail }),
        }
    }
}

impl HttpProblem {
    /// The code of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Json(_) => 400,
            Self::NoToken | Self::WrongToken => 401,
            Self::Scope(_) => 403,
            Self::Path => 404,
            Self::Method => 405,
            Self::TooSlow => 408,
            Self::TooLong(_) => 413,
            Self::MediaType => 415,
            Self::Faults(_) => 422,
            Self::Unavailable(_) => 503,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Json(_) => "not JSON",
            Self::NoToken => "no token",
            Self::WrongToken => "wrong token",
            Self::Scope(_) => "the token does not reach so far",
            Self::Path => "nothing here",
            Self::Method => "wrong method",
            Self::TooSlow => "too slow",
            Self::TooLong(_) => "too long",
            Self::MediaType => "wrong media type",
            Self::Faults(_) => "mistakes in the request",
            Self::Unavailable(_) => "the store cannot answer",
        }
    }

    /// What is wrong and what to do.
    fn detail(&self) -> String {
        match self {
            Self::Json(why) => format!("the body is no JSON: {why}"),
            Self::NoToken => {
                "send a token of http.token_file as `Authorization: Bearer TOKEN`".into()
            }
            Self::WrongToken => {
                "the token is none of those in http.token_file; after a change to that file run \
                 `greylatch reload`"
                    .into()
            }
            Self::Scope(scope) => {
                format!("this needs a token with the scope `{scope}` in http.token_file")
            }
            Self::Path => "there are /v1/check and /v1/entries".into(),
            Self::Method => "the header Allow says which methods there are".into(),
            Self::TooSlow => "the body did not come in time; send it at once".into(),
            Self::TooLong(max) => format!("the body is longer than {max} bytes; send less"),
            Self::MediaType => "say `Content-Type: application/json`, and send JSON".into(),
            Self::Faults(faults) => {
                let details: Vec<String> = faults.iter().map(HttpFault::detail).collect();
                details.join("; ")
            }
            Self::Unavailable(why) => format!("{why}; try again later"),
        }
    }
}

/// A problem as a body of the type `application/problem+json`.
#[must_use]
pub fn encode_problem(problem: &HttpProblem) -> Vec<u8> {
    let mut value = json!({
        "title": problem.title(),
        "status": problem.status(),
        "detail": problem.detail(),
    });
    if let HttpProblem::Faults(faults) = problem
        && let Some(members) = value.as_object_mut()
    {
        let errors = faults.iter().map(HttpFault::to_json).collect();
        members.insert("errors".into(), Value::Array(errors));
    }
    super::to_line(&value)
}
