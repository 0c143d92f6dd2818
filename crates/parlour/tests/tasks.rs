//! Work that takes long, on the real binary, which is killed in the middle of it.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "the kit says what a tracer said")]

mod kit;

use std::time::{Duration, Instant};

use kit::server::Home;
use parlour_client::wire::devices::{PushProvider, RegisterDevice};
use parlour_client::wire::tasks::{ChannelsOfDeleted, ExportLine, MessagesOfDeleted, Task, TaskStatus};
use parlour_client::wire::users::{DeleteUser, QueryUsers};
use parlour_client::{NO_DATA, Profile, ServerClient};

/// What takes longer than this has stopped.
const PATIENCE: Duration = Duration::from_secs(60);
/// Enough for many steps.
const MESSAGES: u32 = 3_000;
/// Sends at the same time: they share their fsyncs.
const AT_ONCE: u32 = 100;

async fn finished(server: &ServerClient, id: &str) -> Task {
    let until = Instant::now() + PATIENCE;
    loop {
        let task = server.task(id).await.unwrap();
        if task.finished_at.is_some() {
            return task;
        }
        assert!(Instant::now() < until, "{task:?}");
        tokio::task::yield_now().await;
    }
}

/// Alice and Bob, and what Alice said.
async fn says_much(server: &ServerClient) {
    server.upsert_users([Profile::new("alice").name("Alice"), Profile::new("bob")]).await.unwrap();
    let alice = server.as_user("alice").unwrap();
    let general = alice.channel("messaging", "general").unwrap();
    general.get_or_create(&["bob"], NO_DATA).await.unwrap();
    for first in (0..MESSAGES).step_by(AT_ONCE as usize) {
        let sends = (first..first + AT_ONCE).map(|n| {
            let general = general.clone();
            tokio::spawn(async move { general.send(format!("message {n}")).await.unwrap() })
        });
        for send in sends.collect::<Vec<_>>() {
            send.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_goes_on_with_its_tasks_where_they_were_f2_23_f2_24_f2_26() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("data"));
    let mut server = home.start().await;
    says_much(&server.backend()).await;
    let export = server.backend().export_user("alice").await.unwrap().id;
    let how = DeleteUser { hard: true, messages: MessagesOfDeleted::Hard, channels: ChannelsOfDeleted::Keep };
    // One at a time: it waits until the export is done.
    let delete = server.backend().delete_user("alice", &how).await.unwrap().id;
    let (mut kills, mut seen) = (0, Vec::new());
    for id in [&export, &delete] {
        loop {
            let task = server.backend().task(id).await.unwrap();
            if task.finished_at.is_some() {
                break;
            }
            // Each time that it has come further, and a few times only: then it may come to its end.
            if task.progress.done > seen.last().copied().unwrap_or(0) && seen.len() < 4 {
                seen.push(task.progress.done);
                server.kill().await;
                server = home.start().await;
                kills += 1;
                let after = server.backend().task(id).await.unwrap().progress.done;
                assert!(after >= task.progress.done, "{after} after {task:?}");
            }
        }
        seen.clear();
    }
    assert!(kills >= 1, "it was over before it could be killed");
    let backend = server.backend();
    let task = finished(&backend, &export).await;
    assert_eq!((task.status, task.progress.percent), (TaskStatus::Completed, 100));
    let lines = backend.task_result(&export).await.unwrap();
    let lines: Vec<ExportLine> = std::str::from_utf8(&lines)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut texts: Vec<&str> = lines
        .iter()
        .filter_map(|line| match line {
            ExportLine::Message { message } => Some(message.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(texts.len(), MESSAGES as usize, "none is missing, none is there twice");
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), MESSAGES as usize);

    let task = finished(&backend, &delete).await;
    assert_eq!(task.status, TaskStatus::Completed, "{task:?}");
    let bob = backend.as_user("bob").unwrap().channel("messaging", "general").unwrap();
    let state = bob.state(100).await.unwrap();
    assert!(state.messages.is_empty());
    assert_eq!(state.channel.member_count, 1);
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backends_client_does_all_that_a_backend_does_with_users() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("data"));
    let server = home.start().await;
    let backend = server.backend();
    backend.upsert_users([Profile::new("alice").name("Alice"), Profile::new("bob")]).await.unwrap();
    let all = QueryUsers { limit: Some(1), ..QueryUsers::default() };
    let first = backend.query_users(&all).await.unwrap();
    assert_eq!(first.users[0].id.as_str(), "alice");
    let second = backend.query_users(&QueryUsers { next: first.next, ..all }).await.unwrap();
    assert_eq!((second.users[0].id.as_str(), second.next), ("bob", None));

    let alice = backend.as_user("alice").unwrap();
    let phone = RegisterDevice {
        id: "a/b c".replace(' ', "+"),
        provider: PushProvider::Apn,
        provider_name: None,
        keys: None,
    };
    let registered = alice.register_device(&phone).await.unwrap();
    assert_eq!(alice.devices().await.unwrap(), std::slice::from_ref(&registered));
    assert_eq!(alice.me().await.unwrap().unwrap().devices, [registered]);
    alice.remove_device(&phone.id).await.unwrap();
    assert!(alice.devices().await.unwrap().is_empty());

    assert!(backend.deactivate_user("alice").await.unwrap().deactivated_at.is_some());
    assert_eq!(alice.me().await.unwrap_err().code(), "user_deactivated");
    assert!(backend.reactivate_user("alice").await.unwrap().deactivated_at.is_none());
    let task = backend.delete_user("alice", &DeleteUser::default()).await.unwrap();
    finished(&backend, &task.id).await;
    assert_eq!(alice.me().await.unwrap_err().code(), "user_deleted");
    assert!(backend.restore_user("alice").await.unwrap().deleted_at.is_none());
    let task = backend.export_user("alice").await.unwrap();
    finished(&backend, &task.id).await;
    let lines = backend.task_result(&task.id).await.unwrap();
    assert!(std::str::from_utf8(&lines).unwrap().starts_with(r#"{"type":"user","user":{"id":"alice""#));
    server.kill().await;
}
