-- Times are milliseconds since 1970-01-01T00:00:00Z; seqs begin at 1. JSON columns hold compact JSON text.

create table store (
  id integer primary key check (id = 1),
  -- The log's incarnation: cursors of another one mean nothing here.
  epoch text not null
) strict;

insert into store (id, epoch) values (1, lower(hex(randomblob(16))));

create table apps (
  id integer primary key autoincrement,
  key text not null unique,
  secret text not null,
  mode text not null check (mode in ('development', 'production')),
  created_at integer not null
) strict;

create table users (
  id integer primary key,
  app integer not null references apps (id),
  user_id text not null,
  role text not null,
  teams text not null,
  fields text not null,
  -- From fields, where they are texts: what stands beside every message and member.
  name text,
  image text,
  -- From fields: 0 where the user lets nobody see what it has read.
  receipts integer not null,
  created_at integer not null,
  updated_at integer not null,
  last_active integer,
  unique (app, user_id)
) strict;

-- The row that each write of a topic waits for: it makes the seqs an order. It outlives its channel, so
-- that no seq is ever given twice. Ids are never used again.
create table topics (
  id integer primary key autoincrement,
  app integer not null references apps (id),
  topic text not null,
  head integer not null default 0,
  -- The last seq that cannot be read any more, and when that happened.
  floor integer not null default 0,
  floor_at integer not null default 0,
  -- When the last event was; never steps back.
  last_at integer not null default 0,
  unique (app, topic)
) strict;

-- Kinds and what they are about, not bodies: an event is rendered from the present state when it is read.
create table events (
  log_id integer primary key autoincrement,
  topic integer not null references topics (id),
  seq integer not null,
  kind text not null,
  created_at integer not null,
  -- The id of the message, the user or the channel that it is about.
  subject text,
  n1 integer,
  n2 integer,
  n3 integer,
  unique (topic, seq)
) strict;

create index events_by_time on events (topic, created_at, seq);

create table channels (
  -- The channel's topic.
  id integer primary key references topics (id),
  app integer not null references apps (id),
  cid text not null,
  type text not null,
  channel_id text not null,
  created_by text,
  data text not null,
  member_count integer not null default 0,
  created_at integer not null,
  updated_at integer not null,
  last_message_at integer,
  last_message_seq integer not null default 0,
  unique (app, cid)
) strict;

create index channels_by_type on channels (app, type);

create table members (
  -- In the order in which they joined.
  id integer primary key autoincrement,
  app integer not null,
  channel integer not null references channels (id),
  user_id text not null,
  role text not null,
  created_at integer not null,
  hidden_up_to integer not null,
  last_read_seq integer not null,
  last_read_at integer not null,
  unique (channel, user_id),
  foreign key (app, user_id) references users (app, user_id)
) strict;

create index members_by_channel on members (channel);
create index members_by_user on members (app, user_id);

create table messages (
  id integer primary key,
  app integer not null,
  channel integer not null references channels (id),
  seq integer not null,
  message_id text not null,
  sender text not null,
  type text not null,
  text text not null,
  attachments text not null,
  mentioned text not null,
  silent integer not null,
  custom text not null,
  -- A digest of what was sent at first: tells the same send again from another one under the same id.
  content blob not null,
  created_at integer not null,
  updated_at integer not null,
  edited_at integer,
  deleted_at integer,
  unique (app, message_id),
  unique (channel, seq)
) strict;

-- The messages that count as unread.
create index messages_counted on messages (channel, seq, sender)
  where silent = 0 and deleted_at is null and type <> 'system';

-- Ids of messages that are gone, kept a while so that no outbox brings them back.
create table tombstones (
  app integer not null,
  message_id text not null,
  cid text not null,
  seq integer not null,
  sender text not null,
  content blob not null,
  created_at integer not null,
  deleted_at integer not null,
  primary key (app, message_id)
) strict, without rowid;

create index tombstones_by_time on tombstones (deleted_at);

create table active_users (
  app integer not null references apps (id),
  month text not null,
  user_id text not null,
  primary key (app, month, user_id)
) strict, without rowid;

-- Only minutes in which connections opened or closed; a quiet minute has the value carried into it.
create table connection_minutes (
  app integer not null references apps (id),
  minute integer not null,
  peak integer not null,
  last integer not null,
  primary key (app, minute)
) strict, without rowid;
