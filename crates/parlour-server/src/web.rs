//! The web pages within the binary. `cargo xtask codegen` builds them; what it built is committed, so that cargo
//! alone builds the whole product.
//!
//! Not here: which of them are served, and with which headers ([`crate::http`]).

use std::collections::HashMap;

use include_dir::{Dir, include_dir};

static DEMO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../web/demo/dist");

/// The page itself, within a bundle.
pub(crate) const INDEX: &str = "index.html";

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    pub(crate) bytes: &'static [u8],
    pub(crate) content_type: String,
    /// With its quotes, as it stands in a header.
    pub(crate) etag: String,
    /// Whether the name holds a hash of the content: then no other content ever has it.
    pub(crate) is_named_by_content: bool,
}

/// What a build of a page consists of, by path within it: `index.html`, `assets/….js`.
pub(crate) struct Bundle(HashMap<&'static str, File>);

impl Bundle {
    /// The demo.
    pub(crate) fn demo() -> Self {
        let mut files = HashMap::new();
        let mut waiting = vec![&DEMO];
        while let Some(dir) = waiting.pop() {
            waiting.extend(dir.dirs());
            files.extend(dir.files().filter_map(|file| {
                let path = file.path().to_str()?;
                Some((path, File::new(path, file.contents())))
            }));
        }
        Self(files)
    }

    /// The file with exactly this path: what is looked up here is never a path on a disk.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.0.get(path)
    }
}

impl File {
    fn new(path: &str, bytes: &'static [u8]) -> Self {
        let guessed = mime_guess::from_path(path).first_or_octet_stream();
        let is_text = guessed.type_() == "text";
        let content_type = if is_text { format!("{guessed}; charset=utf-8") } else { guessed.to_string() };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let hash: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            bytes,
            content_type,
            etag: format!("\"{hash}\""),
            // Vite puts a hash into the name of everything below `assets/`, and of nothing else.
            is_named_by_content: path.starts_with("assets/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_the_page_asks_for_is_in_the_binary() {
        let demo = Bundle::demo();
        let index = std::str::from_utf8(demo.file(INDEX).unwrap().bytes).unwrap();
        let named = index.split(['"', '\'']).filter_map(|text| text.strip_prefix("/demo/"));
        for path in named {
            assert!(demo.file(path).is_some(), "{path}");
        }
    }

    #[test]
    fn a_file_is_told_apart_by_its_content_and_typed_by_its_name() {
        let script = File::new("assets/index-a.js", b"1");
        assert_eq!(script.content_type, "text/javascript; charset=utf-8");
        assert!(script.is_named_by_content);
        assert_ne!(script.etag, File::new("assets/index-a.js", b"2").etag);
        let icon = File::new("icon.svg", b"1");
        assert_eq!((icon.content_type.as_str(), icon.is_named_by_content), ("image/svg+xml", false));
        assert_eq!(File::new("assets/x.unheard-of", b"1").content_type, "application/octet-stream");
    }
}
