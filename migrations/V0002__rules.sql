-- The rules of the state machine. shared/domain/src/rules.rs says the same as a model; the stories in
-- tests/stories hold both to it. Everything here runs under the lock of the monitor's row, which comes
-- first, so there is one lock order.

-- The instant at which the next slot counts as missed.
create function slot_deadline(m monitor) returns timestamptz
language sql stable as $$
    select m.next_slot + make_interval(secs =>
        coalesce(m.start_grace_duration, m.grace_duration)
        + case when m.announces_starts or m.schedule_kind = 'every' then 0
               else coalesce(m.expected_duration, 0) end)
$$;

-- Writes where the monitor stands, and when it is due again.
create procedure save_state(m monitor)
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

-- Makes an alert of the monitor's incident, once, and a delivery to everybody who wants to hear of it.
create procedure make_alert(
    m monitor, p_type text, p_cause text, p_about text, p_at timestamptz, p_now timestamptz,
    p_slot timestamptz, p_job_id uuid, p_started_at timestamptz, p_exit_status smallint, p_began_at timestamptz
)
language plpgsql as $$
declare
    v_alert_id uuid;
begin
    insert into alert (
        tenant, monitor_id, incident_id, type, cause, about, at,
        slot, job_id, started_at, exit_status, began_at, last_success_at, timezone
    ) values (
        m.tenant, m.monitor_id, m.incident_id, p_type, p_cause, p_about, p_at,
        p_slot, p_job_id, p_started_at, p_exit_status, p_began_at, m.last_success_at, m.timezone
    )
    on conflict (monitor_id, cause, about) do nothing
    returning alert_id into v_alert_id;
    if v_alert_id is null then
        return;
    end if;

    insert into delivery (alert_id, alert_config_id, monitor_id, created_at, next_attempt_at)
    select v_alert_id, c.alert_config_id, m.monitor_id, p_now, p_now
    from alert_config c
    where c.tenant = m.tenant
      and c.active
      and case p_type when 'late' then c.on_late when 'failed' then c.on_error else c.on_recovered end
      and case when p_type = 'recovered' then
              -- Who heard of the incident hears of its end.
              exists (select from delivery d join alert a using (alert_id)
                      where a.incident_id = m.incident_id and d.alert_config_id = c.alert_config_id)
          else
              exists (select from monitor_alert_config x
                      where x.monitor_id = m.monitor_id and x.alert_config_id = c.alert_config_id)
              or c.is_default and not exists (select from monitor_alert_config x where x.monitor_id = m.monitor_id)
          end
    order by c.alert_config_id
    -- One that is being deleted is not waited for: it would only turn out to be gone.
    for key share of c skip locked;
end
$$;

-- A fail, a miss or an overrun. Makes an alert if the incident begins with it, or if it is wanted and new.
create function bad_result(
    m monitor, p_cause text, p_about text, p_at timestamptz, p_now timestamptz, p_wanted boolean,
    p_slot timestamptz, p_job_id uuid, p_started_at timestamptz, p_exit_status smallint
) returns monitor
language plpgsql as $$
declare
    v_begins boolean;
begin
    m.good_results := 0;
    m.bad_results := m.bad_results + 1;
    v_begins := m.incident_id is null and m.bad_results >= m.failure_threshold;
    if v_begins then
        m.incident_id := gen_random_uuid();
        m.incident_began_at := p_at;
        m.incident_cause := p_cause;
    end if;
    if m.incident_id is null then
        return m;
    end if;
    if m.status <> 'failed' then
        m.status := case p_cause when 'failed' then 'failed' else 'late' end;
    end if;
    if v_begins or p_wanted and (
        m.alert_on = 'every'
        or not exists (select from alert where incident_id = m.incident_id and cause = p_cause)
    ) then
        call make_alert(
            m, case p_cause when 'failed' then 'failed' else 'late' end, p_cause, p_about, p_at, p_now,
            p_slot, p_job_id, p_started_at, p_exit_status, null
        );
    end if;
    return m;
end
$$;

