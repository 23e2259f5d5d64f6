-- Signs are taken out before words are counted, in texts and in questions: those of which PostgreSQL's parser would make
-- addresses, numbers or tags.
create or replace function search_without_signs(folded text) returns text language sql immutable strict parallel safe as $$
    select translate(folded, '-./@_+&<>~=:%#?\', repeat(' ', 16))
$$;
-- PostgreSQL's configuration for Russian reduces words of ASCII letters by the rules of English, so one of them serves
-- both languages.
create or replace function search_words(folded text) returns tsvector language sql immutable strict parallel safe as $$
    select to_tsvector('pg_catalog.russian', public.search_without_signs(folded))
$$;
-- What somebody asked for, as a condition on the documents `d`: `terms` as they were typed, each in one of the `choices`
-- between which stood an `or`, wanted or excluded. They are folded, and words are counted, by what does it for the index.
-- A term of letters and digits is a word in any form, or a part of words when it has three letters. What has any other
-- character in it (a space, a sign) must stand there to the letter as well. A choice is of words only: to look for parts in
-- several ways at once would take several times as long.
-- `words` is what to rank by. Both are null when nothing is asked for, or only words that say nothing by themselves.
create or replace function search_condition(
    terms text[], choices int[], exclusions boolean[], out condition text, out words tsquery
) language sql stable as $$
    with folded as (
        select t.choice, t.is_excluded, btrim(search_fold(t.term)) as term
          from unnest(terms, choices, exclusions) t(term, choice, is_excluded)),
    known as (
        select f.choice, f.is_excluded, f.term ~ '[^[:alnum:]]' as is_literal,
               '%' || regexp_replace(f.term, '([\\%_])', '\\\1', 'g') || '%' as pattern,
               nullif(phraseto_tsquery('pg_catalog.russian', search_without_signs(f.term))::text, '') as words,
               (select max(length(w)) from regexp_split_to_table(f.term, '[^[:alnum:]]+') w) as longest
          from folded f),
    wanted as (
        select k.choice, max(k.longest) as longest, max(k.longest) filter (where k.is_literal) as longest_literal,
               string_agg('(' || k.words || ')', ' & ')::tsquery as words,
               array_agg(k.pattern order by k.longest desc, length(k.pattern) desc) as patterns,
               array_agg(k.pattern) filter (where k.is_literal)::text as literals
          from known k where not k.is_excluded group by k.choice),
    excluded as (
        select k.choice, array_agg(k.pattern)::text as patterns,
               array_agg(k.pattern) filter (where k.is_literal)::text as literals,
               (string_agg('(' || k.words || ')', ' | ') filter (where not k.is_literal))::tsquery as words
          from known k where k.is_excluded group by k.choice),
    ways as (
        select w.words, coalesce(w.words && !!x.words, w.words)::text as query,
               concat(' and d.text like all(' || quote_literal(w.literals) || ')',
                      ' and not d.text like any(' || quote_literal(x.literals) || ')') as to_the_letter,
               case when count(*) over () = 1 and w.longest >= 3 and (w.words is not null or w.longest_literal >= 3)
                   then concat(
                       'd.text like ', quote_literal(w.patterns[1]),
                       ' and d.text like all(' || quote_literal(nullif(w.patterns[2:], '{}')) || ')',
                       ' and not d.text like any(' || quote_literal(x.patterns) || ')',
                       ' and not d.ts @@ ' || quote_literal(x.words) || '::tsquery')
               end as by_parts
          from wanted w left join excluded x using (choice))
    select nullif(concat_ws(' or ',
               'd.ts @@ ' || quote_literal(string_agg('(' || query || ')', ' | ') filter (where to_the_letter = '')) || '::tsquery',
               string_agg('d.ts @@ ' || quote_literal(query) || '::tsquery' || to_the_letter, ' or ')
                   filter (where to_the_letter <> ''),
               string_agg(by_parts, ' or ')), ''),
           string_agg('(' || ways.words::text || ')', ' | ')::tsquery
      from ways
$$;
-- The documents that answer a question, in the chats that the asker is in at this moment (null: in all of them), newest
-- or best first. `needed`: how far the index must have come for the answer to be complete. Null: to the head of the log;
-- when it is not there yet the answer is null, so that the caller may wait for it.
-- How often something is said decides how it is best looked for, so each question is planned for its own words; the
-- default price of a page out of turn is that of a turning disk.
create or replace function search_find(
    asker bigint, terms text[], choices int[], exclusions boolean[], is_ranked boolean, most int, often int,
    chats bigint[], chat bigint, sender bigint, since timestamptz, until timestamptz,
    after_rank real, before bigint, needed bigint,
    out is_open boolean, out head bigint, out is_complete boolean, out messages bigint[], out places bigint[], out ranks real[]
) language plpgsql stable set random_page_cost = 1.1 as $$
declare
    -- Read to see how often something is said, a millisecond or two. Three of 2000 are often: the next twenty are some
    -- 14,000 documents away, about as much work as finding all that say it through the index.
    lately constant int := 2000;
    -- Ranked are the newest of what fits; nobody reads further, and a rank means opening the document.
    most_ranked constant int := 1000;
    question record;
    answers text;
    found int;
begin
    is_open := chat is null or exists(
        select from chats c where c.id = chat and c.deleted_at is null
           and (asker is null or exists(select from members m where m.chat_id = c.id and m.user_id = asker)));
    select coalesce(needed, h.position), f.position >= coalesce(needed, h.position)
      into strict head, is_complete
      from (select position from log_head order by position desc limit 1) h
      left join log_followers f on f.name = 'search';
    is_complete := coalesce(is_complete, head = 0);
    if not is_open or needed is null and not is_complete then
        return;
    end if;
    select * into question from search_condition(terms, choices, exclusions);
    if question.condition is null then
        messages := '{}'; places := '{}'; ranks := '{}';
        return;
    end if;
    answers := concat(
        ' from ', case when asker is null then 'chats c' else 'members m join chats c on c.id = m.chat_id and m.user_id = $1' end,
        ' join %s d on d.chat_id = c.id where c.deleted_at is null and (', replace(question.condition, '%', '%%'), ')',
        case when chats is not null then ' and d.chat_id = any($2)' end,
        case when chat is not null then ' and d.chat_id = $3' end,
        case when sender is not null then ' and d.sender_id = $4' end,
        case when since is not null then ' and d.sent_at >= $5' end,
        case when until is not null then ' and d.sent_at < $6' end,
        case when before is not null and not is_ranked then ' and d.message_id < $7' end);
    -- Among the newest there are, or the next after an earlier page, does this asker find it again and again? Only then
    -- may PostgreSQL read from the newest on until there is enough. It guesses that from a hundred texts, and would read
    -- everything when one of them happens to hold a rare word.
    execute format('select count(*) from (select' || answers || ' limit $8) x', format(
            '(select * from search_documents %s order by message_id desc limit %s)',
            case when before is not null and not is_ranked then 'where message_id < $7' end, lately))
       into found using asker, chats, chat, sender, since, until, before, often;
    answers := format(
        'select d.message_id, d.chat_id, %s as rank' || answers || ' order by d.message_id %s limit $8',
        case when is_ranked and question.words is not null then 'ts_rank(d.ts, $9)' else '0::real' end,
        'search_documents',
        case when found = often then 'desc' else '+ 0 desc' end);  -- no index is in that order
    if is_ranked then
        answers := concat(
            'select * from (', answers, ') x', case when before is not null then ' where (rank, message_id) < ($10, $7)' end,
            ' order by rank desc, message_id desc limit $11');
    end if;
    execute 'select coalesce(array_agg(message_id), ''{}''), coalesce(array_agg(chat_id), ''{}''), coalesce(array_agg(rank), ''{}'')
               from (' || answers || ') x'
       into messages, places, ranks
      using asker, chats, chat, sender, since, until, before,
            case when is_ranked then most_ranked else most end, question.words, after_rank, most;
end $$;
-- Follows the log by up to `most` entries, in one transaction with its position. Answers how far it stands, the head, and
-- how many documents were written or removed; nulls while somebody else follows. With a question waiting (`is_asked`) that
-- step is waited for, a second at most.
create or replace function search_follow(
    most int, is_asked boolean default false, out upto bigint, out head bigint, out changed int
) language plpgsql set lock_timeout = '1s' as $$
declare
    here bigint;
    found int;
    deleted int;
    gone int;
begin
    if is_asked then
        perform pg_advisory_xact_lock(7236840);
    elsif not pg_try_advisory_xact_lock(7236840) then
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
