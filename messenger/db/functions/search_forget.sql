-- Of these words those that nobody says any more are forgotten. The commonest are recognised by the newest documents, since
-- the index would count all who say them. Reading all documents for a word looks cheap to PostgreSQL, which does not know
-- that hardly anybody says these.
create or replace function search_forget(unsaid text[]) returns void language sql set enable_seqscan = off as $$
    delete from search_words k
     where k.word = any(
               select w from unnest(unsaid) w
               except select w from (select words from search_documents order by message_id desc limit 2000) d, unnest(d.words) w)
       and not exists (select from search_documents d where d.words @> array[k.word])
$$;
