//! API keys, alert configs, and which monitors these are attached to.

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::Copied;

/// Rows that are taken in one transaction.
const BATCH: i64 = 5_000;

pub(super) async fn copy(target: &mut Object, now: DateTime<Utc>, copied: &mut Copied) -> Result<(), Error> {
    copied.keys = in_batches(target, "original_key", &[LEFT_KEYS, INSERT_KEYS], now).await?;
    copied.configs =
        in_batches(target, "original_config", &[LEFT_CONFIGS, SWITCHED_OFF, INSERT_CONFIGS], now).await?;
    copied.attached = in_batches(target, "original_attached", &[LEFT_ATTACHED, INSERT_ATTACHED], now).await?;
    Ok(())
}

/// Carries out the statements on each batch; answers with how many rows the last one made.
async fn in_batches(
    target: &mut Object,
    table: &str,
    statements: &[&str],
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let last = target.query_one(&format!("select coalesce(max(place), 0) from {table}"), &[]).await?;
    let last: i64 = last.try_get(0)?;
    let (mut after, mut made) = (0, 0);
    while after < last {
        let transaction = target.transaction().await?;
        let mut rows = 0;
        for statement in statements {
            rows = transaction
                .execute_typed(
                    statement,
                    &[(&after, Type::INT8), (&(after + BATCH), Type::INT8), (&now, Type::TIMESTAMPTZ)],
                )
                .await?;
        }
        transaction.commit().await?;
        made += rows;
        after += BATCH;
    }
    Ok(made)
}

const LEFT_KEYS: &str = "
    insert into remark
    select 'API keys', 'left', why, api_key_id || ' ' || left(name, 60)
    from (
        select f.*, case
            when f.tenant = '' then 'they belong to nobody: the tenant is empty'
            when f.key !~ '^[0-9a-f]{64}$' then 'what is kept of them is no SHA-256 in hex: they never opened anything'
            when k.tenant <> f.tenant then 'their id is another tenant''s here'
            when k.api_key_id is null and exists (
                select from api_key same where same.key_hash = decode(f.key, 'hex'))
                then 'the same key is here already, by another id'
            end as why
        from original_key f left join api_key k using (api_key_id)
        where place > $1 and place <= $2
    ) f
    where why is not null";

const INSERT_KEYS: &str = "
    insert into api_key (
        api_key_id, tenant, name, scope, key_hash, masked, created_at,
        last_used_at, last_used_monitor_id, last_used_monitor_name
    )
    select api_key_id, tenant, name, 'ping', decode(key, 'hex'), masked,
           case when created_at between '0001-01-01' and '9999-12-31' then created_at else $3 end,
           case when used then last_used_at end, case when used then last_used_monitor_id end,
           case when used then last_used_monitor_name end
    from original_key, lateral (values (
        last_used_at between '0001-01-01' and '9999-12-31'
        and last_used_monitor_id is not null and last_used_monitor_name is not null)) is_used (used)
    where place > $1 and place <= $2 and tenant <> '' and key ~ '^[0-9a-f]{64}$'
    order by place
    on conflict do nothing";

const LEFT_CONFIGS: &str = "
    insert into remark
    select 'alert configs', 'left', why, alert_config_id || ' ' || left(name, 60)
    from (
        select f.*, case
            when f.tenant = '' then 'they belong to nobody: the tenant is empty'
            when f.type <> 'slack' then 'their type is not known here: ' || left(f.type, 60)
            when f.slack_channel is null or f.slack_token is null then 'they have no Slack channel and token'
            when c.tenant <> f.tenant then 'their id is another tenant''s here'
            end as why
        from original_config f left join alert_config c using (alert_config_id)
        where place > $1 and place <= $2
    ) f
    where why is not null";

const SWITCHED_OFF: &str = "
    insert into remark
    select 'alert configs', 'note', 'have a switch off (active, on_late, on_error): the original sent them everything '
        || 'all the same, here it counts', alert_config_id || ' ' || left(name, 60)
    from original_config f
    where place > $1 and place <= $2
      and not (active and on_late and on_error)
      and tenant <> '' and type = 'slack' and slack_channel is not null and slack_token is not null
      and not exists (select from alert_config c where c.alert_config_id = f.alert_config_id)";

const INSERT_CONFIGS: &str = "
    insert into alert_config (
        alert_config_id, tenant, name, created_at, active, on_late, on_error, on_recovered, on_warning, is_default,
        type, slack_channel, slack_token
    )
    select alert_config_id, tenant, name,
           case when created_at between '0001-01-01' and '9999-12-31' then created_at else $3 end,
           active, on_late, on_error, true, true, false, 'slack', slack_channel, slack_token
    from original_config
    where place > $1 and place <= $2
      and tenant <> '' and type = 'slack' and slack_channel is not null and slack_token is not null
    order by place
    on conflict do nothing";

const LEFT_ATTACHED: &str = "
    insert into remark
    select 'attached alert configs', 'left', case
            when m.monitor_id is null then 'their monitor was not copied'
            when c.alert_config_id is null then 'their alert config was not copied'
            else 'monitor and alert config belong to different tenants' end,
        f.monitor_id || ' ' || f.alert_config_id
    from original_attached f
    left join original_monitor om on om.monitor_id = f.monitor_id
    left join original_config oc on oc.alert_config_id = f.alert_config_id
    left join monitor m on m.monitor_id = f.monitor_id and m.tenant = om.tenant
    left join alert_config c on c.alert_config_id = f.alert_config_id and c.tenant = oc.tenant
    where f.place > $1 and f.place <= $2 and (m.tenant = c.tenant) is not true";

const INSERT_ATTACHED: &str = "
    insert into monitor_alert_config (monitor_id, alert_config_id)
    select f.monitor_id, f.alert_config_id
    from original_attached f
    join original_monitor om on om.monitor_id = f.monitor_id
    join original_config oc on oc.alert_config_id = f.alert_config_id
    join monitor m on m.monitor_id = f.monitor_id and m.tenant = om.tenant
    join alert_config c on c.alert_config_id = f.alert_config_id and c.tenant = oc.tenant
    where f.place > $1 and f.place <= $2 and m.tenant = c.tenant
    order by f.place
    on conflict do nothing";
