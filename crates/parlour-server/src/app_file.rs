//! The app's key and secret, made at first start and kept beside the database, readable by their owner only.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Mode;

/// The name of the file in the data folder.
pub(crate) const FILE_NAME: &str = "app.json";

/// What the file says. Command-line tools read it to sign tokens.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AppFile {
    pub app_key: String,
    pub secret: String,
    pub mode: Mode,
}

impl AppFile {
    /// Reads the file of a data folder, if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(data_dir.join(FILE_NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the file so that it is there whole or not at all, mode 0600 from its first byte on.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let (path, temporary) = (data_dir.join(FILE_NAME), data_dir.join(".app.json.new"));
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(data_dir)?.sync_all()
    }
}
