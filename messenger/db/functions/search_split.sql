-- The words of a folded text, in their order: runs of letters and digits, so whatever part of a word is looked for stands
-- inside one of them. An index entry holds 2 KB, so a longer word is cut into pieces of 511 letters, each beginning in the
-- middle of the one before: a part of up to 256 letters stands inside one of these.
create or replace function search_split(folded text) returns text[] language plpgsql immutable strict parallel safe as $$
declare
    words text[] := array_remove(regexp_split_to_array(folded, '[^[:alnum:]]+'), '');
begin
    if length(folded) > 511 then
        words := array(select substr(w, n, 511)
                         from unnest(words) with ordinality u(w, place), generate_series(1, greatest(length(w) - 256, 1), 255) n
                        order by place, n);
    end if;
    return words;
end $$;
