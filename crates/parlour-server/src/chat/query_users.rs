//! Users are looked for, and looked up.

use std::collections::HashMap;

use parlour_store::{Comparison, Filter, Found, Order, SortKey, UserField, UserQuery};
use parlour_wire::users::{QueryUsers, USERS_PER_BATCH_MAX, USERS_PER_PAGE_MAX, User, UsersResponse};
use parlour_wire::{ErrorCode, UserId};

use super::{filters, pages, show_users};
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;
use crate::user_fields::PRIVATE_FIELDS;

/// The users that match, of those that the caller may see: itself and those of its teams; of no team, where it has
/// none. A server that acts as nobody sees all.
pub(crate) async fn query_users(node: &Node, caller: &Caller, query: QueryUsers) -> ApiResult<UsersResponse> {
    if query.include_inactive {
        caller.require_server()?;
    }
    let limit = pages::limit(query.limit, 30, USERS_PER_PAGE_MAX)?;
    let order = pages::order(&query.sort);
    let after = query.next.as_deref().map(|next| pages::read(next, &order)).transpose()?;
    let sees_bans = access::app(node, caller, Wish::BanFromApp).await.is_ok();
    let named = |name: &str| field(name, caller, sees_bans);
    let filter = filters::read(query.filter, &named)?;
    let mut sort = filters::read_sort(query.sort, &|name| {
        named(name).filter(|field| !matches!(field, UserField::Teams))
    })?;
    if sort.is_empty() {
        sort.push(SortKey { field: UserField::Id, order: Order::Ascending });
    }
    let page = node
        .store
        .query_users(UserQuery {
            app: caller.app.id,
            viewer: caller.user().cloned(),
            found: if query.include_inactive { Found::All } else { Found::Active },
            filter,
            sort,
            limit,
            after,
            now: node.clock.now(),
        })
        .await?;
    let users = show_users::show(node, caller, page.users);
    Ok(UsersResponse { users, next: page.next.map(|place| pages::write(&place, &order)) })
}

/// Those of these users that exist and that the caller may see, in the order asked. To a server also those who are
/// deactivated or deleted: it asked for them by name.
pub(crate) async fn users_by_id(node: &Node, caller: &Caller, ids: &[UserId]) -> ApiResult<Vec<User>> {
    if ids.len() > USERS_PER_BATCH_MAX {
        let why =
            format!("At most {USERS_PER_BATCH_MAX} users are given at once; {} were asked for.", ids.len());
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let values = ids.iter().map(|id| id.as_str().into()).collect();
    let page = node
        .store
        .query_users(UserQuery {
            app: caller.app.id,
            viewer: caller.user().cloned(),
            found: if caller.is_server() { Found::All } else { Found::Active },
            filter: Filter::Compare { field: UserField::Id, comparison: Comparison::In(values) },
            sort: Vec::new(),
            limit: USERS_PER_PAGE_MAX,
            after: None,
            now: node.clock.now(),
        })
        .await?;
    let places: HashMap<&UserId, usize> = ids.iter().enumerate().rev().map(|(at, id)| (id, at)).collect();
    let mut users = page.users;
    users.sort_by_key(|user| places.get(&user.id));
    Ok(show_users::show(node, caller, users))
}

/// The field of this name. What the caller may not read it may not ask about either: by asking often enough it would
/// find out.
fn field(name: &str, caller: &Caller, sees_bans: bool) -> Option<UserField> {
    Some(match name {
        "id" => UserField::Id,
        "name" => UserField::Name,
        "role" => UserField::Role,
        "teams" => UserField::Teams,
        "created_at" => UserField::CreatedAt,
        "updated_at" => UserField::UpdatedAt,
        "last_active" => UserField::LastActive,
        "banned" if sees_bans => UserField::Banned,
        "deactivated_at" if caller.is_server() => UserField::DeactivatedAt,
        "deleted_at" if caller.is_server() => UserField::DeletedAt,
        custom => {
            let key = filters::custom_key(custom)?;
            let is_shown = show_users::sees_whole(caller) || !PRIVATE_FIELDS.contains(&key.as_str());
            is_shown.then_some(UserField::Own(key))?
        }
    })
}
