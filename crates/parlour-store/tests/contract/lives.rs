//! What becomes of users, their devices, and the work that takes long.

use parlour_store::{
    Deleting, Gone, Inactivity, Life, NewMessage, NewTask, Requires, StoreError, TaskName, Work,
};
use parlour_wire::devices::{PushProvider, RegisterDevice};
use parlour_wire::tasks::{ChannelsOfDeleted, ExportLine, MessagesOfDeleted, Task, TaskStatus};
use parlour_wire::{ErrorCode, Event};
use serde_json::json;

use crate::kit::{Kit, assert_err, at, cid, event, fields, lines, message_id, user};

const GENERAL: &str = "messaging:general";

async fn life(kit: &Kit, id: &str, life: Life) -> parlour_store::Result<Vec<String>> {
    kit.store.change_life(kit.app, &user(id), life, at(7)).await.map(|changed| lines(&changed.events))
}

fn work(kit: &Kit, task: &str, id: &str, work: Work) -> NewTask {
    NewTask { app: kit.app, id: task.to_owned(), user: user(id), work, now: at(9) }
}

fn deleting(gone: Gone, messages: MessagesOfDeleted, channels: ChannelsOfDeleted) -> Work {
    Work::Delete(Deleting { gone, messages, channels })
}

fn for_good(messages: MessagesOfDeleted) -> Work {
    deleting(Gone::ForGood, messages, ChannelsOfDeleted::Keep)
}

/// Does everything that waits; answers in how many steps.
async fn does_all(kit: &Kit) -> usize {
    let mut steps = 0;
    loop {
        let open = kit.store.open_tasks().await.unwrap();
        if open.is_empty() {
            return steps;
        }
        for task in open {
            kit.store.step_task(task, at(10)).await.unwrap();
            steps += 1;
        }
    }
}

async fn task(kit: &Kit, id: &str) -> Task {
    kit.store.task(kit.app, id).await.unwrap()
}

fn device(id: &str) -> RegisterDevice {
    RegisterDevice { id: id.to_owned(), provider: PushProvider::Fcm, provider_name: None, keys: None }
}

pub(crate) async fn who_is_deactivated_does_not_connect_until_reactivated_f2_20_f2_21(kit: Kit) {
    kit.connects("alice", json!({"name": "Alice"})).await.unwrap();
    assert_eq!(life(&kit, "alice", Life::Deactivate).await.unwrap(), ["user:alice 1 user.deactivated"]);
    assert!(life(&kit, "alice", Life::Deactivate).await.unwrap().is_empty(), "it is so already");
    let refused = StoreError::Inactive(user("alice"), Inactivity::Deactivated);
    assert_err(kit.connects("alice", json!({"name": "A"})).await, refused);
    let stored = kit.store.users(kit.app, &[user("alice")]).await.unwrap().remove(0);
    assert_eq!((stored.deactivated_at, stored.display_name()), (Some(at(7)), "Alice"));
    let standing = kit.store.standing(kit.app, &user("alice")).await.unwrap();
    assert_eq!(standing.inactivity, Some(Inactivity::Deactivated));

    assert_eq!(life(&kit, "alice", Life::Reactivate).await.unwrap(), ["user:alice 2 user.reactivated"]);
    assert!(life(&kit, "alice", Life::Reactivate).await.unwrap().is_empty());
    assert!(!kit.connects("alice", json!({})).await.unwrap().value.created);
    assert_eq!(kit.store.standing(kit.app, &user("alice")).await.unwrap().inactivity, None);
    assert_err(life(&kit, "nobody", Life::Deactivate).await, StoreError::NotFound);
}

