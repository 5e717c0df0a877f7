"""What the lists of the API cost: `make bench-api`. bench/README.md says how to read it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any, Iterator

import postgres
from bench_lateness import psql
from bench_ping import INSTALL, PGBENCH, SETTINGS, cpu_seconds, go_first, rounded, running, shown
from run import TOKEN_TOOL, binary, build, token
from servers import environment
from tools import LOCAL, ROOT, Problem, main, need_rust, say, stage, uninterrupted

ROUNDS = 5
# Of each round. What cronmon does besides, some four statements a second, comes less often than that meanwhile.
REQUESTS = 20
# What the project promises of a page of the list.
STATEMENTS_LIMIT = 2
POSTGRES_LIMIT_MS = 20.0
# Whether an API key opens management as a token does; then it is measured too.
WITH_KEY = False
RESULTS = ROOT / "bench" / "results" / "api.json"
CLUSTER = "bench-api-postgres"
# auto_explain says nothing before it is told to.
LIBRARIES = {"shared_preload_libraries": "pg_stat_statements,auto_explain", "max_wal_size": "4GB"}
MISSING = f"pg_stat_statements or auto_explain is missing, which say what a request costs PostgreSQL: {INSTALL}"
KEY = "k" * 32
# `bench` has 1,000 monitors, and so have 20 others together, each with 100 jobs; `many` has 100,000 with one. Of ten monitors one runs, of twenty
# one is late and one has failed; a tenth has each of ten tags. One default alert config, and two that are attached to nothing; of five maintenance
# windows one is in force, for a tag.
TENANTS = """
set synchronous_commit = off;
set session_replication_role = replica;
insert into alert_config (alert_config_id, tenant, name, created_at, active, on_late, on_error, on_recovered, is_default, type, url)
select gen_random_uuid(), tenant, 'hook ' || n, now(), true, true, true, true, n = 1, 'webhook', 'http://127.0.0.1:1/'
from (values ('bench'), ('many')) tenants (tenant), generate_series(1, 3) n;
insert into maintenance_window (window_id, tenant, name, created_at, monitor_ids, tags, duration, starts)
select gen_random_uuid(), tenant, 'window ' || n, now(), '{}', array['team-' || n], 86400, array[now() + make_interval(days => n - 2)]
from (values ('bench'), ('many')) tenants (tenant), generate_series(1, 5) n;
insert into api_key (api_key_id, tenant, name, scope, key_hash, masked, created_at)
values (gen_random_uuid(), 'bench', 'bench', 'read', '\\x{key_hash}', 'k', now());
insert into monitor (monitor_id, tenant, name, slug, tags, ping_id, created_at, schedule_kind, every_seconds, cron, timezone, expected_duration,
    grace_duration, alert_on, status, armed, announces_starts, next_slot, open_jobs, last_signal_at, last_success_at, last_run_at, due_at, incident_id,
    incident_began_at, incident_cause)
select md5('monitor ' || tenant || n)::uuid, tenant, 'backup of host ' || n, 'host-' || n, array['team-' || n % 10, 'all'], gen_random_uuid(),
    now() - make_interval(days => 200, secs => n), kind, case kind when 'every' then 86400 end, case kind when 'cron' then '17 3 * * *' end,
    case kind when 'cron' then 'Europe/Riga' end, 1800, 600, 'first', status, true, true, now() + interval '1 day', (n % 10 = 5)::integer, ran, ran, ran,
    now() + interval '2 days', case when status <> 'up' then gen_random_uuid() end, case when status <> 'up' then ran end,
    case status when 'late' then 'missed' when 'failed' then 'failed' end
