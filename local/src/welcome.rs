//! What a person sees who has just started CronMon.

use std::net::SocketAddr;

/// Where it listens, and the commands to paste.
pub(crate) fn print(address: SocketAddr, token_command: Option<&str>) {
    crate::say(&format!("CronMon listens on http://{address}"));
    let Some(token_command) = token_command else { return };
    crate::say(&format!(
        r#"
Paste these into another terminal; alerts appear in this one.

1. A monitor that expects a ping every 5 seconds and waits 2 more:

PING=$(curl -s http://{address}/api/v1/monitors -H "Authorization: Bearer $({token_command})" \
  -d '{{"name": "demo", "schedule": {{"every": 5}}, "grace_duration": 2}}' |
  grep -o 'http[^"]*/ping/[0-9a-f-]*' | head -n 1); echo $PING

2. A job that succeeds. If nothing more comes, it is late 7 seconds after:

curl $PING

3. A job that ends with exit status 1:

curl $PING/1

4. Your crontab with pings put in, and a monitor for each job; dry_run=1 only shows it, README.md says how it is put in place:

crontab -l | curl -s --data-binary @- -H "Authorization: Bearer $({token_command})" \
  "http://{address}/api/v1/import/crontab?dry_run=1"

ctrl-C stops everything. `make token tenant=acme` prints a token for another tenant.
"#
    ));
}
