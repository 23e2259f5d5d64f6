-- The first number of a chat whose position is beyond p: numbers and positions rise together, so it is a binary search
-- in (chat_id, seq). STABLE on purpose: it must look with the snapshot of the statement that calls it.
create or replace function log_first_after(the_chat bigint, head_seq bigint, head_id bigint, p bigint) returns bigint
language plpgsql stable as $$
declare
    low bigint := least(greatest(1, head_seq - (head_id - p) + 1), head_seq + 1);
    high bigint := head_seq + 1;
    middle bigint;
    found_id bigint;
begin
    while low < high loop
        middle := (low + high) / 2;
        select g.id into found_id from messages g where g.chat_id = the_chat and g.seq >= middle order by g.seq limit 1;
        if found_id is null or found_id > p then high := middle; else low := middle + 1; end if;
    end loop;
    return low;
end $$;
