-- The tables. Types are plain (text with a check, no enums or domains): a client that sends unnamed
-- statements then needs no look-up of types, and each statement stays one round trip.

create table monitor (
    monitor_id uuid primary key,
    tenant text not null,
    name text not null,
    -- Its own random id, so that who can ping can't manage, and so that it can be replaced.
    ping_id uuid not null unique,
    created_at timestamptz not null,

    -- What its owner decided. Durations are seconds.
    schedule_kind text not null check (schedule_kind in ('none', 'every', 'cron')),
    every_seconds integer check (every_seconds between 1 and 31622400),
    cron text,
    timezone text, -- null: not given, which means UTC
    expected_duration integer check (expected_duration between 0 and 31622400),
    grace_duration integer not null check (grace_duration between 0 and 31622400),
    start_grace_duration integer check (start_grace_duration between 0 and 31622400),
    early_duration integer check (early_duration between 0 and 31622400),
    failure_threshold integer not null default 1 check (failure_threshold between 1 and 1000),
    recovery_threshold integer not null default 1 check (recovery_threshold between 1 and 1000),
    alert_on text not null check (alert_on in ('every', 'first')),
    check ((schedule_kind = 'every') = (every_seconds is not null)),
    check ((schedule_kind = 'cron') = (cron is not null)),
    check (schedule_kind = 'cron' or timezone is null),

    -- Where it stands. Written only by who holds the row's lock.
    revision bigint not null default 0,
    schedule_version integer not null default 1,
    status text not null default 'new' check (status in ('new', 'up', 'late', 'failed')),
    armed boolean not null default false,
    announces_starts boolean not null default false,
    next_slot timestamptz,
    -- The slots to come ran out: the next slot is the first one after this instant, late-check finds it.
    slots_after timestamptz,
    -- When late-check looks for more slots.
    refill_at timestamptz,
    bad_results integer not null default 0,
    good_results integer not null default 0,
    open_jobs integer not null default 0 check (open_jobs >= 0),
    incident_id uuid,
    incident_began_at timestamptz,
    incident_cause text check (incident_cause in ('missed', 'overran', 'failed')),
    last_signal_at timestamptz,
    last_success_at timestamptz,
    -- The least of the slot's deadline, the earliest open job's deadline and refill_at.
    due_at timestamptz,
    check ((incident_id is null) = (status in ('new', 'up')))
);

create index monitor_due on monitor (due_at) where due_at is not null;
create index monitor_of_tenant on monitor (tenant, created_at desc);

-- The slots to come of a cron schedule, so that SQL never evaluates an expression. Consecutive, ascending.
create table slots_to_come (
    monitor_id uuid primary key references monitor on delete cascade,
    slots timestamptz[] not null
);

-- Every signal that was received. The id is made before the database is tried; a repeat has the same one.
create table signal (
    monitor_id uuid not null references monitor on delete cascade,
    signal_id uuid not null,
    received_at timestamptz not null,
    kind text not null check (kind in ('start', 'success', 'fail', 'log')),
    rid uuid,
    exit_status smallint check (exit_status between 0 and 255),
    job_id uuid, -- the job that it opened or ended
    source_address text,
    user_agent text,
    body bytea,
    primary key (monitor_id, signal_id)
);

create index signal_newest_first on signal (monitor_id, received_at desc);

-- The record of one execution. Touched only under its monitor's lock.
create table job (
    job_id uuid primary key, -- the id of the signal that opened it
    monitor_id uuid not null references monitor on delete cascade,
    rid uuid,
    announced boolean not null, -- by a start; without one, it began and ended with its only signal
    start_time timestamptz not null,
    end_time timestamptz,
    succeeded boolean, -- null while it runs, and of a job that was abandoned
    exit_status smallint,
    due_at timestamptz, -- its deadline; null: none
    overran_at timestamptz, -- its deadline, once it passed
    answered boolean not null, -- whether its start answered a slot
    ended_by uuid, -- the signal whose body is its output
    check (succeeded is null or end_time is not null)
);

create index job_newest_first on job (monitor_id, start_time desc, job_id desc);
create index job_open on job (monitor_id, start_time desc) where end_time is null;
create index job_due on job (monitor_id, due_at) where end_time is null and overran_at is null;

create table alert_config (
    alert_config_id uuid primary key,
    tenant text not null,
    name text not null,
    created_at timestamptz not null,
    active boolean not null,
    on_late boolean not null,
    on_error boolean not null,
    on_recovered boolean not null,
    is_default boolean not null,
    type text not null check (type in ('webhook')),
    url text not null,
    -- Since when, and why, what is sent to it is refused for good; a success clears it.
    broken_at timestamptz,
    broken_reason text
);

create index alert_config_of_tenant on alert_config (tenant);

create table monitor_alert_config (
    monitor_id uuid not null references monitor on delete cascade,
    alert_config_id uuid not null references alert_config on delete cascade,
    position bigint generated always as identity,
    primary key (monitor_id, alert_config_id)
);

create index monitor_alert_config_of_config on monitor_alert_config (alert_config_id);

-- A fact that somebody wants to know. That each exists once is this table's word, not the code's.
create table alert (
    alert_id uuid primary key default gen_random_uuid(),
    tenant text not null,
    monitor_id uuid not null references monitor on delete cascade,
    incident_id uuid not null,
    type text not null check (type in ('late', 'failed', 'recovered')),
    -- Of a recovery: what its incident began with.
    cause text not null check (cause in ('missed', 'overran', 'failed')),
    about text not null, -- the slot, the job, or for recovered the incident
    at timestamptz not null, -- the deadline, or the receipt of the signal
    -- What its sentence needs.
    slot timestamptz,
    job_id uuid,
    started_at timestamptz,
    succeeded_at timestamptz, -- lateness and its end became known together
    exit_status smallint,
    began_at timestamptz,
    last_success_at timestamptz,
    timezone text, -- the monitor's when it was made
    unique (monitor_id, cause, about)
);

create index alert_of_incident on alert (incident_id);

-- One alert on its way to one alert config.
create table delivery (
    delivery_id uuid primary key default gen_random_uuid(),
    -- Deliveries to one alert config about one monitor go out in this order.
    position bigint generated always as identity,
    alert_id uuid not null references alert on delete cascade,
    alert_config_id uuid not null references alert_config on delete cascade,
    monitor_id uuid not null references monitor on delete cascade,
    created_at timestamptz not null,
    -- When somebody may try next; a claim moves it past its lease. Null: it is settled.
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    first_attempt_at timestamptz,
    delivered_at timestamptz,
    gave_up_at timestamptz,
    last_status smallint,
    last_error text,
    last_latency_ms integer,
    unique (alert_id, alert_config_id),
    check (next_attempt_at is not null or delivered_at is not null or gave_up_at is not null)
);

create index delivery_due on delivery (next_attempt_at) where next_attempt_at is not null;
create index delivery_open on delivery (monitor_id, alert_config_id, position) where next_attempt_at is not null;
create index delivery_of_config on delivery (alert_config_id);
