-- API keys: what opens CronMon without a token. With one of them a job is started and finished as the original API
-- does it, in one round trip like any other ping.

create table api_key (
    api_key_id uuid primary key,
    tenant text not null,
    name text not null,
    -- ping: may start and finish jobs; read: may read what the tenant has; manage: may do everything.
    scope text not null check (scope in ('ping', 'read', 'manage')),
    -- SHA-256 of the key, which is shown once and never kept.
    key_hash bytea not null unique,
    -- Its ends, by which its owner knows it again.
    masked text not null,
    created_at timestamptz not null,
    expires_at timestamptz, -- null: never
    -- The last job that was started or finished with it, and the monitor's name at that time. The monitor may be gone.
    last_used_at timestamptz,
    last_used_monitor_id uuid,
    last_used_monitor_name text,
    -- When it last opened the management API, to the minute.
    last_managed_at timestamptz,
    check ((last_used_at is null) = (last_used_monitor_id is null)),
    check ((last_used_at is null) = (last_used_monitor_name is null))
)
-- Its last use is written by each ping: there is room for that on the same page.
with (fillfactor = 50);

create index api_key_of_tenant on api_key (tenant, created_at, api_key_id);

-- Hashes of keys that were revoked: an import must not bring them back.
create table revoked_api_key (
    key_hash bytea primary key,
    revoked_at timestamptz not null
);

