drop function judge_due(timestamptz, integer, timestamptz, timestamptz, uuid[]);
drop function give_slots_to;
