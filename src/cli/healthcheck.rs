//! `usersig healthcheck`.

use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::rt::System;
use clap::Args;
use reqwest::{Client, StatusCode, redirect};

use super::Outcome;
use crate::session::Fault;

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// What to ask, over plain HTTP
    #[arg(long, default_value = "http://127.0.0.1:9090/readyz")]
    url: String,
}

pub(super) fn run(args: &HealthcheckArgs) -> Outcome {
    let url = &args.url;
    // Plain HTTP needs no certificates, and asks where it is told to and nowhere else.
    let client = Client::builder().tls_certs_only([]).no_proxy().redirect(redirect::Policy::none());
    let client = client.timeout(Duration::from_secs(2)).build()?;
    // Not dropped: it would wait for the look-up of a name, however long that takes.
    let system = ManuallyDrop::new(System::new());
    match system.block_on(async { client.get(url).send().await }) {
        Ok(response) if response.status() == StatusCode::OK => Ok(ExitCode::SUCCESS),
        Ok(response) => Err(format!("{url} answered {}", response.status()).into()),
        Err(error) if error.is_builder() => Err(format!("{url}: expected http://HOST:PORT/PATH").into()),
        Err(error) if error.is_timeout() => Err(format!("{url}: no answer within 2 s").into()),
        Err(error) => Err(format!("{url}: {}", Fault::from(error)).into()),
    }
}
