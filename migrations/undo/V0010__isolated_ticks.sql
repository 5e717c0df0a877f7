-- Undoes migrations/V0010__isolated_ticks.sql.
drop procedure put_off;
drop index alert_oldest_first;

create or replace function judge_due(
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

create or replace function prune_history(
    p_now timestamptz, p_monitors integer, p_most integer,
    out monitors integer, out deleted integer, out at_end boolean
)
language plpgsql as $$
declare
    v_walk history_walk;
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_monitor record;
    v_cutoff timestamptz;
    v_rows integer;
    v_began timestamptz := clock_timestamp();
    v_stopped boolean := false;
begin
    monitors := 0;
    deleted := 0;
    at_end := false;
    select * into v_walk from history_walk for update skip locked;
    if not found then
        return;
    end if;
    for v_monitor in
        select m.monitor_id, coalesce(r.most_pings, 5000) as most_pings,
               v_now - make_interval(secs => coalesce(r.history_duration, 7776000)) as too_old
        from monitor m left join retention r using (tenant)
        where m.monitor_id > v_walk.done_up_to
        order by m.monitor_id limit p_monitors
    loop
        -- The oldest one that stays, as far as the number goes. What came at the same instant stays too.
        v_cutoff := greatest(v_monitor.too_old, (
            select received_at from signal where monitor_id = v_monitor.monitor_id
            order by received_at desc offset v_monitor.most_pings - 1 limit 1));
        delete from signal where ctid = any (array(
            select ctid from signal
            where monitor_id = v_monitor.monitor_id and received_at < v_cutoff
            order by received_at limit p_most - deleted for update skip locked));
        get diagnostics v_rows = row_count;
        deleted := deleted + v_rows;

        v_cutoff := greatest(v_monitor.too_old, (
            select start_time from job where monitor_id = v_monitor.monitor_id
            order by start_time desc offset v_monitor.most_pings - 1 limit 1));
        delete from job where ctid = any (array(
            select ctid from job
            where monitor_id = v_monitor.monitor_id and start_time < v_cutoff and end_time is not null
            order by start_time limit p_most - deleted for update skip locked));
        get diagnostics v_rows = row_count;
        deleted := deleted + v_rows;
        delete from unknown_verdict
        where monitor_id = v_monitor.monitor_id and deadline_at < v_monitor.too_old;
        -- There may be more of this one: the next call takes it up again.
        v_stopped := deleted >= p_most;
        exit when v_stopped;
        monitors := monitors + 1;
        v_walk.done_up_to := v_monitor.monitor_id;
        -- Counting up to a long history's end takes its time, too.
        v_stopped := clock_timestamp() - v_began > interval '1 second';
        exit when v_stopped;
    end loop;
    at_end := monitors < p_monitors and not v_stopped;
    if at_end then
        -- A person had a month to look at what could not be applied.
        delete from parked_signal where parked_at < v_now - interval '30 days';
    end if;
    update history_walk set done_up_to = case when at_end
        then '00000000-0000-0000-0000-000000000000' else v_walk.done_up_to end;
end
$$;
