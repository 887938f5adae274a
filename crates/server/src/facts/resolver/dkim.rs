//! What the DKIM signatures of a message are worth.
//!
//! The results are milter-greylist's. Where a key could not be asked for, there is none.
//!
//! Source: RFC 6376; greylist.conf(5), "dkim"; milter-greylist 4.6.4 with libopendkim 2.11 as observed
//! by running it.

use greylatch_core::Content;
use greylatch_wording::DkimFound;
use mail_auth::dkim::{Canonicalization, DkimError};
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, DnsError, Error};

use super::super::{Budget, Signed};
use super::Resolver;

/// Signatures of one message that are looked at: each asks for a key, and may want the body hashed in
/// a way of its own.
const SIGNATURES_MAX: usize = 8;

/// Signatures may cover a part of the body only, as libopendkim has it too.
///
/// Source: RFC 6376 §3.5 (`l=`), §8.2.
const WHOLE_BODY_ONLY: bool = false;

impl Resolver {
    /// What the signatures of a message are worth together; `None` where that cannot be found out,
    /// not in time, or not from what is kept of the message.
    pub(in crate::facts) async fn dkim(
        &self,
        content: &Content,
        budget: &mut Budget,
    ) -> Option<Signed> {
        let signatures = content.headers().filter(|line| is_signature(line)).count();
        if !content.is_whole() || signatures > SIGNATURES_MAX {
            return None;
        }
        if signatures == 0 {
            return Some(unsigned());
        }
        let text = as_signed(content);
        let mut message = AuthenticatedMessage::parse_with_opts(&text, None, WHOLE_BODY_ONLY)?;
        for signature in &mut message.dkim_headers {
            // Neither changes the result, and both would ask the DNS for more than keys.
            // Source: RFC 6651 (`r=`), RFC 6541 (`atps=`).
            signature.header.r = false;
            signature.header.atps = None;
        }
        // What it keeps across its questions is large.
        let check = Box::pin(self.authenticator.verify_dkim(&message));
        let outputs = self.spend(check, budget).await?;
        let is_exact = content.is_spaced(0).is_some();
        let found = outputs.iter().map(|output| result_of(output, is_exact));
        best_of(found.collect())
    }
}

/// A message of which nobody says that it is signed, or not so that it can be read.
fn unsigned() -> Signed {
    Signed {
        worth: DkimFound::None,
        by: String::new(),
    }
}

fn is_signature(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
    name.trim_ascii().eq_ignore_ascii_case(b"DKIM-Signature")
}

/// The message as it was signed. An MTA gives folded headers to a milter with bare line feeds.
fn as_signed(content: &Content) -> Vec<u8> {
    let mut text = Vec::new();
    for (number, line) in content.headers().enumerate() {
        let colon = line.iter().position(|byte| *byte == b':');
        let left_out = colon.filter(|_| content.is_spaced(number) == Some(false));
        for (at, byte) in line.iter().enumerate() {
            if left_out.is_some_and(|colon| at == colon + 1) {
                continue;
            }
            if *byte == b'\n' && text.last() != Some(&b'\r') {
                text.push(b'\r');
            }
            text.push(*byte);
        }
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(content.body());
    text
}

/// What one signature is worth; `None` when that is not known. `is_exact` says that every byte of the
/// headers is.
fn result_of(output: &DkimOutput<'_>, is_exact: bool) -> Option<Signed> {
    let signature = output.signature();
    let has_simple_headers =
        signature.is_some_and(|signature| signature.ch == Canonicalization::Simple);
    let worth = match output.result() {
        DkimResult::Pass => DkimFound::Pass,
        DkimResult::None => DkimFound::None,
        DkimResult::TempError(_) => return None,
        // Such a signature rests on the space behind the colon of a header.
        DkimResult::Fail(Error::Crypto(_)) if has_simple_headers && !is_exact => return None,
        DkimResult::Fail(_)
        | DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch))
        | DkimResult::PermError(Error::Dkim(DkimError::RevokedPublicKey)) => DkimFound::Fail,
        DkimResult::PermError(Error::Dns(DnsError::RecordNotFound(_))) => DkimFound::NoKey,
        DkimResult::Neutral(_) | DkimResult::PermError(_) => DkimFound::Neutral,
    };
    let by = signature.map_or_else(String::new, |signature| signature.d.clone());
    Some(Signed { worth, by })
}

/// What all signatures are worth together: the first one that passes, where none does the first one. One
/// that is not known may be one that passes.
///
/// Source: RFC 6376 §4.2 (signatures are looked at until one verifies).
fn best_of(mut all: Vec<Option<Signed>>) -> Option<Signed> {
    let passes = |signed: &Option<Signed>| {
        let worth = signed.as_ref().map(|signed| signed.worth);
        worth == Some(DkimFound::Pass)
    };
    if let Some(passing) = all.iter().position(passes) {
        return all.swap_remove(passing);
    }
    let known: Option<Vec<Signed>> = all.into_iter().collect();
    let first = known?.into_iter().next();
    Some(first.unwrap_or_else(unsigned))
}
