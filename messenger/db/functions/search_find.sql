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
    if question.by_words is null then
        messages := '{}'; places := '{}'; ranks := '{}';
        return;
    end if;
    answers := concat(
        ' from ', case when asker is null then 'chats c' else 'members m join chats c on c.id = m.chat_id and m.user_id = $1' end,
        ' join %s d on d.chat_id = c.id where c.deleted_at is null and (%s)',
        case when chats is not null then ' and d.chat_id = any($2)' end,
        case when chat is not null then ' and d.chat_id = $3' end,
        case when sender is not null then ' and d.sender_id = $4' end,
        case when since is not null then ' and d.sent_at >= $5' end,
        case when until is not null then ' and d.sent_at < $6' end,
        case when before is not null and not is_ranked then ' and d.message_id < $7' end);
    -- Among the newest there are, or the next after an earlier page, does this asker find it again and again? Only then
    -- may PostgreSQL read from the newest on until there is enough. It guesses that from a hundred texts, and would read
    -- everything when one of them happens to hold a rare word.
    execute format('select count(*) from (select' || answers || ' limit $8) x',
                   format('(select * from search_documents %s order by message_id desc limit %s)',
                          case when before is not null and not is_ranked then 'where message_id < $7' end, lately),
                   question.by_text)
       into found using asker, chats, chat, sender, since, until, before, often;
    answers := format(
        'select d.message_id, d.chat_id, %s as rank' || answers || ' order by d.message_id %s limit $8',
        case when is_ranked and question.ranked is not null
             then 'ts_rank(to_tsvector(''simple'', array_to_string(d.words, '' '')), $9)' else '0::real' end,
        'search_documents',
        case when found = often then question.by_text else question.by_words end,
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
            case when is_ranked then most_ranked else most end, question.ranked, after_rank, most;
end $$;
