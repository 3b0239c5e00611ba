//! The ceiling that `benches/load/run` holds the service against: an actix handler that does nothing, set up alike.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).filter(|argument| argument != "--bench");
    let Some(address) = address else {
        println!("the empty handler is started by benches/load/run");
        return Ok(());
    };
    actix_web::rt::System::new().block_on(
        HttpServer::new(|| App::new().route("/", web::to(|| async { HttpResponse::Ok().finish() })))
            .workers(1)
            .keep_alive(Duration::from_secs(75))
            .bind(address)?
            .run(),
    )
}
