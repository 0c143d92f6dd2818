-- Teams, what became of users, their devices, and work that takes long.

alter table users add column deactivated_at integer;
alter table users add column deleted_at integer;
-- 1 where nothing is left of the user but its id, which is not given again.
alter table users add column erased integer not null default 0;
-- How many devices it has: nearly all have none, and then a connect asks for none.
alter table users add column devices integer not null default 0;

create index users_inactive on users (app) where deactivated_at is not null or deleted_at is not null;
create index users_by_created_at on users (app, created_at, user_id);

-- From users.teams: who is in a team.
create table user_teams (
  app integer not null,
  team text not null,
  user_id text not null,
  primary key (app, team, user_id)
) strict, without rowid;

insert or ignore into user_teams (app, team, user_id)
select users.app, named.value, users.user_id from users, json_each(users.teams) as named;

-- Every member of a channel is inside its team: of it, or without any team where the channel has none.
alter table channels add column team text;

create table devices (
  -- In the order in which they were registered.
  id integer primary key autoincrement,
  app integer not null,
  device_id text not null,
  user_id text not null,
  provider text not null,
  -- Which of the app's configurations of this provider; null: the only one.
  provider_name text,
  -- What a browser gives to encrypt with; JSON.
  keys text,
  created_at integer not null,
  unique (app, device_id),
  foreign key (app, user_id) references users (app, user_id)
) strict;

create index devices_by_user on devices (app, user_id, id);

create table tasks (
  -- In the order in which they are done.
  id integer primary key autoincrement,
  app integer not null references apps (id),
  task_id text not null unique,
  kind text not null,
  subject text not null,
  -- What was asked for; JSON.
  request text not null,
  status text not null check (status in ('waiting', 'running', 'completed', 'failed')),
  -- Where the next step goes on; JSON, null before the first.
  place text,
  done integer not null default 0,
  percent integer not null default 0,
  -- Why it failed; JSON.
  error text,
  created_at integer not null,
  started_at integer,
  finished_at integer
) strict;

create index tasks_open on tasks (app, id) where finished_at is null;
create index tasks_finished on tasks (finished_at) where finished_at is not null;

-- What a task has to give, in the order in which it was written.
create table task_output (
  task integer not null references tasks (id),
  part integer not null,
  body text not null,
  primary key (task, part)
) strict, without rowid;
