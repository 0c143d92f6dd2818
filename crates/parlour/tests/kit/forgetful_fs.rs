//! A disk that loses its power: a file system in memory that forgets what was not fsynced.
//!
//! The model, and it is the strictest that POSIX allows:
//! - what a file holds survives as of its last `fsync` or `fdatasync`;
//! - a name (made, moved or removed) survives once its directory was fsynced; a file whose name did not
//!   survive is lost with it, however well it was synced itself;
//! - modes and owners survive at once: nothing here depends on them.
//!
//! A real disk may also have written any part of the rest: [`PowerLoss::KeepsSome`] lets each page that was
//! not synced survive or not by a throw of dice, in whatever order it was written.
//!
//! Not here: hard links, symbolic links, torn pages, and locks between machines (the kernel keeps those
//! between processes).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The unit in which Linux writes back what a file holds.
const PAGE: usize = 4_096;
/// Nobody but the kernel changes what is here, so that what it knows stays true until the next mount.
const TTL: Duration = Duration::from_secs(3_600);

/// What is left when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerLoss {
    /// What was synced, and nothing else.
    ForgetsAll,
    /// What was synced, and of the rest what the dice say.
    KeepsSome { seed: u64 },
}

/// A mounted file system in a folder of its own; gone when dropped.
pub(crate) struct ForgetfulFs {
    disk: Arc<Mutex<Disk>>,
    session: Option<BackgroundSession>,
    mountpoint: tempfile::TempDir,
}

impl ForgetfulFs {
    /// Makes an empty file system and mounts it.
    ///
    /// # Panics
    /// FUSE is not to be had: this proves nothing then, and must not pass.
    pub(crate) fn mount() -> Self {
        let mountpoint = tempfile::Builder::new().prefix("parlour-forgetful-").tempdir().unwrap();
        let disk = Arc::new(Mutex::new(Disk::empty()));
        let mut fs = Self { disk, session: None, mountpoint };
        fs.plug_in();
        fs
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.mountpoint.path()
    }

    /// The machine goes off and on again. No process may have a file open: kill it first.
    ///
    /// Answers how many pages and names were forgotten.
    pub(crate) fn power_loss(&mut self, how: PowerLoss) -> Forgotten {
        // Unmounting takes the kernel's own memory of the files away; what it writes back of mapped files
        // while it does so comes before the loss, and was never synced.
        self.pull_out();
        let forgotten = self.disk().lose_power(how);
        self.plug_in();
        forgotten
    }

    /// From now on every fsync is answered with success and does nothing, as on a disk that lies or under
    /// a library that takes fsync away.
    pub(crate) fn lie_about_fsync(&self) {
        self.disk().lies = true;
    }

    /// How many files and directories were synced so far.
    pub(crate) fn fsyncs(&self) -> u64 {
        self.disk().fsyncs
    }

    fn plug_in(&mut self) {
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("forgetful".to_owned()), MountOption::NoAtime, MountOption::NoDev];
        let mounted = fuser::spawn_mount(Mounted(Arc::clone(&self.disk)), self.path(), &config);
        let session = mounted.unwrap_or_else(|error| {
            panic!(
                "a FUSE file system cannot be mounted here ({error}), so that the loss of power cannot be \
                 tried: this test needs Linux with /dev/fuse, and root or Debian's package fuse3"
            )
        });
        self.session = Some(session);
    }

    fn pull_out(&mut self) {
        if let Some(session) = self.session.take() {
            session.umount_and_join().expect("the file system is not in use when it is unmounted");
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }
}

impl Drop for ForgetfulFs {
    fn drop(&mut self) {
        // A server that was told to die a moment ago may still hold files: lazily, so that the folder is free
        // at once and the mount is gone with its last file.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.path()).status();
        self.session = None;
    }
}

/// What a loss of power took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    pub(crate) pages: u64,
    pub(crate) names: u64,
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Disk {
    /// By inode; one that has lost its last name stays, for a lost removal may bring it back.
    nodes: HashMap<u64, Node>,
    lies: bool,
    fsyncs: u64,
}

struct Node {
    content: Content,
    mode: u16,
    uid: u32,
    gid: u32,
    changed: SystemTime,
}

enum Content {
    File { live: Vec<u8>, synced: Vec<u8>, dirty: BTreeSet<usize> },
    Directory { live: Names, synced: Names },
}

type Names = BTreeMap<OsString, u64>;

