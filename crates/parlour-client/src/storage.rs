//! Where a client keeps what the next run of the app needs: who is logged in, where she stood, what is not sent.
//!
//! Not here: what is kept and when, which `persistence` knows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

/// A place for texts by key.
///
/// What is kept includes the user's token: a storage is as private as the user's other credentials.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    async fn get(&self, key: &str) -> Result<Option<String>, StorageError>;
    /// Replaces the value; after a crash it is the old one or the new one.
    async fn set(&self, key: &str, value: String) -> Result<(), StorageError>;
    async fn remove(&self, key: &str) -> Result<(), StorageError>;
}

/// Why a storage could not do what was asked. The client goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError(pub String);

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StorageError {}

/// Keeps until the process ends: for clients that are made anew within it, and for tests.
#[derive(Debug, Default)]
pub struct MemoryStorage(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl Storage for MemoryStorage {
    async fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn set(&self, key: &str, value: String) -> Result<(), StorageError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value);
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }
}

/// Keeps files in a folder, one for each key, readable by their owner alone.
#[derive(Debug)]
pub struct FileStorage {
    folder: PathBuf,
}

impl FileStorage {
    /// In this folder, which is made when it is first needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(file_name(key))
    }

    async fn run<T: Send + 'static>(
        path: PathBuf,
        work: impl FnOnce(&std::path::Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let shown = path.display().to_string();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(StorageError(format!("{shown}: {error}"))),
            Err(error) => Err(StorageError(format!("{shown}: {error}"))),
        }
    }
}

#[async_trait]
impl Storage for FileStorage {
    async fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        Self::run(self.path(key), |path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn set(&self, key: &str, value: String) -> Result<(), StorageError> {
        Self::run(self.path(key), move |path| {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let new = path.with_extension("new");
            {
                let mut options = std::fs::OpenOptions::new();
                options.write(true).create(true).truncate(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(&new)?;
                std::io::Write::write_all(&mut file, value.as_bytes())?;
                file.sync_data()?;
            }
            std::fs::rename(&new, path)
        })
        .await
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        Self::run(self.path(key), |path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }
}

/// A name that every file system takes, another for every key. Long ones are cut, and told apart by a hash.
fn file_name(key: &str) -> String {
    const NAME_BYTES_MAX: usize = 180;
    let mut name: String = key
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'@' => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect();
    if name.len() > NAME_BYTES_MAX {
        // FNV-1a: the same in every version of this program.
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        name.truncate(NAME_BYTES_MAX);
        name.push_str(&format!("%{hash:016x}"));
    }
    name + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_keep_what_was_set_last_and_nothing_after_it_was_removed_l1_4() {
        let folder = std::env::temp_dir().join(format!("parlour-storage-{}", std::process::id()));
        let storage = FileStorage::new(&folder);
        assert_eq!(storage.get("a b/ü").await, Ok(None));
        storage.remove("a b/ü").await.unwrap();
        storage.set("a b/ü", "1".to_owned()).await.unwrap();
        storage.set("a b/ü", "2".to_owned()).await.unwrap();
        storage.set("a%20b", "3".to_owned()).await.unwrap();
        let again = FileStorage::new(&folder);
        assert_eq!(again.get("a b/ü").await, Ok(Some("2".to_owned())));
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(again.path("a b/ü")).unwrap();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
        }
        again.remove("a b/ü").await.unwrap();
        assert_eq!(again.get("a b/ü").await, Ok(None));
        assert_eq!(again.get("a%20b").await, Ok(Some("3".to_owned())));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_is_an_error_that_names_it() {
        let storage = FileStorage::new("/dev/null/nowhere");
        let error = storage.set("a", "1".to_owned()).await.unwrap_err();
        assert!(error.0.contains("/dev/null/nowhere"), "{error}");
    }

    #[test]
    fn keys_have_names_of_their_own_however_long_they_are() {
        let long = "x".repeat(1_000);
        let names = ["a", "A", "%41", &long, &format!("{long}y")].map(file_name);
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(names.iter().all(|name| name.len() < 255));
    }
}
