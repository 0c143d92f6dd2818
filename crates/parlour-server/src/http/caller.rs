//! Who is calling: the app's header, the token, the user that a server acts as.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::header;
use http::request::Parts;
use parlour_store::App;
use parlour_wire::{
    AppKey, ChannelId, ChannelType, Cid, ConnectionId, ErrorBody, ErrorCode, IdError, MessageId, UserId,
};
use serde::de::DeserializeOwned;

use super::limits::Whose;
use super::scopes;
use crate::accept::Pending;
use crate::access::Caller;
use crate::auth::{self, Bearer, Hosted, Verified};
use crate::error::ApiError;
use crate::node::Node;
use crate::standings;

const APP_HEADER: &str = "x-parlour-app";
const USER_HEADER: &str = "x-parlour-user";

impl FromRequestParts<Arc<Node>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let hosted = hosted(parts, node)?;
        let app = Arc::clone(&hosted.app);
        let token = single(parts, header::AUTHORIZATION.as_str())?
            .ok_or_else(|| ErrorCode::TokenMissing.error())
            .and_then(bearer_token)?;
        hosted.prepare(token, node.clock.millis(), node.clock.now()).await;
        let Verified { bearer, scopes, issued_at, .. } = auth::verify(&hosted, token, node.clock.now())?;
        if bearer == Bearer::Server {
            scopes::check(&scopes, &parts.method, parts.uri.path())?;
        }
        let user = match &bearer {
            Bearer::User(user) => Some(user),
            Bearer::Server => None,
        };
        let is_anonymous = user.is_some_and(UserId::is_anonymous);
        if is_anonymous {
            scopes::check_anonymous(&parts.method, parts.uri.path())?;
        } else if let Some(user) = user {
            let standing = node.standing(app.id, user).await?;
            standings::must_be_welcome(user, &standing, issued_at, node.clock.now())?;
        }
        let acts_as = match (&bearer, single(parts, USER_HEADER)?) {
            (_, None) => None,
            (Bearer::Server, Some(user)) => {
                let user = UserId::parse(user).map_err(bad_id)?;
                standings::must_be_active(&user, &*node.standing(app.id, &user).await?)?;
                Some(user)
            }
            (Bearer::User(user), Some(named)) if user.as_str() == named => None,
            (Bearer::User(_), Some(_)) => {
                let why = "A user token acts as its own user; `X-Parlour-User` names another.";
                return Err(ErrorCode::WrongUser.because(why).into());
            }
        };
        let caller = Self { app, bearer, acts_as, scopes };
        if let Some(pending) = parts.extensions.get::<Pending>().filter(|_| !is_anonymous) {
            pending.is_somebodys();
        }
        if let Bearer::User(user) = &caller.bearer {
            let whose = if is_anonymous { Whose::of_address(parts) } else { Whose::User(user) };
            super::limits::count(node, parts, &caller.app, whose)?;
        }
        Ok(caller)
    }
}

/// The app that a request is about.
fn hosted(parts: &Parts, node: &Node) -> Result<Arc<Hosted>, ErrorBody> {
    let key = single(parts, APP_HEADER)?.ok_or_else(|| ErrorCode::AppKeyMissing.error())?;
    let key = AppKey::parse(key).map_err(|error| ErrorCode::UnknownApp.because(format!("{error}.")))?;
    node.hosted(&key)
}

/// Somebody of whom nothing is known yet but the app, and whose calls are counted by where they come from.
pub(super) struct Stranger {
    pub(super) app: Arc<App>,
}

impl FromRequestParts<Arc<Node>> for Stranger {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let app = Arc::clone(&hosted(parts, node)?.app);
        super::limits::count(node, parts, &app, Whose::of_address(parts))?;
        Ok(Self { app })
    }
}

/// The header's value; twice is once too often, for two readers could take two values.
fn single<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, ErrorBody> {
    let mut values = parts.headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ErrorCode::InvalidInput.because(format!("The header `{name}` stands twice.")));
    }
    first
        .map(|value| {
            value.to_str().map_err(|_| {
                ErrorCode::InvalidInput.because(format!("The header `{name}` is not plain text."))
            })
        })
        .transpose()
}

fn bearer_token(value: &str) -> Result<&str, ErrorBody> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => {
            Err(ErrorCode::TokenMissing.because("The header `Authorization` does not carry a bearer token."))
        }
    }
}

pub(super) fn bad_id(error: IdError) -> ErrorBody {
    ErrorCode::InvalidId.because(format!("{error}."))
}

/// The texts of a path, percent-decoded, before they are ids.
async fn texts<T: DeserializeOwned + Send>(parts: &mut Parts, node: &Arc<Node>) -> Result<T, ApiError> {
    let path = Path::<T>::from_request_parts(parts, node).await;
    path.map(|Path(texts)| texts)
        .map_err(|_| ErrorCode::InvalidId.because("The path is not valid UTF-8.").into())
}

/// `/{type}`
pub(super) struct TypePath(pub(super) ChannelType);

impl FromRequestParts<Arc<Node>> for TypePath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let channel_type: String = texts(parts, node).await?;
        Ok(Self(ChannelType::parse(&channel_type).map_err(bad_id)?))
    }
}

/// `/{type}/{id}`
pub(super) struct CidPath(pub(super) Cid);

impl FromRequestParts<Arc<Node>> for CidPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let (channel_type, id): (String, String) = texts(parts, node).await?;
        Ok(Self(cid(&channel_type, &id)?))
    }
}

/// `/{type}/{id}/messages/{message_id}`
pub(super) struct MessagePath(pub(super) Cid, pub(super) MessageId);

impl FromRequestParts<Arc<Node>> for MessagePath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let (channel_type, id, message): (String, String, String) = texts(parts, node).await?;
        Ok(Self(cid(&channel_type, &id)?, MessageId::parse(&message).map_err(bad_id)?))
    }
}

/// `/{type}/{id}/members/{user_id}`
pub(super) struct MemberPath(pub(super) Cid, pub(super) UserId);

impl FromRequestParts<Arc<Node>> for MemberPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let (channel_type, id, user): (String, String, String) = texts(parts, node).await?;
        Ok(Self(cid(&channel_type, &id)?, UserId::parse(&user).map_err(bad_id)?))
    }
}

/// `/{user_id}`
pub(super) struct UserPath(pub(super) UserId);

impl FromRequestParts<Arc<Node>> for UserPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let user: String = texts(parts, node).await?;
        Ok(Self(UserId::parse(&user).map_err(bad_id)?))
    }
}

fn cid(channel_type: &str, id: &str) -> Result<Cid, ErrorBody> {
    Ok(Cid::new(ChannelType::parse(channel_type).map_err(bad_id)?, ChannelId::parse(id).map_err(bad_id)?))
}

/// `/{task_id}`
pub(super) struct TaskPath(pub(super) String);

impl FromRequestParts<Arc<Node>> for TaskPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        Ok(Self(texts(parts, node).await?))
    }
}

/// `/{connection_id}`
pub(super) struct ConnectionPath(pub(super) ConnectionId);

impl FromRequestParts<Arc<Node>> for ConnectionPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let id: String = texts(parts, node).await?;
        Ok(Self(ConnectionId::parse(&id).map_err(bad_id)?))
    }
}

/// The query's parameters; unknown ones are refused, for a misspelt one would be ignored.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Node>> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Node>) -> Result<Self, ApiError> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(params)| Self(params))
            .map_err(|error| {
                ErrorCode::InvalidInput.because(format!("The query does not fit: {error}.")).into()
            })
    }
}