from (
    select 'bench' as tenant, n from generate_series(1, 1000) n union all
    select 'other ' || n % 20, n from generate_series(1, 1000) n union all
    select 'many', n from generate_series(1, 100000) n
) tenants
cross join lateral (
    select case when n / 7 % 10 < 5 then 'cron' else 'every' end as kind,
        case n % 20 when 0 then 'late' when 1 then 'failed' else 'up' end as status, now() - make_interval(secs => n * 7919 % 86400) as ran
) s;
"""
# In the order of time over all monitors, as they would have come; each job says some 230 bytes.
JOBS = """
with past as (
    select monitor_id, n = 1 and open_jobs = 1 as runs, last_run_at - make_interval(hours => 12 * (n - 1)) as at,
        gen_random_uuid() as start_id, gen_random_uuid() as end_id
    from generate_series(100, 1, -1) n cross join monitor where tenant <> 'many' or n = 1
    order by n desc, monitor_id
), starts as (
    insert into signal (monitor_id, signal_id, received_at, kind, job_id, source_address, user_agent)
    select monitor_id, start_id, at, 'start', start_id, '127.0.0.1', 'curl/8.5.0' from past
), ends as (
    insert into signal (monitor_id, signal_id, received_at, kind, job_id, source_address, user_agent, body)
    select monitor_id, end_id, at + interval '100 s', 'success', start_id, '127.0.0.1', 'curl/8.5.0',
        convert_to(repeat('rows written: 12345' || chr(10), 10) || end_id, 'UTF8')
    from past where not runs
)
insert into job (job_id, monitor_id, announced, start_time, end_time, succeeded, due_at, answered, ended_by)
select start_id, monitor_id, true, at, case when not runs then at + interval '100 s' end, case when not runs then true end, at + interval '1 h', true,
    case when not runs then end_id end
