drop table late_check_watch, maintenance_window, unknown_verdict, outage_span;
delete from delivery where monitor_id is null;
delete from alert where type in ('warning', 'notice');
alter table delivery
    alter column monitor_id set not null;
drop index alert_notice, alert_held;
alter table alert
    drop constraint alert_about_a_monitor,
    alter column monitor_id set not null,
    drop constraint alert_type_check,
    add constraint alert_type_check check (type in ('late', 'failed', 'recovered')),
    drop constraint alert_cause_check,
    add constraint alert_cause_check check (cause in ('missed', 'overran', 'failed')),
    drop column held,
    drop column at_least,
    drop column not_judged,
    drop column names;
alter table alert_config
    drop column on_warning;
alter table job
    drop column unknown_at;
delete from signal where kind in ('snooze', 'pause', 'resume');
alter table signal
    drop constraint signal_kind_check,
    add constraint signal_kind_check check (kind in ('start', 'success', 'fail', 'log')),
    drop column ends_at;
alter table monitor
    drop column min_interval_duration,
    drop column min_duration,
    drop column last_run_at,
    drop column too_often,
    drop column too_fast,
    drop column edited_at,
    drop column paused_at,
    drop column resumes_at,
    drop column snooze_ends_at,
    drop column held_until;
