//! The power goes while the server acknowledges: on a file system that forgets what was not fsynced.
//!
//! Killing a process takes nothing from the kernel's memory, so that a missing fsync survives every kill.
//! Here the data lie on a FUSE file system of our own (`kit/forgetful_fs.rs`), which forgets when it is told
//! to. That it can make a server lose something is shown by the last two tests, which must.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "a run tells its figures")]

mod kit;

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::forgetful_fs::{ForgetfulFs, Forgotten, PowerLoss};
use kit::load::{Load, Told};
use kit::server::{Home, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Losses of power in a row, on the same data.
const ROUNDS: u32 = 12;
/// Acknowledgements before the power goes, at most: some rounds are long enough for a checkpoint.
const ACKS_MAX: u64 = 600;
/// Too few for a checkpoint, which would put all that came before it on the disk after all.
const FEW_ACKS: u64 = 20;
/// What takes longer than this has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_with_the_power() {
    let began = Instant::now();
    let seed =
        std::env::var("PARLOUR_POWER_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut house = House::build("full").await;
    for round in 1..=ROUNDS {
        let server = house.home.start().await;
        let acks = house.load_until(server, dice.random_range(1..ACKS_MAX)).await;
        let how = match round % 2 {
            0 => PowerLoss::KeepsSome { seed: dice.random() },
            _ => PowerLoss::ForgetsAll,
        };
        let forgotten = house.disk.power_loss(how);

        let server = house.home.start().await;
        kit::load::check_integrity(house.home.data());
        house.load.judge_the_news(&server).await;
        println!("round {round}: {acks} acked, then {how:?}: {forgotten:?}");
        server.kill().await;
    }
    let server = house.home.start().await;
    let acked = house.load.judge_everything(&server, house.home.data()).await;
    println!(
        "{ROUNDS} losses of power, {} fsyncs: {acked} acknowledged, 0 lost; {:.1?}",
        house.disk.fsyncs(),
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_was_just_made_is_there_after_the_power_was_lost() {
    let mut disk = ForgetfulFs::mount();
    let home = Home::new(disk.path().join("data"));
    let server = home.start().await;
    let load = Load::prepare(&server).await;
    let secret = server.secret().to_owned();
    server.kill().await;
    disk.power_loss(PowerLoss::ForgetsAll);

    let server = home.start().await;
    assert_eq!(server.secret(), secret, "the app's tokens are good no more");
    // The writers' users and their channel were acknowledged, too.
    assert_eq!(load.send_one_each(&server).await, vec![Told::Acked; 8]);
}

/// The test of the test: what `synchronous=normal` acknowledges is not on the disk yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_synchronous_normal_acknowledged_messages_are_lost() {
    let mut house = House::build("normal").await;
    let server = house.home.start().await;
    let acks = house.load_until(server, FEW_ACKS).await;
    house.disk.power_loss(PowerLoss::ForgetsAll);
    let server = house.home.start().await;
    let lost = house.load.lost(&server).await;
    println!("synchronous=normal: {lost} of {acks} acknowledged lost, as they must be");
    assert!(lost > 0, "nothing was lost: this test could not see a missing fsync either");
}

/// The same with a disk, or a library, that says yes to every fsync and does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_lies_about_fsync_acknowledged_messages_are_lost() {
    let mut house = House::build("full").await;
    let server = house.home.start().await;
    house.disk.lie_about_fsync();
    let acks = house.load_until(server, FEW_ACKS).await;
    house.disk.power_loss(PowerLoss::ForgetsAll);
    let server = house.home.start().await;
    let lost = house.load.lost(&server).await;
    println!("a lying disk: {lost} of {acks} acknowledged lost, as they must be");
    assert!(lost > 0, "nothing was lost: the file system does not forget");
}

#[test]
fn the_file_system_keeps_what_was_synced_and_forgets_the_rest() {
    let mut disk = ForgetfulFs::mount();
    let path = |disk: &ForgetfulFs, name: &str| disk.path().join(name);
    let sync_names = |disk: &ForgetfulFs| File::open(disk.path()).unwrap().sync_all().unwrap();

    let mut synced = File::create(path(&disk, "synced")).unwrap();
    synced.write_all(b"first").unwrap();
    synced.sync_data().unwrap();
    fs::write(path(&disk, "empty"), b"never synced").unwrap();
    sync_names(&disk);
    synced.write_all(b", second").unwrap();
    fs::write(path(&disk, "nameless"), b"x").unwrap();
    File::open(path(&disk, "nameless")).unwrap().sync_all().unwrap();
    fs::rename(path(&disk, "empty"), path(&disk, "moved")).unwrap();
    drop(synced);

    let forgotten = disk.power_loss(PowerLoss::ForgetsAll);
    assert_eq!(fs::read(path(&disk, "synced")).unwrap(), b"first");
    assert_eq!(fs::read(path(&disk, "empty")).unwrap(), b"");
    let names: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["empty", "synced"]);
    assert_eq!(forgotten, Forgotten { pages: 2, names: 2 });

    fs::remove_file(path(&disk, "empty")).unwrap();
    sync_names(&disk);
    disk.power_loss(PowerLoss::ForgetsAll);
    assert!(!path(&disk, "empty").exists());
}

#[test]
fn the_file_system_may_keep_any_part_of_what_was_not_synced() {
    let page = 4_096;
    let mut kept = Vec::new();
    for seed in 0..8 {
        let mut disk = ForgetfulFs::mount();
        let path = disk.path().join("file");
        fs::write(&path, vec![1; 8 * page]).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();
        fs::write(&path, vec![2; 8 * page]).unwrap();
        disk.power_loss(PowerLoss::KeepsSome { seed });
        let content = fs::read(&path).unwrap();
        assert_eq!(content.len(), 8 * page);
        kept.push(content.chunks(page).map(|page| page[0]).collect::<Vec<u8>>());
    }
    let mixed = kept.iter().filter(|pages| pages.contains(&1) && pages.contains(&2)).count();
    assert!(mixed > 4, "{kept:?}");
}

/// A server with its data on a disk that can lose its power.
struct House {
    // Dropped before the disk: an open file would keep it mounted.
    load: Arc<Load>,
    home: Home,
    disk: ForgetfulFs,
}

impl House {
    /// Everything that is made here is on the disk.
    async fn build(synchronous: &str) -> Self {
        let mut disk = ForgetfulFs::mount();
        let mut home = Home::new(disk.path().join("data"));
        home.set("PARLOUR_STORAGE__SYNCHRONOUS", synchronous);
        let server = home.start().await;
        let load = Load::prepare(&server).await;
        server.kill().await;
        // The next start copies the log into the database and syncs it, with every setting.
        home.start().await.kill().await;
        disk.power_loss(PowerLoss::ForgetsAll);
        Self { load, home, disk }
    }

    /// Sends until so many are acknowledged, then kills the server amid the sending. Answers how many were.
    async fn load_until(&self, server: Server, more: u64) -> u64 {
        let mut acks = self.load.history.acks();
        let before = *acks.borrow();
        let pid = server.pid();
        let kill = async {
            let enough = acks.wait_for(|acks| *acks >= before + more);
            // The count is locked for as long as what `wait_for` found is held.
            let came = tokio::time::timeout(PATIENCE, enough).await.is_ok();
            assert!(came, "no {more} acknowledgements within {PATIENCE:?}");
            let killed =
                tokio::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().await;
            assert!(killed.unwrap().success());
        };
        tokio::join!(self.load.send_while(&server, |told| *told != Told::Nothing), kill);
        // Until it is gone it holds its files.
        server.kill().await;
        *self.load.history.acks().borrow() - before
    }
}
