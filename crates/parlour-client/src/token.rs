//! Where tokens come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parlour_wire::ErrorCode;
use tokio::sync::Mutex;

use crate::Error;

type Fetch = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// Gives the user's token: a text that stays as it is, or an async function that is asked at the first
/// connect, before the token ends and when the server no longer takes it.
///
/// The function is asked one call at a time: whoever else needs a token meanwhile gets the same answer.
///
/// ```
/// use parlour_client::{TokenError, TokenProvider};
/// async fn from_my_backend() -> Result<String, TokenError> {
///     // reqwest::get("https://example.com/parlour-token").await?.text().await?
///     Ok("eyJ…".to_owned())
/// }
/// let _: TokenProvider = "eyJ…".into();
/// let _: TokenProvider = from_my_backend.into();
/// ```
#[derive(Clone)]
pub struct TokenProvider(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Arc<str>),
    Function(Arc<dyn Fn() -> Fetch + Send + Sync>),
}

impl fmt::Debug for TokenProvider {
    // A token in a log is a leak.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Fixed(_) => "TokenProvider(a fixed token)",
            Kind::Function(_) => "TokenProvider(a function)",
        })
    }
}

impl From<&str> for TokenProvider {
    fn from(token: &str) -> Self {
        Self(Kind::Fixed(token.into()))
    }
}

impl From<String> for TokenProvider {
    fn from(token: String) -> Self {
        Self(Kind::Fixed(token.into()))
    }
}

impl<F, Fut> From<F> for TokenProvider
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, TokenError>> + Send + 'static,
{
    fn from(function: F) -> Self {
        Self(Kind::Function(Arc::new(move || Box::pin(function()))))
    }
}

/// Why a provider has no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    pub message: String,
    /// Whether asking again will not help: the user's session at the backend is over, say. The connection
    /// then fails, instead of trying again with backoff.
    pub permanent: bool,
}

impl TokenError {
    /// A failure that may pass.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), permanent: false }
    }

    /// A failure that will not pass.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), permanent: true }
    }
}

// Like anyhow's: any error turns into one by `?`, which is why this is no `std::error::Error` itself.
impl<E: std::error::Error> From<E> for TokenError {
    fn from(error: E) -> Self {
        Self::transient(error.to_string())
    }
}

/// One user's provider with the token that is in force.
pub(crate) struct TokenSource {
    provider: TokenProvider,
    timeout: Duration,
    /// Held while the provider is asked: that makes it single-flight.
    current: Mutex<Option<String>>,
}

impl TokenSource {
    pub(crate) fn new(provider: TokenProvider, timeout: Duration) -> Self {
        Self { provider, timeout, current: Mutex::new(None) }
    }

    /// The token in force, if it is known and the provider is not being asked.
    pub(crate) fn current(&self) -> Option<String> {
        self.current.try_lock().ok()?.clone()
    }

    /// Asks the provider.
    pub(crate) async fn fresh(&self) -> Result<String, TokenError> {
        let mut current = self.current.lock().await;
        let token = self.ask().await?;
        *current = Some(token.clone());
        Ok(token)
    }

    /// The token in force, unless it is the one that was refused: then the provider is asked.
    pub(crate) async fn other_than(&self, refused: Option<&str>) -> Result<String, TokenError> {
        let mut current = self.current.lock().await;
        match &*current {
            Some(token) if Some(token.as_str()) != refused => Ok(token.clone()),
            Some(_) | None => {
                let token = self.ask().await?;
                *current = Some(token.clone());
                Ok(token)
            }
        }
    }

    async fn ask(&self) -> Result<String, TokenError> {
        let function = match &self.provider.0 {
            Kind::Fixed(token) => return Ok(token.to_string()),
            Kind::Function(function) => function.clone(),
        };
        // In a task of its own, so that a panic in the app's function is an error here and not the end of
        // the connection.
        let mut asking = AbortOnDrop(tokio::spawn(async move { function().await }));
        match tokio::time::timeout(self.timeout, &mut asking.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(TokenError::transient("the token provider panicked")),
            Err(_) => Err(TokenError::transient("the token provider did not answer in time")),
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        let mut body = ErrorCode::TokenMissing.because(format!("no token: {}", error.message));
        body.retryable = !error.permanent;
        body.into()
    }
}