impl Disk {
    fn empty() -> Self {
        let mut disk = Self { nodes: HashMap::new(), lies: false, fsyncs: 0 };
        disk.add(Content::directory(), 0o700, 0, 0);
        disk
    }

    /// The first one added is the root, 1.
    fn add(&mut self, content: Content, mode: u32, uid: u32, gid: u32) -> u64 {
        let ino = self.nodes.len() as u64 + 1;
        let mode = (mode & 0o7777) as u16;
        self.nodes.insert(ino, Node { content, mode, uid, gid, changed: SystemTime::now() });
        ino
    }

    fn make(&mut self, parent: INodeNo, name: &OsStr, node: u64) -> Result<FileAttr, Errno> {
        self.names(parent)?.insert(name.to_owned(), node);
        self.attr(INodeNo(node))
    }

    fn node(&mut self, ino: INodeNo) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino.0).ok_or(Errno::ENOENT)
    }

    fn names(&mut self, ino: INodeNo) -> Result<&mut Names, Errno> {
        match &mut self.node(ino)?.content {
            Content::Directory { live, .. } => Ok(live),
            Content::File { .. } => Err(Errno::ENOTDIR),
        }
    }

    fn find(&mut self, parent: INodeNo, name: &OsStr) -> Result<INodeNo, Errno> {
        self.names(parent)?.get(name).map(|ino| INodeNo(*ino)).ok_or(Errno::ENOENT)
    }

    fn attr(&mut self, ino: INodeNo) -> Result<FileAttr, Errno> {
        let node = self.node(ino)?;
        let (kind, size, nlink) = match &node.content {
            Content::File { live, .. } => (FileType::RegularFile, live.len() as u64, 1),
            Content::Directory { .. } => (FileType::Directory, 0, 2),
        };
        Ok(FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: node.changed,
            mtime: node.changed,
            ctime: node.changed,
            crtime: node.changed,
            kind,
            perm: node.mode,
            nlink,
            uid: node.uid,
            gid: node.gid,
            rdev: 0,
            blksize: PAGE as u32,
            flags: 0,
        })
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        self.names(parent)?.remove(name).map(drop).ok_or(Errno::ENOENT)
    }

    fn sync(&mut self, ino: INodeNo) -> Result<(), Errno> {
        self.fsyncs += 1;
        if !self.lies {
            self.node(ino)?.content.sync();
        }
        Ok(())
    }

    fn lose_power(&mut self, how: PowerLoss) -> Forgotten {
        let mut dice = match how {
            PowerLoss::ForgetsAll => None,
            PowerLoss::KeepsSome { seed } => Some(StdRng::seed_from_u64(seed)),
        };
        let mut survives = || dice.as_mut().is_some_and(|dice| dice.random_bool(0.5));
        let mut forgotten = Forgotten::default();
        // In the order of inodes, so that a seed says everything.
        for ino in 1..=self.nodes.len() as u64 {
            if let Some(node) = self.nodes.get_mut(&ino) {
                node.content.lose_power(&mut survives, &mut forgotten);
            }
        }
        forgotten
    }
}

impl Content {
    fn file() -> Self {
        Self::File { live: Vec::new(), synced: Vec::new(), dirty: BTreeSet::new() }
    }

    fn directory() -> Self {
        Self::Directory { live: Names::new(), synced: Names::new() }
    }

    fn write(&mut self, offset: usize, data: &[u8]) -> Result<(), Errno> {
        let end = offset + data.len();
        if self.len()? < end {
            self.resize(end)?;
        }
        let Self::File { live, dirty, .. } = self else { return Err(Errno::EISDIR) };
        live[offset..end].copy_from_slice(data);
        dirty.extend(offset / PAGE..end.div_ceil(PAGE));
        Ok(())
    }

    fn len(&self) -> Result<usize, Errno> {
        match self {
            Self::File { live, .. } => Ok(live.len()),
            Self::Directory { .. } => Err(Errno::EISDIR),
        }
    }

    fn resize(&mut self, len: usize) -> Result<(), Errno> {
        let Self::File { live, dirty, .. } = self else { return Err(Errno::EISDIR) };
        let (shorter, longer) = (live.len().min(len), live.len().max(len));
        live.resize(len, 0);
        dirty.extend(shorter / PAGE..longer.div_ceil(PAGE));
        Ok(())
    }

    fn sync(&mut self) {
        match self {
            Self::File { live, synced, dirty } => {
                synced.resize(live.len(), 0);
                for page in std::mem::take(dirty) {
                    copy_page(page, live, synced);
                }
            }
            Self::Directory { live, synced } => synced.clone_from(live),
        }
    }

