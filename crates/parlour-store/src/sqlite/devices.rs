//! Devices registered for push.

use parlour_wire::devices::{DEVICES_PER_USER_MAX, Device, PushProvider, RegisterDevice};
use parlour_wire::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Time, json, readable};
use super::events::Tx;
use super::users;
use crate::{AppId, Result, StoreError};

macro_rules! select_device {
    ($rest:literal) => {
        concat!("select device_id, provider, provider_name, created_at from devices ", $rest)
    };
}

fn read(row: &Row<'_>) -> rusqlite::Result<Device> {
    Ok(Device {
        id: row.get(0)?,
        provider: PushProvider::from(row.get_ref(1)?.as_str()?),
        provider_name: row.get(2)?,
        created_at: row.get::<_, Time>(3)?.0,
    })
}

/// See [`crate::Store::devices`].
pub(super) fn of_user(conn: &Connection, app: AppId, user: &UserId) -> Result<Vec<Device>> {
    let mut statement = conn.prepare_cached(select_device!("where app = ?1 and user_id = ?2 order by id"))?;
    readable(statement.query_map(params![app.0, user.as_str()], read)?, "device")
}

/// Those that are shown to the user itself. Nearly nobody has any, and the user's row says so: then nothing is asked.
pub(super) fn shown(conn: &Connection, app: AppId, user: &UserId, count: u32) -> Result<Vec<Device>> {
    if count == 0 { Ok(Vec::new()) } else { of_user(conn, app, user) }
}

/// See [`crate::Store::register_device`].
pub(super) fn register(
    tx: &Tx<'_>,
    app: AppId,
    user: &UserId,
    device: &RegisterDevice,
    now: Timestamp,
) -> Result<Device> {
    users::find(tx, app, user)?.ok_or(StoreError::NotFound)?;
    let former = owner(tx, app, &device.id)?;
    if former.as_ref() != Some(user) && users::devices(tx, app, user)? >= DEVICES_PER_USER_MAX {
        return Err(StoreError::TooManyDevices);
    }
    // Anew, also where it was there: the latest registered stands last.
    tx.prepare_cached("delete from devices where app = ?1 and device_id = ?2")?
        .execute(params![app.0, device.id])?;
    let keys = device.keys.as_ref().map(json).transpose()?;
    tx.prepare_cached(
        "insert into devices (app, device_id, user_id, provider, provider_name, keys, created_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        app.0,
        device.id,
        user.as_str(),
        device.provider.as_str(),
        device.provider_name,
        keys,
        Time(now),
    ])?;
    for changed in former.iter().filter(|former| *former != user).chain([user]) {
        count(tx, app, changed)?;
    }
    let stored = tx
        .prepare_cached(select_device!("where app = ?1 and device_id = ?2"))?
        .query_row(params![app.0, device.id], read)?;
    Ok(stored)
}

/// See [`crate::Store::remove_device`].
pub(super) fn remove(tx: &Tx<'_>, app: AppId, user: &UserId, device: &str) -> Result<()> {
    let gone = tx
        .prepare_cached("delete from devices where app = ?1 and user_id = ?2 and device_id = ?3")?
        .execute(params![app.0, user.as_str(), device])?;
    if gone == 0 {
        return Err(StoreError::NotFound);
    }
    count(tx, app, user)
}

/// The user has no devices any more.
pub(super) fn remove_all(tx: &Tx<'_>, app: AppId, user: &UserId) -> Result<()> {
    tx.prepare_cached("delete from devices where app = ?1 and user_id = ?2")?
        .execute(params![app.0, user.as_str()])?;
    count(tx, app, user)
}

fn owner(conn: &Connection, app: AppId, device: &str) -> Result<Option<UserId>> {
    let owner = conn
        .prepare_cached("select user_id from devices where app = ?1 and device_id = ?2")?
        .query_row(params![app.0, device], |row| Ok(row.get::<_, super::column::Parsed<UserId>>(0)?.0))
        .optional()?;
    Ok(owner)
}

/// Keeps how many the user has.
fn count(tx: &Tx<'_>, app: AppId, user: &UserId) -> Result<()> {
    tx.prepare_cached(
        "update users set devices = (select count(*) from devices where app = ?1 and user_id = ?2)
         where app = ?1 and user_id = ?2",
    )?
    .execute(params![app.0, user.as_str()])?;
    Ok(())
}
