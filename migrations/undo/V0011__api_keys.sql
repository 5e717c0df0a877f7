drop function apply_job_signal;
drop function made_at;
drop table revoked_api_key;
drop table api_key;
