//! Holds the house together: which crate may know which, what no crate is called, what stands in the
//! dependency graph exactly once, and what stands nowhere.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// The arrows. A crate may name the ones listed and no other; in its tests also what those stand on.
const ARROWS: &[(&str, &[&str])] = &[
    ("parlour-wire", &[]),
    ("parlour-proto", &["parlour-wire"]),
    ("parlour-store", &["parlour-wire"]),
    ("parlour-server", &["parlour-store", "parlour-proto", "parlour-wire"]),
    ("parlour-client", &["parlour-proto", "parlour-wire"]),
    ("parlour", &["parlour-server", "parlour-client"]),
    ("parlour-sim", &["parlour-server", "parlour-client", "parlour-store"]),
    // Tools beside the house.
    ("xtask", &["parlour-wire"]),
    ("parlour-bench", &[]),
];

/// What tests stand on beyond that: the transports of the client are told against the server that they are for, and its
/// test kit is a feature that its own stories switch on by naming it.
const TEST_ARROWS: &[(&str, &[&str])] = &[("parlour-client", &["parlour-server", "parlour-client"])];

/// Names that say nothing: what would live there has a better one.
const EMPTY_NAMES: &[&str] = &["common", "core", "util", "utils", "helper", "helpers", "manager", "types"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata() -> Metadata {
    MetadataCommand::new().current_dir(root()).other_options(["--locked".to_owned()]).exec().unwrap()
}

fn allowed(name: &str) -> BTreeSet<&'static str> {
    let arrows = ARROWS.iter().find(|(from, _)| *from == name);
    arrows
        .unwrap_or_else(|| panic!("{name} is a new crate: give it its arrows here"))
        .1
        .iter()
        .copied()
        .collect()
}

/// What a crate stands on, directly or through others.
fn reachable(name: &str) -> BTreeSet<&'static str> {
    let direct = allowed(name);
    direct.iter().flat_map(|to| reachable(to)).chain(direct.iter().copied()).collect()
}

#[test]
fn every_crate_names_exactly_its_arrows() {
    for package in metadata().workspace_packages() {
        let named = |is_test: bool| -> BTreeSet<&str> {
            let own = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
            own.filter(|d| (d.kind == DependencyKind::Development) == is_test)
                .map(|d| d.name.as_str())
                .collect()
        };
        let beyond: Vec<_> = named(false).difference(&allowed(&package.name)).copied().collect();
        assert!(beyond.is_empty(), "{} must not know {beyond:?}", package.name);
        let mut stands_on = reachable(&package.name);
        stands_on
            .extend(TEST_ARROWS.iter().filter(|(from, _)| package.name == *from).flat_map(|(_, to)| *to));
        let beyond: Vec<_> = named(true).difference(&stands_on).copied().collect();
        assert!(beyond.is_empty(), "the tests of {} must not know {beyond:?}", package.name);
    }
}

#[test]
fn every_arrow_belongs_to_a_crate_that_exists() {
    let names: BTreeSet<String> =
        metadata().workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let listed: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, listed);
}

#[test]
fn nothing_is_called_by_a_name_that_says_nothing() {
    for (name, _) in ARROWS {
        assert!(!name.split('-').any(|part| EMPTY_NAMES.contains(&part)), "the crate {name}");
    }
    for file in sources() {
        for part in file.strip_prefix(root()).unwrap().with_extension("").components() {
            let part = part.as_os_str().to_string_lossy();
            assert!(!EMPTY_NAMES.contains(&part.as_ref()), "{}", file.display());
        }
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let is_empty = |pair: &[&str]| pair[0] == "mod" && EMPTY_NAMES.contains(&pair[1]);
            let declares = !line.trim_start().starts_with("//") && words.windows(2).any(is_empty);
            assert!(!declares, "{}: {line}", file.display());
        }
    }
}

#[test]
fn what_must_be_linked_once_is_linked_once() {
    let linked = linked();
    // Two SQLites, or an old one whose build puts one lock on every reader; two token libraries, of which
    // each thinks that the other chose the cryptography; two TLS stacks.
    for once in ["libsqlite3-sys", "rusqlite", "jsonwebtoken", "rustls", "aws-lc-rs"] {
        assert_eq!(linked.get(once).map_or(0, BTreeSet::len), 1, "{once}: {:?}", linked.get(once));
    }
    // One provider of cryptography. (`ring` may stand in the lockfile as somebody's unused option.)
    for never in ["ring", "openssl", "openssl-sys", "native-tls", "rsa", "sqlx", "sqlx-core"] {
        assert!(!linked.contains_key(never), "{never} is linked");
    }
}

/// The packages that are built for some target, each with its versions. Not read from `cargo metadata`: that
/// lists options of other crates which nobody has chosen, as the lockfile does.
fn linked() -> BTreeMap<String, BTreeSet<String>> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.args(["tree", "--locked", "--workspace", "--target", "all", "--prefix", "none", "--format", "{p}"]);
    let output = tree.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        if let [name, version, ..] = line.split(' ').collect::<Vec<_>>()[..] {
            versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    versions
}

#[test]
fn no_queue_is_unbounded() {
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["unbounded_channel", "unbounded()", "mpsc::channel()"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn no_lockfile_names_a_package_of_the_products_that_we_learn_from() {
    let lockfiles: Vec<PathBuf> = files(&root()).into_iter().filter(|file| is_lockfile(file)).collect();
    assert!(lockfiles.contains(&root().join("Cargo.lock")), "{lockfiles:?}");
    for file in lockfiles {
        let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
        for vendor in ["getstream", "stream-chat", "stream_chat", "cometchat"] {
            assert!(!text.contains(vendor), "{}: {vendor}", file.display());
        }
    }
}

fn is_lockfile(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_string_lossy();
    let names = ["Cargo.lock", "package.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock"];
    names.contains(&name.as_ref()) || (name.starts_with("requirements") && name.ends_with(".txt"))
}

/// The Rust files of the product and its tools; this file, which must name what it forbids, is not among them.
fn sources() -> Vec<PathBuf> {
    let own = Path::new(file!()).file_name().unwrap();
    let is_source = |file: &PathBuf| {
        file.extension().is_some_and(|extension| extension == "rs") && file.file_name() != Some(own)
    };
    let sources: Vec<PathBuf> = files(&root()).into_iter().filter(is_source).collect();
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

/// Every file of the project, without what is built or installed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules", ".git", "parlour-data"].contains(&name.as_str()) {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
