//! Many at once.

use std::collections::BTreeSet;

use parlour_store::{Page, Sent, Store};
use tokio::task::JoinSet;

use crate::kit::{Kit, channel_topic, cid, message_id};

const GENERAL: &str = "messaging:general";

pub(crate) async fn a_hundred_get_or_creates_make_one_channel(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    let mut racing = JoinSet::new();
    for n in 0..100 {
        let kit = kit.clone();
        racing.spawn(async move {
            let (creator, member) = if n % 2 == 0 { ("alice", "bob") } else { ("bob", "alice") };
            let new = kit.channel(GENERAL, Some(creator), &[member]);
            kit.store.get_or_create_channel(new).await.unwrap()
        });
    }
    let answers = racing.join_all().await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.value).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(answers.iter().map(|answer| answer.events.len()).sum::<usize>(), 5);
    assert_eq!(kit.head(channel_topic(GENERAL)).await, 3);
}

pub(crate) async fn sixty_four_senders_leave_no_hole_l5_1(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let mut racing = JoinSet::new();
    for sender in 0..64 {
        let kit = kit.clone();
        racing.spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..10 {
                seqs.push(kit.sends(GENERAL, "alice", &format!("m{sender}-{n}")).await.seq);
            }
            assert!(seqs.is_sorted(), "one after the other");
            seqs
        });
    }
    let seqs: BTreeSet<_> = racing.join_all().await.into_iter().flatten().collect();
    assert_eq!(seqs, (3..=642).collect());
}

pub(crate) async fn the_same_send_a_hundred_times_is_one_message(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let mut racing = JoinSet::new();
    for _ in 0..100 {
        let kit = kit.clone();
        racing.spawn(async move {
            kit.store.send_message(kit.message(GENERAL, "alice", "m1", "hello")).await.unwrap().value
        });
    }
    let answers = racing.join_all().await;
    assert_eq!(answers.iter().filter(|sent| matches!(sent, Sent::New(_))).count(), 1);
    let page = kit.store.messages(kit.app, &cid(GENERAL), Page::Latest, 100, 0, None).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    assert_eq!(kit.head(channel_topic(GENERAL)).await, 3);
}

pub(crate) async fn everybody_reads_what_was_acknowledged(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let mut racing = JoinSet::new();
    for reader in 0..8 {
        let kit = kit.clone();
        racing.spawn(async move {
            for n in 0..25 {
                let id = format!("m{reader}-{n}");
                let seq = kit.sends(GENERAL, "alice", &id).await.seq;
                let store: &dyn Store = kit.store.as_ref();
                assert_eq!(
                    store.message(kit.app, &cid(GENERAL), &message_id(&id), None).await.unwrap().seq,
                    seq
                );
                assert!(kit.head(channel_topic(GENERAL)).await >= seq);
            }
        });
    }
    racing.join_all().await;
}
