drop table delivery, alert, monitor_alert_config, alert_config, job, signal, slots_to_come, monitor;
