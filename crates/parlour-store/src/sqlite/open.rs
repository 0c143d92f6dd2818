//! Opening a database: one process at a time, migrated, with its directory entry on the disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{SqliteOptions, Synchronous, query};
use crate::{Result, StoreError};

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// Statements kept prepared on each connection: more than there are.
const STATEMENTS_CACHED: usize = 256;
/// KiB of pages that the writer's connection keeps, at most.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
const READER_CACHE_KIB: i64 = 8 * 1024;
/// When another connection of ours copies the log back, a write waits at most this long.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Holds the database for this process until it is dropped, or the process ends in whatever way.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Said, and not left to the closing of the file: a child that another thread is just starting holds a
        // copy of it for a moment, and with it the lock. What is not given back here, the process's end gives.
        let _ = self.file.unlock();
    }
}

/// A database that is open for writing.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) lock: Lock,
}

/// Opens or makes the database.
pub(super) fn file(path: &Path, options: SqliteOptions) -> Result<Opened> {
    let lock = lock(path)?;
    create(path)?;
    let mut writer = Connection::open_with_flags(path, flags())?;
    let mode: String = writer.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Backend(format!(
            "{} cannot have a write-ahead log here (SQLite chose {mode}); is it on a network file system?",
            path.display()
        )));
    }
    let synchronous = match options.synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    };
    writer.pragma_update(None, "synchronous", synchronous)?;
    writer.pragma_update(None, "wal_autocheckpoint", 0)?;
    writer.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // Closing must not write what a failed disk has refused; the writer copies the log back when it ends well.
    writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    prepare(&mut writer)?;
    // A commit of which a killed process could not say whether it reached the disk is read from the log again.
    // It must be on the disk before anybody is shown it: its seq would be given twice if it vanished later.
    writer.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
    sync_directories(path)?;
    Ok(Opened { writer, lock })
}

/// Makes a database that is gone when its connection is.
pub(super) fn memory() -> Result<Connection> {
    let mut conn = Connection::open_in_memory()?;
    prepare(&mut conn)?;
    Ok(conn)
}

/// Opens a further connection, which cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, flags())?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    tune(&conn)?;
    Ok(conn)
}

/// Every connection is used by one thread at a time; a path is a path and never a URI.
fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn tune(conn: &Connection) -> Result<()> {
    conn.busy_timeout(BUSY_WAIT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Without this SQLite plans a statement anew at every new value that it is given.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // The savepoints' own journal, of which nothing has to survive.
    conn.pragma_update(None, "temp_store", "memory")?;
    query::install(conn)?;
    Ok(())
}

fn prepare(conn: &mut Connection) -> Result<()> {
    tune(conn)?;
    refuse_newer(conn)?;
    embedded::migrations::runner()
        .run(conn)
        .map_err(|e| StoreError::Backend(format!("the database could not be migrated: {e}")))?;
    conn.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// A database that a newer version has migrated means things that this one does not know.
fn refuse_newer(conn: &Connection) -> Result<()> {
    if !conn.table_exists(None, "refinery_schema_history")? {
        return Ok(());
    }
    let stored: i64 =
        conn.query_row("select coalesce(max(version), 0) from refinery_schema_history", [], |row| {
            row.get(0)
        })?;
    let known = embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(|migration| i64::from(migration.version()))
        .max()
        .unwrap_or(0);
    if stored > known {
        return Err(StoreError::Backend(format!(
            "the database has schema {stored}, made by a newer version; this one knows schemas up to {known}"
        )));
    }
    Ok(())
}

/// The process that has this database open; `None`: there is none.
///
/// # Errors
/// The lock's file cannot be read, or says nothing understandable.
pub fn held_by(path: &Path) -> Result<Option<u32>> {
    let lock_path = lock_path(path);
    let failed = |why: String| StoreError::Backend(format!("{}: {why}", lock_path.display()));
    let mut file = match File::open(&lock_path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|e| failed(e.to_string()))?,
    };
    // Shared: two who ask at the same time do not take each other for a server.
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = file.unlock();
            Ok(None)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(|e| failed(e.to_string()))?;
            pid.trim().parse().map(Some).map_err(|_| failed("it does not say which process holds it".into()))
        }
        Err(TryLockError::Error(e)) => Err(failed(e.to_string())),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Two processes would each give the seqs of their own writes to their own listeners only.
fn lock(path: &Path) -> Result<Lock> {
    let lock_path = lock_path(path);
    let mut file = owner_only()
        .truncate(false)
        .open(&lock_path)
        .map_err(|e| StoreError::Backend(format!("{} cannot be opened: {e}", lock_path.display())))?;
    match file.try_lock() {
        Ok(()) => {
            // For `held_by`. Who cannot read it has lost a convenience, and nothing else.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(Lock { file })
        }
        Err(TryLockError::WouldBlock) => Err(StoreError::Backend(format!(
            "{} is in use by another process: a database serves one server at a time",
            path.display()
        ))),
        Err(TryLockError::Error(e)) => {
            Err(StoreError::Backend(format!("{} cannot be locked: {e}", lock_path.display())))
        }
    }
}

/// Makes the file, readable by its owner only: it holds the apps' secrets. SQLite gives its log the same mode.
fn create(path: &Path) -> Result<()> {
    owner_only()
        .truncate(false)
        .open(path)
        .map(drop)
        .map_err(|e| StoreError::Backend(format!("{} cannot be opened: {e}", path.display())))
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Puts the names of new files on the disk: a file that was synced is lost all the same while the directory
/// that names it is not. The directory above is synced too, for it may name a new directory.
fn sync_directories(path: &Path) -> Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let failed = |e: std::io::Error| StoreError::Backend(format!("a directory cannot be synced: {e}"));
    let path = fs::canonicalize(path).map_err(failed)?;
    let mut above = path.ancestors().skip(1);
    if let Some(directory) = above.next() {
        File::open(directory).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    // This one may belong to somebody else, who has to care for it then.
    if let Some(Ok(directory)) = above.next().map(File::open) {
        directory.sync_all().map_err(failed)?;
    }
    Ok(())
}
