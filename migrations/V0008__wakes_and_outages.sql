-- What wakes late-check between two minutes, and what is written down of the times in which CronMon did not work as
-- it should.

-- Monitors whose deadline may be set less than a minute before it passes. Of columns that only an edit changes: a ping
-- does not touch it, and writes no further index for its sake.
create index monitor_short_span on monitor (monitor_id) where
    schedule_kind = 'every' and every_seconds + least(start_grace_duration, grace_duration) < 60
    or schedule_kind = 'cron' and least(start_grace_duration, grace_duration) < 60
    or expected_duration + grace_duration < 60;

create index outage_span_untold on outage_span (ended_at) where noticed_at is null;

-- In how many seconds late-check wants to be woken within the next two minutes, besides the wakes that it sent
-- already: at most a second after each deadline. While a deadline may be set and pass between two looks, each second.
-- Relies on the indexes monitor_due, one probe for each second that has a deadline and one more, and
-- monitor_short_span.
create function wanted_wakes(p_now timestamptz, out looked_at timestamptz, out delays integer[])
language plpgsql
-- What the planner guesses of the sums in the index's condition would make it read the whole table for its few.
set enable_seqscan = off
as $$
declare
    v_sent timestamptz[] := (select wakes from late_check_watch);
    v_each boolean;
    v_from timestamptz;
    v_due timestamptz;
    v_wake timestamptz;
    v_delay integer;
begin
    looked_at := coalesce(p_now, clock_timestamp());
    delays := '{}';
    -- Which of them were pinged stands in their rows. Of so many some were.
    v_each := (
        select count(*) = 200 or bool_or(last_signal_at > looked_at - interval '32 days')
        from (select last_signal_at from monitor
              where schedule_kind = 'every' and every_seconds + least(start_grace_duration, grace_duration) < 60
                 or schedule_kind = 'cron' and least(start_grace_duration, grace_duration) < 60
                 or expected_duration + grace_duration < 60
              limit 200) short);
    v_from := looked_at;
    loop
        v_due := case when v_each then v_from else (select min(due_at) from monitor where due_at >= v_from) end;
        exit when v_due is null or v_due >= looked_at + interval '120 seconds';
        v_wake := (select max(wake) from unnest(v_sent) wake
                   where wake > v_due and wake <= v_due + interval '1 second');
        if v_wake is null then
            v_delay := floor(extract(epoch from v_due - looked_at)) + 1;
            delays := delays || v_delay;
            v_wake := looked_at + make_interval(secs => v_delay);
        end if;
        v_from := v_wake;
    end loop;
end
$$;

-- These wakes were sent.
create procedure remember_wakes(p_looked_at timestamptz, p_delays integer[])
language sql as $$
    update late_check_watch set wakes = array(
        select wake from unnest(wakes) wake where wake > p_looked_at
        union select p_looked_at + make_interval(secs => delay) from unnest(p_delays) delay
        order by 1)
$$;

-- A tick begins, on Lambda. Answers with Postgres' clock, and since when ticks have been working without a long
-- pause: before that nobody could apply what waits in the spool, and the time to wait for it has not begun.
-- p_canary: the ping id of the canary's monitor, which is made if it is not there; null: none is sent.
create function begin_tick(
    p_now timestamptz, p_canary uuid, out began_at timestamptz, out ticking_since timestamptz
)
language plpgsql as $$
begin
    began_at := coalesce(p_now, clock_timestamp());
    update late_check_watch w set ticking_since = began_at
    where w.ticking_since is null
       or not exists (select from spool_watch where seen_at > began_at - interval '150 seconds');
    select w.ticking_since into ticking_since from late_check_watch w;
    if p_canary is not null and not exists (select from monitor where ping_id = p_canary) then
        -- Of the tenant without a name, which no token can be of.
        insert into monitor (
            monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, grace_duration, alert_on
        ) values (gen_random_uuid(), '', 'canary', 'canary', p_canary, began_at, 'none', 0, 'first')
        on conflict do nothing;
    end if;
