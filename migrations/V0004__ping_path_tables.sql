-- What the ping path needs besides: names to ping by, rules of a monitor for its pings, how long history is
-- kept, and where signals end up that could not be applied.

alter table monitor
    -- The name in `/ping/<ping key>/<slug>`. Made from the name at creation; it stays when that is changed.
    -- The default is for versions that do not know the column: any name that is free.
    add column slug text not null default gen_random_uuid()::text check (slug ~ '^[a-z0-9_-]{1,100}$'),
    add column tags text[] not null default '{}',
    -- Whether the next ping ends a pause.
    add column resume_on_ping boolean not null default false,
    -- Texts which, found in a ping's body, say more about it than its URL. Null: none.
    add column fail_keywords text[],
    add column success_keywords text[],
    add column start_keywords text[],
    -- The minute in which pings are counted, and how many came in it. Fails are not counted.
    add column counted_from timestamptz,
    add column counted_pings integer not null default 0;

-- Monitors from before get the slug that their name would have given them, or the nearest free one.
with made as (
    select monitor_id, tenant, created_at,
           coalesce(nullif(trim(both '-' from left(
               regexp_replace(lower(name), '[^a-z0-9_]+', '-', 'g'), 80)), ''), 'monitor') as slug
    from monitor
), numbered as (
    select monitor_id, slug, row_number() over (partition by tenant, slug order by created_at, monitor_id) as n
    from made
)
update monitor set slug = case n when 1 then numbered.slug
                          else left(numbered.slug, 60) || '-' || monitor.monitor_id::text end
from numbered where numbered.monitor_id = monitor.monitor_id;

create unique index monitor_slug on monitor (tenant, slug);

-- The right to ping every monitor of a tenant by its slug, and to create monitors by pinging.
create table ping_key (
    ping_key_id uuid primary key,
    tenant text not null,
    name text not null,
    -- SHA-256 of the key, which is shown once and never kept.
    key_hash bytea not null unique,
    -- Its first characters, by which its owner knows it again.
    key_begins text not null,
    created_at timestamptz not null
);

create index ping_key_of_tenant on ping_key (tenant, created_at desc);

-- How much history a tenant keeps; without a row, the defaults of prune_history.
create table retention (
    tenant text primary key,
    most_pings integer not null check (most_pings between 1 and 1000000),
    history_duration integer not null check (history_duration between 86400 and 31622400) -- seconds
);

-- Where the walk over all monitors has come to that deletes old history.
create table history_walk (
    one_row boolean primary key default true check (one_row),
    done_up_to uuid not null -- a monitor's id
);

insert into history_walk (done_up_to) values ('00000000-0000-0000-0000-000000000000');

-- Signals from the spool that could not be applied, each as the spool had it, for a person to look at.
create table parked_signal (
    parked_id uuid primary key, -- the signal's id; of a message that is none, one made from its text
    parked_at timestamptz not null,
    reason text not null,
    message text not null
);

create index parked_signal_at on parked_signal (parked_at);

-- What was last seen of the spool. Kept here so that any function can tell.
create table spool_watch (
    one_row boolean primary key default true check (one_row),
    seen_at timestamptz not null,
    -- When it was last empty: everything that was received before has been applied.
    empty_at timestamptz not null,
    -- When it last had something: then pings may still be on their way into it.
    some_at timestamptz,
    waiting bigint not null
);