pub(crate) async fn who_is_deleted_comes_back_whole_when_restored_f2_22_f2_25(kit: Kit) {
    kit.connects("alice", json!({"name": "Alice"})).await.unwrap();
    kit.has_channel(GENERAL, &["bob"]).await;
    kit.adds(GENERAL, &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let gone = deleting(Gone::Restorably, MessagesOfDeleted::Keep, ChannelsOfDeleted::Keep);
    let created = kit.store.create_task(work(&kit, "t1", "alice", gone.clone())).await.unwrap();
    assert_eq!(lines(&created.events), ["user:alice 2 user.deleted"]);
    let refused = || StoreError::Inactive(user("alice"), Inactivity::Deleted);
    assert_err(kit.connects("alice", json!({})).await, refused());
    let again = parlour_store::UserWrite {
        id: user("alice"),
        fields: fields(json!({"name": "Another"})),
        role: None,
        teams: None,
    };
    assert_err(kit.store.upsert_users(kit.app, vec![again], at(9)).await, refused());
    let change = parlour_store::UserChange::default();
    assert_err(kit.store.update_user(kit.app, &user("alice"), change, at(9)).await, refused());
    assert_err(life(&kit, "alice", Life::Reactivate).await, refused());
    assert_eq!(task(&kit, "t1").await.status, TaskStatus::Waiting);
    does_all(&kit).await;
    assert_eq!(task(&kit, "t1").await.status, TaskStatus::Completed);

    assert_eq!(life(&kit, "alice", Life::Restore).await.unwrap(), ["user:alice 3 user.restored"]);
    let back = kit.connects("alice", json!({})).await.unwrap().value;
    assert_eq!(back.me.user.display_name(), "Alice");
    assert_eq!(back.topics.len(), 3, "with her channel");
    assert_eq!(
        kit.store.message(kit.app, &cid(GENERAL), &message_id("m1"), None).await.unwrap().text,
        "alice says m1"
    );
}

pub(crate) async fn who_is_deleted_for_good_leaves_what_the_call_said_f2_23(kit: Kit) {
    for (at_key, messages) in [
        ("keep", MessagesOfDeleted::Keep),
        ("soft", MessagesOfDeleted::Soft),
        ("hard", MessagesOfDeleted::Hard),
    ] {
        let kit = kit.other_app(at_key).await;
        kit.connects("alice", json!({"name": "Alice", "privacy_settings": {}})).await.unwrap();
        kit.has_channel(GENERAL, &["bob", "carol"]).await;
        kit.adds(GENERAL, &["alice"]).await;
        kit.has_channel("messaging:two", &["bob"]).await;
        kit.adds("messaging:two", &["alice"]).await;
        for n in 0..250 {
            kit.sends(GENERAL, "alice", &format!("{at_key}-{n}")).await;
        }
        kit.sends(GENERAL, "bob", &format!("{at_key}-bob")).await;
        let (alice, bob) = (user("alice"), user("bob"));
        let never_again = parlour_store::Wanted::No { ends_at: None };
        kit.store.block(kit.app, &alice, &bob, never_again, at(1)).await.unwrap();
        let task_id = format!("t-{at_key}");
        kit.store.create_task(work(&kit, &task_id, "alice", for_good(messages.clone()))).await.unwrap();
        let steps = does_all(&kit).await;
        assert!(messages == MessagesOfDeleted::Keep || steps >= 4, "in {steps} steps: none is long");
        let done = task(&kit, &task_id).await;
        assert_eq!((done.status, done.progress.percent), (TaskStatus::Completed, 100));

        let stored = kit.store.users(kit.app, &[user("alice")]).await.unwrap().remove(0);
        assert!(stored.custom.is_empty() && stored.last_active.is_none(), "{stored:?}");
        assert_err(life(&kit, "alice", Life::Restore).await, StoreError::NotFound);
        assert!(kit.connects("alice", json!({})).await.is_err(), "the id is not given again");
        assert_eq!(kit.store.blocks(kit.app, &alice).await.unwrap(), []);
        let state = kit.store.channel_state(kit.app, &cid(GENERAL), None, 100).await.unwrap();
        assert_eq!(state.channel.member_count, 2);
        let texts =
            state.messages.iter().filter(|m| m.user.id.as_str() == "alice" && !m.text.is_empty()).count();
        let places = state.messages.iter().filter(|m| m.user.id.as_str() == "alice").count();
        let expected = match messages {
            MessagesOfDeleted::Keep => (99, 99),
            MessagesOfDeleted::Soft => (0, 99),
            _ => (0, 0),
        };
        assert_eq!((texts, places), expected, "{at_key}");
        assert_eq!(state.messages.last().unwrap().user.id.as_str(), "bob");
        // What became of them is told in the channel, without a hole.
        let told = kit.events(&crate::kit::channel_topic(GENERAL), 255).await;
        let deleted =
            told.iter().filter(|logged| matches!(event(logged), Event::MessageDeleted { .. })).count();
        assert_eq!(deleted, if messages == MessagesOfDeleted::Keep { 0 } else { 250 });
        assert!(matches!(event(told.last().unwrap()), Event::MemberRemoved { .. }));
    }
}

pub(crate) async fn channels_of_two_go_with_who_is_deleted_if_so_asked_f2_23(kit: Kit) {
    kit.has_channel("messaging:two", &["alice", "bob"]).await;
    kit.has_channel("messaging:three", &["alice", "bob", "carol"]).await;
    for n in 0..230 {
        kit.sends("messaging:two", if n % 2 == 0 { "alice" } else { "bob" }, &format!("m{n}")).await;
    }
    let gone = deleting(Gone::ForGood, MessagesOfDeleted::Keep, ChannelsOfDeleted::Direct);
    kit.store.create_task(work(&kit, "t1", "alice", gone)).await.unwrap();
    let steps = does_all(&kit).await;
    assert!(steps >= 3, "{steps}");
    assert_eq!(kit.store.channel_access(kit.app, &cid("messaging:two"), None).await.unwrap(), None);
    assert_eq!(kit.head(crate::kit::user_topic("bob")).await, 3, "and Bob is told");
    let three = kit.store.channel_access(kit.app, &cid("messaging:three"), None).await.unwrap().unwrap();
    assert_eq!(three.member_count, 2);
}

pub(crate) async fn an_export_has_all_that_is_stored_of_a_user_f2_24(kit: Kit) {
    kit.connects("alice", json!({"name": "Alice", "privacy_settings": {}})).await.unwrap();
    kit.has_channel(GENERAL, &["bob"]).await;
    kit.adds(GENERAL, &["alice"]).await;
    kit.store.register_device(kit.app, &user("alice"), device("phone"), at(1)).await.unwrap();
    let (alice, bob) = (user("alice"), user("bob"));
    let wanted = parlour_store::Wanted::No { ends_at: None };
    kit.store.mute(kit.app, &alice, &bob, wanted, at(1)).await.unwrap();
    kit.store.block(kit.app, &alice, &bob, wanted, at(1)).await.unwrap();
    for n in 0..130 {
        kit.sends(GENERAL, "alice", &format!("m{n}")).await;
        kit.sends(GENERAL, "bob", &format!("b{n}")).await;
    }
    kit.removes(GENERAL, &["alice"]).await;
    kit.store.get_or_create_channel(kit.channel("messaging:now", Some("alice"), &[])).await.unwrap();
    let by_right =
        NewMessage { requires: Requires::Channel, ..kit.message("messaging:now", "alice", "last", "bye") };
    kit.store.send_message(by_right).await.unwrap();
    kit.store.create_task(work(&kit, "t1", "alice", Work::Export)).await.unwrap();
    assert_eq!(task(&kit, "t1").await.result, None);
    does_all(&kit).await;
    assert_eq!(task(&kit, "t1").await.result.as_deref(), Some("/v1/tasks/t1/result"));
    let mut text = String::new();
    for part in 0.. {
        let Some(body) = kit.store.task_output(kit.app, "t1", part).await.unwrap() else { break };
        text.push_str(&body);
    }
    let read: Vec<ExportLine> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(matches!(&read[0], ExportLine::User { user } if user.custom.contains_key("privacy_settings")));
    assert!(matches!(&read[1], ExportLine::Device { device } if device.id == "phone"));
    assert!(matches!(&read[2], ExportLine::Mute { mute } if mute.user.id == bob));
    assert!(matches!(&read[3], ExportLine::Block { block } if block.user.id == bob));
    assert!(matches!(&read[4], ExportLine::Membership { cid, .. } if cid.to_string() == "messaging:now"));
    assert!(matches!(&read[5], ExportLine::Read { .. }));
    let said: Vec<&str> = read[6..]
        .iter()
        .map(|line| match line {
            ExportLine::Message { message } => message.id.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut expected: Vec<String> = (0..130).map(|n| format!("m{n}")).collect();
    expected.push("last".to_owned());
    assert_eq!(said, expected, "hers, also where she is no member any more, and nobody else's");
}

pub(crate) async fn one_task_of_an_app_is_done_at_a_time_and_says_how_far_it_is_f2_26(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    for n in 0..150 {
        kit.sends(GENERAL, "alice", &format!("m{n}")).await;
    }
    let other = kit.other_app("other").await;
    other.has_users(&["alice"]).await;
    kit.store.create_task(work(&kit, "t1", "alice", Work::Export)).await.unwrap();
    kit.store.create_task(work(&kit, "t2", "bob", Work::Export)).await.unwrap();
    kit.store.create_task(work(&other, "t3", "alice", Work::Export)).await.unwrap();
    assert_err(kit.store.task(kit.app, "t3").await, StoreError::NotFound);
    let open = kit.store.open_tasks().await.unwrap();
    assert_eq!(open.iter().map(|task| task.app).collect::<Vec<_>>(), [kit.app, other.app]);
    let (mut percents, mut done) = (Vec::new(), Vec::new());
    while task(&kit, "t1").await.finished_at.is_none() {
        assert_eq!(task(&kit, "t2").await.status, TaskStatus::Waiting);
        kit.store.step_task(open[0], at(20)).await.unwrap();
        let now = task(&kit, "t1").await;
        percents.push(now.progress.percent);
        done.push(now.progress.done);
    }
    assert!(percents.is_sorted() && done.is_sorted(), "{percents:?} {done:?}");
    assert!(percents.iter().any(|percent| (1..100).contains(percent)), "{percents:?}");
    assert_eq!((percents.last(), done.last()), (Some(&100), Some(&153)));
    // A step of what is finished does nothing.
    kit.store.step_task(open[0], at(20)).await.unwrap();
    assert_eq!(task(&kit, "t1").await.progress.done, 153);
    let next = kit.store.open_tasks().await.unwrap();
    assert!(next[0].app == kit.app && next[0] != open[0]);

    let error = ErrorCode::Internal.because("on purpose");
    kit.store.fail_task(next[0], error.clone(), at(30)).await.unwrap();
    let failed = task(&kit, "t2").await;
    assert_eq!((failed.status, failed.error), (TaskStatus::Failed, Some(error)));

    kit.store.forget_tasks(at(20)).await.unwrap();
    assert_eq!(task(&kit, "t1").await.status, TaskStatus::Completed, "not yet");
    kit.store.forget_tasks(at(21)).await.unwrap();
    assert_err(kit.store.task(kit.app, "t1").await, StoreError::NotFound);
    assert_eq!(kit.store.task_output(kit.app, "t1", 0).await.unwrap(), None);
    assert_eq!(task(&kit, "t2").await.status, TaskStatus::Failed);
    assert_err(kit.store.create_task(work(&kit, "t9", "nobody", Work::Export)).await, StoreError::NotFound);
    let _: TaskName = next[0];
}

pub(crate) async fn a_device_belongs_to_who_registered_it_last_f2_37(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    let register = async |who: &str, id: &str| {
        kit.store.register_device(kit.app, &user(who), device(id), at(1)).await.map(|device| device.id)
    };
    for n in 0..25 {
        register("alice", &format!("d{n}")).await.unwrap();
    }
    assert_err(register("alice", "d25").await, StoreError::TooManyDevices);
    register("alice", "d3").await.unwrap();
    let me = kit.connects("alice", json!({})).await.unwrap().value.me;
    assert_eq!((me.devices.len(), me.devices[24].id.as_str()), (25, "d3"));
    register("bob", "d3").await.unwrap();
    let ids = async |who: &str| -> Vec<String> {
        let me = kit.store.me(kit.app, &user(who), at(9)).await.unwrap().unwrap();
        assert_eq!(kit.store.devices(kit.app, &user(who)).await.unwrap(), me.devices);
        me.devices.into_iter().map(|device| device.id).collect()
    };
    assert_eq!(ids("bob").await, ["d3"]);
    assert_eq!(ids("alice").await.len(), 24);
    assert_err(kit.store.remove_device(kit.app, &user("alice"), "d3").await, StoreError::NotFound);
    kit.store.remove_device(kit.app, &user("bob"), "d3").await.unwrap();
    assert!(ids("bob").await.is_empty());
    register("alice", "d25").await.unwrap();
    assert_err(register("nobody", "x").await, StoreError::NotFound);
    // Another app's device of the same id is another one.
    let other = kit.other_app("other").await;
    other.has_users(&["alice"]).await;
    other.store.register_device(other.app, &user("alice"), device("d1"), at(1)).await.unwrap();
    assert_eq!(ids("alice").await.len(), 25);
    let gone = deleting(Gone::Restorably, MessagesOfDeleted::Keep, ChannelsOfDeleted::Keep);
    kit.store.create_task(work(&kit, "t1", "alice", gone)).await.unwrap();
    assert!(
        kit.store.devices(kit.app, &user("alice")).await.unwrap().is_empty(),
        "nothing is pushed to who is gone"
    );
}
