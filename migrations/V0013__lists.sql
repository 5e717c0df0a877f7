-- What the list of monitors is ordered and found by.

-- last_run_at came with V0006: of monitors that last ran before, it is the start of their newest job. In the order of
-- their ids, like everybody who locks several monitors.
with without as materialized (
    select monitor_id from monitor
    where last_run_at is null and last_signal_at is not null
    order by monitor_id for no key update
)
update monitor set last_run_at = newest.start_time
from without
cross join lateral (
    select start_time from job where job.monitor_id = without.monitor_id order by start_time desc limit 1
) newest
where monitor.monitor_id = without.monitor_id;

-- A text in which case makes no difference. A database may have been made with a locale that knows the letters of
-- English alone; ICU knows all of them, where PostgreSQL was built with it. It would be immutable, but PostgreSQL carries
-- out such a function, as a statement of its own, before it puts it into the statement that calls it.
do $$
begin
    execute format(
        'create function folded(p_text text) returns text language sql stable parallel safe as %L',
        case when exists (select from pg_collation where collname = 'und-x-icu')
             then 'select lower(p_text collate "und-x-icu")' else 'select lower(p_text)' end);
end
$$;
