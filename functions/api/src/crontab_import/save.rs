//! The whole import in one transaction, with as many statements for a thousand lines as for one, unless much is due.

use chrono::{DateTime, SubsecRound as _, Utc};
use database::schedules::{ScheduleColumns, cron_of};
use database::signals::made_deliveries;
use deadpool_postgres::{Object, Transaction};
use domain::Schedule;
use domain::crontab::Crontab;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::answer::body;
use super::matches::Existing;
use super::plan::{Outcome, Planned, plan};
use super::{Expected, Wanted};
use crate::Clock;
use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;
use crate::monitors::create::seconds;
use crate::turns::{Made, take_turns};

/// Whoever creates or deletes monitors at the same moment may make it begin again; so often.
const TRIES: usize = 5;

/// What is due by the old rules is judged before they change, some hundreds in a turn; see `monitors/change.rs`.
const MOST_TURNS: usize = 40;

/// Answers with the body of the answer, and the deliveries that it made.
pub(super) async fn save(
    client: &mut Object,
    tenant: &Tenant,
    crontab: &Crontab,
    expected: &[Expected],
    wanted: &Wanted,
    clock: &Clock,
) -> ApiResult<(String, Vec<Uuid>)> {
    for _ in 0..TRIES {
        let transaction = client.transaction().await?;
        if !wanted.is_dry_run {
            take_turns(&*transaction, tenant, Made::Crontabs).await?;
        }
        let existing = existing(&transaction, tenant).await?;
        // Pings have gone on while this one waited for its turn.
        let now = clock().trunc_subsecs(6);
        let expected = expected.iter().map(|expected| expected.after(now)).collect();
        let plan = plan(crontab, expected, &existing, &wanted.tags, now);
        let body = body(crontab, &plan, wanted)?;
        if wanted.is_dry_run {
            return Ok((body, Vec::new()));
        }
        let import = Import { transaction: &transaction, tenant, expected: &plan.expected, now };
        if !import.create(&plan.jobs, &wanted.tags).await? || !import.change(&plan.jobs, &wanted.tags).await?
        {
            transaction.rollback().await?;
            continue;
        }
        import.give_slots(&plan.jobs).await?;
        let new_deliveries = made_deliveries(&*transaction).await?;
        transaction.commit().await?;
        return Ok((body, new_deliveries));
    }
    Err(ApiError::busy())
}

/// Relies on the index `monitor_slug`.
async fn existing(transaction: &Transaction<'_>, tenant: &Tenant) -> ApiResult<Vec<Existing>> {
    let rows = transaction
        .query_typed(
            "select monitor_id, ping_id, slug, name, tags, every_seconds, cron, timezone, grace_duration
             from monitor where tenant = $1",
            &[(&tenant.0, Type::TEXT)],
        )
        .await?;
    let existing = rows.iter().map(|row| {
        Ok(Existing {
            monitor_id: row.try_get("monitor_id")?,
            ping_id: row.try_get("ping_id")?,
            slug: row.try_get("slug")?,
            name: row.try_get("name")?,
            tags: row.try_get("tags")?,
            every_seconds: row.try_get("every_seconds")?,
            cron: row.try_get("cron")?,
            timezone: row.try_get("timezone")?,
            grace_duration: row.try_get::<_, i32>("grace_duration")?.into(),
        })
    });
    existing.collect()
}

struct Import<'a> {
    transaction: &'a Transaction<'a>,
    tenant: &'a Tenant,
    expected: &'a [Expected],
    now: DateTime<Utc>,
}

