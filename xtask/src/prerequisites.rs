//! What the tests need beside Rust, and how it comes onto the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

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
    Package { name: "strace", probe: &["strace", "-V"], why: "kills the server at its k-th write and fsync" },
    Package {
        name: "fuse3",
        probe: &["fusermount3", "-V"],
        why: "mounts the file system that forgets what was not fsynced: a loss of power that one can repeat",
    },
];

/// The Python that the tests run.
pub(crate) fn python() -> PathBuf {
    root().join("target/venv/bin/python")
}

/// Installs what is missing: Debian packages where we are root and apt is there, and the virtual environment.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<&Package> = PACKAGES.iter().filter(|package| !is_there(package)).collect();
    if !missing.is_empty() {
        for package in &missing {
            println!("missing: {} ({})", package.name, package.why);
        }
        install_packages(&missing)?;
    }
    install_venv()
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
            "the tests need what is listed above. On Debian or Ubuntu: `sudo apt-get install {}`; elsewhere \
             install what gives the same commands, then run `cargo xtask test` again",
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
    run::run(install)
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
