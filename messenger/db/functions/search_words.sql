-- PostgreSQL's configuration for Russian reduces words of ASCII letters by the rules of English, so one of them serves
-- both languages. Of the signs only those are taken out of which its parser would make addresses, numbers or tags.
create or replace function search_words(folded text) returns tsvector language sql immutable strict parallel safe as $$
    select to_tsvector('pg_catalog.russian', translate(folded, '-./@_+&<>~=:%#?\', repeat(' ', 16)))
$$;
