-- Slack as a destination.

alter table alert_config
    alter column url drop not null,
    -- The channel, as Slack's API takes it, and the bot's token, which is sent to Slack and shown to nobody.
    add column slack_channel text,
    add column slack_token text,
    -- Since when a test is on its way to it; null: none is.
    add column testing_since timestamptz,
    drop constraint alert_config_type_check,
    add constraint alert_config_type_check check (type in ('webhook', 'slack')) not valid,
    add constraint alert_config_destination check (
        (type = 'webhook') = (url is not null)
        and (type = 'slack') = (slack_channel is not null) and (type = 'slack') = (slack_token is not null)
    ) not valid;
