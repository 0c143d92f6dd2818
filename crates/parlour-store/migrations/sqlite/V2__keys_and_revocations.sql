-- What was issued to users before a time is no longer good; null: nothing is revoked.
alter table apps add column tokens_revoked_before integer;
-- What the app chose, as JSON; what is absent has its default.
alter table apps add column settings text not null default '{}';

-- What was issued to one user before a time. The user need not exist: a token may be older than its user.
create table token_revocations (
  app integer not null references apps (id),
  user_id text not null,
  before integer not null,
  primary key (app, user_id)
) strict, without rowid;

-- Further keys that an app's tokens may be signed with. A kid is never used again for another key.
create table app_keys (
  id integer primary key autoincrement,
  app integer not null references apps (id),
  kid text not null,
  algorithm text not null,
  -- A secret, or the public half of a pair.
  material text not null,
  -- What its tokens may do, as a JSON list.
  scopes text not null,
  created_at integer not null,
  -- From then on its tokens are refused; null: never.
  expires_at integer,
  last_used_at integer,
  removed_at integer,
  unique (app, kid)
) strict;
