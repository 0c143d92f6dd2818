//! Asking over HTTP: one method per endpoint, one way to make a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use parlour_wire::app::{AddKey, AppResponse, JwksInfo, JwksResponse, KeyResponse, SetJwks};
use parlour_wire::channels::{
    ChannelResponse, ChannelState, ChannelsResponse, GetOrCreateChannel, QueryChannels,
};
use parlour_wire::devices::{Device, DeviceResponse, DevicesResponse, RegisterDevice};
use parlour_wire::error::ErrorResponse;
use parlour_wire::guests::{CreateGuest, GuestResponse};
use parlour_wire::limits::{AppLimits, AppLimitsResponse};
use parlour_wire::members::{MembersResponse, UpdateMembers};
use parlour_wire::messages::{
    EditMessage, Message, MessageDraft, MessageResponse, MessagesResponse, SendMessage,
};
use parlour_wire::reads::{MarkRead, MarkUnread, Unread, UnreadResponse, UnreadTotals};
use parlour_wire::tasks::{Task, TaskResponse};
use parlour_wire::tokens::{RevokeTokens, RevokedTokens};
use parlour_wire::usage::{UsageQuery, UsageResponse};
use parlour_wire::users::{
    DeleteUser, MeResponse, PartialUpdate, QueryUsers, UpsertUsers, User, UserInput, UserResponse,
    UsersResponse,
};
use parlour_wire::{AppKey, ChannelType, Cid, ErrorCode, MessageId, Seq, Timestamp, UserId};
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::Error;
use crate::net::Net;
use crate::server::ServerKey;
use crate::session::{self, Session, SessionView};

/// Where the server is, and which app of it is meant.
pub(crate) struct Endpoint {
    pub(crate) url: BaseUrl,
    pub(crate) app_key: AppKey,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) call_timeout: Duration,
}

/// A server's address, without a slash at its end.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            Error::because(
                ErrorCode::InvalidInput,
                format!("{text:?} is no address of a server: {why}; it looks like http://127.0.0.1:8790"),
            )
        };
        let url = Url::parse(text).map_err(|e| refuse(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("it begins with http:// or https://"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(refuse("it has no query, fragment or credentials"));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    pub(crate) fn http(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.0)
    }

    /// Where connections are opened.
    pub(crate) fn connect(&self) -> String {
        // http → ws, https → wss.
        format!("ws{}/v1/connect", &self.0["http".len()..])
    }
}

/// As whom a call is made.
#[derive(Clone)]
pub(crate) enum Caller {
    /// The client's user, once the server has answered for it.
    User(watch::Receiver<SessionView>),
    /// The app's backend, perhaps in the name of a user.
    Server { key: Arc<ServerKey>, acts_as: Option<UserId> },
    /// Nobody yet: who asks what takes no token.
    Nobody,
}

/// The calls of one caller.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) caller: Caller,
}

/// Which messages of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePage {
    at: PageAt,
    limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageAt {
    Latest,
    Before(Seq),
    After(Seq),
    Around(Seq),
}

impl MessagePage {
    /// The newest messages, at most `limit` (1 to 100).
    pub fn latest(limit: u32) -> Self {
        Self { at: PageAt::Latest, limit }
    }

    /// The messages right before this seq.
    pub fn before(seq: Seq, limit: u32) -> Self {
        Self { at: PageAt::Before(seq), limit }
    }

    /// The messages right after this seq.
    pub fn after(seq: Seq, limit: u32) -> Self {
        Self { at: PageAt::After(seq), limit }
    }

    /// The messages on both sides of this seq.
    pub fn around(seq: Seq, limit: u32) -> Self {
        Self { at: PageAt::Around(seq), limit }
    }

    fn query(self) -> String {
        let limit = self.limit;
        match self.at {
            PageAt::Latest => format!("limit={limit}"),
            PageAt::Before(seq) => format!("before={seq}&limit={limit}"),
            PageAt::After(seq) => format!("after={seq}&limit={limit}"),
            PageAt::Around(seq) => format!("around={seq}&limit={limit}"),
        }
    }
}