-- Lets everything fall due whose deadline lies before p_now, in the order of the deadlines.
create function fall_due(m monitor, p_now timestamptz) returns monitor
language plpgsql as $$
declare
    v_slot_due timestamptz;
    v_job job;
    v_explained boolean;
    v_passed timestamptz;
    -- All slots that passed since the last look make one alert, whatever alert_on says.
    v_missed_alerted boolean := false;
begin
    loop
        v_slot_due := slot_deadline(m);
        v_job := null;
        if m.open_jobs > 0 then
            select * into v_job from job
            where monitor_id = m.monitor_id and end_time is null and overran_at is null and due_at < p_now
            order by due_at, start_time, job_id limit 1;
        end if;

        if v_job.job_id is not null and (v_slot_due is null or v_job.due_at <= v_slot_due) then
            -- At the same instant the run comes first: it explains why nothing else began.
            update job set overran_at = due_at where job_id = v_job.job_id;
            m := bad_result(m, 'overran', v_job.job_id::text, v_job.due_at, p_now, true,
                            null, v_job.job_id, v_job.start_time, null);
        elsif v_slot_due < p_now then
            -- A run that overran in this incident and is still open explains the slots it sits on.
            v_explained := m.open_jobs > 0 and exists (
                select from job
                where monitor_id = m.monitor_id and end_time is null and overran_at >= m.incident_began_at);
            m := bad_result(
                m, 'missed', to_char(m.next_slot at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                v_slot_due, p_now,
                case m.alert_on when 'every' then not v_missed_alerted else not v_explained end,
                m.next_slot, null, null, null);
            v_missed_alerted := v_missed_alerted or m.incident_id is not null;
            -- Once the incident is open the slots up to now add nothing more.
            v_passed := m.next_slot;
            if m.incident_id is not null then
                v_passed := greatest(v_passed, p_now - (v_slot_due - m.next_slot) - interval '1 microsecond');
            end if;
            if m.schedule_kind = 'every' then
                m.next_slot := m.next_slot + make_interval(secs => m.every_seconds * (1 +
                    floor(extract(epoch from v_passed - m.next_slot) / m.every_seconds))::double precision);
            else
                m.next_slot := (
                    select min(slot) from slots_to_come, unnest(slots) slot
                    where monitor_id = m.monitor_id and slot > v_passed);
                if m.next_slot is null then
                    m.slots_after := v_passed;
                    m.refill_at := v_passed;
                end if;
            end if;
        else
            return m;
        end if;
    end loop;
end
$$;

-- The slots to come of a cron schedule, and from when on they run low: then late-check looks for more,
-- so that a ping need not wait for them. No slots: nothing is expected.
create function refill_slots(m monitor, p_slots timestamptz[], p_now timestamptz) returns monitor
language plpgsql as $$
declare
    v_low timestamptz := p_slots[greatest(array_length(p_slots, 1) - 8, 1)];
begin
    insert into slots_to_come (monitor_id, slots) values (m.monitor_id, p_slots)
    on conflict (monitor_id) do update set slots = excluded.slots;
    if cardinality(p_slots) = 0 then
        m.slots_after := null;
    elsif m.slots_after is not null then
        -- Whoever found these may have been overtaken: then they end too early, and are looked for again.
        select min(slot) into m.next_slot from unnest(p_slots) slot where slot > m.slots_after;
        if m.next_slot is not null then
            m.slots_after := null;
        end if;
    end if;
    m.refill_at := case
        when m.slots_after is not null then m.slots_after
        when m.armed and v_low > p_now then v_low
    end;
    return m;
end
$$;

-- A tick: judges what is due, the longest due first, at most p_limit monitors, and leaves out those that
-- somebody holds. Answers with the number judged, and those of them that need more slots.
-- Relies on the index monitor_due.
create function judge_due(p_now timestamptz, p_limit integer)
returns table (
    monitor_id uuid, schedule_version integer, cron text, timezone text, slots_after timestamptz, judged integer
)
language plpgsql as $$
#variable_conflict use_column
declare
    m monitor;
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_began timestamptz := clock_timestamp();
    v_judged integer := 0;
begin
    for m in
        select * from monitor where due_at < v_now order by due_at limit p_limit for update skip locked
    loop
        m := fall_due(m, v_now);
        call save_state(m);
        v_judged := v_judged + 1;
        if m.refill_at < v_now then
            return query select m.monitor_id, m.schedule_version, m.cron, m.timezone,
                coalesce(m.slots_after, m.next_slot - interval '1 microsecond', v_now), null::integer;
        end if;
        -- Before the statement's time is up and all of the batch was for nothing: the next one goes on.
        exit when clock_timestamp() - v_began > interval '2 seconds';
    end loop;
    return query select null::uuid, null::integer, null::text, null::text, null::timestamptz, v_judged;
end
$$;

-- Gives one monitor the slots that were found for it, unless its schedule was edited meanwhile.
create procedure give_slots(
    p_monitor_id uuid, p_schedule_version integer, p_slots timestamptz[], p_now timestamptz
)
language plpgsql as $$
declare
    m monitor;
begin
    select * into m from monitor where monitor_id = p_monitor_id for update;
    if m.schedule_version = p_schedule_version and m.schedule_kind = 'cron' then
        m := refill_slots(m, p_slots, coalesce(p_now, clock_timestamp()));
        call save_state(m);
    end if;
end
$$;

-- Before an edit: time has passed up to now, and that is judged by the rules as they were.
create procedure let_fall_due(p_monitor_id uuid, p_now timestamptz)
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

-- After a creation or an edit: what is expected from now on. p_slots are the slots after now of a cron
-- schedule, null of others.
create procedure expect(
    p_monitor_id uuid, p_armed boolean, p_next_slot timestamptz, p_slots timestamptz[], p_now timestamptz
)
language plpgsql as $$
declare
    m monitor;
begin
    select * into m from monitor where monitor_id = p_monitor_id for update;
    m.armed := p_armed;
    m.next_slot := p_next_slot;
    m.slots_after := null;
    if p_slots is null then
        delete from slots_to_come where monitor_id = p_monitor_id;
        m.refill_at := null;
    else
        m := refill_slots(m, p_slots, p_now);
    end if;
    call save_state(m);
end
$$;

-- Applies a signal: the whole of a ping, in one round trip.
-- outcome: 'applied'; 'repeated': this signal was here before; 'unknown': no monitor has this ping id;
-- 'needs_slots': nothing was applied but what fell due before it; call again with the slots after
-- p_received_at of that schedule version, and with the answer's calm_before (slots_after: give it those
-- first, with give_slots).
create function apply_signal(
    p_ping_id uuid, p_signal_id uuid, p_received_at timestamptz, p_kind text, p_rid uuid,
    p_exit_status smallint, p_source_address text, p_user_agent text, p_body bytea,
    p_slots timestamptz[] default null, p_schedule_version integer default null,
    p_calm_before boolean default null
)
returns table (
    outcome text, monitor_id uuid, schedule_version integer, cron text, timezone text, slots_after timestamptz,
    calm_before boolean, next_slot timestamptz
)
language plpgsql as $$
#variable_conflict use_column
declare
    m monitor;
    v_at timestamptz;
    v_calm_before boolean;
    v_fallen monitor; -- where the monitor stands once everything due before this signal has fallen due
    v_slots timestamptz[];
    v_slot timestamptz;
    v_following timestamptz;
    v_first_after timestamptz;
    v_has_answered boolean;
    v_was_armed boolean;
    v_answers boolean;
    v_job job;
    v_job_id uuid;
    v_abandoned integer;
