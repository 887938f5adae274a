//! What the rules of a `greylist.conf` say: known answers, facts that nobody can tell, and the
//! indexes beside a look at each rule.

mod case;
mod clauses;
mod facts;
mod model;
mod properties;
mod rules;