-- When an id of version 7 was made; null of any other.
create function made_at(p_id uuid) returns timestamptz
language sql immutable as $$
    select case when substr(p_id::text, 15, 1) = '7' then
        to_timestamp(('x' || lpad(replace(left(p_id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
    end
$$;

-- A job is started, or with p_job_id finished, by who has an API key: finds the monitor in the tenant of the key, and
-- applies the signal as apply_signal does, whose parameters and outcomes these are too. A job that is started so has its
-- own id as its run id. Besides, outcome is
-- 'no_key': no key hashes to p_key_hash, or it has expired; 'wrong_scope': it may not ping; 'unknown': its tenant has no
-- such monitor; 'no_job': the monitor has no such job; 'finished': that one has ended already.
-- job_id and what follows is the job that was started or finished; null while the monitor is paused, when signals are
-- only recorded.
-- Relies on the unique index on api_key.key_hash, the primary keys and signal_newest_first.
create function apply_job_signal(
    p_key_hash bytea, p_monitor_id uuid, p_job_id uuid,
    p_signal_id uuid, p_received_at timestamptz, p_kind text,
    p_source_address text, p_user_agent text, p_body bytea, p_searched bytea,
    p_most_per_minute integer, p_from_spool boolean, p_shared_spool boolean,
    p_slots timestamptz[], p_schedule_version integer, p_calm_before boolean,
    out outcome text, out retry_after integer, out monitor_id uuid, out schedule_version integer, out cron text,
    out timezone text, out slots_after timestamptz, out calm_before boolean, out next_slot timestamptz,
    out job_id uuid, out rid uuid, out announced boolean, out start_time timestamptz, out end_time timestamptz,
    out succeeded boolean, out exit_status smallint, out job_due_at timestamptz
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_key_id uuid;
    v_tenant text;
    v_scope text;
    m monitor;
    v_job job;
    v_rid uuid := p_signal_id;
    v_given_rid boolean := false;
begin
    select api_key_id, tenant, scope into v_key_id, v_tenant, v_scope from api_key
    where key_hash = p_key_hash and (expires_at is null or expires_at > p_received_at);
    if not found then
        outcome := 'no_key';
        return;
    elsif v_scope = 'read' then
        outcome := 'wrong_scope';
        return;
    end if;
    select * into m from monitor where monitor_id = p_monitor_id and tenant = v_tenant for update;
    if not found then
        outcome := 'unknown';
        return;
    end if;
    -- Of all pings that come with this key at once one writes it down, and none waits for another.
    update api_key set last_used_at = p_received_at, last_used_monitor_id = m.monitor_id, last_used_monitor_name = m.name
    where api_key_id = (
        select api_key_id from api_key
        where api_key_id = v_key_id and (last_used_at is null or last_used_at <= p_received_at)
        for update skip locked);

    if p_job_id is not null then
        select * into v_job from job j where j.job_id = p_job_id and j.monitor_id = p_monitor_id;
        if v_job.job_id is null and not p_from_spool and not exists (
            -- It was started while nothing could come of it: in a pause, or overtaken by another start.
            select from signal s where s.monitor_id = p_monitor_id and s.signal_id = p_job_id and s.kind = 'start'
        ) then
            -- Its start may wait in the spool. When one with an idempotency key was made, its id does not tell.
            if p_shared_spool and not exists (select from job j where j.job_id = p_job_id) and (
                substr(p_job_id::text, 15, 1) = '5'
                or made_at(p_job_id) <= p_received_at + interval '10 seconds'
                   and made_at(p_job_id) > (select empty_at - interval '10 seconds' from spool_watch)
            ) then
                -- Nobody knows whether it is one that counts, so all of them do.
                if m.counted_from is null or p_received_at >= m.counted_from + interval '1 minute' then
                    m.counted_from := p_received_at;
                    m.counted_pings := 0;
                end if;
                if m.counted_pings >= p_most_per_minute then
                    outcome := 'limited';
                    retry_after := ceil(extract(epoch from m.counted_from + interval '1 minute' - p_received_at));
                    return;
                end if;
                update monitor set counted_from = m.counted_from, counted_pings = m.counted_pings + 1
                where monitor_id = p_monitor_id;
                outcome := 'behind';
            else
                outcome := 'no_job';
            end if;
            return;
        end if;
        if not exists (select from signal s where s.monitor_id = p_monitor_id and s.signal_id = p_signal_id) and (
            v_job.succeeded is not null
            -- One that was abandoned, or never was a job, ends once too: as a run of its own.
            or (v_job.job_id is null or v_job.end_time is not null) and exists (
                select from signal s
                where s.monitor_id = p_monitor_id and s.rid = p_job_id and s.kind in ('success', 'fail')
                  and s.received_at >= coalesce(v_job.start_time, (
                      select started.received_at from signal started
                      where started.monitor_id = p_monitor_id and started.signal_id = p_job_id), made_at(p_job_id), '-infinity'))
        ) then
            if not p_from_spool then
                outcome := 'finished';
                return;
            end if;
            p_kind := 'log'; -- Whoever sent it had its answer: it is in the history, and changes nothing.
        end if;
        v_rid := case when v_job.end_time is null then coalesce(v_job.rid, p_job_id) else p_job_id end;
        if v_job.job_id is not null and v_job.end_time is null and v_job.rid is null then
            -- Among several open runs this one is meant.
            update job j set rid = p_job_id where j.job_id = p_job_id;
            v_given_rid := true;
        end if;
    end if;

    select a.outcome, a.retry_after, a.monitor_id, a.schedule_version, a.cron, a.timezone, a.slots_after, a.calm_before, a.next_slot
    into outcome, retry_after, monitor_id, schedule_version, cron, timezone, slots_after, calm_before, next_slot
    from apply_signal(
        m.ping_id, null, null, null, p_signal_id, p_received_at, p_kind, v_rid, null,
        p_source_address, p_user_agent, p_body, p_searched, p_most_per_minute, p_from_spool, p_shared_spool,
        p_slots, p_schedule_version, p_calm_before) a;
    if v_given_rid and outcome in ('limited', 'behind', 'needs_slots') then
        update job j set rid = null where j.job_id = p_job_id;
    end if;

    select j.job_id, j.rid, j.announced, j.start_time, j.end_time, j.succeeded, j.exit_status, j.due_at
    into job_id, rid, announced, start_time, end_time, succeeded, exit_status, job_due_at
    from signal s join job j on j.job_id = s.job_id
    where s.monitor_id = p_monitor_id and s.signal_id = p_signal_id;
end
$$;
