-- The words that are said and match this pattern. Null when they are more than 500: the index would look for so many longer
-- than it takes to read documents. How many there are PostgreSQL cannot know beforehand, and might read all words.
create or replace function search_parts(pattern text) returns text[] language sql stable set enable_seqscan = off as $$
    select case when count(*) <= 500 then coalesce(array_agg(x.word), '{}') end
      from (select v.word from search_words v where v.word like pattern limit 501) x
$$;
