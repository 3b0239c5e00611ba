//! Sessions that real back ends issue, recognised by the running binary, and everything that must be refused or survived.
//!
//! The tests whose names begin with `case_` and a number are the list of what must be refused or survived, one name a case. Redis, nginx,
//! PHP, Express, Flask, Django and an `OpenID` Connect provider are the real ones; `tests/run` installs them.

mod answers;
mod cases_edge;
mod cases_from;
mod cases_http;
mod cases_jwt;
mod cases_key_set;
mod cases_redis;
mod cases_redis_down;
mod frozen;
mod issuer;
mod jwks;
mod key_rules;
mod life;
mod load;
mod one_rule;
mod ports;
mod private_ca;
mod probe;
mod recipes;
mod recovery;
mod rules;
mod sites;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;
mod tls;
mod verdict;
