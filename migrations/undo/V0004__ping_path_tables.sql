drop table spool_watch, parked_signal, history_walk, retention, ping_key;
drop index monitor_slug;
alter table monitor
    drop column slug,
    drop column tags,
    drop column resume_on_ping,
    drop column fail_keywords,
    drop column success_keywords,
    drop column start_keywords,
    drop column counted_from,
    drop column counted_pings;
