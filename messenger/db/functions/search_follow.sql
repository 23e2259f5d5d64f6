-- Follows the log by up to `most` entries, in one transaction with its position. Answers how far it stands, the head, and
-- how many documents were written or removed; nulls while somebody else follows.
create or replace function search_follow(most int, out upto bigint, out head bigint, out changed int) language plpgsql as $$
declare
    here bigint;
    found int;
    deleted int;
    gone int;
begin
    if not pg_try_advisory_xact_lock(7236840) then
        return;
    end if;
    select f.position into here from log_followers f where f.name = 'search';
    if here is null then
        perform search_restart();
        here := 0;
    end if;
    -- Edits that were pruned before they were followed have left no trace: everything is looked at anew. What was read
    -- since the follower began (the head of that moment) knows of them.
    if (select k.after_position from log_kept k) > greatest(here, (select f.position from log_followers f where f.name = 'search begun'))
    then
        perform search_restart();
        here := 0;
    end if;
    select h.position into strict head from log_head h order by h.position desc limit 1;
    select max(l.position), count(*) into upto, found
      from (select g.position from log g where g.position > here and g.position <= head order by g.position limit most) l;
    if found < most then
        upto := head;
    end if;
    with touched as (
        select g.id, g.chat_id, g.sender_id, g.seq, g.sent_at, g.text from messages g
         where g.id > here and g.id <= upto and g.deleted_at is null
        union
        select g.id, g.chat_id, g.sender_id, g.seq, g.sent_at, g.text
          from log_entries e join messages g on g.id = e.subject_id and g.deleted_at is null
         where e.position > here and e.position <= upto and e.kind = 'message_edited')
    insert into search_documents as d (message_id, chat_id, sender_id, seq, sent_at, text, ts)
    select t.id, t.chat_id, t.sender_id, t.seq, t.sent_at, f.folded, search_words(f.folded)
      from touched t cross join lateral search_fold(coalesce(t.text, '')) as f(folded)
        on conflict (message_id, chat_id) do update set text = excluded.text, ts = excluded.ts
     where d.text is distinct from excluded.text or d.ts is distinct from excluded.ts;
    get diagnostics changed = row_count;
    -- What was deleted, and on a second way through the log whatever has no message any more. Two statements: joined by
    -- `or` they would read every document there is.
    delete from search_documents d using log_entries e
     where e.position > here and e.position <= upto and e.kind = 'message_deleted' and d.message_id = e.subject_id;
    get diagnostics deleted = row_count;
    delete from search_documents d
     where d.message_id > here and d.message_id <= upto
       and not exists (select from messages g where g.id = d.message_id and g.deleted_at is null);
    get diagnostics gone = row_count;
    changed := changed + deleted + gone;
    update log_followers f set position = upto, at = clock_timestamp() where f.name = 'search' and f.position <> upto;
    -- What waits to be sorted in would be read word by word by every question, once for each chat: it is sorted in now,
    -- a batch at a time, which costs a fraction of sorting in single rows.
    if changed > 0 then
        perform gin_clean_pending_list('search_documents_ts_idx'), gin_clean_pending_list('search_documents_text_idx');
    end if;
end $$;
