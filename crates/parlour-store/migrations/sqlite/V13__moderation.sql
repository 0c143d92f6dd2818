-- Who is kept from what, and what was reported.

create table bans (
  -- In the order in which they were made.
  id integer primary key autoincrement,
  app integer not null references apps (id),
  user_id text not null,
  -- The channel's row; 0: the whole app.
  channel integer not null,
  -- 1 where the user is not to notice.
  shadow integer not null,
  reason text,
  banned_by text,
  created_at integer not null,
  -- From then on it means nothing, whether the row is still there or not; null: never.
  ends_at integer,
  unique (app, user_id, channel)
) strict;

create index bans_by_channel on bans (app, channel, id);

create table mutes (
  app integer not null references apps (id),
  user_id text not null,
  target text not null,
  created_at integer not null,
  ends_at integer,
  primary key (app, user_id, target)
) strict, without rowid;

create table blocks (
  app integer not null references apps (id),
  user_id text not null,
  target text not null,
  created_at integer not null,
  primary key (app, user_id, target)
) strict, without rowid;

create table flags (
  -- In the order in which they were raised.
  id integer primary key autoincrement,
  app integer not null references apps (id),
  reporter text not null,
  -- The user, or who sent the message.
  target text not null,
  -- The channel's row and the message in it; 0 and '': it is the user that is flagged.
  channel integer not null,
  message_id text not null,
  reason text,
  created_at integer not null,
  unique (app, reporter, target, channel, message_id)
) strict;

create index flags_by_app on flags (app, id);

-- 1: nobody but its sender sees it; 2: and its sender wanted it silent. In both cases `silent` is 1, for it counts as
-- unread for nobody.
alter table messages add column shadowed integer not null default 0;
-- What a message became for its sender alone, who was shadow-banned when editing it; JSON.
alter table messages add column shadow_edit text;

-- Who is inactive is now part of how somebody stands, which is asked by user.
drop index users_inactive;
