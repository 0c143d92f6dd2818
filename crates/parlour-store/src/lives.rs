//! What becomes of users, and the work that it takes.

use parlour_wire::tasks::{ChannelsOfDeleted, MessagesOfDeleted};
use parlour_wire::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::AppId;

/// Why a user may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inactivity {
    Deactivated,
    Deleted,
}

/// What becomes of a user at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Deactivate,
    Reactivate,
    /// Comes back from having been deleted, if it can.
    Restore,
}

/// Whether a deleted user can come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    Restorably,
    ForGood,
}

/// How a user is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleting {
    pub gone: Gone,
    pub messages: MessagesOfDeleted,
    pub channels: ChannelsOfDeleted,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    Delete(Deleting),
    Export,
}

/// A task to be done.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub app: AppId,
    pub id: String,
    /// Whom it is about.
    pub user: UserId,
    pub work: Work,
    pub now: Timestamp,
}

/// The store's own short name of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskName {
    pub app: AppId,
    pub id: i64,
}
