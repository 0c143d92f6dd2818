//! Tokens that are taken back.

use parlour_store::{Connect, Standing, StoreError};
use parlour_wire::{Event, Timestamp};

use crate::kit::{Kit, assert_err, at, event, lines, user};

async fn standing(kit: &Kit, id: &str) -> Standing {
    kit.store.standing(kit.app, &user(id)).await.unwrap()
}

async fn revoke(kit: &Kit, id: Option<&str>, before: Option<Timestamp>) {
    kit.store.revoke_tokens(kit.app, id.map(user).as_ref(), before, at(9)).await.unwrap();
}

fn before(ms: i64) -> Standing {
    Standing { tokens_revoked_before: Some(at(ms)), ..Standing::default() }
}

pub(crate) async fn whichever_revokes_more_is_in_force_and_null_takes_it_back(kit: Kit) {
    assert_eq!(standing(&kit, "alice").await, Standing::default());
    revoke(&kit, Some("alice"), Some(at(2))).await;
    assert_eq!(
        (standing(&kit, "alice").await, standing(&kit, "bob").await),
        (before(2), Standing::default())
    );
    revoke(&kit, None, Some(at(1))).await;
    assert_eq!((standing(&kit, "alice").await, standing(&kit, "bob").await), (before(2), before(1)));
    revoke(&kit, None, Some(at(3))).await;
    assert_eq!((standing(&kit, "alice").await, standing(&kit, "bob").await), (before(3), before(3)));
    revoke(&kit, Some("alice"), None).await;
    assert_eq!(standing(&kit, "alice").await, before(3));
    revoke(&kit, None, None).await;
    assert_eq!(standing(&kit, "alice").await, Standing::default());

    let other = kit.other_app("other").await;
    revoke(&kit, None, Some(at(3))).await;
    assert_eq!(standing(&other, "alice").await, Standing::default());

    let revoked = [(None, true), (Some(2), true), (Some(3), false), (Some(4), false)];
    for (issued_at, is_revoked) in revoked {
        assert_eq!(before(3).revokes(issued_at.map(at)), is_revoked, "{issued_at:?}");
        assert!(!Standing::default().revokes(issued_at.map(at)));
    }
}

pub(crate) async fn who_comes_with_a_revoked_token_is_not_let_in_and_counts_for_nothing(kit: Kit) {
    revoke(&kit, Some("alice"), Some(at(2))).await;
    for issued_at in [None, Some(at(1))] {
        let connect = Connect { issued_at, ..kit.connect("alice") };
        assert_err(kit.store.connect(connect).await, StoreError::TokenRevoked);
    }
    assert_eq!(kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap(), None, "she is not made");
    assert_eq!(kit.store.monthly_active_users(kit.app, "2026-11").await.unwrap(), 0);
    kit.store.connect(Connect { issued_at: Some(at(2)), ..kit.connect("alice") }).await.unwrap();
}

pub(crate) async fn a_revocation_is_told_to_whom_it_concerns(kit: Kit) {
    let of_user = kit.store.revoke_tokens(kit.app, Some(&user("alice")), Some(at(2)), at(9)).await.unwrap();
    let of_app = kit.store.revoke_tokens(kit.app, None, None, at(9)).await.unwrap();
    assert_eq!(lines(&of_user.events), ["user:alice 1 tokens.revoked"]);
    assert_eq!(lines(&of_app.events), ["app:first 1 tokens.revoked"]);
    let told = Event::TokensRevoked { created_at: at(9), issued_before: Some(at(2)) };
    assert_eq!(event(&of_user.events[0]), &told);
    let told = Event::TokensRevoked { created_at: at(9), issued_before: None };
    assert_eq!(event(&of_app.events[0]), &told);
}