end
$$;

-- Before anything is judged on Lambda, once the spool was looked into: what is known of the pings' way in.
-- p_until: whatever was received before that has been applied. p_proved_at: just before a canary ping that went
-- through now; null: it did not. Writes down the times of more than 150 seconds in which none did. Answers up to
-- when may be judged: a deadline after the newest proof may be one whose ping could not come in. Once that is a
-- blind span there is nothing left to wait for. canary_seen_at: null, and no bound, when never one came through.
-- Of two at once the other waits. Relies on the index signal_newest_first.
create function see_ingest(
    p_until timestamptz, p_proved_at timestamptz, p_canary uuid,
    out judges_until timestamptz, out canary_seen_at timestamptz, out blind_since timestamptz
)
language plpgsql as $$
declare
    w late_check_watch;
    v_canary uuid;
    v_proof timestamptz;
    v_lasting boolean;
begin
    select * into w from late_check_watch for update;
    judges_until := p_until;
    v_canary := (select monitor_id from monitor where ping_id = p_canary);
    canary_seen_at := greatest(p_proved_at, (
        select received_at from signal where monitor_id = v_canary and received_at <= p_until
        order by received_at desc limit 1));
    if canary_seen_at is null then
        -- Of a host before this one: without a canary nobody knows more.
        update outage_span set ended_at = greatest(began_at, p_until) where kind = 'blind' and ended_at is null;
    else
        w.ingest_seen_at := coalesce(w.ingest_seen_at, canary_seen_at);
        v_lasting := exists (select from outage_span where kind = 'blind' and ended_at is null);
        for v_proof in
            select received_at from signal
            where monitor_id = v_canary and received_at > w.ingest_seen_at and received_at <= p_until
            -- What came before it may still wait in the spool otherwise.
            union select p_proved_at where p_proved_at > w.ingest_seen_at and p_proved_at <= p_until
            order by 1
        loop
            if v_lasting then
                -- Not before what was judged already while it lasted.
                update outage_span set ended_at = greatest(v_proof, w.judges_until)
                where kind = 'blind' and ended_at is null;
                v_lasting := false;
            elsif v_proof - w.ingest_seen_at > interval '150 seconds' then
                insert into outage_span (span_id, kind, began_at, ended_at)
                values (gen_random_uuid(), 'blind', w.ingest_seen_at, v_proof);
            end if;
            w.ingest_seen_at := v_proof;
        end loop;
        if p_until - w.ingest_seen_at <= interval '150 seconds' then
            judges_until := least(p_until, greatest(w.ingest_seen_at,
                case when p_proved_at - w.ingest_seen_at <= interval '150 seconds' then p_proved_at end));
        elsif not v_lasting then
            insert into outage_span (span_id, kind, began_at)
            values (gen_random_uuid(), 'blind', w.ingest_seen_at);
        end if;
    end if;
    select began_at into blind_since from outage_span where kind = 'blind' and ended_at is null;
    update late_check_watch l set
        ingest_seen_at = w.ingest_seen_at,
        -- A clock that was ahead must not say for ever what was known.
        judges_until = case when l.judges_until <= p_until + interval '1 minute'
            then greatest(l.judges_until, see_ingest.judges_until) else see_ingest.judges_until end;
end
$$;

-- On one machine: from p_from to p_to the process took no pings; from null means since the process before this one
-- was last seen. Writes it down if it is longer than p_longest. Before anything is judged, and doing it again
-- changes nothing.
create procedure write_blind(p_from timestamptz, p_to timestamptz, p_longest interval)
language plpgsql as $$
declare
    w late_check_watch;
begin
    select * into w from late_check_watch for update;
    -- Left by another host.
    update outage_span set ended_at = greatest(began_at, p_to) where kind = 'blind' and ended_at is null;
    insert into outage_span (span_id, kind, began_at, ended_at)
    select gen_random_uuid(), 'blind', began_at, p_to
    from (select coalesce(p_from, w.ingest_seen_at) as began_at) gap
    where p_to - began_at > p_longest
      and not exists (select from outage_span s where s.kind = 'blind' and s.began_at = gap.began_at);
    update late_check_watch set ingest_seen_at = greatest(ingest_seen_at, p_to);
