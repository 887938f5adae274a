//! Random bytes as a body and as a query over HTTP: they never panic, a question without a mistake
//! can be judged, and what is wrong is told as JSON.

use greylatch_core::{Field, Request};
use greylatch_proto::{
    HttpProblem, decode_check, decode_list, decode_removal, decode_standing, encode_problem,
};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    match decode_check(input) {
        Ok(attempt) => {
            let needed = [Field::ClientAddress, Field::Sender, Field::Recipient];
            assert!(needed.iter().all(|field| attempt.field(*field).is_some()));
        }
        Err(problem) => tell(&problem),
    }
    match decode_standing(input) {
        Ok(request) => assert!(matches!(request, Request::Set { .. })),
        Err(problem) => tell(&problem),
    }
    let query = String::from_utf8_lossy(input);
    match decode_list(&query) {
        Ok(query) => assert!((1..=1_000).contains(&query.limit)),
        Err(problem) => tell(&problem),
    }
    match decode_removal(&query) {
        Ok(query) => assert!(query.matching.is_some_and(|text| !text.is_empty())),
        Err(problem) => tell(&problem),
    }
}

fn tell(problem: &HttpProblem) {
    let body = encode_problem(problem);
    assert!(str::from_utf8(&body).is_ok(), "{}", body.escape_ascii());
    assert!(matches!(
        problem,
        HttpProblem::Json(_) | HttpProblem::Faults(_)
    ));
}
