"""What lateness costs: `make bench-lateness`. bench/README.md says how to read it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import IO, Any, Iterator

import postgres
from bench_ping import PG_STAT_STATEMENTS, SETTINGS, go_first, rounded, running, shown
from run import TOKEN_TOOL, binary, build, token
from servers import environment
from tools import LOCAL, ROOT, Problem, main, need_rust, say, stage, uninterrupted

SIZES = (10_000, 100_000, 1_000_000)
TENANTS = 100
DUE = 1_000
ROUNDS = 5
IDLE_TICKS = 50
FLOOD = 100_000
FLOOD_LIMIT = 900.0
# What the project promises: what 1,000 due cost at the largest size, of what they cost at the smallest; and a tick with nothing due.
GROWTH_LIMIT = 1.5
IDLE_LIMIT_MS = 5.0
RESULTS = ROOT / "bench" / "results" / "lateness.json"
TOOL = "cronmon-bench-lateness"
CLUSTER = "bench-lateness-postgres"
# Indexes that are cheaper to make at the end than to keep.
LATER = ("job_pkey", "job_newest_first", "job_open", "job_due")
# The others are not vacuumed: Postgres would plan for empty ones, and go on so when they are full.
FILLED = "monitor, slots_to_come, job, alert_config, monitor_alert_config"
# The nth monitor belongs to tenant n % TENANTS and falls due in group n % (size / DUE), a minute after the group before. Of ten, four have a cron
# schedule, five an interval, and one a run that hangs; a tenth has an alert config attached, the others are heard by their tenant's default.
MONITORS = """
set synchronous_commit = off;
set session_replication_role = replica;
set maintenance_work_mem = '256MB';
insert into alert_config (alert_config_id, tenant, name, created_at, active, on_late, on_error, on_recovered, is_default, type, url)
select md5('alert config ' || n)::uuid, 'tenant ' || n, 'hook', now(), true, true, true, true, true, 'webhook', '{url}'
from generate_series(0, {tenants} - 1) n;
insert into monitor (monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, every_seconds, cron, timezone, expected_duration,
    grace_duration, alert_on, status, armed, announces_starts, next_slot, open_jobs, last_signal_at, last_success_at, due_at)
select md5('monitor ' || n)::uuid, 'tenant ' || n % {tenants}, 'monitor ' || n, 'monitor-' || n, gen_random_uuid(), now(), kind,
    case kind when 'every' then 86400 end, case kind when 'cron' then extract(minute from slot) || ' ' || extract(hour from slot) || ' * * *' end,
    case kind when 'cron' then 'UTC' end, case kind when 'none' then 600 end, 60, 'first', 'up', true, true,
    case when kind <> 'none' then slot end, (kind = 'none')::integer, slot - interval '1 day', slot - interval '1 day', slot + interval '60 s'
from generate_series(1, {size}) n
cross join lateral (select case when n / 7 % 10 < 4 then 'cron' when n / 7 % 10 < 9 then 'every' else 'none' end as kind,
    '{base}'::timestamptz + make_interval(mins => n % {groups}) as slot) s;
insert into slots_to_come (monitor_id, slots)
select monitor_id, array(select next_slot + make_interval(days => n) from generate_series(0, 63) n) from monitor where schedule_kind = 'cron';
insert into monitor_alert_config (monitor_id, alert_config_id)
select monitor_id, md5('alert config ' || substr(tenant, 8))::uuid from monitor where substr(name, 9)::integer / 70 % 10 = 0;
"""
# In the order of time over all monitors, as they would have come.
JOBS = """
insert into job (job_id, monitor_id, announced, start_time, end_time, succeeded, due_at, answered, ended_by)
select gen_random_uuid(), monitor_id, true, at, at + interval '100 s', true, null, true, gen_random_uuid()
from generate_series(10, 2, -1) n cross join monitor
cross join lateral (select '{base}'::timestamptz - make_interval(days => n) as at) instant
union all
select gen_random_uuid(), monitor_id, true, due_at - interval '660 s', case when open_jobs = 0 then due_at end, case when open_jobs = 0 then true end,
    case when open_jobs > 0 then due_at end, true, null
from monitor;
"""
COUNTED = """
select coalesce(sum(calls), 0), coalesce(sum(total_exec_time + total_plan_time), 0), pg_current_wal_insert_lsn() - '{lsn}'::pg_lsn
from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
    and query not like '%pg_stat_statements%' and query not like '%pg_current_wal%'
