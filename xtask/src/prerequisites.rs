//! What the tests need beside Rust, and how it comes onto the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::run::{self, root};

/// A Debian package that some test needs.
struct Package {
    name: &'static str,
    /// A command that succeeds where the thing is there, however it came: not every machine is Debian.
    probe: &'static [&'static str],
    why: &'static str,
}

const PACKAGES: &[Package] = &[
    Package {
        name: "python3",
        probe: &["python3", "-c", "import sys; assert sys.version_info >= (3, 10)"],
        why: "the client in another language that is written from spec/protocol.md alone",
    },
    Package {
        name: "python3-venv",
        probe: &["python3", "-c", "import venv, ensurepip"],
        why: "that client's WebSocket library, in target/venv and nowhere else",
    },
    Package {
        name: "valgrind",
        probe: &["valgrind", "--version"],
        why: "counts the instructions of the hot paths, to compare them with what was recorded",
    },
    Package { name: "strace", probe: &["strace", "-V"], why: "kills the server at its k-th write and fsync" },
    Package {
        name: "fuse3",
        probe: &["fusermount3", "-V"],
        why: "mounts the file system that forgets what was not fsynced: a loss of power that one can repeat",
    },
    Package {
        name: "chromium",
        probe: &["chromium", "--version"],
        why: "shows the demo to the tests as people see it",
    },
    Package {
        name: "squid",
        probe: &["squid", "-v"],
        why: "stands between client and server as the proxy of an office: HTTP gets through, CONNECT does not",
    },
    Package {
        name: "haproxy",
        probe: &["haproxy", "-v"],
        why: "refuses, strips and drops the upgrade to WebSocket, and cuts what is idle",
    },
    Package {
        name: "nginx",
        probe: &["nginx", "-v"],
        why: "stands before the server as a reverse proxy that knows no WebSocket and keeps answers back",
    },
];

/// What `bench peers` needs: the servers that others made.
const PEERS: &[Package] = &[
    Package { name: "nginx", probe: &["nginx", "-v"], why: "loads the module nchan" },
    Package {
        name: "libnginx-mod-nchan",
        probe: &["test", "-e", "/usr/lib/nginx/modules/ngx_nchan_module.so"],
        why: "nginx's module for publishing and subscribing, a peer",
    },
    Package { name: "nats-server", probe: &["nats-server", "--version"], why: "a peer" },
    Package { name: "mosquitto", probe: &["mosquitto", "-h"], why: "a peer" },
    Package { name: "ejabberd", probe: &["ejabberdctl", "--help"], why: "a peer" },
];

/// Packages that would start a service. The tests start instances of their own, on ports of their own.
const SERVICES: &[&str] = &["squid", "haproxy", "nginx", "nats-server", "mosquitto", "ejabberd"];
/// Debian asks this program whether a service may start; 101 is "no".
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The oldest Node that the packages' tools run on: `engines` in package.json says the same.
const NODE_MIN: (u32, u32) = (20, 19);

/// The Python that the tests run.
pub(crate) fn python() -> PathBuf {
    root().join("target/venv/bin/python")
}

/// Installs what is missing: Debian packages where we are root and apt is there, the virtual environment, and the
/// Node packages.
pub(crate) fn install() -> Result<()> {
    install_missing(PACKAGES)?;
    install_venv()?;
    install_node_packages()
}

/// Installs the servers that `bench peers` measures beside the product.
pub(crate) fn install_peers() -> Result<()> {
    install_missing(PEERS)?;
    check_node(&run::output(node(&["--version"])).unwrap_or_default())?;
    npm_ci(&root().join("bench/peers"))
}

fn install_missing(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !is_there(package)).collect();
    for package in &missing {
        println!("missing: {} ({})", package.name, package.why);
    }
    if missing.is_empty() { Ok(()) } else { install_packages(&missing) }
}

fn is_there(package: &Package) -> bool {
    is_installed_by_dpkg(package.name) || succeeds(Command::new(package.probe[0]).args(&package.probe[1..]))
}

