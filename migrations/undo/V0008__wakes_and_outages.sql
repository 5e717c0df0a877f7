drop function end_tick(timestamptz, timestamptz, boolean, timestamptz, interval);
drop procedure tell_of_outages(timestamptz, timestamptz, integer);
drop procedure write_blind(timestamptz, timestamptz, interval);
drop function see_ingest(timestamptz, timestamptz, uuid);
drop function begin_tick(timestamptz, uuid);
drop procedure remember_wakes(timestamptz, integer[]);
drop function wanted_wakes(timestamptz);
drop index outage_span_untold, monitor_short_span;
