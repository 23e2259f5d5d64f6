-- Is a cursor good? 'resync': an unknown epoch, a position of a branch that was lost, or older than what is kept.
create or replace function log_cursor_is_good(the_epoch text, the_position bigint) returns boolean language sql stable as $$
    select coalesce((
        select the_position >= (select after_position from log_kept)
           and the_position <= coalesce(
               (select min(f.after_position) from log_epochs f where f.number > e.number),
               (select max(position) from log_head))
          from log_epochs e where e.epoch = the_epoch), false)
$$;