fn is_installed_by_dpkg(name: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", name]);
    query.stderr(Stdio::null()).output().is_ok_and(|out| out.status.success() && out.stdout == b"installed")
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn install_packages(missing: &[&Package]) -> Result<()> {
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    let has_apt = succeeds(Command::new("apt-get").arg("--version"));
    if !is_root || !has_apt {
        bail!(
            "what is listed above is needed. On Debian or Ubuntu: `sudo apt-get install {}`; elsewhere install what gives \
             the same commands; then run this again",
            names.join(" ")
        );
    }
    let apt_get = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run::run(apt_get(&["update", "--quiet=2"]))?;
    let mut install = apt_get(&["install", "--yes", "--quiet=2", "--no-install-recommends"]);
    install.args(&names);
    let quiet = NoServices::declare(Path::new(POLICY))?;
    run::run(install)?;
    drop(quiet);
    for service in SERVICES.iter().filter(|service| names.contains(service)) {
        // Nor at the next boot.
        let mut disable = Command::new("update-rc.d");
        disable.args([service, "disable"]);
        run::run(disable)?;
    }
    Ok(())
}

/// As long as it lives, no package that is installed starts a service. A machine that has a policy of its own keeps
/// it: containers have one, and it says the same.
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn declare(policy: &Path) -> Result<Self> {
        if policy.exists() {
            return Ok(Self(None));
        }
        std::fs::write(policy, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("{} cannot be written", policy.display()))?;
        let declared = Self(Some(policy.to_owned()));
        let mut executable = Command::new("chmod");
        executable.arg("755").arg(policy);
        run::run(executable)?;
        Ok(declared)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.0 {
            let _ = std::fs::remove_file(policy);
        }
    }
}

/// Installs exactly what package-lock.json says; does nothing where that is there.
pub(crate) fn install_node_packages() -> Result<()> {
    check_node(&run::output(node(&["--version"])).unwrap_or_default())?;
    npm_ci(&root())
}

fn npm_ci(folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    // `npm ci` takes half a minute even when there is nothing to do, and removes this note with all the rest.
    let note = folder.join("node_modules/.installed-package-lock.json");
    if is_same(&note, &lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder).env("npm_config_loglevel", "error");
    run::run(npm)?;
    std::fs::copy(&lock, &note).with_context(|| format!("{} cannot be written", note.display()))?;
    Ok(())
}

fn node(args: &[&str]) -> Command {
    let mut node = Command::new("node");
    node.args(args);
    node
}

/// Whether this is what a good enough Node says of its version. It is no Debian package for us to install: the one
/// that a stable Debian has may be too old.
fn check_node(said: &str) -> Result<()> {
    let mut numbers = said.trim().trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    let version: Option<(u32, u32)> = numbers.next().zip(numbers.next());
    if version.is_some_and(|version| version >= NODE_MIN) {
        return Ok(());
    }
    let found = if said.is_empty() {
        "`node` is not in PATH".to_owned()
    } else {
        format!("`node` is {}", said.trim())
    };
    let (major, minor) = NODE_MIN;
    bail!("the packages in TypeScript need Node {major}.{minor} or newer, with its npm, and {found}")
}

/// Makes target/venv with the pinned libraries; does nothing where it already holds exactly those.
fn install_venv() -> Result<()> {
    let requirements = root().join("tests/python/requirements.txt");
    let venv = root().join("target/venv");
    // pip takes a second even when there is nothing to do, so what was installed is noted beside it.
    let note = venv.join("installed-requirements.txt");
    if is_same(&note, &requirements) && succeeds(Command::new(python()).arg("--version")) {
        return Ok(());
    }
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&venv);
    run::run(create)?;
    let mut pip = Command::new(python());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.arg(&requirements);
    run::run(pip)?;
    std::fs::copy(&requirements, &note)?;
    Ok(())
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((std::fs::read(a), std::fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_packages_are_installed_services_are_told_not_to_start_and_a_policy_that_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let ours = NoServices::declare(&policy).unwrap();
        let asked = Command::new("sh").args(["-c", "test -x $0 && sh $0 squid start"]).arg(&policy).status();
        assert_eq!(asked.unwrap().code(), Some(101));
        drop(NoServices::declare(&policy).unwrap());
        assert!(policy.exists());
        drop(ours);
        assert!(!policy.exists());
    }

    #[test]
    fn an_old_node_is_refused_with_its_version_and_the_one_that_is_needed() {
        for good in ["v20.19.0\n", "v22.1.0", "v24.0.0-nightly"] {
            assert!(check_node(good).is_ok(), "{good}");
        }
        for (old, word) in
            [("v20.18.3\n", "v20.18.3"), ("v18.20.4", "v18.20.4"), ("", "PATH"), ("node", "is node")]
        {
            let error = check_node(old).unwrap_err().to_string();
            assert!(error.contains("20.19") && error.contains(word), "{old}: {error}");
        }
    }
}
