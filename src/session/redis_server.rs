//! One Redis server: a connection that comes back by itself, and a deadline on every use of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates};
use zeroize::Zeroizing;

use super::Fault;
use super::home::at_home;

/// A Redis server that is in use.
pub struct RedisServer {
    client: Client,
    timeout: Duration,
    /// Made when it is first used, and when that was.
    connection: Mutex<Option<(ConnectionManager, Instant)>>,
}

impl RedisServer {
    /// How soon after a connection was made it may be given up for another.
    const RENEWAL: Duration = Duration::from_millis(500);

    /// The server of a `redis://` or `rediss://` URL, which has the user and the database in it; nothing is connected yet.
    /// A `ca` is PEM certificates of a private authority, trusted instead of the system's, and `timeout` how long one use
    /// may take.
    ///
    /// # Errors
    /// When the URL or the certificates cannot be used.
    pub fn new(
        url: &str,
        password: Option<Zeroizing<String>>,
        ca: Option<Vec<u8>>,
        timeout: Duration,
    ) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        // Announcing the library takes a right that nothing else here does.
        let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(password) = password {
            settings = settings.set_password(password.as_str());
        }
        let info = info.set_redis_settings(settings);
        let client = match ca {
            Some(ca) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(ca) })?,
            None => Client::open(info)?,
        };
        Ok(Self { client, timeout, connection: Mutex::default() })
    }

    /// Lets `work` use the connection until the deadline. Where the connection turns out to be broken, as after a night in
    /// which nobody used it, `work` is done once more; so it must do no harm twice.
    ///
    /// # Errors
    /// When `work` fails or takes too long, or there is no connection.
    pub async fn run<T>(&self, work: impl AsyncFn(ConnectionManager) -> RedisResult<T>) -> Result<T, Fault> {
        let work_twice = async |connection| match work(connection).await {
            // The manager has begun to make another.
            Err(error) if error.is_io_error() => work(self.connection()?).await,
            result => result,
        };
        self.run_once(work_twice).await
    }

    /// As [`Self::run`], for `work` that must not be done twice.
    ///
    /// # Errors
    /// When `work` fails or takes too long, or there is no connection.
    pub async fn run_once<T>(&self, work: impl AsyncFnOnce(ConnectionManager) -> RedisResult<T>) -> Result<T, Fault> {
        let result = at_home(self.timeout, async { work(self.connection()?).await }).await;
        if result.is_err() {
            // The next use makes a new one: the manager replaces one that broke, but not one that has gone silent.
            self.made().take_if(|(_, made_at)| made_at.elapsed() >= Self::RENEWAL);
        }
        result
    }

    fn connection(&self) -> RedisResult<ConnectionManager> {
        let mut made = self.made();
        if let Some((manager, _)) = &*made {
            return Ok(manager.clone());
        }
        // Within the deadline there is time for one try; the caller decides about the next.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        Ok(made.insert((manager, Instant::now())).0.clone())
    }

    fn made(&self) -> MutexGuard<'_, Option<(ConnectionManager, Instant)>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What broke the connection, or else the kind of an error and Redis' own code for it; its text may quote a command.
impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(match (error.code(), error.category()) {
            _ if error.is_io_error() => error.to_string(),
            (Some(code), "") => code.to_owned(),
            (Some(code), category) => format!("{category} ({code})"),
            (None, category) => category.to_owned(),
        })
    }
}
