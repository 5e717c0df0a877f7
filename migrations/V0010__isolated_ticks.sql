-- One monitor that can't be judged holds up nobody, and what was told long ago is deleted with the history.

-- When alerts of a monitor are too old to be kept.
create index alert_oldest_first on alert (monitor_id, at);
