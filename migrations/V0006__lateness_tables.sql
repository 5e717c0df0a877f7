-- What lateness needs besides: quiet times of a monitor, runs that come too often or end too fast, the times in
-- which CronMon itself saw nothing, and what the wakes of late-check remember.

alter table monitor
    -- A run that begins sooner after the one before is a warning; seconds.
    add column min_interval_duration integer check (min_interval_duration between 1 and 31622400),
    -- A run that succeeds sooner after its start is a warning; seconds.
    add column min_duration integer check (min_duration between 1 and 31622400),
    -- When its newest run began.
    add column last_run_at timestamptz,
    -- Whether its newest run came too often, or ended too fast: then that was said already.
    add column too_often boolean not null default false,
    add column too_fast boolean not null default false,
    -- When its owner last changed it.
    add column edited_at timestamptz,
    -- Since when nothing is judged; its status stays as it was. Until then, or when null until somebody resumes it.
    add column paused_at timestamptz,
    add column resumes_at timestamptz,
    -- Until then its alerts are made, and nobody is told.
    add column snooze_ends_at timestamptz,
    -- An alert was made that nobody was told, for it was quiet: when to look at that again.
    add column held_until timestamptz,
    add constraint monitor_resumes check (resumes_at is null or paused_at is not null);

-- What its owner does is part of its history: snooze, pause and resume beside the signals of its jobs.
alter table signal
    drop constraint signal_kind_check,
    -- Not looked at again: it allows more than the one before, and the table may be large.
    add constraint signal_kind_check
        check (kind in ('start', 'success', 'fail', 'log', 'snooze', 'pause', 'resume')) not valid,
    -- Of a snooze or a pause: when it ends.
    add column ends_at timestamptz;

alter table job
    -- Its deadline passed while CronMon was blind: whether it overran is not known.
    add column unknown_at timestamptz;

alter table alert_config
    -- Whether it hears of warnings.
    add column on_warning boolean not null default true;

alter table alert
    -- A notice is about no monitor.
    alter column monitor_id drop not null,
    drop constraint alert_type_check,
    add constraint alert_type_check
        check (type in ('late', 'failed', 'recovered', 'warning', 'notice')) not valid,
    drop constraint alert_cause_check,
    add constraint alert_cause_check
        check (cause in ('missed', 'overran', 'failed', 'too_often', 'too_fast', 'blind', 'delayed')) not valid,
    add constraint alert_about_a_monitor check ((monitor_id is null) = (type = 'notice')) not valid,
    -- It was quiet when it was made: nobody was told yet.
    add column held boolean not null default false,
    -- Of a warning: how long it should have been; seconds.
    add column at_least integer,
    -- Of a notice: how many deadlines were not judged, and the names of some of their monitors.
    add column not_judged integer,
    add column names text;

-- One notice about one span for each tenant.
create unique index alert_notice on alert (tenant, about) where monitor_id is null;
create index alert_held on alert (monitor_id) where held;

alter table delivery
    alter column monitor_id drop not null;

-- A time in which CronMon did not work as it should, written down before anything is judged that it touches.
create table outage_span (
    span_id uuid primary key,
    -- blind: pings may not have come through, so a deadline that it touches is not judged. delayed: pings were kept,
    -- but nothing was judged.
    kind text not null check (kind in ('blind', 'delayed')),
    began_at timestamptz not null,
    ended_at timestamptz, -- null while it lasts
    -- When each tenant had been told.
    noticed_at timestamptz,
    check (ended_at >= began_at)
);

create index outage_span_ended on outage_span (ended_at);
create unique index outage_span_lasts on outage_span (kind) where ended_at is null;

-- A deadline that was not judged, for CronMon was blind when the signal should have come.
create table unknown_verdict (
    monitor_id uuid not null references monitor on delete cascade,
    deadline_at timestamptz not null,
    tenant text not null,
    span_id uuid not null references outage_span on delete cascade,
    slot timestamptz, -- the first of the slots that were not judged, or
    job_id uuid,      -- the run
    primary key (monitor_id, deadline_at)
);

create index unknown_verdict_of_span on unknown_verdict (span_id, tenant);

-- A time in which a tenant wants to hear nothing: once, or again and again.
create table maintenance_window (
    window_id uuid primary key,
    tenant text not null,
    name text not null,
    created_at timestamptz not null,
    -- Of these monitors, and of those with one of these tags.
    monitor_ids uuid[] not null default '{}',
    tags text[] not null default '{}',
    -- Null: once, and `starts` holds that one instant.
    cron text,
    timezone text, -- null: not given, which means UTC
    duration integer not null check (duration between 1 and 31622400), -- seconds
    -- When it begins: those that are not long over, and some that are to come. Ascending.
    starts timestamptz[] not null,
    -- When late-check looks for more.
    refill_at timestamptz,
    check (cron is not null or timezone is null)
);

create index maintenance_window_of_tenant on maintenance_window (tenant, created_at desc);
create index maintenance_window_refill on maintenance_window (refill_at) where refill_at is not null;

-- What late-check knows of itself.
create table late_check_watch (
    one_row boolean primary key default true check (one_row),
    -- When all that was due had last been judged.
    ticked_at timestamptz,
    -- Since when ticks have succeeded without a long pause.
    ticking_since timestamptz,
    -- Up to when it is known that pings come through, or was written down that they did not.
    ingest_seen_at timestamptz,
    -- Up to when what is due may be judged: whatever was received before has been applied. A ping judges no later
    -- deadline by itself where others fill the spool too. Null: nobody has looked yet.
    judges_until timestamptz,
    -- The seconds for which a wake was sent.
    wakes timestamptz[] not null default '{}'
);

insert into late_check_watch default values;
