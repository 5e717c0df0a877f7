-- One monitor that can't be judged holds up nobody, and what was told long ago is deleted with the history.

-- When alerts of a monitor are too old to be kept.
create index alert_oldest_first on alert (monitor_id, at);

-- Since when it is due though it can't be judged.
alter table monitor add column put_off_from timestamptz;
create index monitor_put_off on monitor (put_off_from) where put_off_from is not null;

-- Judges what is due, at most p_limit monitors, and leaves out those that somebody holds: the longest due first, or of
-- p_ids those that are due, in that order. Answers with the number judged, and those of them that need more slots:
-- that is asked for once a minute, whatever becomes of it.
-- p_not_after: when the spool was known to be empty, by Postgres' clock; nothing that falls due after it is
-- judged. If more than two seconds passed since, something was slow, and pings may have been put into the spool
-- meanwhile: then nothing is judged, and the number is -1.
-- Of a monitor's runs 100 fall due at once, so that nobody waits long for it; then it is due again. Whether there is
-- more than was judged, for that reason or because it took too long, stands in schedule_version beside the number.
-- Relies on the index monitor_due, or on the primary key.
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
    v_more boolean := false;
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
        m := fall_due(m, v_now, 100);
        v_needs_slots := coalesce(m.refill_at < v_now, false);
        if v_needs_slots then
            -- Whoever hears of it gives them at once; when that goes wrong, this is when it is asked for again.
            m.refill_at := v_now + interval '1 minute';
        end if;
        call save_state(m);
        v_judged := v_judged + 1;
        if v_needs_slots then
            return query select m.monitor_id, m.schedule_version, m.cron, m.timezone,
                -- Those before the next one too: when a pause ends before them, they are expected.
                coalesce(m.slots_after, least(m.next_slot - interval '1 microsecond', v_now)), null::integer;
        end if;
        v_more := v_more or m.open_jobs > 0 and exists (
            select from job
            where job.monitor_id = m.monitor_id and end_time is null and overran_at is null and job.due_at < v_now);
        if clock_timestamp() - v_began > interval '500 milliseconds' then
            -- The next one goes on: where the spool was looked into, what is due by turns must have its turn within two
            -- seconds of that.
            v_more := true;
            exit;
        end if;
    end loop;
    close v_due;
    return query select null::uuid, v_more::integer, null::text, null::text, null::timestamptz, v_judged;
end
$$;

-- This monitor could not be judged: it is tried again in a minute, and meanwhile holds up nobody.
create procedure put_off(p_monitor_id uuid, p_now timestamptz)
language sql as $$
    update monitor set
        put_off_from = coalesce(put_off_from, due_at), due_at = coalesce(p_now, clock_timestamp()) + interval '1 minute'
    where monitor_id = p_monitor_id and due_at < coalesce(p_now, clock_timestamp())
$$;

-- Goes on with the walk over all monitors that deletes old history: pings and ended jobs that are older than the
-- tenant keeps them, or more than it keeps of one monitor; alerts and their deliveries that are older. At most
-- p_monitors are looked at and some p_most rows deleted, so that it is over soon; it waits for nobody, and of two at
-- once one does nothing. Answers with both numbers, and whether the walk came to its end (the next call begins anew).
-- Relies on the primary key of monitor and the indexes signal_newest_first, job_newest_first, alert_oldest_first and
-- alert_notice.
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
    v_alerts integer;
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
        select m.monitor_id, m.incident_began_at, coalesce(r.most_pings, 5000) as most_pings,
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
        -- With their deliveries, of which each may have many. Not those of an incident that lasts, or whose end is held
        -- back: who heard of it is to hear that, too. Nor what somebody is still to hear.
        delete from alert where ctid = any (array(
            select ctid from alert a
            where monitor_id = v_monitor.monitor_id and at < least(v_monitor.too_old, v_monitor.incident_began_at)
              and not exists (
                  select from alert h
                  where h.monitor_id = a.monitor_id and h.held and h.incident_id = a.incident_id)
              and not exists (select from delivery d where d.alert_id = a.alert_id and next_attempt_at is not null)
            order by at limit least(200, p_most - deleted) for update skip locked));
        get diagnostics v_alerts = row_count;
        deleted := deleted + v_alerts;
        delete from unknown_verdict
        where monitor_id = v_monitor.monitor_id and deadline_at < v_monitor.too_old;
        -- There may be more of this one: the next call takes it up again.
        v_stopped := deleted >= p_most or v_alerts = 200;
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
        -- What was not judged in it goes with it.
        delete from outage_span where ended_at < v_now - interval '400 days' and noticed_at is not null;
        delete from alert a
        where monitor_id is null and at < v_now - interval '400 days'
          and not exists (select from delivery d where d.alert_id = a.alert_id and next_attempt_at is not null);
    end if;
    update history_walk set done_up_to = case when at_end
        then '00000000-0000-0000-0000-000000000000' else v_walk.done_up_to end;