from past;
"""
FILLED = "monitor, job, signal, alert_config, monitor_alert_config, maintenance_window, api_key, bare"
# The bare select: as many rows as the list has monitors, each as wide as it is in the answer.
BARE = """
create table bare (place integer primary key, answer text not null);
alter table bare alter column answer set storage plain;
insert into bare select n, repeat('x', {width}) from generate_series(1, 1000) n;
"""
BARE_SELECT = "select place, answer from bare order by place"
COUNTED = """
select queryid, calls, total_exec_time + total_plan_time from pg_stat_statements
where dbid = (select oid from pg_database where datname = current_database()) and toplevel and query not like '%pg_stat_statements%'
"""
EXPLAIN = [f"alter system set auto_explain.{name}" for name in ("log_analyze = on", "log_buffers = on", "log_min_duration = 0")]


@dataclass
class Case:
    """Requests of one kind."""

    name: str
    path: str
    tenant: str = "bench"
    by_key: bool = False
    # Whether the limits are meant for it.
    limited: bool = True
    bytes: int = 0
    rows: int = 0
    first_pg_ms: float = 0
    # Milliseconds of a request, its statements, Postgres' milliseconds and CPU milliseconds.
    rounds: list[tuple[float, float, float, float]] = field(default_factory=list)


MONITOR = "/monitors/" + str(hashlib.md5(b"monitor bench500").hexdigest())
CASES = [
    Case("list of 1,000", "/monitors"),
    Case("page of 50", "/monitors?limit=50"),
    Case("by name", "/monitors?name=HOST%207"),
    Case("by status", "/monitors?status=late,failed"),
    Case("by tag", "/monitors?tag=team-3"),
    Case("one monitor, 100 jobs", MONITOR, limited=False),
    Case("jobs, page of 50", MONITOR + "/jobs?limit=50", limited=False),
    Case("50 of 100,000", "/monitors?limit=50", "many", limited=False),
    Case("50 of 100,000 by name", "/monitors?limit=50&name=HOST%207", "many", limited=False),
    *([Case("list of 1,000, by key", "/monitors", by_key=True), Case("page of 50, by key", "/monitors?limit=50", by_key=True)] if WITH_KEY else []),
]  # fmt: skip


@dataclass
class Bench:
    cluster: postgres.Cluster
    port: int
    tokens: dict[str, str]

    def sql(self, *statements: str) -> str:
        return psql(self.cluster, "cronmon", *statements)

    def get(self, connection: http.client.HTTPConnection, case: Case) -> bytes:
        headers = {"X-API-Key": KEY} if case.by_key else {"Authorization": f"Bearer {self.tokens[case.tenant]}"}
        connection.request("GET", f"/api/v1{case.path}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Problem(f"{case.name}: {answer.status} {body[:200].decode(errors='replace')}")
        return body

    def requests(self, case: Case, number: int) -> tuple[float, float, dict[str, tuple[int, float]]]:
        """The median of their milliseconds, Postgres' CPU milliseconds of one, and the calls and milliseconds of all statements meanwhile."""
        self.sql("select pg_stat_statements_reset()")
        pid = self.cluster.pid()
        if not pid:
            raise Problem("PostgreSQL is gone")
        cpu = cpu_seconds(pid, family=True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        took = []
        for _ in range(number):
            began = time.perf_counter()
            body = self.get(connection, case)
            took.append((time.perf_counter() - began) * 1000)
        cpu = cpu_seconds(pid, family=True) - cpu
        connection.close()
        case.bytes = len(body)
        data = json.loads(body)["data"]
        case.rows = len(data if isinstance(data, list) else data["jobs"])
        return median(took), cpu * 1000 / number, self.counted()

    def counted(self) -> dict[str, tuple[int, float]]:
        rows = (line.split("|") for line in self.sql(COUNTED).splitlines())
        return {query: (int(calls), float(ms)) for query, calls, ms in rows}

    def first(self, case: Case) -> None:
        """The first request of its kind, and what the statements took that a second one sends too."""
        *_, first = self.requests(case, 1)
        *_, again = self.requests(case, REQUESTS)
        own = {query for query, (calls, _) in again.items() if calls >= REQUESTS}
        case.first_pg_ms = sum(ms for query, (_, ms) in first.items() if query in own)

    def measure(self, case: Case) -> None:
        ms, cpu_ms, counted = self.requests(case, REQUESTS)
        own = [(calls, total) for calls, total in counted.values() if calls >= REQUESTS]
        case.rounds.append((ms, sum(calls // REQUESTS for calls, _ in own), sum(total for _, total in own) / REQUESTS, cpu_ms))

    def bare(self, script: Path) -> float:
        """The milliseconds in Postgres of the bare select by pgbench."""
        self.sql("select pg_stat_statements_reset()")
        script.write_text(BARE_SELECT + ";\n", encoding="utf-8")
        pgbench, env = self.cluster.client("pgbench")
        command = [pgbench, "--no-vacuum", "--protocol=extended", "--client=1", f"--transactions={REQUESTS}", f"--file={script}"]
        done = subprocess.run(command, env={**environment(), **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Problem(f"pgbench failed: {done.stderr.strip()}")
        return sum(ms for calls, ms in self.counted().values() if calls == REQUESTS) / REQUESTS

    def plan(self, case: Case) -> list[str]:
        """Of the statement, as PostgreSQL carried it out."""
        self.sql(*EXPLAIN, "select pg_reload_conf()")
        time.sleep(1)
        begin = self.cluster.log.stat().st_size
        self.get(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60), case)
        time.sleep(0.5)
        self.sql("alter system reset all", "select pg_reload_conf()")
        with open(self.cluster.log, encoding="utf-8", errors="replace") as log:
            log.seek(begin)
            said = log.read()
        for entry in said.split("LOG:  duration: "):
            if "with matching as" in entry:
                lines = [line[1:].rstrip() for line in entry.splitlines() if line.startswith("\t")]
                start = next(number for number, line in enumerate(lines) if "(cost=" in line)
                return [f"{entry.split(' ms', 1)[0]} ms, with what it takes to measure each step", *lines[start:]]
        raise Problem("PostgreSQL's log has no plan of the list")


@contextmanager
def server() -> Iterator[postgres.Cluster]:
    """A PostgreSQL made for the run."""
    postgres.CLUSTERS[CLUSTER] = {**SETTINGS, **LIBRARIES}
    cluster = postgres.Cluster(CLUSTER)
    try:
        with cluster.use(fresh=True):
            try:
                cluster.client("pgbench")
            except Problem:
                raise Problem(PGBENCH) from None
            yield cluster
    except Problem as problem:
        # They are loaded when the server starts.
        missing = "does not start" in str(problem) and any(name in str(problem) for name in LIBRARIES["shared_preload_libraries"].split(","))
        raise Problem(MISSING) if missing else problem from None
    finally:
        with uninterrupted():
            cluster.delete()


def fill(cluster: postgres.Cluster) -> None:
    env = {**environment(), "DATABASE_URL": cluster.url()}
    if subprocess.call([str(binary("cronmon")), "migrate", "up"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
        raise Problem("the schema could not be made")
    tenants = TENANTS.replace("{key_hash}", hashlib.sha256(KEY.encode()).hexdigest())
    statements = [part for part in (tenants + JOBS).split(";\n") if part.strip()]
    psql(cluster, "cronmon", *statements, "create extension pg_stat_statements")


def measure(log: IO[bytes]) -> dict[str, Any]:
    LOCAL.mkdir(exist_ok=True)
    tokens = {tenant: token(tenant) for tenant in ("bench", "many")}
    with server() as cluster, tempfile.TemporaryDirectory(prefix="bench-api.", dir=LOCAL) as name:
        folder = Path(name)
        with stage("seed 102,000 monitors with 300,000 jobs"):
            fill(cluster)
        with running(cluster.url(), folder, log) as (_, port):
            bench = Bench(cluster, port, tokens)
            body = bench.get(http.client.HTTPConnection("127.0.0.1", port, timeout=60), CASES[0])
            statements = BARE.format(width=len(body) // 1000).split(";\n")
            bench.sql(*(part for part in statements if part.strip()), f"vacuum analyze {FILLED}", "checkpoint")
            bare = []
            with stage("requests"):
                for case in CASES:
                    bench.first(case)
                for number in range(1, ROUNDS + 1):
                    bare.append(bench.bare(folder / "bare.sql"))
                    for case in CASES:
                        bench.measure(case)
                    say(f"   round {number}: {CASES[0].name} {CASES[0].rounds[-1][2]:.2f} ms in Postgres, the bare select {bare[-1]:.2f}")
            plan = bench.plan(CASES[0])
        version = bench.sql("show server_version").split()[0]
    found = {case.name: result(case) for case in CASES}
    first = found[CASES[0].name]
    return {
        "statements": max(found[case.name]["statements"] for case in CASES if case.limited),
        "pg_ms": max(found[case.name]["pg_ms"] for case in CASES if case.limited),
        "bare_pg_ms": rounded(median(bare)),
        "ratio": rounded(first["pg_ms"] / median(bare)),
        "cases": found,
        "plan": plan,
        "machine": {"cores": len(os.sched_getaffinity(0)), "postgresql": version},
    }


def result(case: Case) -> dict[str, Any]:
    ms, statements, pg_ms, cpu_ms = (median(each) for each in zip(*case.rounds))
    return {
        "path": case.path, "statements": int(statements), "pg_ms": rounded(pg_ms), "most_pg_ms": rounded(max(each[2] for each in case.rounds)),
        "pg_cpu_ms": rounded(cpu_ms), "first_pg_ms": rounded(case.first_pg_ms), "ms": rounded(ms), "rows": case.rows, "bytes": case.bytes,
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    columns = {"stmts": "statements", "pg ms": "pg_ms", "most": "most_pg_ms", "CPU ms": "pg_cpu_ms", "first": "first_pg_ms"}
    columns |= {"ms": "ms", "rows": "rows", "bytes": "bytes"}
    rows = [["", *columns]]
    for name, each in found["cases"].items():
        rows.append([name, *(f"{each[key]:,}" if isinstance(each[key], int) else shown(each[key]) for key in columns.values())])
    rows.append(["the bare select", "1", shown(found["bare_pg_ms"])])
    lines = [(f"{row[0]:24}" + "".join(f"{cell:>11}" for cell in row[1:])).rstrip() for row in rows]
    return "\n".join([*lines, "", f"the list of 1,000 takes {found['ratio']:g} times the bare select; its plan:", *found["plan"]])


def limits(found: dict[str, Any]) -> list[tuple[str, bool]]:
    statements, pg_ms = found["statements"], found["pg_ms"]
    return [
        (f"limit: a page of the list at most {STATEMENTS_LIMIT} statements: {statements}", statements <= STATEMENTS_LIMIT),
        (f"limit: a page of the list at most {POSTGRES_LIMIT_MS:g} ms in Postgres: {pg_ms:g}", pg_ms <= POSTGRES_LIMIT_MS),
    ]


def command(arguments: list[str]) -> int:
    if arguments:
        raise Problem("usage: make bench-api")
    if sys.platform != "linux":
        raise Problem("make bench-api needs Linux")
    need_rust()
    with stage("build"):
        build("cronmon", TOKEN_TOOL)
    go_first()
    with tempfile.TemporaryFile() as log:
        try:
            found = measure(log)
        finally:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            if said:
                say("\n".join(["cronmon said:", *said[-20:]]))
    print(f"{table(found)}\n")
    for text, holds in limits(found):
        print(f"{text}, {'holds' if holds else 'DOES NOT HOLD'}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(holds for _, holds in limits(found)) else 1


if __name__ == "__main__":
    main(command)
