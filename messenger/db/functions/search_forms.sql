-- The words that are said and are forms of this one. Null for a word that says nothing by itself.
create or replace function search_forms(word text) returns text[] language sql stable as $$
    select array(select v.word from search_words v where v.stems @> s.stems)
      from (select search_stems(word) as stems) s where s.stems <> '{}'
$$;