/// Proof of who calls.
struct Authority {
    /// Absent: there is none to show.
    token: Option<String>,
    acts_as: Option<UserId>,
    session: Option<Arc<Session>>,
}

pub(crate) const NOTHING: Option<&()> = None;

impl Calls {
    pub(crate) async fn me(&self) -> Result<MeResponse, Error> {
        self.call(Method::GET, "me", NOTHING).await
    }

    pub(crate) async fn create_guest(&self, guest: &CreateGuest) -> Result<GuestResponse, Error> {
        self.call(Method::POST, "guests", Some(guest)).await
    }

    pub(crate) async fn upsert_users(&self, users: Vec<UserInput>) -> Result<Vec<User>, Error> {
        let answer: UsersResponse = self.call(Method::POST, "users", Some(&UpsertUsers { users })).await?;
        Ok(answer.users)
    }

    pub(crate) async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let ids: Vec<&str> = ids.iter().map(UserId::as_str).collect();
        let answer: UsersResponse =
            self.call(Method::GET, &format!("users?ids={}", ids.join(",")), NOTHING).await?;
        Ok(answer.users)
    }

    /// Deactivates, reactivates or restores a user.
    pub(crate) async fn change_life(&self, id: &UserId, verb: &str) -> Result<User, Error> {
        let answer: UserResponse = self.call(Method::POST, &format!("users/{id}/{verb}"), NOTHING).await?;
        Ok(answer.user)
    }

    pub(crate) async fn delete_user(&self, id: &UserId, how: &DeleteUser) -> Result<Task, Error> {
        let DeleteUser { hard, messages, channels } = how;
        let path = format!("users/{id}?hard={hard}&messages={messages}&channels={channels}");
        let answer: TaskResponse = self.call(Method::DELETE, &path, NOTHING).await?;
        Ok(answer.task)
    }

    pub(crate) async fn export_user(&self, id: &UserId) -> Result<Task, Error> {
        let path = format!("users/{id}/export");
        let answer: TaskResponse = self.call(Method::POST, &path, NOTHING).await?;
        Ok(answer.task)
    }

    pub(crate) async fn task(&self, id: &str) -> Result<Task, Error> {
        let path = format!("tasks/{}", percent_encoded(id));
        let answer: TaskResponse = self.call(Method::GET, &path, NOTHING).await?;
        Ok(answer.task)
    }

    pub(crate) async fn task_result(&self, id: &str) -> Result<Bytes, Error> {
        self.bytes(Method::GET, &format!("tasks/{}/result", percent_encoded(id)), NOTHING).await
    }

    pub(crate) async fn register_device(&self, device: &RegisterDevice) -> Result<Device, Error> {
        let answer: DeviceResponse = self.call(Method::POST, "devices", Some(device)).await?;
        Ok(answer.device)
    }

    pub(crate) async fn devices(&self) -> Result<Vec<Device>, Error> {
        let answer: DevicesResponse = self.call(Method::GET, "devices", NOTHING).await?;
        Ok(answer.devices)
    }

    pub(crate) async fn remove_device(&self, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &format!("devices?id={}", percent_encoded(id)), NOTHING).await
    }

    pub(crate) async fn query_users(&self, query: &QueryUsers) -> Result<UsersResponse, Error> {
        self.call(Method::POST, "users/query", Some(query)).await
    }

    pub(crate) async fn update_user(&self, id: &UserId, update: &PartialUpdate) -> Result<User, Error> {
        let answer: UserResponse = self.call(Method::PATCH, &format!("users/{id}"), Some(update)).await?;
        Ok(answer.user)
    }

    pub(crate) async fn app(&self) -> Result<AppResponse, Error> {
        self.call(Method::GET, "app", NOTHING).await
    }

    pub(crate) async fn add_key(&self, key: &AddKey) -> Result<KeyResponse, Error> {
        self.call(Method::POST, "app/keys", Some(key)).await
    }

    pub(crate) async fn remove_key(&self, kid: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &format!("app/keys/{kid}"), NOTHING).await
    }

    pub(crate) async fn set_jwks(&self, url: &str) -> Result<JwksInfo, Error> {
        let request = SetJwks { url: url.to_owned() };
        let answer: JwksResponse = self.call(Method::PUT, "app/jwks", Some(&request)).await?;
        Ok(answer.jwks)
    }

    pub(crate) async fn remove_jwks(&self) -> Result<(), Error> {
        self.call(Method::DELETE, "app/jwks", NOTHING).await
    }

    /// `None`: of all users of the app.
    pub(crate) async fn revoke_tokens(
        &self,
        user: Option<&UserId>,
        request: &RevokeTokens,
    ) -> Result<Option<Timestamp>, Error> {
        let path = user.map_or("app/revoke_tokens".to_owned(), |user| format!("users/{user}/revoke_tokens"));
        let answer: RevokedTokens = self.call(Method::POST, &path, Some(request)).await?;
        Ok(answer.revoke_tokens_issued_before)
    }

    pub(crate) async fn query_channels(&self, query: &QueryChannels) -> Result<ChannelsResponse, Error> {
        self.call(Method::POST, "channels", Some(query)).await
    }

    pub(crate) async fn distinct_channel(
        &self,
        channel_type: &ChannelType,
        request: &GetOrCreateChannel,
    ) -> Result<ChannelResponse, Error> {
        self.call(Method::POST, &format!("channels/{channel_type}"), Some(request)).await
    }

    pub(crate) async fn get_or_create(
        &self,
        cid: &Cid,
        request: &GetOrCreateChannel,
    ) -> Result<ChannelResponse, Error> {
        self.call(Method::POST, &channel_path(cid), Some(request)).await
    }

    pub(crate) async fn channel(&self, cid: &Cid, messages: u32) -> Result<ChannelState, Error> {
        let path = format!("{}?messages={messages}", channel_path(cid));
        let answer: ChannelResponse = self.call(Method::GET, &path, NOTHING).await?;
        Ok(answer.state)
    }

    pub(crate) async fn update_channel(
        &self,
        cid: &Cid,
        update: &PartialUpdate,
    ) -> Result<ChannelState, Error> {
        let answer: ChannelResponse = self.call(Method::PATCH, &channel_path(cid), Some(update)).await?;
        Ok(answer.state)
    }

    pub(crate) async fn delete_channel(&self, cid: &Cid) -> Result<(), Error> {
        self.call(Method::DELETE, &channel_path(cid), NOTHING).await
    }

    pub(crate) async fn update_members(
        &self,
        cid: &Cid,
        update: &UpdateMembers,
    ) -> Result<ChannelState, Error> {
        let path = format!("{}/members", channel_path(cid));
        let answer: ChannelResponse = self.call(Method::POST, &path, Some(update)).await?;
        Ok(answer.state)
    }

    pub(crate) async fn members(
        &self,
        cid: &Cid,
        limit: u32,
        next: Option<&str>,
    ) -> Result<MembersResponse, Error> {
        let next: String = next.map(|next| format!("&next={}", percent_encoded(next))).unwrap_or_default();
        let path = format!("{}/members?limit={limit}{next}", channel_path(cid));
        self.call(Method::GET, &path, NOTHING).await
    }

    pub(crate) async fn send_message(&self, cid: &Cid, message: MessageDraft) -> Result<Message, Error> {
        let path = format!("{}/messages", channel_path(cid));
        let answer: MessageResponse = self.call(Method::POST, &path, Some(&SendMessage { message })).await?;
        Ok(answer.message)
    }

    pub(crate) async fn messages(&self, cid: &Cid, page: MessagePage) -> Result<MessagesResponse, Error> {
        let path = format!("{}/messages?{}", channel_path(cid), page.query());
        self.call(Method::GET, &path, NOTHING).await
    }

    pub(crate) async fn message(&self, cid: &Cid, id: &MessageId) -> Result<Message, Error> {
        let path = format!("{}/messages/{id}", channel_path(cid));
        let answer: MessageResponse = self.call(Method::GET, &path, NOTHING).await?;
        Ok(answer.message)
    }

    pub(crate) async fn edit_message(
        &self,
        cid: &Cid,
        id: &MessageId,
        edit: &EditMessage,
    ) -> Result<Message, Error> {
        let path = format!("{}/messages/{id}", channel_path(cid));
        let answer: MessageResponse = self.call(Method::PATCH, &path, Some(edit)).await?;
        Ok(answer.message)
    }

    pub(crate) async fn delete_message(
        &self,
        cid: &Cid,
        id: &MessageId,
        how: Deletion,
    ) -> Result<Message, Error> {
        let hard = if how == Deletion::Hard { "?hard=true" } else { "" };
        let path = format!("{}/messages/{id}{hard}", channel_path(cid));
        let answer: MessageResponse = self.call(Method::DELETE, &path, NOTHING).await?;
        Ok(answer.message)
    }

    pub(crate) async fn mark_read(&self, cid: &Cid, mark: &MarkRead) -> Result<Unread, Error> {
        let path = format!("{}/read", channel_path(cid));
        let answer: UnreadResponse = self.call(Method::POST, &path, Some(mark)).await?;
        Ok(answer.unread)
    }

    pub(crate) async fn mark_unread(&self, cid: &Cid, message_id: &MessageId) -> Result<Unread, Error> {
        let path = format!("{}/unread", channel_path(cid));
        let mark = MarkUnread { message_id: message_id.clone() };
        let answer: UnreadResponse = self.call(Method::POST, &path, Some(&mark)).await?;
        Ok(answer.unread)
    }

    pub(crate) async fn unread(&self) -> Result<UnreadTotals, Error> {
        self.call(Method::GET, "unread", NOTHING).await
    }

    pub(crate) async fn limits(&self) -> Result<AppLimitsResponse, Error> {
        self.call(Method::GET, "app/limits", NOTHING).await
    }

    pub(crate) async fn set_limits(&self, limits: &AppLimits) -> Result<AppLimitsResponse, Error> {
        self.call(Method::PUT, "app/limits", Some(limits)).await
    }

    pub(crate) async fn usage(&self, query: &UsageQuery) -> Result<UsageResponse, Error> {
        let UsageQuery { month, granularity, last, from, to } = query;
        let pairs = [
            ("month", month.clone()),
            ("granularity", granularity.as_ref().map(ToString::to_string)),
            ("last", last.map(|last| last.to_string())),
            ("from", from.map(|from| from.to_string())),
            ("to", to.map(|to| to.to_string())),
        ];
        let given = pairs
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", percent_encoded(&value?))));
        let query = given.collect::<Vec<_>>().join("&");
        self.call(Method::GET, &format!("usage?{query}"), NOTHING).await
    }

    /// One call, whose answer is JSON.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let answer = self.bytes(method.clone(), path, body).await?;
        // 204 has no body.
        let json: &[u8] = if answer.is_empty() { b"null" } else { &answer };
        serde_json::from_slice(json).map_err(|e| {
            let message = format!("the answer to {method} {path} is not what this version understands: {e}");
            Error::because(ErrorCode::Internal, message)
        })
    }

    /// One call within the timeout; a token that is over is replaced once, by another one.
    async fn bytes(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Bytes, Error> {
        let body = match body {
            Some(body) => {
                let json = serde_json::to_vec(body)
                    .map_err(|e| Error::because(ErrorCode::InvalidInput, e.to_string()))?;
                Some(Bytes::from(json))
            }
            None => None,
        };
        let timeout = self.endpoint.call_timeout;
        let call = async {
            let authority = self.authority().await?;
            let first = self.ask(&method, path, body.clone(), &authority).await;
            match first {
                Err(error) if error.is(ErrorCode::TokenExpired) => match renewed(authority).await? {
                    Some(authority) => self.ask(&method, path, body, &authority).await,
                    None => Err(error),
                },
                answer => answer,
            }
        };
        tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
            let message = format!("no answer to {method} {path} within {} ms", timeout.as_millis());
            Err(Error::because(ErrorCode::Timeout, message))
        })
    }

    async fn authority(&self) -> Result<Authority, Error> {
        match &self.caller {
            Caller::User(view) => {
                let session = session::ready(&mut view.clone()).await?;
                let token = session.token.other_than(None).await?;
                Ok(Authority { token: Some(token), acts_as: None, session: Some(session) })
            }
            Caller::Server { key, acts_as } => {
                Ok(Authority { token: Some(key.server_token()?), acts_as: acts_as.clone(), session: None })
            }
            Caller::Nobody => Ok(Authority { token: None, acts_as: None, session: None }),
        }
    }

    async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        authority: &Authority,
    ) -> Result<Bytes, Error> {
        let endpoint = &self.endpoint;
        let mut request = http::Request::builder()
            .method(method)
            .uri(endpoint.url.http(path))
            .header("x-parlour-app", endpoint.app_key.as_str());
        if let Some(token) = &authority.token {
            let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                Error::because(ErrorCode::TokenMalformed, "the token has characters that no header can carry")
            })?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(user) = &authority.acts_as {
            request = request.header("x-parlour-user", user.as_str());
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(body.unwrap_or_default())
            .map_err(|e| Error::because(ErrorCode::InvalidInput, e.to_string()))?;
        let response = endpoint
            .net
            .request(request)
            .await
            .map_err(|e| Error::because(ErrorCode::Network, format!("{method} {path}: {e}")))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(refusal(&response))
    }
}

