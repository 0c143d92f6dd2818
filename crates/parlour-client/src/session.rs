//! Who the client is, as calls need to know it.

use std::sync::Arc;

use parlour_wire::{ErrorBody, ErrorCode, UserId};
use tokio::sync::watch;

use crate::Error;
use crate::token::TokenSource;

/// One user's time in this client, from `connect_user` to `disconnect_user`.
pub(crate) struct Session {
    pub(crate) user: UserId,
    pub(crate) token: TokenSource,
}

/// What calls wait on.
#[derive(Clone, Default)]
pub(crate) struct SessionView {
    /// `connect_user` calls that the driver has not seen yet: while there are any, a call has a user to
    /// wait for.
    pub(crate) joining: u32,
    pub(crate) stage: Stage,
}

#[derive(Clone, Default)]
pub(crate) enum Stage {
    #[default]
    NoUser,
    /// The server has not yet answered for this user.
    Waiting(Arc<Session>),
    /// It has; from here on calls go through, also while the connection is away.
    Ready(Arc<Session>),
    /// It refused before it ever answered.
    Failed(Arc<Session>, Box<ErrorBody>),
}

impl Stage {
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::NoUser => None,
            Self::Waiting(session) | Self::Ready(session) | Self::Failed(session, _) => Some(session),
        }
    }
}

/// Waits until the server has answered for the user.
pub(crate) async fn ready(view: &mut watch::Receiver<SessionView>) -> Result<Arc<Session>, Error> {
    wait(view, |stage| match stage {
        Stage::Ready(session) => Some(Ok(session.clone())),
        Stage::Failed(_, body) => Some(Err(Error { body: body.clone() })),
        Stage::NoUser | Stage::Waiting(_) => None,
    })
    .await
}

/// Waits until it is known who the user is.
pub(crate) async fn known(view: &mut watch::Receiver<SessionView>) -> Result<Arc<Session>, Error> {
    wait(view, |stage| stage.session().map(|session| Ok(session.clone()))).await
}

async fn wait(
    view: &mut watch::Receiver<SessionView>,
    answer: impl Fn(&Stage) -> Option<Result<Arc<Session>, Error>>,
) -> Result<Arc<Session>, Error> {
    loop {
        {
            let view = view.borrow_and_update();
            if let Some(answer) = answer(&view.stage) {
                return answer;
            }
            if matches!(view.stage, Stage::NoUser) && view.joining == 0 {
                return Err(ErrorCode::NotLoggedIn.into());
            }
        }
        if view.changed().await.is_err() {
            return Err(ErrorCode::Cancelled.into());
        }
    }
}
