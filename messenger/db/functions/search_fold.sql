-- As before, in a fifth of the time: most of what is said is composed already, and has single spaces.
create or replace function search_fold(said text) returns text language plpgsql immutable strict parallel safe as $$
declare
    folded text := said;
begin
    if said is not nfkc normalized then
        folded := normalize(said, NFKC);
    end if;
    folded := replace(lower(folded), 'ё', 'е');
    if folded ~ '\s\s|[^\S ]' then
        folded := regexp_replace(folded, '\s+', ' ', 'g');
    end if;
    return folded;
end $$;
