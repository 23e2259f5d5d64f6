-- Takes up to `most` drafts out of the inbox and appends them in the same transaction. Chats that a stranger keeps
-- locked are left for the next time, and so is the second of two drafts with one key. Answers the last position, or
-- null when nothing was appended.
create or replace function log_drain_inbox(most int) returns bigint language plpgsql as $$
declare
    d_id bigint[]; d_chat bigint[]; d_sender bigint[]; d_key text[]; d_text text[]; d_reply bigint[];
    free bigint[];
    verdict record;
begin
    if not pg_try_advisory_xact_lock(7236839) then
        return null;  -- one taker at a time keeps the order
    end if;
    select array_agg(x.id) into free
      from (select c.id from chats c
             where c.id in (select i.chat_id from inbox_drafts i group by i.chat_id order by min(i.id) limit 2 * most)
             order by c.id for no key update skip locked) x;
    with taken as (
        delete from inbox_drafts i
         where i.id in (select j.id from inbox_drafts j
                         where (j.chat_id = any (free) or not exists (select from chats c where c.id = j.chat_id))
                           and not exists (select from inbox_drafts k
                                            where k.chat_id = j.chat_id and k.sender_id = j.sender_id
                                              and k.key = j.key and k.id < j.id)
                         order by j.id limit most)
        returning i.*)
    select array_agg(t.id order by t.id), array_agg(t.chat_id order by t.id), array_agg(t.sender_id order by t.id),
           array_agg(t.key order by t.id), array_agg(t.text order by t.id), array_agg(t.reply_to order by t.id)
      into d_id, d_chat, d_sender, d_key, d_text, d_reply
      from taken t;
    if d_id is null then
        return null;
    end if;
    select * into verdict from log_append(
        d_chat, d_sender, array_fill(null::bigint, array[cardinality(d_id)]), d_key,
        array_fill(null::smallint, array[cardinality(d_id)]), d_text, d_reply,
        '{}', '{}', '{}', '{}', interval '0');
    insert into inbox_refused (id, chat_id, sender_id, key, text, reason)
    select x.id, x.chat, x.sender, x.key, x.body, x.status
      from unnest(d_id, d_chat, d_sender, d_key, d_text, verdict.s_status) as x(id, chat, sender, key, body, status)
     where x.status not in ('new', 'replayed');
    return verdict.last;
end $$;
