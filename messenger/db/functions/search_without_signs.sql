-- Signs are taken out before words are counted, in texts and in questions: those of which PostgreSQL's parser would make
-- addresses, numbers or tags.
create or replace function search_without_signs(folded text) returns text language sql immutable strict parallel safe as $$
    select translate(folded, '-./@_+&<>~=:%#?\', repeat(' ', 16))
$$;
