-- Undoes migrations/V0003__new_deliveries.sql.

create or replace procedure make_alert(
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