impl Import<'_> {
    fn expected(&self, place: Option<usize>) -> Option<&Expected> {
        place.and_then(|place| self.expected.get(place))
    }

    /// Those that are new, armed. False when a slug was taken meanwhile.
    async fn create(&self, jobs: &[Planned], tags: &[String]) -> ApiResult<bool> {
        let mut new: Vec<_> = jobs.iter().filter(|job| job.outcome == Outcome::Created).collect();
        if new.is_empty() {
            return Ok(true);
        }
        // Two that wait for each other's slugs would do so for ever, were it not for this order.
        new.sort_by(|a, b| a.slug.cmp(&b.slug));
        let columns = Columns::of(self, &new);
        let ids: Vec<Uuid> = new.iter().map(|job| job.monitor_id).collect();
        let ping_ids: Vec<Uuid> = new.iter().map(|job| job.ping_id).collect();
        let names: Vec<&str> = new.iter().map(|job| job.name.as_str()).collect();
        let slugs: Vec<&str> = new.iter().map(|job| job.slug.as_str()).collect();
        let graces: Vec<Option<i32>> = new.iter().map(|job| seconds(job.grace)).collect();
        let created = self
            .transaction
            .execute_typed(
                "insert into monitor (
                     monitor_id, tenant, ping_id, name, slug, created_at, schedule_kind, cron, timezone, grace_duration,
                     alert_on, tags, armed, next_slot
                 )
                 select g.monitor_id, $1, g.ping_id, g.name, g.slug, $2, g.kind, g.cron, g.timezone, g.grace, 'first',
                        $3, true, g.next_slot
                 from unnest(
                     $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::int4[],
                     $12::timestamptz[]
                 ) with ordinality as g (monitor_id, ping_id, name, slug, kind, cron, timezone, grace, next_slot, place)
                 order by g.place
                 on conflict (tenant, slug) do nothing",
                &[
                    (&self.tenant.0, Type::TEXT),
                    (&self.now, Type::TIMESTAMPTZ),
                    (&tags, Type::TEXT_ARRAY),
                    (&ids, Type::UUID_ARRAY),
                    (&ping_ids, Type::UUID_ARRAY),
                    (&names, Type::TEXT_ARRAY),
                    (&slugs, Type::TEXT_ARRAY),
                    (&columns.kinds, Type::TEXT_ARRAY),
                    (&columns.crons, Type::TEXT_ARRAY),
                    (&columns.timezones, Type::TEXT_ARRAY),
                    (&graces, Type::INT4_ARRAY),
                    (&columns.next_slots, Type::TIMESTAMPTZ_ARRAY),
                ],
            )
            .await?;
        Ok(created == u64::try_from(new.len()).unwrap_or(u64::MAX))
    }

    /// Those whose line says something else now, as an edit of each would. False when one was deleted meanwhile.
    async fn change(&self, jobs: &[Planned], tags: &[String]) -> ApiResult<bool> {
        let is_changed = |outcome: Outcome| matches!(outcome, Outcome::Changed { .. });
        let changed: Vec<_> = jobs.iter().filter(|job| is_changed(job.outcome)).collect();
        if changed.is_empty() {
            return Ok(true);
        }
        let ids: Vec<Uuid> = changed.iter().map(|job| job.monitor_id).collect();
        let locked = self
            .transaction
            .query_typed(
                "select monitor_id from monitor where monitor_id = any($1) and tenant = $2
                 order by monitor_id for update",
                &[(&ids, Type::UUID_ARRAY), (&self.tenant.0, Type::TEXT)],
            )
            .await?;
        if locked.len() < ids.len() {
            return Ok(false);
        }
        self.let_fall_due(&ids).await?;
        let columns = Columns::of(self, &changed);
        let names: Vec<&str> = changed.iter().map(|job| job.name.as_str()).collect();
        let expect_otherwise: Vec<bool> = changed.iter().map(|job| job.expects_otherwise()).collect();
        let graces: Vec<Option<i32>> = changed.iter().map(|job| seconds(job.grace)).collect();
        let get_tags: Vec<bool> = changed.iter().map(|job| job.gets_tags).collect();
        self.transaction
            .execute_typed(
                "update monitor m set
                     name = g.name, grace_duration = coalesce(g.grace, m.grace_duration),
                     schedule_kind = case when g.expects_otherwise then g.kind else m.schedule_kind end,
                     every_seconds = case when g.expects_otherwise then null else m.every_seconds end,
                     cron = case when g.expects_otherwise then g.cron else m.cron end,
                     timezone = case when g.expects_otherwise then g.timezone else m.timezone end,
                     next_slot = case when not g.expects_otherwise then m.next_slot when m.armed then g.next_slot end,
                     slots_after = case when not g.expects_otherwise then m.slots_after end,
                     tags = case when not g.gets_tags then m.tags else m.tags || array(
                         select t.tag from unnest($10::text[]) with ordinality as t (tag, place)
                         where t.tag <> all(m.tags) order by t.place) end,
                     -- With other tags other maintenance windows cover it, as change.rs has it.
                     held_until = case when g.gets_tags and m.held_until is not null
                         then least(m.held_until, $2) else m.held_until end,
                     due_at = case when g.gets_tags and m.held_until is not null and m.paused_at is null
                         then least(m.due_at, $2) else m.due_at end,
                     edited_at = $2, schedule_version = schedule_version + 1, revision = revision + 1
                 from unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bool[],
                                 $11::bool[], $12::int4[])
                     as g (monitor_id, name, kind, cron, timezone, next_slot, expects_otherwise, gets_tags, grace)
                 where m.monitor_id = g.monitor_id and m.tenant = $1",
                &[
                    (&self.tenant.0, Type::TEXT),
                    (&self.now, Type::TIMESTAMPTZ),
                    (&ids, Type::UUID_ARRAY),
                    (&names, Type::TEXT_ARRAY),
                    (&columns.kinds, Type::TEXT_ARRAY),
                    (&columns.crons, Type::TEXT_ARRAY),
                    (&columns.timezones, Type::TEXT_ARRAY),
                    (&columns.next_slots, Type::TIMESTAMPTZ_ARRAY),
                    (&expect_otherwise, Type::BOOL_ARRAY),
                    (&tags, Type::TEXT_ARRAY),
                    (&get_tags, Type::BOOL_ARRAY),
                    (&graces, Type::INT4_ARRAY),
                ],
            )
            .await?;
        Ok(true)
    }

    /// What was due before now is judged by the rules as they were, up to where `let_fall_due` would. The monitors are the
    /// tenant's, who has locked them.
    async fn let_fall_due(&self, ids: &[Uuid]) -> ApiResult<()> {
        let most = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        for _ in 0..MOST_TURNS {
            let rows = self
                .transaction
                .query_typed(
                    "select monitor_id, schedule_version, cron, timezone, slots_after, judged
                     from judge_due(least($1, (
                         select judges_until from late_check_watch
                         where exists (
                             select from spool_watch
                             where waiting > 0 or seen_at < $1 - interval '70 seconds'))), $2, null, null, $3)",
                    &[(&self.now, Type::TIMESTAMPTZ), (&most, Type::INT4), (&ids, Type::UUID_ARRAY)],
                )
                .await?;
            let (mut needing, mut versions, mut slots) = (Vec::new(), Vec::new(), Vec::new());
            let mut is_done = true;
            for row in rows {
                let version: Option<i32> = row.try_get("schedule_version")?;
                if row.try_get::<_, Option<i32>>("judged")?.is_some() {
                    // Whether there is more.
                    is_done &= version != Some(1);
                    continue;
                }
                is_done = false;
                let after: DateTime<Utc> = row.try_get("slots_after")?;
                let cron = cron_of(row.try_get("cron")?, row.try_get("timezone")?);
                let found = cron.map(|cron| cron.slots_after(after)).unwrap_or_default();
                let found: Vec<String> = found.iter().map(DateTime::to_rfc3339).collect();
                needing.push(row.try_get::<_, Uuid>("monitor_id")?);
                versions.push(version);
                slots.push(format!("{{{}}}", found.join(",")));
            }
            if is_done {
                return Ok(());
            }
            self.transaction
                .query_typed(
                    "select give_slots_to($1, $2, $3, $4)",
                    &[
                        (&needing, Type::UUID_ARRAY),
                        (&versions, Type::INT4_ARRAY),
                        (&slots, Type::TEXT_ARRAY),
                        (&self.now, Type::TIMESTAMPTZ),
                    ],
                )
                .await?;
        }
        Err(ApiError::delayed(&"late-check is far behind: more is due than an import can judge"))
    }

    /// Gives those that expect something else than before their slots, and says when they are due: `expect` for many.
    async fn give_slots(&self, jobs: &[Planned]) -> ApiResult<()> {
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        for job in jobs.iter().filter(|job| job.expects_otherwise()) {
            ids.push(job.monitor_id);
            places.push(job.schedule.and_then(|place| i32::try_from(place).ok()));
        }
        if ids.is_empty() {
            return Ok(());
        }
        let (mut slot_places, mut slots) = (Vec::new(), Vec::new());
        for (place, expected) in (0_i32..).zip(self.expected) {
            slot_places.resize(slot_places.len() + expected.slots.len(), place);
            slots.extend_from_slice(&expected.slots);
        }
        self.transaction
            .execute_typed(
                "delete from slots_to_come s using monitor m, unnest($2::uuid[], $3::int4[]) as g (monitor_id, place)
                 where s.monitor_id = g.monitor_id and g.place is null
                   and m.monitor_id = g.monitor_id and m.tenant = $1",
                &[
                    (&self.tenant.0, Type::TEXT),
                    (&ids, Type::UUID_ARRAY),
                    (&places, Type::INT4_ARRAY),
                ],
            )
            .await?;
        // What is due is what save_state says.
        self.transaction
            .execute_typed(
                "with schedule as (
                     select s.place, array_agg(s.slot order by s.slot) as slots
                     from unnest($5::int4[], $6::timestamptz[]) as s (place, slot) group by s.place
                 ), given as (
                     select * from unnest($3::uuid[], $4::int4[]) as g (monitor_id, place)
                 ), refilled as materialized (
                     select m.monitor_id, r.refill_at
                     from given join schedule using (place) join monitor m using (monitor_id)
                     cross join lateral refill_slots(m, schedule.slots, $2) as r
                     where m.tenant = $1
                 )
                 update monitor m set
                     refill_at = r.refill_at, put_off_from = null,
                     due_at = case when m.paused_at is not null then m.resumes_at else least(
                         slot_deadline(m), r.refill_at, m.held_until,
                         case when m.open_jobs > 0 then (
                             select min(j.due_at) from job j
                             where j.monitor_id = m.monitor_id and j.end_time is null and j.overran_at is null) end) end
                 from given left join refilled r using (monitor_id)
                 where m.monitor_id = given.monitor_id and m.tenant = $1",
                &[
                    (&self.tenant.0, Type::TEXT),
                    (&self.now, Type::TIMESTAMPTZ),
                    (&ids, Type::UUID_ARRAY),
                    (&places, Type::INT4_ARRAY),
                    (&slot_places, Type::INT4_ARRAY),
                    (&slots, Type::TIMESTAMPTZ_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }
}

/// The schedules of jobs, column by column.
struct Columns<'a> {
    kinds: Vec<&'static str>,
    crons: Vec<Option<&'a str>>,
    timezones: Vec<Option<&'static str>>,
    next_slots: Vec<Option<DateTime<Utc>>>,
}

impl<'a> Columns<'a> {
    fn of(import: &'a Import<'_>, jobs: &[&Planned]) -> Self {
        let mut columns =
            Self { kinds: Vec::new(), crons: Vec::new(), timezones: Vec::new(), next_slots: Vec::new() };
        for job in jobs {
            let expected = import.expected(job.schedule);
            let schedule =
                ScheduleColumns::from(expected.map_or(&Schedule::None, |expected| &expected.schedule));
            columns.kinds.push(schedule.kind);
            columns.crons.push(schedule.cron);
            columns.timezones.push(schedule.timezone);
            columns.next_slots.push(expected.and_then(|expected| expected.slots.first().copied()));
        }
        columns
    }
}
