-- What somebody asked for, as a condition on the documents `d`: `terms` as they were typed, each in one of the `choices`
-- between which stood an `or`, wanted or excluded. They are folded, and words are counted, by what does it for the index.
-- A term of letters and digits is a word in any form, or a part of words when it has three letters. What has any other
-- character in it (a space, a sign) must stand there to the letter as well. A choice is of words only: to look for parts in
-- several ways at once would take several times as long.
-- `words` is what to rank by. Both are null when nothing is asked for, or only words that say nothing by themselves.
create or replace function search_condition(
    terms text[], choices int[], exclusions boolean[], out condition text, out words tsquery
) language sql stable as $$
    with folded as (
        select t.choice, t.is_excluded, btrim(search_fold(t.term)) as term
          from unnest(terms, choices, exclusions) t(term, choice, is_excluded)),
    known as (
        select f.choice, f.is_excluded, f.term ~ '[^[:alnum:]]' as is_literal,
               '%' || regexp_replace(f.term, '([\\%_])', '\\\1', 'g') || '%' as pattern,
               nullif(phraseto_tsquery('pg_catalog.russian', search_without_signs(f.term))::text, '') as words,
               (select max(length(w)) from regexp_split_to_table(f.term, '[^[:alnum:]]+') w) as longest
          from folded f),
    wanted as (
        select k.choice, max(k.longest) as longest, max(k.longest) filter (where k.is_literal) as longest_literal,
               string_agg('(' || k.words || ')', ' & ')::tsquery as words,
               array_agg(k.pattern order by k.longest desc, length(k.pattern) desc) as patterns,
               array_agg(k.pattern) filter (where k.is_literal)::text as literals
          from known k where not k.is_excluded group by k.choice),
    excluded as (
        select k.choice, array_agg(k.pattern)::text as patterns,
               array_agg(k.pattern) filter (where k.is_literal)::text as literals,
               (string_agg('(' || k.words || ')', ' | ') filter (where not k.is_literal))::tsquery as words
          from known k where k.is_excluded group by k.choice),
    ways as (
        select w.words, coalesce(w.words && !!x.words, w.words)::text as query,
               concat(' and d.text like all(' || quote_literal(w.literals) || ')',
                      ' and not d.text like any(' || quote_literal(x.literals) || ')') as to_the_letter,
               case when count(*) over () = 1 and w.longest >= 3 and (w.words is not null or w.longest_literal >= 3)
                   then concat(
                       'd.text like ', quote_literal(w.patterns[1]),
                       ' and d.text like all(' || quote_literal(nullif(w.patterns[2:], '{}')) || ')',
                       ' and not d.text like any(' || quote_literal(x.patterns) || ')',
                       ' and not d.ts @@ ' || quote_literal(x.words) || '::tsquery')
               end as by_parts
          from wanted w left join excluded x using (choice))
    select nullif(concat_ws(' or ',
               'd.ts @@ ' || quote_literal(string_agg('(' || query || ')', ' | ') filter (where to_the_letter = '')) || '::tsquery',
               string_agg('d.ts @@ ' || quote_literal(query) || '::tsquery' || to_the_letter, ' or ')
                   filter (where to_the_letter <> ''),
               string_agg(by_parts, ' or ')), ''),
           string_agg('(' || ways.words::text || ')', ' | ')::tsquery
      from ways
$$;