    fn lose_power(&mut self, survives: &mut impl FnMut() -> bool, forgotten: &mut Forgotten) {
        match self {
            Self::File { live, synced, dirty } => {
                if survives() {
                    synced.resize(live.len(), 0);
                }
                for page in std::mem::take(dirty) {
                    if survives() {
                        copy_page(page, live, synced);
                    } else {
                        forgotten.pages += 1;
                    }
                }
                live.clone_from(synced);
            }
            // Journals keep the order of names, so that all of what was done since survives, or nothing.
            Self::Directory { live, synced } => {
                if live != synced && survives() {
                    synced.clone_from(live);
                }
                let lost = |(name, ino): &(&OsString, &u64)| synced.get(*name) != Some(*ino);
                forgotten.names += live.iter().filter(lost).count() as u64;
                live.clone_from(synced);
            }
        }
    }
}

/// Copies as much of a page as both have.
fn copy_page(page: usize, from: &[u8], to: &mut [u8]) {
    let start = page * PAGE;
    let end = (start + PAGE).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

/// The disk, as the kernel asks it.
struct Mounted(Arc<Mutex<Disk>>);

impl Mounted {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.0)
    }
}

fn answer(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(reply: ReplyEntry, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_attr(reply: ReplyAttr, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attr) => reply.attr(&TTL, &attr),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut disk = self.disk();
        let found = disk.find(parent, name).and_then(|ino| disk.attr(ino));
        answer_entry(reply, found);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer_attr(reply, self.disk().attr(ino));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let changed = disk.node(ino).and_then(|node| {
            node.mode = mode.map_or(node.mode, |mode| (mode & 0o7777) as u16);
            node.uid = uid.unwrap_or(node.uid);
            node.gid = gid.unwrap_or(node.gid);
            size.map_or(Ok(()), |size| node.content.resize(size as usize))
        });
        let attr = changed.and_then(|()| disk.attr(ino));
        answer_attr(reply, attr);
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut disk = self.disk();
        let node = disk.add(Content::directory(), mode & !umask, req.uid(), req.gid());
        let made = disk.make(parent, name, node);
        answer_entry(reply, made);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.disk().remove(parent, name);
        answer(reply, done);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut disk = self.disk();
        let empty = disk.find(parent, name).and_then(|ino| disk.names(ino).map(|names| names.is_empty()));
        let done = match empty {
            Ok(true) => disk.remove(parent, name),
            Ok(false) => Err(Errno::ENOTEMPTY),
            Err(error) => Err(error),
        };
        answer(reply, done);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let mut disk = self.disk();
        let moved = disk.find(parent, name).and_then(|ino| {
            disk.remove(parent, name)?;
            disk.make(newparent, newname, ino.0)
        });
        answer(reply, moved.map(drop));
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.disk().node(ino) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut disk = self.disk();
        let node = disk.add(Content::file(), mode & !umask, req.uid(), req.gid());
        match disk.make(parent, name, node) {
            Ok(attr) => {
                reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut disk = self.disk();
        match disk.node(ino).map(|node| &node.content) {
            Ok(Content::File { live, .. }) => {
                let start = (offset as usize).min(live.len());
                let end = (start + size as usize).min(live.len());
                reply.data(&live[start..end]);
            }
            Ok(Content::Directory { .. }) => reply.error(Errno::EISDIR),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.disk().node(ino).and_then(|node| {
            node.changed = SystemTime::now();
            node.content.write(offset as usize, data)
        });
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file puts nothing on the disk.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = self.disk().sync(ino);
        answer(reply, done);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = self.disk().sync(ino);
        answer(reply, done);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut disk = self.disk();
        let names = match disk.names(ino) {
            Ok(names) => names.clone(),
            Err(error) => return reply.error(error),
        };
        let dots = [(OsString::from("."), ino.0), (OsString::from(".."), ino.0)];
        let all = dots.into_iter().chain(names);
        for (at, (name, node)) in all.enumerate().skip(offset as usize) {
            let kind = disk.attr(INodeNo(node)).map_or(FileType::RegularFile, |attr| attr.kind);
            if reply.add(INodeNo(node), at as u64 + 1, kind, &name) {
                break;
            }
        }
        reply.ok();
    }

    fn access(&self, _: &Request, ino: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        let there = self.disk().node(ino).map(drop);
        answer(reply, there);
    }
}
