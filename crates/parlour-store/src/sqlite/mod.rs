//! SQLite: the default backend, one file.

/// Parlour's truth in one SQLite file, or in memory.
pub struct Sqlite {}
