drop function apply_job_signal;
drop function made_at;
drop table api_key;
