//! Who tries what: everybody that a route, a frame or an event can be about.

use serde_json::{Value, json};

use crate::kit::{SECRET, sign_raw, unsigned};
use crate::simulated::{SECRET_ELSEWHERE, START_MS};

/// Somebody who tries.
pub(super) struct Actor {
    pub(super) name: &'static str,
    /// The user that is heard, where there is one.
    pub(super) user: Option<&'static str>,
    pub(super) role: &'static str,
    pub(super) place: Place,
    proof: Proof,
}

/// What somebody is in the channel that it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Outside,
    Member,
    Moderator,
    Owner,
    /// Is a member, and banned from the channel.
    Banned,
    /// Was a member.
    Removed,
}

/// What somebody shows at the door.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    Token,
    Expired,
    /// Signed with the secret of the other app.
    Forged,
    Server,
    /// A server that acts as the user.
    ServerAs,
    /// That it is nobody.
    Anonymous,
    /// A good token of the other app, shown there.
    Elsewhere,
    ServerElsewhere,
    /// A good token of somebody who is banned from the app.
    Banned,
}

const fn actor(
    name: &'static str,
    user: Option<&'static str>,
    role: &'static str,
    place: Place,
    proof: Proof,
) -> Actor {
    Actor { name, user, role, place, proof }
}

/// What comes of listening without a connection.
pub(super) const DEAF: &str = "deaf";

/// All of them. Whoever adds one finds out from the test which cells it changes.
pub(super) const ACTORS: &[Actor] = &[
    actor("nobody", None, "", Place::Outside, Proof::Nothing),
    actor("expired", Some("member"), "user", Place::Member, Proof::Expired),
    actor("forged", Some("member"), "user", Place::Member, Proof::Forged),
    actor("anonymous", None, "", Place::Outside, Proof::Anonymous),
    actor("user_elsewhere", Some("member"), "user", Place::Outside, Proof::Elsewhere),
    actor("server_elsewhere", None, "", Place::Outside, Proof::ServerElsewhere),
    actor("guest", Some("guest"), "guest", Place::Outside, Proof::Token),
    actor("outsider", Some("outsider"), "user", Place::Outside, Proof::Token),
    actor("removed", Some("removed"), "user", Place::Removed, Proof::Token),
    actor("member", Some("member"), "user", Place::Member, Proof::Token),
    actor("moderator", Some("moderator"), "user", Place::Moderator, Proof::Token),
    actor("owner", Some("owner"), "user", Place::Owner, Proof::Token),
    actor("banned", Some("banned"), "user", Place::Member, Proof::Banned),
    actor("banned_here", Some("banned_here"), "user", Place::Banned, Proof::Token),
    actor("shadow_banned", Some("shadow_banned"), "user", Place::Member, Proof::Token),
    actor("moderator_role", Some("moderator_role"), "moderator", Place::Outside, Proof::Token),
    actor("admin_role", Some("admin_role"), "admin", Place::Outside, Proof::Token),
    actor("server_as_member", Some("member"), "user", Place::Member, Proof::ServerAs),
    actor("server", None, "", Place::Outside, Proof::Server),
];

impl Actor {
    /// The token, signed as of the simulated now; empty where there is none.
    pub(super) fn token(&self) -> String {
        let user = json!({ "user_id": self.user });
        let (claims, secret) = match self.proof {
            Proof::Nothing => return String::new(),
            Proof::Anonymous => return unsigned(&json!({ "user_id": "!anonymous-actor-1" })),
            Proof::Token | Proof::Banned => (user, SECRET),
            Proof::Expired => (json!({ "user_id": self.user, "exp": START_MS / 1_000 - 60 }), SECRET),
            Proof::Forged => (user, SECRET_ELSEWHERE),
            Proof::Server | Proof::ServerAs => (json!({ "server": true }), SECRET),
            Proof::Elsewhere => (user, SECRET_ELSEWHERE),
            Proof::ServerElsewhere => (json!({ "server": true }), SECRET_ELSEWHERE),
        };
        sign_raw(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string(), secret)
    }

    pub(super) fn app(&self) -> &'static str {
        match self.proof {
            Proof::Elsewhere | Proof::ServerElsewhere => "other",
            Proof::Nothing
            | Proof::Anonymous
            | Proof::Token
            | Proof::Banned
            | Proof::Expired
            | Proof::Forged
            | Proof::Server
            | Proof::ServerAs => "dev",
        }
    }

    /// The headers of its requests.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("X-Parlour-App", self.app().to_owned())];
        if self.proof != Proof::Nothing {
            headers.push(("Authorization", format!("Bearer {}", self.token())));
        }
        if let (Proof::ServerAs, Some(user)) = (self.proof, self.user) {
            headers.push(("X-Parlour-User", user.to_owned()));
        }
        headers
    }

    /// What comes of it wherever a request has to show a token, if it is refused there.
    pub(super) fn at_the_door(&self) -> Option<&'static str> {
        match self.proof {
            Proof::Nothing => Some("token_missing"),
            Proof::Expired => Some("token_expired"),
            Proof::Forged => Some("token_signature"),
            Proof::Banned => Some("user_banned"),
            Proof::Anonymous
            | Proof::Token
            | Proof::Server
            | Proof::ServerAs
            | Proof::Elsewhere
            | Proof::ServerElsewhere => None,
        }
    }

    /// What comes of `hello`, if it lets nobody in.
    pub(super) fn at_hello(&self) -> Option<&'static str> {
        match self.proof {
            Proof::Nothing => Some("token_malformed"),
            Proof::Expired | Proof::Forged | Proof::Banned => self.at_the_door(),
            Proof::Server | Proof::ServerAs | Proof::ServerElsewhere => Some("server_token_cannot_connect"),
            Proof::Anonymous | Proof::Token | Proof::Elsewhere => None,
        }
    }

    /// What `hello` says.
    pub(super) fn hello(&self) -> Value {
        json!({
            "type": "hello", "app_key": self.app(), "token": self.token(), "presence": "all",
            "client": { "instance": self.name, "page": "p", "version": 1 },
        })
    }
}
