-- Ticks that are fair: those that are due can be judged in an order of the caller's, and what finds slots neither
-- holds up judging nor is tried again with every tick. The judge_due with fewer parameters stays beside this one
-- until no version calls it any more.

-- Judges what is due, at most p_limit monitors, and leaves out those that somebody holds: the longest due first, or of
-- p_ids those that are due, in that order. Answers with the number judged, and those of them that need more slots:
-- that is asked for once a minute, whatever becomes of it.
-- p_not_after: when the spool was known to be empty, by Postgres' clock; nothing that falls due after it is
-- judged. If more than two seconds passed since, something was slow, and pings may have been put into the spool
-- meanwhile: then nothing is judged, and the number is -1.
-- Relies on the index monitor_due, or on the primary key.
create function judge_due(
    p_now timestamptz, p_limit integer, p_not_after timestamptz, p_looked_at timestamptz, p_ids uuid[]
)
returns table (
    monitor_id uuid, schedule_version integer, cron text, timezone text, slots_after timestamptz, judged integer
)
language plpgsql as $$
#variable_conflict use_column
declare
    m monitor;
    v_due refcursor;
    v_began timestamptz := clock_timestamp();
    v_now timestamptz := least(coalesce(p_now, v_began), p_not_after);
    v_judged integer := 0;
    v_needs_slots boolean;
begin
    if v_began - p_looked_at > interval '2 seconds' then
        return query select null::uuid, null::integer, null::text, null::text, null::timestamptz, -1;
        return;
    end if;
    if p_ids is null then
        open v_due for
            select * from monitor where due_at < v_now order by due_at limit p_limit for update skip locked;
    else
        open v_due for
            select monitor.* from unnest(p_ids) with ordinality wanted (id, turn) join monitor on monitor_id = wanted.id
            where due_at < v_now order by wanted.turn limit p_limit for update of monitor skip locked;
    end if;
    loop
        fetch v_due into m;
        exit when not found;
        m := fall_due(m, v_now);
        v_needs_slots := coalesce(m.refill_at < v_now, false);
        if v_needs_slots then
            -- Whoever hears of it gives them at once; when that goes wrong, this is when it is asked for again.
            m.refill_at := v_now + interval '1 minute';
        end if;
        call save_state(m);
        v_judged := v_judged + 1;
        if v_needs_slots then
            return query select m.monitor_id, m.schedule_version, m.cron, m.timezone,
                coalesce(m.slots_after, m.next_slot - interval '1 microsecond', v_now), null::integer;
        end if;
        -- Before the statement's time is up and all of the batch was for nothing: the next one goes on.
        exit when clock_timestamp() - v_began > interval '2 seconds';
    end loop;
    close v_due;
    return query select null::uuid, null::integer, null::text, null::text, null::timestamptz, v_judged;
end
$$;

-- Gives each of these monitors the slots that were found for it, unless its schedule was edited meanwhile. Answers
-- with those that somebody holds, which got none: who waits for one while holding others might wait in a circle.
-- p_slots: of each monitor an array, as text.
create function give_slots_to(p_ids uuid[], p_schedule_versions integer[], p_slots text[], p_now timestamptz)
returns setof uuid
language plpgsql as $$
declare
    m monitor;
begin
    for i in 1 .. cardinality(p_ids) loop
        select * into m from monitor where monitor_id = p_ids[i] for update skip locked;
        if not found then
            return next p_ids[i];
        elsif m.schedule_version = p_schedule_versions[i] and m.schedule_kind = 'cron' then
            m := refill_slots(m, p_slots[i]::timestamptz[], coalesce(p_now, clock_timestamp()));
            call save_state(m);
        end if;
    end loop;
end
$$;
