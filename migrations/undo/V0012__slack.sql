-- Those that lead to Slack go: there is no place for them in the schema of before.
delete from alert_config where type = 'slack';

alter table alert_config
    drop constraint alert_config_destination,
    drop constraint alert_config_type_check,
    add constraint alert_config_type_check check (type in ('webhook')),
    drop column slack_channel,
    drop column slack_token,
    drop column testing_since,
    alter column url set not null;
