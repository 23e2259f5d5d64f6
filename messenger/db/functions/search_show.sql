-- What of a page of hits may be shown now: the chats among these that are open to the asker; and the forms of words, each
-- by both languages, for what is highlighted.
create or replace function search_show(
    asker bigint, chats bigint[], words text[], out open bigint[], out forms text[]
) language sql stable as $$
    select array(select c.id from chats c
                  where c.id = any(chats) and c.deleted_at is null
                    and (asker is null or exists(select from members m where m.chat_id = c.id and m.user_id = asker))),
           array(select array_to_string(ts_lexize('russian_stem', w) || ts_lexize('english_stem', w), ' ')
                   from unnest(words) with ordinality u(w, place) order by place)
$$;
