//! A guest comes: a user that nobody's backend knows.

use parlour_store::{App, UserWrite};
use parlour_wire::guests::{CreateGuest, GuestResponse};
use parlour_wire::users::Role;
use parlour_wire::{ErrorCode, UserId};

use crate::auth;
use crate::error::ApiResult;
use crate::node::Node;
use crate::user_fields::{self, UserFields};

/// Makes a guest. The server names it, so that nobody becomes somebody who is there.
pub(crate) async fn create_guest(node: &Node, app: &App, request: CreateGuest) -> ApiResult<GuestResponse> {
    if request.user.contains_key("id") {
        let why = "The server names a guest: leave `id` out, and find it in the answer.";
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let UserFields { own, role, teams } = user_fields::take_apart(request.user)?;
    if role.is_some() || teams.is_some() {
        let why = "A guest has the role `guest` and no teams; only a server gives others.";
        return Err(ErrorCode::RoleNotAllowed.because(why).into());
    }
    let id = UserId::parse(&format!("guest-{}", &node.dice.hex()[..24]))
        .expect("hexadecimal digits and a fixed prefix are within the charset");
    let now = node.clock.now();
    let write = UserWrite { id: id.clone(), fields: own, role: Some(Role::Guest), teams: None };
    let user = node.store.upsert_users(app.id, vec![write], now).await?.value.pop();
    let user = user.ok_or_else(|| ErrorCode::Internal.error())?;
    // Without an end: nobody could give it another.
    let token = auth::sign(app, &id, now, None)?;
    Ok(GuestResponse { user, token })
}
