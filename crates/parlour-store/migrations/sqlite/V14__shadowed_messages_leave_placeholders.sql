-- What only its sender saw leaves a place into which nobody sees, and not the word that a message went.
drop trigger messages_leave_their_place;

create trigger messages_leave_their_place after delete on messages
when old.seq > (select floor from topics where id = old.channel)
begin
  insert into events (log_id, topic, seq, kind, created_at, subject)
  values (
    -- Rows of a time when messages and entries were counted apart may share a number.
    case when exists (select 1 from events where log_id = old.id) then null else old.id end,
    old.channel, old.seq, iif(old.shadowed, 'placeholder', 'message.new'), old.created_at,
    iif(old.shadowed, null, old.message_id)
  );
end;
