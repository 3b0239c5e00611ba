//! `usersig healthcheck`.

use std::process::ExitCode;
use std::time::Duration;

use actix_web::rt::System;
use clap::Args;
use http::{StatusCode, Uri};

use super::Outcome;
use crate::client;

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// What to ask, over plain HTTP
    #[arg(long, default_value = "http://127.0.0.1:9090/readyz")]
    url: String,
}

pub(super) fn run(args: &HealthcheckArgs) -> Outcome {
    let url = &args.url;
    let is_plain = |url: &Uri| url.scheme_str() == Some("http") && url.host().is_some();
    let Some(target) = url.parse().ok().filter(is_plain) else {
        return Err(format!("{url}: expected http://HOST:PORT/PATH").into());
    };
    match System::new().block_on(client::plain_status(target, Duration::from_secs(2))) {
        Ok(StatusCode::OK) => Ok(ExitCode::SUCCESS),
        Ok(status) => Err(format!("{url} answered {status}").into()),
        Err(client::Error::Timeout(limit)) => Err(format!("{url}: no answer within {} s", limit.as_secs()).into()),
        Err(error) => Err(format!("{url}: {error}").into()),
    }
}
