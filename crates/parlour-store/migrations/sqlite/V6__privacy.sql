-- `users.receipts` counts the times at which the user began to let others see what it has read: positive while it
-- does, negative or 0 while it does not. A read position is shown only in the time in which it was reached: what was
-- read while nobody was to see it stays unseen when others may see again.
update users set receipts = -1 where receipts = 0;

-- The user's `receipts` when the member got to where it has read.
alter table members add column read_in integer not null default 1;

-- From fields: 1 where the user wishes to be seen by nobody.
alter table users add column invisible integer not null default 0;
update users set invisible = 1 where fields ->> '$.invisible' = 1;
