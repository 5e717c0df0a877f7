drop function apply_signal, job_deadline, judge_due, refill_slots, fall_due, bad_result, slot_deadline;
drop procedure let_fall_due, expect, give_slots, make_alert, save_state;
