//! Work that takes long, on the wire.

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::open::open_enum;
use crate::{Timestamp, UserId};

/// Finished tasks, and what they gave, are kept for this many days.
pub const TASKS_KEPT_DAYS: i64 = 7;

open_enum! {
    /// What a task does.
    pub enum TaskKind {
        UserDelete = "user.delete",
        UserExport = "user.export",
    }
}

open_enum! {
    /// How far a task is.
    pub enum TaskStatus {
        /// Others of the app are before it: one is done at a time.
        Waiting = "waiting",
        Running = "running",
        Completed = "completed",
        /// It ended without coming to its end: `error` says why.
        Failed = "failed",
    }
}

/// Work that takes long. It goes on where it was after a restart, whatever ended the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Task {
    pub id: String,
    pub kind: TaskKind,
    /// Whom it is about.
    pub user_id: UserId,
    pub status: TaskStatus,
    pub progress: TaskProgress,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The path where its result can be fetched, once it is completed and has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// How much of a task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskProgress {
    /// 0 to 100, by how much of what is stored was looked through; 100 only when it is completed.
    pub percent: u32,
    /// Messages, memberships and devices that were dealt with.
    pub done: u64,
}

/// `GET /v1/tasks/{id}`, and what calls answer that begin a task (202).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskResponse {
    pub task: Task,
}

open_enum! {
    /// What becomes of the messages of a user who is deleted.
    #[derive(Default)]
    pub enum MessagesOfDeleted {
        /// They stay as they are.
        #[default]
        Keep = "keep",
        /// Their text goes, their places stay.
        Soft = "soft",
        /// They go.
        Hard = "hard",
    }
}

open_enum! {
    /// What becomes of the channels of a user who is deleted for good.
    #[derive(Default)]
    pub enum ChannelsOfDeleted {
        /// They stay, without the user.
        #[default]
        Keep = "keep",
        /// Those with nobody but the user and at most one other are deleted, with all that was said there.
        Direct = "direct",
    }
}

/// One line of an export: what it is, and then itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExportLine {
    User { user: crate::users::User },
    Device { device: crate::devices::Device },
    Mute { mute: crate::moderation::Mute },
    Block { block: crate::moderation::Block },
    Membership { cid: crate::Cid, membership: crate::members::Member },
    Read { cid: crate::Cid, read: crate::reads::Read },
    Message { message: Box<crate::messages::Message> },
}