"""
PLAN = "explain (costs off) select * from monitor where due_at < now() order by due_at limit 200 for update skip locked"
# All at one instant, of the groups that no tick has judged, spread over the table. They are there at once when it is committed.
MAKE_DUE = """
with chosen as (
    select monitor_id from monitor where due_at >= '{base}'::timestamptz + make_interval(mins => {groups_used} + 1)
        and incident_id is null and substr(name, 9)::integer / 100 % {step} = 0 limit {most}
), hanging as (
    update job set due_at = now() where monitor_id in (select monitor_id from chosen) and end_time is null
)
update monitor set next_slot = next_slot - (due_at - now()), due_at = now() where monitor_id in (select monitor_id from chosen)
"""


@dataclass
class Tick:
    """One tick, and what it cost; milliseconds."""

    ms: float
    pg_ms: float
    monitors: int
    deliveries: int
    statements: int
    wal_bytes: int


@dataclass
class Database:
    """One with so many monitors."""

    cluster: postgres.Cluster
    size: int
    base: datetime
    ticks: list[Tick] = field(default_factory=list)
    idle: list[Tick] = field(default_factory=list)
    tool: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        return f"monitors_{self.size}"

    @property
    def groups(self) -> int:
        return self.size // DUE

    def url(self) -> str:
        return self.cluster.url().rpartition("/")[0] + f"/{self.name}"

    def sql(self, *statements: str) -> str:
        return psql(self.cluster, self.name, *statements)

    def seed(self, url: str) -> None:
        env = {**environment(), "DATABASE_URL": self.url()}
        if subprocess.call([str(binary("cronmon")), "migrate", "up"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
            raise Problem("the schema could not be made")
        known = self.sql("select indexdef from pg_indexes where indexname = any ('{" + ",".join(LATER) + "}')").splitlines()
        drop = ["alter table job drop constraint job_pkey", *(f"drop index {name}" for name in LATER if name != "job_pkey")]
        values = {"url": url, "tenants": TENANTS, "size": self.size, "groups": self.groups, "base": self.base.isoformat()}
        load = [part for part in (MONITORS + JOBS).format(**values).split(";\n") if part.strip()]
        again = [*(line for line in known if "job_pkey" not in line), "alter table job add primary key (job_id)"]
        self.sql(*load[:3], *drop, *load[3:], *again)
        self.sql("create extension pg_stat_statements", f"vacuum analyze {FILLED}", "checkpoint")

    def tick(self, at: datetime) -> Tick:
        """One tick of the real code at this instant."""
        assert self.tool and self.tool.stdin and self.tool.stdout
        lsn = self.sql("select pg_stat_statements_reset()", "select pg_current_wal_insert_lsn()").splitlines()[-1]
        self.tool.stdin.write(at.isoformat() + "\n")
        self.tool.stdin.flush()
        said = self.tool.stdout.readline()
        if not said:
            raise Problem(f"{TOOL} ended")
        counted = json.loads(said)
        statements, pg_ms, wal = self.sql(COUNTED.format(lsn=lsn)).split("|")
        return Tick(counted["ms"], float(pg_ms), counted["monitors"], counted["deliveries"], int(statements), int(wal))

    def tick_of_group(self, group: int) -> Tick:
        tick = self.tick(self.base + timedelta(minutes=group, seconds=61))
        if tick.monitors != DUE:
            raise Problem(f"{tick.monitors} monitors were judged instead of {DUE}")
        return tick


@contextmanager
def ticking(databases: list[Database]) -> Iterator[None]:
    """Each database has a process that ticks when it is told to."""
    with ExitStack() as stack:
        for each in databases:
            env = {**environment(), "DATABASE_URL": each.url()}
            each.tool = subprocess.Popen([str(binary(TOOL)), "ticks"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(end, each.tool)
        yield


@contextmanager
def webhook() -> Iterator[str]:
    """The URL of one that takes everything."""
    process = subprocess.Popen([str(binary(TOOL)), "webhook"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Its work is over when its input is."""
    with uninterrupted():
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def psql(cluster: postgres.Cluster, database: str, *statements: str) -> str:
    """Each is a transaction of its own; what the last one answered, columns separated by |."""
    client, env = cluster.client("psql")
    command = [client, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
    command += [part for statement in statements for part in ("--command", statement)]
    env = {**environment(), **env, "PGDATABASE": database}
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Problem(f"psql failed: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def server() -> Iterator[postgres.Cluster]:
    """A PostgreSQL made for the run."""
    postgres.CLUSTERS[CLUSTER] = SETTINGS
    cluster = postgres.Cluster(CLUSTER)
    try:
        with cluster.use(fresh=True):
            yield cluster
    except Problem as problem:
        missing = "does not start" in str(problem) and "pg_stat_statements" in str(problem)
        raise Problem(PG_STAT_STATEMENTS) if missing else problem from None
    finally:
        with uninterrupted():
            cluster.delete()


def flood(database: Database, folder: Path, log: IO[bytes]) -> dict[str, Any]:
    """Many due at once, and the real cronmon, until the last delivery is settled."""
    # What the ticks left has its time in the future.
    database.sql("truncate alert, delivery")
    there = database.size - (ROUNDS + 1) * DUE
    most = min(FLOOD, there)
    values = {"base": database.base.isoformat(), "groups_used": ROUNDS + 1, "most": most, "step": there // most}
    with running(database.url(), folder, log, ALLOWED_NETWORKS="127.0.0.0/8") as (process, _):
        before = memory_mb(process.pid)
        database.sql(MAKE_DUE.format(**values))
        began = time.monotonic()
        lsn = database.sql("select pg_stat_statements_reset()", "select pg_current_wal_insert_lsn()").splitlines()[-1]
        judged_s = None
        while True:
            time.sleep(0.25)
            due, waiting = database.sql(
                "select exists (select from monitor where due_at <= now()), exists (select from delivery where next_attempt_at is not null)"
            ).split("|")
            took = time.monotonic() - began
            if judged_s is None and due == "f":
                judged_s = took
            if due == "f" and waiting == "f":
                break
            if process.poll() is not None:
                raise Problem(f"cronmon ended with exit status {process.returncode}")
            if took > FLOOD_LIMIT:
                left = database.sql("select count(*) from delivery where next_attempt_at is not null")
                raise Problem(f"after {took:.0f} s {left} deliveries still wait")
        statements, pg_ms, wal = database.sql(COUNTED.format(lsn=lsn)).split("|")
        peak = memory_mb(process.pid)
    alerts, settled = map(int, database.sql("select (select count(*) from alert), (select count(*) from delivery where delivered_at is not null)").split("|"))
    if not alerts == settled == most:
        raise Problem(f"{most} were due, {alerts} alerts were made, and {settled} deliveries arrived")
    return {
        "due": alerts, "seconds": rounded(took), "judged_s": rounded(judged_s or took), "alerts_per_s": rounded(alerts / took),
        "peak_memory_mb": rounded(peak), "memory_before_mb": rounded(before), "statements_per_alert": rounded(int(statements) / alerts),
        "pg_ms_per_alert": rounded(float(pg_ms) / alerts), "wal_bytes_per_alert": rounded(int(wal) / alerts),
    }  # fmt: skip


def memory_mb(pid: int) -> float:
    """The most it ever had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def middle(ticks: list[Tick]) -> dict[str, float]:
    return {name: median(asdict(each)[name] for each in ticks) for name in asdict(ticks[0])}


def result(database: Database) -> dict[str, Any]:
    ticks, idle = middle(database.ticks), middle(database.idle)
    numbers = {
        "due_1000_ms": ticks["ms"], "due_1000_pg_ms": ticks["pg_ms"], "rows": ticks["monitors"], "alerts": ticks["deliveries"],
        "statements": ticks["statements"], "wal_bytes_per_alert": ticks["wal_bytes"] / DUE, "idle_ms": idle["ms"], "idle_db_ms": idle["pg_ms"],
        "idle_statements": idle["statements"],
    }  # fmt: skip
    return {**{name: rounded(number) for name, number in numbers.items()}, "plan": database.sql(PLAN).splitlines()}


def measure(sizes: list[int], log: IO[bytes]) -> dict[str, Any]:
    LOCAL.mkdir(exist_ok=True)
    token("bench")  # makes the key
    base = datetime.now(timezone.utc).replace(second=0, microsecond=0) + timedelta(days=1)
    with server() as cluster, webhook() as url, tempfile.TemporaryDirectory(prefix="bench-lateness.", dir=LOCAL) as folder:
        databases = [Database(cluster, size, base) for size in sizes]
        for each in databases:
            with stage(f"seed {each.size:,} monitors with ten jobs each"):
                psql(cluster, "cronmon", f"create database {each.name}")
                each.seed(url)
        with stage(f"ticks with {DUE:,} due, and with nothing due"), ticking(databases):
            for number in range(ROUNDS + 1):
                for each in random.sample(databases, len(databases)):
                    tick = each.tick_of_group(number)
                    # The first round is the warm-up.
                    each.ticks += [tick] if number else []
                took = ", ".join(f"{each.ticks[-1].ms:,.0f} ms of {each.size:,}" for each in databases if each.ticks)
                say(f"   round {number}: {took or 'the warm-up'}")
            for _ in range(IDLE_TICKS):
                for each in databases:
                    each.idle.append(each.tick(base + timedelta(minutes=ROUNDS, seconds=90)))
        found = {str(each.size): result(each) for each in databases}
        with stage(f"{FLOOD:,} due at once among {databases[-1].size:,}"):
            flooded = flood(databases[-1], Path(folder), log)
        version = databases[0].sql("show server_version").split()[0]
    largest = found[str(sizes[-1])]
    by_size = {name: {size: each[name] for size, each in found.items()} for name in ("due_1000_ms", "due_1000_pg_ms")}
    return {
        **by_size,
        "growth": rounded(largest["due_1000_ms"] / found[str(sizes[0])]["due_1000_ms"]),
        "idle_db_ms": max(each["idle_db_ms"] for each in found.values()),
        f"due_{flooded['due']}_s": flooded["seconds"],
        "peak_memory_mb": flooded["peak_memory_mb"],
        "sizes": found,
        "flood": flooded,
        "machine": {"cores": len(os.sched_getaffinity(0)), "postgresql": version},
    }


def table(found: dict[str, Any]) -> str:
    columns = {
        "ms": "due_1000_ms", "pg ms": "due_1000_pg_ms", "rows": "rows", "alerts": "alerts", "stmts": "statements", "WAL B/alert": "wal_bytes_per_alert",
        "idle ms": "idle_ms", "idle pg ms": "idle_db_ms", "idle stmts": "idle_statements",
    }  # fmt: skip
    rows = [["monitors", *columns]]
    for size, each in found["sizes"].items():
        rows.append([f"{int(size):,}", *(shown(each[key]) for key in columns.values())])
    flooded = found["flood"]
    return "\n".join([
        *((f"{row[0]:12}" + "".join(f"{cell:>12}" for cell in row[1:])).rstrip() for row in rows),
        "",
        "plan of the largest: " + " / ".join(line.strip() for line in list(found["sizes"].values())[-1]["plan"]),
        f"{flooded['due']:,} due at once: judged after {flooded['judged_s']} s, the last delivery settled after {flooded['seconds']} s, "
        f"{flooded['alerts_per_s']:,} alerts a second; memory {flooded['memory_before_mb']} MB before, {flooded['peak_memory_mb']} MB at most; "
        f"an alert: {flooded['statements_per_alert']} statements, {flooded['pg_ms_per_alert']} ms in Postgres, {flooded['wal_bytes_per_alert']:,} B of WAL",
    ])  # fmt: skip


def verdict(found: dict[str, Any]) -> str:
    sizes = [int(size) for size in found["sizes"]]
    growth, idle = found["growth"], found["idle_db_ms"]
    return "\n".join([
        f"limit: {DUE:,} due at {sizes[-1]:,} monitors at most {GROWTH_LIMIT:g} times what they cost at {sizes[0]:,}: {growth:.2f}, "
        f"{_holds(growth <= GROWTH_LIMIT)}",
        f"limit: nothing due at most {IDLE_LIMIT_MS:g} ms in Postgres: {idle:.3f}, {_holds(idle <= IDLE_LIMIT_MS)}",
    ])  # fmt: skip


def _holds(holds: bool) -> str:
    return "holds" if holds else "DOES NOT HOLD"


def wanted(arguments: list[str]) -> list[int]:
    """The sizes, the smallest first."""
    if len(arguments) > 1:
        raise Problem("usage: make bench-lateness, or make bench-lateness sizes=10000,100000")
    given = [part for part in (arguments or [""])[0].replace(",", " ").split() if part]
    least = (ROUNDS + 2) * DUE
    for part in given:
        if not part.isdecimal() or not least <= int(part) <= 2_000_000 or int(part) % DUE:
            raise Problem(f"sizes={part}: a size is a multiple of {DUE:,} from {least:,} to 2,000,000")
    return sorted({int(part) for part in given}) or list(SIZES)


def command(arguments: list[str]) -> int:
    sizes = wanted(arguments)
    if sys.platform != "linux":
        raise Problem("make bench-lateness needs Linux: it reads /proc")
    need_rust()
    with stage("build"):
        build("cronmon", TOKEN_TOOL, TOOL)
    go_first()
    with tempfile.TemporaryFile() as log:
        try:
            found = measure(sizes, log)
        finally:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            if said:
                say("\n".join(["cronmon said:", *said[-20:]]))
    print(f"{table(found)}\n\n{verdict(found)}")
    if tuple(sizes) != SIZES:
        say("other sizes than the usual: nothing is written")
        return 0
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    main(command)
