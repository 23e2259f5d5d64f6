-- What a word is reduced to, the same for all its forms; nothing for a word that says nothing by itself. PostgreSQL's
-- configuration for Russian reduces words of ASCII letters by the rules of English, so one of them serves both languages.
create or replace function search_stems(word text) returns text[] language sql immutable strict parallel safe as $$
    select tsvector_to_array(to_tsvector('pg_catalog.russian', word))
$$;