end
$$;

-- A tick ends that judged what fell due before p_until, all of it when p_judged says so. p_seen_at: on one machine,
-- when it was there. p_longest: a pause between two ticks that is longer is a span of its own, unless pings could
-- not come in either. still_due: somebody held what is left. waits: what is due
-- has to wait for pings or proofs.
-- Relies on the index monitor_due.
create or replace function end_tick(
    p_now timestamptz, p_until timestamptz, p_judged boolean, p_seen_at timestamptz, p_longest interval,
    out still_due boolean, out waits boolean
)
language plpgsql as $$
declare
    w late_check_watch;
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_told_until timestamptz;
    -- With what waits left out all that was due has not been judged.
    v_complete boolean := p_judged and p_until > v_now - interval '1 minute';
begin
    select * into w from late_check_watch for update;
    if v_complete and v_now - w.ticked_at > p_longest and not exists (
        select from outage_span
        where kind = 'blind' and began_at < v_now and (ended_at is null or ended_at > w.ticked_at)
    ) then
        insert into outage_span (span_id, kind, began_at, ended_at)
        values (gen_random_uuid(), 'delayed', w.ticked_at, v_now);
    end if;
    update late_check_watch set
        ticked_at = case when v_complete then v_now else ticked_at end,
        ingest_seen_at = coalesce(p_seen_at, ingest_seen_at),
        judges_until = case when p_seen_at is null then judges_until else p_until end;
    still_due := exists (select from monitor where due_at < p_until);
    waits := exists (select from monitor where due_at >= p_until and due_at < v_now);
    -- What fell due in it and is left, for somebody holds it or it takes more than one tick, belongs into the notice;
    -- but nobody waits for it for long.
    v_told_until := least(p_until, greatest(
        coalesce((select min(due_at) from monitor where due_at < p_until), p_until), v_now - interval '5 minutes'));
    if p_judged and exists (select from outage_span where noticed_at is null and ended_at <= v_told_until) then
        call tell_of_outages(v_now, v_told_until, 500);
    end if;
end
$$;

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
        counted_from = m.counted_from,
        counted_pings = m.counted_pings,
        last_run_at = m.last_run_at,
        too_often = m.too_often,
        too_fast = m.too_fast,
        paused_at = m.paused_at,
        resumes_at = m.resumes_at,
        snooze_ends_at = m.snooze_ends_at,
        held_until = m.held_until,
        put_off_from = null,
        due_at = case when m.paused_at is not null then m.resumes_at
                      -- Which slot is next has to be found first.
                      when least(v_job_due, m.held_until) > m.slots_after then m.refill_at
                      else least(slot_deadline(m), v_job_due, m.refill_at, m.held_until) end
    where monitor_id = m.monitor_id;
end
$$;

-- Lets everything fall due whose deadline lies before p_now, in the order of the deadlines; of runs p_most at most, as
-- if somebody had looked in between, and then it is due again. Null: all.
create function fall_due(m monitor, p_now timestamptz, p_most integer) returns monitor
language plpgsql as $$
declare
    v_runs integer := 0;
    v_slot_due timestamptz;
    v_job job;
    v_next timestamptz;
    v_explained boolean;
    v_passed timestamptz;
    v_blind outage_span;
    -- All slots that passed since the last look make one alert, whatever alert_on says.
    v_missed_alerted boolean := false;
