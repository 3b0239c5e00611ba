//! What `benches/load/run` holds the service against: a handler that does nothing, bare GETs and bare verifications.

use std::time::{Duration, Instant};
use std::{env, fs};

use actix_web::{App, HttpResponse, HttpServer, web};
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use tokio::task::JoinSet;

/// As many as wrk's connections.
const AT_ONCE: usize = 32;

fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["http", address] => serve(address, None).expect("an address"),
        ["http", address, url, key] => serve(address, Some((url, key))).expect("an address"),
        ["redis", url, key, seconds] => gets(url, key, duration(seconds)),
        ["rsa", public_key, token, seconds] => verifications(public_key, token, duration(seconds)),
        _ => println!("started by benches/load/run"),
    }
}

fn duration(seconds: &str) -> Duration {
    Duration::from_secs(seconds.parse().expect("whole seconds"))
}

/// A handler that answers 200 with nothing, set up as the service is; with a Redis, each answer waits for one GET.
fn serve(address: &str, redis: Option<(&str, &str)>) -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let redis = match redis {
            Some((url, key)) => Some((connect(url).await, key.to_owned())),
            None => None,
        };
        let handle = move || {
            let redis = redis.clone();
            async move {
                if let Some((mut connection, key)) = redis {
                    connection.get::<_, Vec<u8>>(key).await.expect("a value");
                }
                HttpResponse::Ok().finish()
            }
        };
        let app = move || App::new().route("/", web::to(handle.clone()));
        HttpServer::new(app).workers(1).keep_alive(Duration::from_secs(75)).bind(address)?.run().await
    })
}

async fn connect(url: &str) -> ConnectionManager {
    let client = redis::Client::open(url).expect("a URL");
    ConnectionManager::new(client).await.expect("Redis is there")
}

/// Prints how many GETs a second one thread does on one connection, and the microseconds of processor that one takes.
fn gets(url: &str, key: &str, time: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let connection = connect(url).await;
        let watch = Stopwatch::start();
        let mut tasks = JoinSet::new();
        for (mut connection, key) in std::iter::repeat_n((connection, key.to_owned()), AT_ONCE) {
            tasks.spawn(async move {
                let mut done = 0_u32;
                while watch.wall.elapsed() < time {
                    connection.get::<_, Vec<u8>>(&key).await.expect("a value");
                    done += 1;
                }
                done
            });
        }
        watch.print(tasks.join_all().await.iter().sum());
    });
}

/// The same of the verification of a token's RS256 signature, the key prepared.
fn verifications(public_key: &str, token: &str, time: Duration) {
    let key = fs::read(public_key).expect("a key in DER");
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).expect("an RSA key");
    let (text, signature) = token.rsplit_once('.').expect("a token");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let watch = Stopwatch::start();
    let mut done = 0;
    while watch.wall.elapsed() < time {
        key.verify_sig(text.as_bytes(), &signature).expect("the key's signature");
        done += 1;
    }
    watch.print(done);
}

/// Wall and processor time of one thread.
#[derive(Clone, Copy)]
struct Stopwatch {
    wall: Instant,
    processor: f64,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: Instant::now(), processor: processor_nanoseconds() }
    }

    fn print(&self, done: u32) {
        let done = f64::from(done);
        let processor = (processor_nanoseconds() - self.processor) / 1e3;
        println!("{} {}", done / self.wall.elapsed().as_secs_f64(), processor / done);
    }
}

fn processor_nanoseconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|time| time.parse().ok()).expect("nanoseconds")
}
