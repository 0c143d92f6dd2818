-- What was counted in a minute (60,000 ms) or an hour (3,600,000 ms), where anything changed; a quiet one has the
-- value carried into it. Lists of five are connections by cause: first device, further device, extra tab, leak
-- suspect, reconnect overlap.
create table usage_periods (
  app integer not null references apps (id),
  length integer not null,
  start integer not null,
  -- The most at one moment, and what is there at the end.
  peak integer not null,
  last integer not null,
  peak_by_cause text not null,
  last_by_cause text not null,
  opened text not null,
  closed integer not null,
  -- Tabs without a connection of their own: the most at one moment, and at the end.
  tabs_saved integer not null,
  last_tabs_saved integer not null,
  primary key (app, length, start)
) strict, without rowid;

-- The last moment at which everything was as it is recorded: where a process ends without a word, its
-- connections ended then.
create table usage_recorded (
  id integer primary key check (id = 1),
  at integer not null
) strict;

-- What was counted before causes were: every connection stands as a first device.
insert into usage_periods
select app, 60000, minute, peak, last, '[' || peak || ',0,0,0,0]', '[' || last || ',0,0,0,0]', '[0,0,0,0,0]', 0, 0, 0
from connection_minutes;

-- The row of the hour's highest peak, with the end of its last minute.
insert into usage_periods
select minutes.app, 3600000, minutes.hour, max(minutes.peak), final.last, '[' || max(minutes.peak) || ',0,0,0,0]',
       '[' || final.last || ',0,0,0,0]', '[0,0,0,0,0]', 0, 0, 0
from (select app, minute - minute % 3600000 as hour, max(peak) as peak, max(minute) as final
      from connection_minutes group by app, hour) as minutes
join connection_minutes as final on final.app = minutes.app and final.minute = minutes.final
group by minutes.app, minutes.hour;

insert into usage_recorded select 1, max(minute) from connection_minutes having max(minute) is not null;
