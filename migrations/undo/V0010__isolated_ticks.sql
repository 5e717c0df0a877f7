-- Undoes migrations/V0010__isolated_ticks.sql.
drop index alert_oldest_first;
