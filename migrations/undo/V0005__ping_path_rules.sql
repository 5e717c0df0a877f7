drop function prune_history;
drop function judge_due(timestamptz, integer, timestamptz, timestamptz);
drop function apply_signal(uuid, bytea, text, text, uuid, timestamptz, text, uuid, smallint, text, text, bytea, bytea,
    integer, boolean, boolean, timestamptz[], integer, boolean);
drop function apply_older_signal, withdraw_lateness, kind_by_keywords, create_by_ping;

-- Writes where the monitor stands, and when it is due again.
create or replace procedure save_state(m monitor)
language plpgsql as $$
declare
    v_job_due timestamptz;
begin
    if m.open_jobs > 0 then
        select min(due_at) into v_job_due from job
        where monitor_id = m.monitor_id and end_time is null and overran_at is null;
    end if;
    update monitor set
        revision = m.revision + 1,
        status = m.status,
        armed = m.armed,
        announces_starts = m.announces_starts,
        next_slot = m.next_slot,
        slots_after = m.slots_after,
        refill_at = m.refill_at,
        bad_results = m.bad_results,
        good_results = m.good_results,
        open_jobs = m.open_jobs,
        incident_id = m.incident_id,
        incident_began_at = m.incident_began_at,
        incident_cause = m.incident_cause,
        last_signal_at = m.last_signal_at,
        last_success_at = m.last_success_at,
        due_at = least(slot_deadline(m), v_job_due, m.refill_at)
    where monitor_id = m.monitor_id;
end
$$;

-- Before an edit: time has passed up to now, and that is judged by the rules as they were.
create or replace procedure let_fall_due(p_monitor_id uuid, p_now timestamptz)
language plpgsql as $$
declare
    m monitor;
begin
    select * into m from monitor where monitor_id = p_monitor_id for update;
    if m.due_at < p_now then
        call save_state(fall_due(m, p_now));
    end if;
end
$$;
