//! Users as the caller sees them: what is stored, and whether they are there.

use parlour_wire::users::User;

use crate::access::Caller;
use crate::node::Node;
use crate::user_fields::PRIVATE_FIELDS;

/// A server keeps users, so it sees them whole; where it acts as one of them, it sees what that one sees.
pub(super) fn sees_whole(caller: &Caller) -> bool {
    caller.is_server() && caller.user().is_none()
}

/// Fills in who is online, and leaves out what is nobody else's business.
pub(crate) fn show(node: &Node, caller: &Caller, mut users: Vec<User>) -> Vec<User> {
    let sees_whole = sees_whole(caller);
    for user in &mut users {
        node.presence.show(caller.app.id, user);
        // Privacy and invisibility are settings, not facts for others.
        if !sees_whole && caller.user() != Some(&user.id) {
            user.custom.retain(|field, _| !PRIVATE_FIELDS.contains(&field.as_str()));
        }
    }
    users
}
