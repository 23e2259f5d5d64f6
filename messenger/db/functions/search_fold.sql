-- One form for what was said and for what is looked for: composed, small letters, е for ё, one space for any. Most texts
-- are composed already and have single spaces, and are not taken apart. Highlights need the same in Python (search/words.py).
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
