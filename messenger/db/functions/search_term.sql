-- One term of a question as a condition on the documents `d`, in two ways that mean the same. `by_words` is for the index:
-- a part is replaced by the words that have it. `by_text` is for reading one document after the other.
-- A term of letters and digits is a word in any form, or a part of a word when it, or a term beside it, has three letters
-- (`has_part`). With any other character in it (a space, a sign) it must stand there to the letter; the words inside it are
-- whole at every such character, and are words in any form when nothing has three letters.
-- `is_sought`: the index can look for it. `ranked` is what to rank by. Nothing is asked for by a word that says nothing.
create or replace function search_term(
    term text, is_excluded boolean, has_part boolean, out by_words text, out by_text text, out is_sought boolean, out ranked tsquery
) language plpgsql stable as $$
declare
    folded constant text := btrim(search_fold(term));
    pieces constant text[] := search_split(folded);
    is_literal constant boolean := folded ~ '[^[:alnum:]]' or length(folded) > 256;
    stands constant text := 'd.text like ' || quote_literal('%' || regexp_replace(folded, '([\\%_])', '\\\1', 'g') || '%');
    forms text[];
    keys text[];
    piece text;
    place bigint;
    is_begun boolean;
    is_ended boolean;
begin
    is_sought := false;
    if is_literal then
        by_text := stands;
    else
        forms := search_forms(folded);
        by_text := 'd.words && ' || quote_literal(forms);
    end if;
    if is_excluded then
        by_text := 'not ' || by_text;
        by_words := by_text;
    elsif is_literal then
        by_words := stands;
        for piece, place in select * from unnest(pieces) with ordinality loop
            is_begun := place > 1 or folded ~ '^[^[:alnum:]]';
            is_ended := place < cardinality(pieces) or folded ~ '[^[:alnum:]]$';
            if not has_part then
                keys := search_forms(piece);
            elsif length(piece) > 256 then
                is_sought := true;
                keys := search_parts('%' || left(piece, 256) || '%');
            elsif is_begun and is_ended then
                keys := array[piece];
            elsif length(piece) >= 3 then
                is_sought := true;
                keys := search_parts(concat(case when not is_begun then '%' end, piece, case when not is_ended then '%' end));
            else
                keys := null;
            end if;
            by_words := concat(by_words, ' and d.words && ' || quote_literal(keys));
            is_sought := is_sought or keys is not null;
        end loop;
        if not has_part then
            by_text := by_words;
        end if;
        ranked := (select string_agg(quote_literal(p), ' <-> ')::tsquery from unnest(pieces) p);
    elsif forms is not null then
        is_sought := true;
        if has_part then
            by_text := '(' || stands || ' or ' || by_text || ')';
        end if;
        by_words := by_text;
        if length(folded) >= 3 then
            keys := search_parts('%' || folded || '%');
            by_words := case when keys is null then by_text else 'd.words && ' || quote_literal(keys || forms) end;
        end if;
        ranked := (select string_agg(quote_literal(f), ' | ')::tsquery from unnest(forms) f);
    end if;
end $$;