/// Whether a message leaves its place behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    Soft,
    Hard,
}

pub(crate) fn channel_path(cid: &Cid) -> String {
    format!("channels/{}/{}", cid.channel_type, cid.id)
}

/// The same authority with another token; `None` where there is no other.
async fn renewed(authority: Authority) -> Result<Option<Authority>, Error> {
    let Some(session) = &authority.session else { return Ok(None) };
    let token = Some(session.token.other_than(authority.token.as_deref()).await?);
    Ok((token != authority.token).then_some(Authority { token, ..authority }))
}

/// An answer that is no success, as an error.
pub(crate) fn refusal(response: &http::Response<Bytes>) -> Error {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.trim().parse::<u32>().ok());
    let mut body = match serde_json::from_slice::<ErrorResponse>(response.body()) {
        Ok(answer) => answer.error,
        Err(_) => foreign(status.as_u16(), response.body()),
    };
    body.retry_after = body.retry_after.or(retry_after);
    body.into()
}

/// An answer that is not Parlour's: a proxy's, most likely.
fn foreign(status: u16, body: &[u8]) -> parlour_wire::ErrorBody {
    let code = match status {
        404 => ErrorCode::NotFound,
        413 => ErrorCode::TooLarge,
        429 => ErrorCode::RateLimited,
        502..=504 => ErrorCode::Unavailable,
        400..=499 => ErrorCode::InvalidInput,
        _ => ErrorCode::Internal,
    };
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let mut error = code.because(format!("status {status} with a body that is not Parlour's: {text}"));
    error.status = status;
    error
}

pub(crate) fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_that_of_calls_and_of_connections() {
        let url = BaseUrl::parse("https://chat.example.com/parlour/").unwrap();
        assert_eq!(url.http("me"), "https://chat.example.com/parlour/v1/me");
        assert_eq!(url.connect(), "wss://chat.example.com/parlour/v1/connect");
        assert_eq!(BaseUrl::parse("http://[::1]:80").unwrap().connect(), "ws://[::1]/v1/connect");
        for bad in ["", "localhost:8790", "ws://a", "http://a/?token=1", "http://user@a"] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_of_something_else_than_parlour_is_a_typed_error_too() {
        let mut response = http::Response::new(Bytes::from_static(b"<html>bad gateway</html>"));
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let error = refusal(&response);
        assert!(error.is(ErrorCode::Unavailable));
        assert_eq!((error.body.status, error.body.retry_after), (502, Some(7)));
    }

    #[test]
    fn what_a_cursor_of_a_page_holds_does_not_change_the_query() {
        assert_eq!(percent_encoded("a&b=c/ü+"), "a%26b%3Dc%2F%C3%BC%2B");
    }
}
