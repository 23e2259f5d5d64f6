-- PostgreSQL's configuration for Russian reduces words of ASCII letters by the rules of English, so one of them serves
-- both languages.
create or replace function search_words(folded text) returns tsvector language sql immutable strict parallel safe as $$
    select to_tsvector('pg_catalog.russian', public.search_without_signs(folded))
$$;