end
$$;

-- Tells the tenants of what is over: each that has a monitor and an active alert config gets one notice of a span,
-- at the alert configs that are default or else at all. p_until: everything that fell due before was judged. At
-- most p_limit tenants, and the next call goes on. The deliveries stand in the setting cronmon.new_deliveries.
create procedure tell_of_outages(p_now timestamptz, p_until timestamptz, p_limit integer)
language plpgsql as $$
declare
    s outage_span;
    v_tenant text;
    v_alert_id uuid;
    v_left integer := p_limit;
    v_new text;
begin
    for s in
        select * from outage_span where noticed_at is null and ended_at <= p_until
        order by ended_at for no key update skip locked
    loop
        for v_tenant in
            select distinct c.tenant from alert_config c
            where c.active and exists (select from monitor m where m.tenant = c.tenant)
              and not exists (
                  select from alert a
                  where a.tenant = c.tenant and a.about = s.span_id::text and a.monitor_id is null)
            order by c.tenant limit v_left
        loop
            v_left := v_left - 1;
            insert into alert (tenant, incident_id, type, cause, about, at, began_at, not_judged, names)
            select v_tenant, gen_random_uuid(), 'notice', s.kind, s.span_id::text, s.ended_at, s.began_at,
                   (select count(*) from unknown_verdict u where u.span_id = s.span_id and u.tenant = v_tenant),
                   (select string_agg(name, ', ' order by place) filter (where place <= 5)
                           || case when max(place) > 5 then ', ...' else '' end
                    from (select m.name, row_number() over (order by min(u.deadline_at), m.name) as place
                          from unknown_verdict u join monitor m using (monitor_id)
                          where u.span_id = s.span_id and u.tenant = v_tenant
                          group by m.monitor_id) named)
            on conflict do nothing
            returning alert_id into v_alert_id;
            continue when v_alert_id is null;
            with made as (
                insert into delivery (alert_id, alert_config_id, created_at, next_attempt_at)
                select v_alert_id, c.alert_config_id, p_now, p_now from alert_config c
                where c.tenant = v_tenant and c.active and (c.is_default or not exists (
                    select from alert_config d where d.tenant = v_tenant and d.active and d.is_default))
                order by c.alert_config_id
                for key share of c skip locked
                returning delivery_id
            )
            select string_agg(delivery_id::text, ',') into v_new from made;
            -- As in deliver_alert: what is not named here is found by the tick.
            if length(current_setting('cronmon.new_deliveries', true)) < 100000 is not false then
                perform set_config('cronmon.new_deliveries', concat_ws(',',
                    nullif(coalesce(current_setting('cronmon.new_deliveries', true), ''), ''), v_new), true);
            end if;
        end loop;
        exit when v_left <= 0;
        update outage_span set noticed_at = p_now where span_id = s.span_id;
    end loop;
end
$$;

-- A tick ends that judged what fell due before p_until, all of it when p_judged says so. p_seen_at: on one machine,
-- when it was there. p_longest: a pause between two ticks that is longer is a span of its own, unless pings could
-- not come in either. still_due: somebody held what is left. waits: what is due has to wait for pings or proofs.
-- Relies on the index monitor_due.
create function end_tick(
    p_now timestamptz, p_until timestamptz, p_judged boolean, p_seen_at timestamptz, p_longest interval,
    out still_due boolean, out waits boolean
)
language plpgsql as $$
declare
    w late_check_watch;
    v_now timestamptz := coalesce(p_now, clock_timestamp());
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
    if p_judged and exists (select from outage_span where noticed_at is null and ended_at <= p_until) then
        call tell_of_outages(v_now, p_until, 500);
    end if;
    still_due := exists (select from monitor where due_at < p_until);
    waits := exists (select from monitor where due_at >= p_until and due_at < v_now);
end
$$;
