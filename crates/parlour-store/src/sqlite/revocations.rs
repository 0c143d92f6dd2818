//! Tokens that are no longer good, though their time is not over.

use parlour_wire::{Timestamp, Topic, UserId};
use rusqlite::params;

use super::column::Time;
use super::events::{Entry, Tx};
use crate::{AppId, Result};

/// See [`crate::Store::revoke_tokens`].
pub(super) fn revoke(
    tx: &Tx<'_>,
    app: AppId,
    user: Option<&UserId>,
    before: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let topic = match user {
        Some(user) => {
            match before {
                Some(before) => tx
                    .prepare_cached(
                        "insert into token_revocations (app, user_id, before) values (?1, ?2, ?3)
                         on conflict (app, user_id) do update set before = ?3",
                    )?
                    .execute(params![app.0, user.as_str(), Time(before)])?,
                None => tx
                    .prepare_cached("delete from token_revocations where app = ?1 and user_id = ?2")?
                    .execute(params![app.0, user.as_str()])?,
            };
            Topic::User(user.clone())
        }
        None => {
            tx.prepare_cached("update apps set tokens_revoked_before = ?2 where id = ?1")?
                .execute(params![app.0, before.map(Time)])?;
            Topic::App(tx.app_key(app)?)
        }
    };
    tx.log(app, topic, &Entry::tokens_revoked(before), now)?;
    Ok(())
}
