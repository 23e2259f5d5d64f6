-- Counts the floor of one chat anew after its members changed (under the chat's lock).
-- Answers the run of messages that became read by all, or nulls.
create or replace function log_refloor(the_chat bigint, out was bigint, out now bigint) language plpgsql as $$
declare
    lowest bigint;
    standing int;
    present int;
begin
    select m.read_seq, count(*), sum(count(*)) over () into lowest, standing, present
      from members m where m.chat_id = the_chat group by m.read_seq order by m.read_seq limit 1;
    update chats c
       set floor_seq = coalesce(lowest, c.head_seq), floor_count = coalesce(standing, 0),
           read_seq = case when present > 1 then greatest(c.read_seq, lowest) else c.read_seq end
      from chats old
     where c.id = the_chat and old.id = c.id
    returning old.read_seq, c.read_seq into was, now;
    if was = now then
        was := null;
        now := null;
    end if;
end $$;
