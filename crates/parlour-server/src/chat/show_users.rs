//! Users as others see them: what is stored, and whether they are there.

use parlour_store::AppId;
use parlour_wire::users::User;
use serde_json::Value;

use crate::node::Node;

/// Fills in who is online.
pub(crate) fn show(node: &Node, app: AppId, mut users: Vec<User>) -> Vec<User> {
    for user in &mut users {
        user.online = node.presence.is_online(app, &user.id);
        // Privacy and invisibility are settings, not facts for others.
        user.custom.remove("privacy_settings");
        if user.custom.remove("invisible") == Some(Value::Bool(true)) {
            user.online = false;
        }
    }
    users
}
