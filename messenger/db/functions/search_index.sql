-- Makes the documents of these messages right: those after one up to another, and those that were changed. Answers how many
-- documents were written or removed. Only under the lock of the follower, who does this, as rebuilding and repair do.
create or replace function search_index(after bigint, upto bigint, edited bigint[]) returns int language plpgsql as $$
declare
    before text[];
    written int;
    changed int;
    gone int;
begin
    -- Two selects here and below: joined by `or` they would read every document there is.
    before := array(select w from search_documents d, unnest(d.words) w where d.message_id > after and d.message_id <= upto
                    union select w from search_documents d, unnest(d.words) w where d.message_id = any(edited));
    with touched as (
        select g.* from messages g where g.id > after and g.id <= upto and g.deleted_at is null
        union all
        select g.* from messages g where g.id = any(edited) and not (g.id > after and g.id <= upto) and g.deleted_at is null),
    read as materialized (
        select t.id, t.chat_id, t.sender_id, t.seq, t.sent_at, f.folded, search_split(f.folded) as words
          from touched t cross join lateral search_fold(coalesce(t.text, '')) as f(folded)),
    learned as (
        insert into search_words (word, stems)
        select w, search_stems(w)
          from (select distinct w collate "C" as w from read, unnest(read.words) w) x
         where not exists (select from search_words k where k.word = x.w))
    insert into search_documents as d (message_id, chat_id, sender_id, seq, sent_at, text, words)
    select r.* from read r
        on conflict (message_id, chat_id) do update
       set sender_id = excluded.sender_id, seq = excluded.seq, sent_at = excluded.sent_at,
           text = excluded.text, words = excluded.words
     where (d.sender_id, d.seq, d.sent_at, d.text, d.words)
           is distinct from (excluded.sender_id, excluded.seq, excluded.sent_at, excluded.text, excluded.words);
    get diagnostics written = row_count;
    -- Deleted since they were looked at: their words count among those of before.
    with removed as (
        delete from search_documents d
         where d.message_id > after and d.message_id <= upto
           and not exists (select from messages g where g.id = d.message_id and g.chat_id = d.chat_id and g.deleted_at is null)
        returning d.words)
    select count(*), before || array(select unnest(r.words) from removed r) into gone, before from removed;
    with removed as (
        delete from search_documents d
         where d.message_id = any(edited)
           and not exists (select from messages g where g.id = d.message_id and g.chat_id = d.chat_id and g.deleted_at is null)
        returning d.words)
    select count(*), before || array(select unnest(r.words) from removed r) into changed, before from removed;
    changed := changed + written + gone;
    -- What waits to be sorted in would be read word by word by every question, once for each chat: it is sorted in now,
    -- a batch at a time, which costs a fraction of sorting in single rows.
    if changed > 0 then
        perform gin_clean_pending_list('search_documents_words_idx'), gin_clean_pending_list('search_words_word_idx');
        if before <> '{}' then
            perform search_forget(array(
                select unnest(before)
                except (select w from search_documents d, unnest(d.words) w where d.message_id > after and d.message_id <= upto
                        union all select w from search_documents d, unnest(d.words) w where d.message_id = any(edited))));
        end if;
    end if;
    return changed;
end $$;
