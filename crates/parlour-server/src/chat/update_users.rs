//! Users are made, replaced, changed.

use parlour_store::{UserChange, UserWrite};
use parlour_wire::users::{PartialUpdate, Role, USERS_PER_BATCH_MAX, UpsertUsers, User};
use parlour_wire::{ErrorBody, ErrorCode, UserId};

use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;
use crate::user_fields::{self, UserFields};

/// Makes or replaces users: a server's right.
pub(crate) async fn upsert_users(node: &Node, caller: &Caller, request: UpsertUsers) -> ApiResult<Vec<User>> {
    caller.require_server()?;
    let count = request.users.len();
    if count == 0 || count > USERS_PER_BATCH_MAX {
        let why = format!("A batch has 1 to {USERS_PER_BATCH_MAX} users; this one has {count}.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let mut writes = Vec::with_capacity(count);
    for input in request.users {
        let taken = user_fields::take_apart(input.fields)?;
        writes.push(UserWrite { id: input.id, fields: taken.own, role: taken.role, teams: taken.teams });
    }
    Ok(node.store.upsert_users(caller.app.id, writes, node.clock.now()).await?.value)
}

/// Sets and unsets some fields: a server's right, and each user's own.
pub(crate) async fn update_user(
    node: &Node,
    caller: &Caller,
    user: &UserId,
    update: PartialUpdate,
) -> ApiResult<User> {
    access::app(node, caller, Wish::ChangeOneself).await?;
    if !caller.is_server() && caller.user() != Some(user) {
        return Err(ErrorCode::NotAllowed.because("Users change themselves only.").into());
    }
    let taken = user_fields::take_apart(update.set)?;
    if !caller.is_server() {
        if let Some(field) = update.unset.iter().find(|field| ["role", "teams"].contains(&field.as_str())) {
            return Err(ErrorCode::RoleNotAllowed
                .because(format!("A user cannot unset its own `{field}`."))
                .into());
        }
        let stored = node.store.users(caller.app.id, std::slice::from_ref(user)).await?.pop();
        refuse_promotion(&taken, stored.as_ref())?;
    }
    let change = UserChange { set: taken.own, unset: update.unset, role: taken.role, teams: taken.teams };
    Ok(node.store.update_user(caller.app.id, user, change, node.clock.now()).await?.value)
}

/// A user may name the role and teams it has, and no others.
pub(crate) fn refuse_promotion(taken: &UserFields, stored: Option<&User>) -> Result<(), ErrorBody> {
    let role = stored.map_or(&Role::User, |user| &user.role);
    if taken.role.as_ref().is_some_and(|wished| wished != role) {
        return Err(ErrorCode::RoleNotAllowed
            .because(format!("The user's role is {role}; only a server changes it.")));
    }
    let teams = stored.map_or(&[][..], |user| &user.teams);
    if taken.teams.as_ref().is_some_and(|wished| wished != teams) {
        return Err(ErrorCode::RoleNotAllowed.because("Only a server changes a user's teams."));
    }
    Ok(())
}
