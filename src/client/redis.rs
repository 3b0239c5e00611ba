//! One Redis server: a connection that comes back by itself, a deadline on every use of it, and the proof that an answer
//! belongs to its question.
//!
//! All questions share one connection, on which only their order assigns answers to questions. One answer too many would
//! shift all that follow to the questions of other callers; so each question ends with an ECHO of fresh random bytes.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, Pipeline, RedisError, RedisResult, TlsCertificates, Value};
use url::Url;
use zeroize::Zeroizing;

use super::{Deadline, Error, runtime};

/// How a Redis server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://` or `rediss://`, with the user and the database in it, as [`parse_redis_url`] accepts it.
    pub url: Url,
    /// The user's password.
    pub password: Option<Zeroizing<String>>,
    /// PEM certificates of a private authority, trusted instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// How long one use may take.
    pub timeout: Duration,
}

/// The URL of a Redis server, without a password.
///
/// # Errors
/// When it cannot be used. The text completes "`url` …" and does not quote it.
pub fn parse_redis_url(text: &str) -> Result<Url, String> {
    const FORM: &str = "is not of the form \"redis://user@host:6379/0\"";
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host());
    let url = url.ok_or(FORM)?;
    if url.password().is_some() {
        return Err("holds a password; put a reference to it under `password`".to_owned());
    }
    url.clone().into_connection_info().map_err(|error| format!("{FORM}: {error}"))?;
    Ok(url)
}

/// A Redis server that is in use.
pub struct RedisServer(Arc<Server>);

struct Server {
    client: Client,
    timeout: Duration,
    /// Made when it is first used.
    connection: Mutex<Option<Connection>>,
}

#[derive(Clone)]
struct Connection {
    manager: ConnectionManager,
    made_at: Instant,
}

impl RedisServer {
    /// A server that is not connected yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &RedisSettings) -> Result<Self, String> {
        let client = client(settings).map_err(|error| format!("no Redis client can be made: {error}"))?;
        Ok(Self(Arc::new(Server { client, timeout: settings.timeout, connection: Mutex::default() })))
    }

    /// When all that one use asks must be answered, if it begins now.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.0.timeout)
    }

    /// The answers to these commands, which only read: where the connection turns out to be broken, as after a night in which
    /// nobody used it, they are sent once more. What Redis refuses is among the answers, as an error.
    ///
    /// # Errors
    /// When no answers come in time, or those of another question.
    pub async fn ask(&self, mut commands: Pipeline, deadline: Deadline) -> Result<Vec<Value>, Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| Error::Redis("the system has no randomness".to_owned()))?;
        // Last, so that an answer too many shifts it, wherever that comes in between.
        commands.cmd("ECHO").arg(&nonce);
        let server = Arc::clone(&self.0);
        let ask = async move {
            let mut connection = server.connection()?;
            let mut answers = match send(&mut connection, &commands).await {
                Err(error) if error.is_io_error() => {
                    // The manager has begun to make another.
                    connection = server.connection()?;
                    send(&mut connection, &commands).await
                }
                result => result,
            }?;
            match answers.pop() {
                Some(Value::BulkString(last)) if last == nonce => Ok(answers),
                Some(Value::ServerError(error)) => Err(RedisError::from(error).into()),
                _ => {
                    server.drop_connection(|current| current.made_at == connection.made_at);
                    Err(Error::Mismatch)
                }
            }
        };
        self.run(deadline, ask).await
    }

    /// Lets `work`, which must not be done twice, use the connection.
    ///
    /// # Errors
    /// When `work` fails or takes too long, or there is no connection.
    pub async fn run_once<T: Send + 'static, F>(
        &self,
        work: impl FnOnce(ConnectionManager) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let server = Arc::clone(&self.0);
        let work = async move { Ok(work(server.connection()?.manager).await?) };
        self.run(self.deadline(), work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let result = runtime::run(deadline, work).await;
        if result.is_err() {
            // The next use makes a new one: the manager replaces one that broke, but not one that has gone silent.
            self.0.drop_connection(|current| current.made_at.elapsed() >= Server::RENEWAL);
        }
        result
    }
}

impl Server {
    /// How soon after a connection was made a failure lets another be made.
    const RENEWAL: Duration = Duration::from_millis(500);

    fn connection(&self) -> RedisResult<Connection> {
        let mut current = self.current();
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        // Within the deadline, which bounds the answer too, there is time for one try; the caller decides about the next.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None);
        let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        Ok(current.insert(Connection { manager, made_at: Instant::now() }).clone())
    }

    /// Questions that are under way on the connection go on; all later ones get another.
    fn drop_connection(&self, is_meant: impl FnOnce(&Connection) -> bool) {
        self.current().take_if(|connection| is_meant(connection));
    }

    fn current(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(settings: &RedisSettings) -> RedisResult<Client> {
    let info = settings.url.clone().into_connection_info()?;
    // Announcing the library takes a right that nothing else here does.
    let mut user = info.redis_settings().clone().set_skip_set_lib_name();
    if let Some(password) = &settings.password {
        user = user.set_password(password.as_str());
    }
    let info = info.set_redis_settings(user);
    match &settings.ca {
        Some(ca) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) }),
        None => Client::open(info),
    }
}

async fn send(connection: &mut Connection, commands: &Pipeline) -> RedisResult<Vec<Value>> {
    connection.manager.send_packed_commands(commands, 0, commands.len()).await
}

/// What broke the connection, or else the kind of an error and Redis' own code for it, and which command is not allowed; the
/// rest of its text may quote a key.
impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Self::Redis(match (error.code(), error.category()) {
            _ if error.is_io_error() => error.to_string(),
            (Some("NOPERM"), _) => match error.detail().and_then(refused_command) {
                Some(command) => format!("NOPERM, its user may not run {command}"),
                None => "NOPERM, its user may not read such keys".to_owned(),
            },
            (Some(code), "") => code.to_owned(),
            (Some(code), category) => format!("{category} ({code})"),
            (None, category) => category.to_owned(),
        })
    }
}

/// The command that a NOPERM is about: "… has no permissions to run the 'getrange' command".
fn refused_command(detail: &str) -> Option<&str> {
    let command = detail.split_once("run the '")?.1.split_once("' command")?.0;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || b"|-_".contains(&byte);
    (command.len() <= 40 && command.bytes().all(is_name)).then_some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_and_a_key_is_not() {
        let seven = "User usersig has no permissions to run the 'getrange' command";
        let six = "this user has no permissions to run the 'getrange' command or its subcommand";
        assert_eq!((refused_command(seven), refused_command(six)), (Some("getrange"), Some("getrange")));
        assert_eq!(refused_command("run the 'script|load' command"), Some("script|load"));
        for detail in ["No permissions to access a key", "run the 'sess:ID' command", "run the '' x"] {
            assert_eq!(refused_command(detail), None, "{detail}");
        }
    }
}