begin
    select * into m from monitor where ping_id = p_ping_id for update;
    if not found then
        return query select 'unknown', null::uuid, null::integer, null::text, null::text, null::timestamptz, null::boolean, null::timestamptz;
        return;
    end if;

    -- Signals apply in the order of the lock; time never runs backwards for a monitor.
    v_at := greatest(p_received_at, m.last_signal_at);
    v_calm_before := coalesce(p_calm_before, m.incident_id is null);
    if m.due_at < v_at then
        m := fall_due(m, v_at);
        v_fallen := m;
    end if;

    if p_kind = 'log' then
        insert into signal (monitor_id, signal_id, received_at, kind, rid, source_address, user_agent, body)
        values (m.monitor_id, p_signal_id, p_received_at, p_kind, p_rid, p_source_address, p_user_agent, p_body)
        on conflict (monitor_id, signal_id) do nothing;
        outcome := case when found then 'applied' else 'repeated' end;
        if v_fallen.monitor_id is not null then
            call save_state(v_fallen);
        end if;
        return query select outcome, m.monitor_id, null::integer, null::text, null::text, null::timestamptz, null::boolean, null::timestamptz;
        return;
    end if;

    -- The open job that it ends; of a start, the same run announced before.
    if m.open_jobs > 0 then
        if p_rid is not null then
            select * into v_job from job
            where monitor_id = m.monitor_id and end_time is null and rid = p_rid
            order by start_time desc, job_id desc limit 1;
        elsif p_kind <> 'start' then
            select * into v_job from job
            where monitor_id = m.monitor_id and end_time is null and rid is null
            order by start_time desc, job_id desc limit 1;
            if not found and m.open_jobs = 1 then
                select * into v_job from job where monitor_id = m.monitor_id and end_time is null;
            end if;
        end if;
    end if;

    -- Which slot is expected once this signal has answered.
    v_slot := m.next_slot;
    -- The end of a run whose start answered a slot must not answer the one after it before its time.
    v_has_answered := p_kind <> 'start' and coalesce(v_job.answered, false);
    if m.schedule_kind = 'cron' then
        if p_schedule_version is distinct from m.schedule_version then
            p_slots := null;
        end if;
        if not m.armed or v_slot is null or v_at >= v_slot - make_interval(secs => coalesce(m.early_duration, 60)) then
            select slots || p_slots into v_slots from slots_to_come s where s.monitor_id = m.monitor_id;
            if v_slot is null then
                select min(slot) into v_slot from unnest(v_slots) slot where slot > v_at;
            end if;
            select min(slot) filter (where slot > v_slot), min(slot) filter (where slot > greatest(v_slot, v_at))
            into v_following, v_first_after
            from unnest(v_slots) slot;
            if m.slots_after is not null or p_slots is null and (v_following is null or v_first_after is null) then
                if v_fallen.monitor_id is not null then
                    call save_state(v_fallen);
                end if;
                return query select 'needs_slots', m.monitor_id, m.schedule_version, m.cron, m.timezone,
                    m.slots_after, v_calm_before, v_slot;
                return;
            end if;
            if v_at >= v_slot or not v_has_answered and
                v_at >= v_slot - coalesce(make_interval(secs => m.early_duration),
                                          least(interval '60 seconds', (v_following - v_slot) / 10)) then
                v_slot := coalesce(v_first_after, v_slot);
            end if;
            v_slots := case when p_slots is not null or not m.armed then coalesce(p_slots, v_slots) end;
        end if;
    end if;

    v_job_id := coalesce(v_job.job_id, p_signal_id);

    insert into signal (
        monitor_id, signal_id, received_at, kind, rid, exit_status, job_id, source_address, user_agent, body
    ) values (
        m.monitor_id, p_signal_id, p_received_at, p_kind, p_rid, p_exit_status, v_job_id,
        p_source_address, p_user_agent, p_body
    )
    on conflict (monitor_id, signal_id) do nothing;
    if not found then
        -- It was here before; but time has passed all the same.
        if v_fallen.monitor_id is not null then
            call save_state(v_fallen);
        end if;
        return query select 'repeated', m.monitor_id, null::integer, null::text, null::text, null::timestamptz, null::boolean, null::timestamptz;
        return;
    end if;

    v_was_armed := m.armed;
    m.armed := true;
    if v_slots is not null then
        m := refill_slots(m, v_slots, v_at);
    end if;
    m.announces_starts := p_kind = 'start' or m.announces_starts and v_job.job_id is not null;
    if m.schedule_kind = 'every' and m.announces_starts = (p_kind = 'start') then
        -- Counted from the last start if starts are announced, else from the last end.
        v_slot := greatest(v_slot, v_at + make_interval(secs => m.every_seconds));
    end if;
    v_answers := not v_was_armed or v_slot is distinct from m.next_slot;
    m.next_slot := v_slot;
    m.last_signal_at := v_at;

    if p_kind = 'start' then
        if v_job.job_id is not null then
            update job set due_at = job_deadline(m, v_at), answered = answered or v_answers
            where job_id = v_job.job_id;
        else
            insert into job (job_id, monitor_id, rid, announced, answered, start_time, due_at)
            values (v_job_id, m.monitor_id, p_rid, true, v_answers, v_at, job_deadline(m, v_at));
            m.open_jobs := m.open_jobs + 1;
            if m.open_jobs > 1000 then
                -- So many never ended: the oldest is abandoned, or one monitor's deadlines could take all of a tick.
                update job set end_time = v_at where job_id = (
                    select job_id from job where monitor_id = m.monitor_id and end_time is null
                    order by start_time, job_id limit 1);
                m.open_jobs := m.open_jobs - 1;
            end if;
        end if;
    else
        if v_job.job_id is not null then
            update job set end_time = v_at, succeeded = p_kind = 'success', exit_status = p_exit_status,
                ended_by = p_signal_id
            where job_id = v_job.job_id;
            m.open_jobs := m.open_jobs - 1;
            if v_job.rid is null and m.open_jobs > 0 then
                -- Older jobs without a run id will never be told apart: abandoned, without alert.
                update job set end_time = v_at
                where monitor_id = m.monitor_id and end_time is null and rid is null;
                get diagnostics v_abandoned = row_count;
                m.open_jobs := m.open_jobs - v_abandoned;
            end if;
        else
            insert into job (
                job_id, monitor_id, rid, announced, answered, start_time, end_time, succeeded, exit_status, ended_by
            ) values (
                v_job_id, m.monitor_id, p_rid, false, v_answers, v_at, v_at, p_kind = 'success', p_exit_status,
                p_signal_id
            );
        end if;

        if p_kind = 'fail' then
            m := bad_result(m, 'failed', v_job_id::text, v_at, v_at, true,
                            null, v_job_id, v_job.start_time, p_exit_status);
        else
            m.bad_results := 0;
            m.good_results := m.good_results + 1;
            if m.incident_id is null then
                m.status := 'up';
            elsif m.good_results >= m.recovery_threshold then
                if v_calm_before and p_calm_before is not null then
                    -- The call before this one was committed: somebody may have heard of the incident.
                    perform from delivery d join alert a using (alert_id)
                    where a.incident_id = m.incident_id for update of d;
                    v_calm_before := not exists (
                        select from delivery d join alert a using (alert_id)
                        where a.incident_id = m.incident_id and d.attempts > 0);
                end if;
                if v_calm_before then
                    -- Begun and ended within this signal: the late alerts say both.
                    update alert set succeeded_at = v_at where incident_id = m.incident_id;
                else
                    call make_alert(m, 'recovered', m.incident_cause, m.incident_id::text, v_at, v_at,
                                    null, v_job_id, null, null, m.incident_began_at);
                end if;
                m.status := 'up';
                m.incident_id := null;
                m.incident_began_at := null;
                m.incident_cause := null;
            end if;
            m.last_success_at := v_at;
        end if;
    end if;

    call save_state(m);
    return query select 'applied', m.monitor_id, null::integer, null::text, null::text, null::timestamptz, null::boolean, null::timestamptz;
end
$$;

-- The deadline of a job that starts now, fixed then. Without an expected duration a run may last until
-- the next slot and its grace.
create function job_deadline(m monitor, p_start timestamptz) returns timestamptz
language sql stable as $$
    select case when m.expected_duration is null then m.next_slot
                else p_start + make_interval(secs => m.expected_duration) end
           + make_interval(secs => m.grace_duration)
$$;
