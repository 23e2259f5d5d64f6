-- Search. The index is filled by following the log, so that sending never waits for it.
create extension if not exists pg_trgm;
create extension if not exists btree_gin;

-- One form for what was said and for what is looked for: composed, small letters, е for ё, one space for any. The same
-- is done in Python (apps/search/words.py) with what people type.
create function search_fold(said text) returns text language sql immutable strict parallel safe as $$
    select regexp_replace(replace(lower(normalize(said, NFKC)), 'ё', 'е'), '\s+', ' ', 'g')
$$;

-- Words and their forms. Punctuation is taken out first: PostgreSQL's parser would make one word of `foo.png`.
create function search_words(folded text) returns tsvector language sql immutable strict parallel safe as $$
    select to_tsvector('pg_catalog.russian', w) || to_tsvector('pg_catalog.english', w)
      from translate(folded, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)) as w
$$;

create table search_documents (
    message_id bigint not null,
    chat_id bigint not null,
    sender_id bigint not null,
    seq bigint not null,
    sent_at timestamptz not null,
    text text not null,
    ts tsvector not null,
    primary key (message_id, chat_id)
);
-- The chat stands inside both, so that of a common word only what few chats say of it has to be read; for a rare one it is
-- cheaper to look at all who say it, and the planner does.
create index search_documents_ts_idx on search_documents using gin (chat_id, ts);
create index search_documents_text_idx on search_documents using gin (chat_id, text gin_trgm_ops);

-- Follows the log by up to `most` entries, in one transaction with its position. Answers how far it stands, the head, and
-- how many documents were written or removed; nulls while somebody else follows.
create function search_follow(most int, out upto bigint, out head bigint, out changed int) language plpgsql as $$
declare
    here bigint;
    found int;
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
    -- What was deleted, and on a second way through the log whatever has no message any more.
    delete from search_documents d
     where (d.message_id > here and d.message_id <= upto
            and not exists (select from messages g where g.id = d.message_id and g.deleted_at is null))
        or d.message_id in (select e.subject_id from log_entries e
                             where e.position > here and e.position <= upto and e.kind = 'message_deleted');
    get diagnostics gone = row_count;
    changed := changed + gone;
    update log_followers f set position = upto, at = clock_timestamp() where f.name = 'search' and f.position <> upto;
    -- What waits to be sorted in would be read word by word by every question, once for each chat: it is sorted in now,
    -- a batch at a time, which costs a fraction of sorting in single rows.
    if changed > 0 then
        perform gin_clean_pending_list('search_documents_ts_idx'), gin_clean_pending_list('search_documents_text_idx');
    end if;
end $$;

-- From the start again, beside the documents that are there: they serve until they are looked at anew.
create function search_restart() returns void language sql as $$
    insert into log_followers (name, position)
    select 'search', 0 union all (select 'search begun', position from log_head order by position desc limit 1)
        on conflict (name) do update set position = excluded.position, at = clock_timestamp()
$$;

-- What somebody asked to be looked for in the background.
create table search_tasks (
    id bigint generated always as identity primary key,
    asker_id bigint,                       -- null: nobody signed in, on a test rig
    text text not null,
    status text not null default 'WAITING' check (status in ('WAITING', 'IN_PROCESS', 'SUCCESS', 'FAILED')),
    progress int not null default 0,       -- of 100
    attempts int not null default 0,       -- also tells one try from the next: a late worker finishes nothing
    hits int not null default 0,           -- found, and still to be fetched
    created_at timestamptz not null default clock_timestamp(),
    lease_until timestamptz,               -- whoever works on it is alive until then
    expires_at timestamptz not null
);
create index search_tasks_open_idx on search_tasks (id) where status in ('WAITING', 'IN_PROCESS');
create index search_tasks_expires_at_idx on search_tasks (expires_at);

-- Fast and forgetful: empty after a crash of the database, which `hits` then tells.
create unlogged table search_results (
    task_id bigint not null,
    place int not null,
    chat_id bigint not null,
    message_id bigint not null,
    primary key (task_id, place)
);