begin
    loop
        if m.paused_at is not null then
            if m.resumes_at >= p_now or m.resumes_at is null then
                return m;
            end if;
            m := resumed(m, m.resumes_at);
        end if;
        v_slot_due := slot_deadline(m);
        v_job := null;
        if m.open_jobs > 0 then
            select * into v_job from job
            where monitor_id = m.monitor_id and end_time is null and overran_at is null and due_at < p_now
            order by due_at, start_time, job_id limit 1;
        end if;
        v_next := least(v_slot_due, v_job.due_at, m.held_until);
        -- Slots that are still to be found may fall due before what is later than they begin.
        if v_next >= p_now or v_next is null or v_next > m.slots_after then
            return m;

        elsif m.held_until = v_next then
            m := release_held(m, m.held_until, p_now);

        elsif v_job.due_at = v_next then
            if v_runs >= p_most then
                return m;
            end if;
            v_runs := v_runs + 1;
            -- At the same instant the run comes first: it explains why nothing else began.
            v_blind := blind_between(v_job.start_time, v_job.due_at);
            if v_blind.span_id is not null then
                update job set unknown_at = due_at, due_at = null where job_id = v_job.job_id;
                insert into unknown_verdict (monitor_id, deadline_at, tenant, span_id, job_id)
                values (m.monitor_id, v_job.due_at, m.tenant, v_blind.span_id, v_job.job_id)
                on conflict do nothing;
            else
                update job set overran_at = due_at where job_id = v_job.job_id;
                m := bad_result(m, 'overran', v_job.job_id::text, v_job.due_at, p_now, true,
                                null, v_job.job_id, v_job.start_time, null);
            end if;

        else
            v_blind := blind_between(m.next_slot - earliest(m), v_slot_due);
            v_passed := m.next_slot;
            if v_blind.span_id is not null then
                insert into unknown_verdict (monitor_id, deadline_at, tenant, span_id, slot)
                values (m.monitor_id, v_slot_due, m.tenant, v_blind.span_id, m.next_slot)
                on conflict do nothing;
                -- Those that fell due since and lie in the span are no better known.
                v_passed := greatest(v_passed, least(coalesce(v_blind.ended_at, p_now) + earliest(m),
                                                     p_now - (v_slot_due - m.next_slot)) - interval '1 microsecond');
            else
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
                if m.incident_id is not null then
                    v_passed := greatest(v_passed, p_now - (v_slot_due - m.next_slot) - interval '1 microsecond');
                end if;
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
        end if;
    end loop;
end
$$;

create or replace function fall_due(m monitor, p_now timestamptz) returns monitor
language plpgsql as $$
begin
    return fall_due(m, p_now, null);
end
$$;

-- Applies a signal: the whole of a ping, in one round trip. The monitor is that of p_ping_id, or that of p_slug
-- in the tenant whose ping key hashes to p_key_hash; there p_create, when given, says how to create it.
-- p_searched is where keywords are looked for, when that is more than the body that is kept. p_most_per_minute:
-- null is no limit. p_from_spool: the client had its answer long ago. p_shared_spool: others fill the spool too.
--
-- outcome: 'applied'; 'created': applied, to a new monitor; 'repeated': this signal was here before; 'unknown':
-- there is no such monitor; 'behind': nothing was done, for an earlier signal may wait in the spool that explains
-- what would fall due: this one has to go behind it; 'limited': nothing was recorded, again after retry_after seconds; 'needs_slots':
-- nothing was applied but what fell due before it; call again with the slots after p_received_at of that schedule
-- version, and with the answer's calm_before (slots_after: give it those first, with give_slots).
create or replace function apply_signal(
    p_ping_id uuid, p_key_hash bytea, p_slug text, p_create text,
    p_signal_id uuid, p_received_at timestamptz, p_kind text, p_rid uuid, p_exit_status smallint,
    p_source_address text, p_user_agent text, p_body bytea, p_searched bytea,
    p_most_per_minute integer, p_from_spool boolean, p_shared_spool boolean,
    p_slots timestamptz[], p_schedule_version integer, p_calm_before boolean,
    out outcome text, out retry_after integer, out monitor_id uuid, out schedule_version integer, out cron text,
    out timezone text, out slots_after timestamptz, out calm_before boolean, out next_slot timestamptz
)
language plpgsql as $$
#variable_conflict use_column
declare
    m monitor;
    v_tenant text;
    v_created boolean := false;
    v_kind text;
    v_limited boolean := false;
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
    v_too_often boolean;
    v_too_fast boolean;
