//! What can go wrong in the store.

use parlour_wire::{Team, Timestamp, UserId};

use crate::Inactivity;

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a call changed nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    #[error("it does not exist")]
    NotFound,
    #[error("the id is taken by something else")]
    IdConflict,
    #[error("the user is no member of the channel")]
    NotMember,
    #[error("the app has as many keys as it may")]
    TooManyKeys,
    /// The token that a connection came with is revoked.
    #[error("the token is revoked")]
    TokenRevoked,
    /// From the app.
    #[error("the user is banned")]
    Banned { ends_at: Option<Timestamp>, reason: Option<String> },
    #[error("the user is banned from the channel")]
    BannedFromChannel,
    #[error("there would be more than {limit} of them")]
    TooMany { limit: usize },
    #[error("these users do not exist, or are outside the team: {0:?}")]
    UnknownUsers(Vec<UserId>),
    #[error("the user {0} may do nothing: it is {1:?}")]
    Inactive(UserId, Inactivity),
    #[error("the user has as many devices as are allowed")]
    TooManyDevices,
    #[error("the user is not of the team {0}")]
    OutsideTeam(Team),
    #[error("the user has several teams, and none of them was named")]
    TeamNotNamed,
    #[error("the place is none in this order")]
    NoSuchPlace,
    #[error("the object would have {bytes} bytes; the limit is {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// Nothing was stored; reads go on.
    #[error("the disk is full")]
    Full,
    /// A write could not be confirmed; nothing is written any more until the process is started again, for
    /// what a failed fsync left on the disk cannot be known.
    #[error("the disk failed to confirm a write")]
    ReadOnly,
    /// More writes wait than the queue holds, or the store is closed.
    #[error("the store takes no more work now")]
    Overloaded,
    #[error("the database failed: {0}")]
    Backend(String),
}

impl From<rusqlite::Error> for StoreError {
    /// A failed disk becomes [`StoreError::ReadOnly`], which is what the writer makes of it.
    fn from(error: rusqlite::Error) -> Self {
        // The index of the log could not grow. It is no part of what is kept, and nothing was synced.
        if let rusqlite::Error::SqliteFailure(failure, _) = &error
            && failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
        {
            return Self::Full;
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::SystemIoFailure) => Self::ReadOnly,
            _ => Self::Backend(error.to_string()),
        }
    }
}
