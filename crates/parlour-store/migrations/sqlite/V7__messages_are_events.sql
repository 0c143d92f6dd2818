-- A message is its own entry in the log: its row says everything that the event of its coming says. An entry
-- beside it remains only where a message went for good.
delete from events
where kind = 'message.new'
  and exists (select 1 from messages where messages.channel = events.topic and messages.seq = events.seq);

-- Times never step back within a topic and its seqs have no holes, so that a time is found by halving.
drop index events_by_time;

-- Whoever removes a message leaves an entry in its place, so that nobody ever sees a hole. What nobody can
-- read any more leaves none.
create trigger messages_leave_their_place after delete on messages
when old.seq > (select floor from topics where id = old.channel)
begin
  insert into events (log_id, topic, seq, kind, created_at, subject)
  values (
    -- Rows of a time when messages and entries were counted apart may share a number.
    case when exists (select 1 from events where log_id = old.id) then null else old.id end,
    old.channel, old.seq, 'message.new', old.created_at, old.message_id
  );
end;
