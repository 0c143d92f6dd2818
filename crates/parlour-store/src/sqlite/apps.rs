//! Apps, and the log's incarnation.

use parlour_wire::{AppKey, Epoch};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Parsed, Time, readable};
use super::events::Tx;
use super::keys;
use crate::{App, AppId, AppMode, NewApp, Result, StoreError};

macro_rules! columns {
    () => {
        "select id, key, secret, mode, created_at, (select url from app_jwks where app = apps.id) from apps"
    };
}

/// See [`crate::Store::create_app`].
pub(super) fn create(tx: &Tx<'_>, app: &NewApp) -> Result<App> {
    let mode = match app.mode {
        AppMode::Development => "development",
        AppMode::Production => "production",
    };
    tx.prepare_cached(
        "insert into apps (key, secret, mode, created_at) values (?1, ?2, ?3, ?4) on conflict (key) do nothing",
    )?
    .execute(params![app.key.as_str(), app.secret, mode, Time(app.now)])?;
    let stored =
        tx.prepare_cached(concat!(columns!(), " where key = ?1"))?.query_row([app.key.as_str()], read)?;
    with_keys(tx, stored)
}

/// See [`crate::Store::apps`].
pub(super) fn all(conn: &Connection) -> Result<Vec<App>> {
    let mut statement = conn.prepare_cached(concat!(columns!(), " order by id"))?;
    let apps = readable(statement.query_map([], read)?, "app")?;
    apps.into_iter().map(|app| with_keys(conn, app)).collect()
}

/// See [`crate::Store::app`].
pub(super) fn one(conn: &Connection, app: AppId) -> Result<App> {
    let found =
        conn.prepare_cached(concat!(columns!(), " where id = ?1"))?.query_row([app.0], read).optional()?;
    with_keys(conn, found.ok_or(StoreError::NotFound)?)
}

fn with_keys(conn: &Connection, mut app: App) -> Result<App> {
    app.keys = keys::list(conn, app.id)?;
    Ok(app)
}

fn read(row: &Row<'_>) -> rusqlite::Result<App> {
    Ok(App {
        id: AppId(row.get(0)?),
        key: row.get::<_, Parsed<AppKey>>(1)?.0,
        secret: row.get(2)?,
        mode: match row.get_ref(3)?.as_str()? {
            "development" => AppMode::Development,
            _ => AppMode::Production,
        },
        created_at: row.get::<_, Time>(4)?.0,
        keys: Vec::new(),
        jwks_url: row.get(5)?,
    })
}

/// See [`crate::Store::set_jwks_url`].
pub(super) fn set_jwks_url(tx: &Tx<'_>, app: AppId, url: Option<&str>) -> Result<()> {
    match url {
        Some(url) => tx
            .prepare_cached(
                "insert into app_jwks (app, url) values (?1, ?2) on conflict (app) do update set url = ?2",
            )?
            .execute(params![app.0, url])?,
        None => tx.prepare_cached("delete from app_jwks where app = ?1")?.execute([app.0])?,
    };
    Ok(())
}

/// The key of an app that must exist.
pub(super) fn key(conn: &Connection, app: AppId) -> Result<AppKey> {
    conn.prepare_cached("select key from apps where id = ?1")?
        .query_row([app.0], |row| Ok(row.get::<_, Parsed<AppKey>>(0)?.0))
        .optional()?
        .ok_or(StoreError::NotFound)
}

/// See [`crate::Store::epoch`].
pub(super) fn epoch(conn: &Connection) -> Result<Epoch> {
    let epoch = conn
        .prepare_cached("select epoch from store")?
        .query_row([], |row| Ok(row.get::<_, Parsed<Epoch>>(0)?.0))?;
    Ok(epoch)
}
