//! The rules of chat, one file each, named by their verbs. A rule takes a caller who is known, asks the door
//! ([`crate::access`]), checks what was given, and makes one call to the store.

pub(crate) mod ban_users;
pub(crate) mod change_jwks;
pub(crate) mod change_keys;
pub(crate) mod change_lives;
pub(crate) mod change_members;
pub(crate) mod connect_user;
pub(crate) mod create_guest;
pub(crate) mod defend_oneself;
pub(crate) mod delete_message;
pub(crate) mod edit_message;
mod filters;
pub(crate) mod get_or_create_channel;
pub(crate) mod mark_read;
pub(crate) mod pages;
pub(crate) mod query_channels;
pub(crate) mod query_users;
pub(crate) mod register_devices;
pub(crate) mod revoke_tokens;
pub(crate) mod send_message;
pub(crate) mod show_channel;
pub(crate) mod show_users;
pub(crate) mod update_channel;
pub(crate) mod update_users;
