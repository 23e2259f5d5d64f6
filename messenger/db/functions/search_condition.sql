-- What somebody asked for, as a condition on the documents `d`, in the two ways of search_term: `terms` as they were typed,
-- each in one of the `choices` between which stood an `or`, wanted or excluded. All are null when nothing is asked for, or
-- only words that say nothing by themselves.
create or replace function search_condition(
    terms text[], choices int[], exclusions boolean[], out by_words text, out by_text text, out ranked tsquery
) language sql stable as $$
    with said as (
        select a.choice, string_agg(t.by_words, ' and ') as by_words, string_agg(t.by_text, ' and ') as by_text,
               string_agg('(' || t.ranked::text || ')', ' & ') as ranked
          from (select u.*, bool_or(not u.is_excluded and f.folded ~ '[[:alnum:]]{3}'
                                    and (f.folded ~ '[^[:alnum:]]' or search_stems(f.folded) <> '{}'))
                            over (partition by u.choice) as has_part
                  from unnest(terms, choices, exclusions) u(term, choice, is_excluded)
                 cross join lateral btrim(search_fold(u.term)) f(folded)) a
         cross join lateral search_term(a.term, a.is_excluded, a.has_part) t
         group by a.choice having bool_or(t.is_sought))
    select string_agg('(' || said.by_words || ')', ' or '), string_agg('(' || said.by_text || ')', ' or '),
           string_agg('(' || said.ranked || ')', ' | ')::tsquery
      from said
$$;