begin
    if p_ping_id is not null then
        select * into m from monitor where ping_id = p_ping_id for update;
    else
        select tenant into v_tenant from ping_key where key_hash = p_key_hash;
        select * into m from monitor where tenant = v_tenant and slug = p_slug for update;
        if not found and v_tenant is not null and p_create is not null then
            v_created := create_by_ping(v_tenant, p_slug, p_create::jsonb, p_received_at);
            select * into m from monitor where tenant = v_tenant and slug = p_slug for update;
        end if;
    end if;
    if m.monitor_id is null then
        outcome := 'unknown';
        return;
    end if;
    monitor_id := m.monitor_id;

    if p_body is not null and p_kind <> 'log'
        and (m.fail_keywords is not null or m.success_keywords is not null or m.start_keywords is not null) then
        v_kind := kind_by_keywords(m, p_kind, coalesce(p_searched, p_body));
        if v_kind <> p_kind then
            p_kind := v_kind;
            p_exit_status := null; -- It belongs to what the URL said.
        end if;
    end if;

    if p_from_spool then
        if exists (select from signal where monitor_id = m.monitor_id and signal_id = p_signal_id) then
            outcome := 'repeated';
            return;
        elsif p_received_at < m.last_signal_at then
            outcome := apply_older_signal(m, p_signal_id, p_received_at, p_kind, p_rid, p_exit_status,
                                          p_source_address, p_user_agent, p_body);
            return;
        end if;
    end if;

    -- Signals apply in the order of the lock; time never runs backwards for a monitor.
    v_at := greatest(p_received_at, m.last_signal_at);
    if p_most_per_minute is not null and p_kind <> 'fail' then
        if m.counted_from is null or v_at >= m.counted_from + interval '1 minute' then
            m.counted_from := v_at;
            m.counted_pings := 0;
        end if;
        v_limited := m.counted_pings >= p_most_per_minute;
        if not v_limited then
            m.counted_pings := m.counted_pings + 1;
        end if;
    end if;
    -- Where others fill the spool, only late-check knows what it may hold: a ping judges no later deadline than that.
    if p_shared_spool and m.due_at < v_at and exists (select from late_check_watch where judges_until <= m.due_at) then
        if v_limited then
            outcome := 'limited';
            retry_after := ceil(extract(epoch from m.counted_from + interval '1 minute' - v_at));
            return;
        elsif p_most_per_minute is not null then
            update monitor set counted_from = m.counted_from, counted_pings = m.counted_pings
            where monitor_id = m.monitor_id;
        end if;
        outcome := 'behind';
        return;
    end if;
    if not v_limited and p_kind <> 'log' and m.paused_at is null and m.status = 'late' and m.incident_began_at >= v_at
        and not exists (select from signal where monitor_id = m.monitor_id and signal_id = p_signal_id) then
        m := withdraw_lateness(m, v_at, p_kind, p_rid, true);
        if m.incident_id is null then
            v_fallen := m;
        end if;
    end if;
    v_calm_before := coalesce(p_calm_before, m.incident_id is null);
    if m.due_at < v_at then
        m := fall_due(m, v_at);
        v_fallen := m;
    end if;

    if v_limited then
        if v_fallen.monitor_id is not null then
            call save_state(v_fallen);
        end if;
        if exists (select from signal where monitor_id = m.monitor_id and signal_id = p_signal_id) then
            outcome := 'repeated';
        else
            outcome := 'limited';
            retry_after := ceil(extract(epoch from m.counted_from + interval '1 minute' - v_at));
        end if;
        return;
    end if;

    -- One that waited since before the pause began does not end it.
    if m.resume_on_ping and v_at >= m.paused_at and p_kind <> 'log' then
        m := resumed(m, v_at);
        -- This signal finds the slots itself.
        m.slots_after := null;
    end if;
    if p_kind = 'log' or m.paused_at is not null then
        insert into signal (
            monitor_id, signal_id, received_at, kind, rid, exit_status, source_address, user_agent, body
        ) values (
            m.monitor_id, p_signal_id, p_received_at, p_kind, p_rid, p_exit_status, p_source_address, p_user_agent,
            p_body
        )
        on conflict (monitor_id, signal_id) do nothing;
        outcome := case when not found then 'repeated' when v_created then 'created' else 'applied' end;
        if outcome <> 'repeated' and p_kind <> 'log' then
            m.last_signal_at := v_at;
            if p_kind = 'success' then
                m.last_success_at := v_at;
            end if;
            call save_state(m);
        elsif v_fallen.monitor_id is not null then
            call save_state(m);
        elsif p_most_per_minute is not null then
            update monitor set counted_from = m.counted_from, counted_pings = m.counted_pings
            where monitor_id = m.monitor_id;
        end if;
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
                -- Where a pause ended: the signal answers it only when it moves it.
                m.next_slot := v_slot;
            end if;
            select min(slot) filter (where slot > v_slot), min(slot) filter (where slot > greatest(v_slot, v_at))
            into v_following, v_first_after
            from unnest(v_slots) slot;
            if m.slots_after is not null or p_slots is null and (v_following is null or v_first_after is null) then
                if v_fallen.monitor_id is not null then
                    call save_state(v_fallen);
                end if;
                outcome := 'needs_slots';
                schedule_version := m.schedule_version;
                cron := m.cron;
                timezone := m.timezone;
                slots_after := m.slots_after;
                calm_before := v_calm_before;
                next_slot := greatest(v_slot, v_at); -- Which may be far later than p_received_at.
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
    -- An idempotency key that comes again after its signal was deleted is a new signal, but its job may still be
    -- there. Such ids are made from the key, and have the version 5.
    if v_job.job_id is null and substr(p_signal_id::text, 15, 1) = '5'
        and exists (select from job where job_id = p_signal_id) then
        v_job_id := gen_random_uuid();
    end if;

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
        outcome := 'repeated';
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

    -- A run that begins too soon after the one before is a warning; with alert_on first, the first in a row.
    if v_job.job_id is null then
        v_too_often := v_at < m.last_run_at + make_interval(secs => m.min_interval_duration);
        if v_too_often and (m.alert_on = 'every' or not m.too_often) then
            call warn(m, 'too_often', v_job_id, v_at, m.last_run_at, m.min_interval_duration);
        end if;
        m.too_often := coalesce(v_too_often, false);
        m.last_run_at := v_at;
    end if;

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
                    m := tell(m, 'recovered', m.incident_cause, m.incident_id::text, v_at, v_at,
                              null, v_job_id, null, null, m.incident_began_at);
                    if m.held_until is not null then
                        -- What was wrong is so no more.
                        update alert set held = false
                        where monitor_id = m.monitor_id and held and incident_id = m.incident_id
                          and type <> 'recovered';
                    end if;
                end if;
                m.status := 'up';
                m.incident_id := null;
                m.incident_began_at := null;
                m.incident_cause := null;
            end if;
            m.last_success_at := v_at;
            -- Only a run that was announced has a length.
            if v_job.job_id is not null then
                v_too_fast := v_at < v_job.start_time + make_interval(secs => m.min_duration);
                if v_too_fast and (m.alert_on = 'every' or not m.too_fast) then
                    call warn(m, 'too_fast', v_job_id, v_at, v_job.start_time, m.min_duration);
                end if;
                m.too_fast := coalesce(v_too_fast, false);
            end if;
        end if;
    end if;

    call save_state(m);
    outcome := case when v_created then 'created' else 'applied' end;
end
$$;

-- Makes an alert of the monitor's incident, once, and tells everybody who wants to hear of it; while it is quiet it
-- is held.
create or replace function tell(
    m monitor, p_type text, p_cause text, p_about text, p_at timestamptz, p_now timestamptz,
    p_slot timestamptz, p_job_id uuid, p_started_at timestamptz, p_exit_status smallint, p_began_at timestamptz
) returns monitor
language plpgsql as $$
declare
    v_quiet_until timestamptz := quiet_until(m, p_at);
    v_alert_id uuid;
begin
    -- The end of an incident that nobody heard of is told nobody, then or later.
    if v_quiet_until is not null and p_type = 'recovered' and not exists (
        select from delivery d join alert a using (alert_id) where a.incident_id = m.incident_id
    ) then
        v_quiet_until := '-infinity';
    end if;
    insert into alert (
        tenant, monitor_id, incident_id, type, cause, about, at,
        slot, job_id, started_at, exit_status, began_at, last_success_at, timezone, held
    ) values (
        m.tenant, m.monitor_id, m.incident_id, p_type, p_cause, p_about, p_at,
        p_slot, p_job_id, p_started_at, p_exit_status, p_began_at, m.last_success_at, m.timezone,
        coalesce(v_quiet_until > p_at, false)
    )
    on conflict (monitor_id, cause, about) do nothing
    returning alert_id into v_alert_id;
    if v_alert_id is null then
        return m;
    elsif v_quiet_until > p_at then
        m.held_until := least(m.held_until, v_quiet_until);
        -- Only the newest of a kind is ever told: what piles up in a long quiet is let go. Of two at one instant, which
        -- are signals that overtook each other, that is this one.
        update alert set held = false
        where monitor_id = m.monitor_id and held and incident_id = m.incident_id and type = p_type
          and (at < p_at or at = p_at and cause = p_cause and started_at is not distinct from p_started_at
                            and alert_id <> v_alert_id);
    elsif v_quiet_until is null then
        call deliver_alert(m, v_alert_id, p_type, m.incident_id, p_now);
    end if;
    return m;
end
$$;
