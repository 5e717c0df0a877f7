"""How many pings a second, beside the bare writes of a ping by pgbench: `make bench-ping`. bench/README.md says how to read it."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any, Callable, Iterator

import postgres
from run import END_LIMIT, KEY, TOKEN_TOOL, binary, build, token
from servers import environment
from tools import LOCAL, ROOT, Problem, end_process, main, need_rust, say, stage, uninterrupted

# As many as cronmon has for requests: CONNECTIONS_FOR_REQUESTS in local/src/main.rs.
CONNECTIONS = 16
BURST_CONNECTIONS = 64
ROUNDS = 3
WARM_UP = 2
SECONDS = 8
# One at a time, for Postgres' time when nobody waits for a core or a row.
ALONE_SECONDS = 2
ONE_WARM_UP, ONE_SECONDS = 1, 4
KIND_WARM_UP, KIND_SECONDS = 1, 2
BURST_SECONDS = 6
MOST_BACKGROUND = 500
# What the project promises: of the bare writes, times the bare write; and what history may cost, for information.
RATE_LIMIT = 0.5
POSTGRES_LIMIT = 2.5
HISTORY_LIMIT = 0.8
READY_LIMIT = 30.0
RESULTS = ROOT / "bench" / "results" / "ping.json"
LOAD = "cronmon-bench-load"
CLUSTER = "bench-ping-postgres"
# Durable: nothing but what counts statements is added to PostgreSQL's own settings.
SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "top", "pg_stat_statements.track_planning": "on"}
INSTALL = "install PostgreSQL (on Debian and Ubuntu: apt install postgresql; elsewhere also its contrib package)"
PG_STAT_STATEMENTS = f"pg_stat_statements is missing, which counts what a ping costs PostgreSQL: {INSTALL}"
PGBENCH = f"pgbench is missing, which does the bare writes: {INSTALL}"
# Nothing falls due in the time of a run: a year, the longest grace.
GRACE = 31622400
# The bare writes of a ping, as one statement. In all that is measured the nth monitor has the ping id n.
BARE_WRITE = """with bare_write as (
    update monitor set due_at = now() + interval '1 year', last_signal_at = now(), revision = revision + 1
    where ping_id = lpad(to_hex(:n::integer), 32, '0')::uuid
    returning monitor_id
)
insert into signal (monitor_id, signal_id, received_at, kind, source_address, user_agent)
select monitor_id, gen_random_uuid(), now(), 'success', '127.0.0.1', 'curl/8.5.0' from bare_write;
"""
# Jobs without a start, one a minute, in the order of time over all monitors, as they would have come. Ids as of pings: the time, then chance.
HISTORY = """
set synchronous_commit = off;
-- No look-up of the monitor for each row.
set session_replication_role = replica;
with past as (
    select monitor_id, at, (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
        || '8' || substr(md5(random()::text), 1, 15))::uuid as id
    from (values {counts}) as wanted (first, last, jobs)
    join monitor on name::integer between first and last
    cross join lateral generate_series(1, jobs) as n
    cross join lateral (select now() - make_interval(secs => 60 * n) as at) as instant
    order by n desc, monitor_id
), signals as (
    insert into signal (monitor_id, signal_id, received_at, kind, job_id, source_address, user_agent)
    select monitor_id, id, at, 'success', id, '127.0.0.1', 'curl/8.5.0' from past
)
insert into job (job_id, monitor_id, announced, start_time, end_time, succeeded, answered, ended_by)
select id, monitor_id, false, at, at, true, true, id from past;
"""
COUNTED = """
select coalesce(sum(calls) filter (where query not like '%pg_stat_statements%'), 0),
    coalesce(sum(total_exec_time + total_plan_time) filter (where query like '%{mark}%' and query not like '%pg_stat_statements%'), 0),
    pg_current_wal_lsn() - '{lsn}'::pg_lsn
from pg_stat_statements where userid = current_user::regrole
"""


@dataclass(frozen=True)
class Scenario:
    """Monitors by their numbers, and how they are pinged."""

    name: str
    first: int
    last: int
    suffixes: tuple[str, ...] = ("",)


NO_HISTORY = Scenario("no_history", 1, 1000)
JOBS_EACH = Scenario("jobs_1000_each", 1001, 2000)
CRON = Scenario("cron", 2001, 3000)
ONE = Scenario("one_monitor_100000_jobs", 3001, 3001)
KINDS = (
    Scenario("success", NO_HISTORY.first, NO_HISTORY.last),
    Scenario("start_and_success", NO_HISTORY.first, NO_HISTORY.last, ("/start", "")),
    Scenario("log", NO_HISTORY.first, NO_HISTORY.last, ("/log",)),
    CRON,
    Scenario("fail", NO_HISTORY.first, NO_HISTORY.last, ("/fail",)),
)


@dataclass
class Cpu:
    """Seconds."""

    cronmon: float
    postgres: float
    client: float


@dataclass
class Measured:
    """Of pings, or of bare writes; times and bytes are of one of them."""

    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    statements: float
    pg_ms: float
    wal_bytes: float
    cronmon_cpu_ms: float
    postgres_cpu_ms: float
    client_cpu_ms: float


@dataclass
class Pair:
    """Pings and bare writes of the same monitors, a round each, and the same one at a time."""

    pings: list[Measured] = field(default_factory=list)
    writes: list[Measured] = field(default_factory=list)
    pings_alone: list[Measured] = field(default_factory=list)
    writes_alone: list[Measured] = field(default_factory=list)


# Keeps so many connections busy for so many seconds, and says what it counted.
Work = Callable[[Scenario, int, int], dict[str, Any]]


@dataclass
class Bench:
    cluster: postgres.Cluster
    cronmon: subprocess.Popen[bytes]
    port: int
    folder: Path
    errors: dict[str, int] = field(default_factory=dict)

    def sql(self, *statements: str) -> str:
        """Each is a transaction of its own; what the last one answered, columns separated by |."""
        psql, env = self.cluster.client("psql")
        command = [psql, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
        command += [part for statement in statements for part in ("--command", statement)]
        done = subprocess.run(command, env={**environment(), **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Problem(f"psql failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def ping(self, scenario: Scenario, connections: int, seconds: int) -> dict[str, Any]:
        return self.load(scenario, connections, seconds, "steady")

    def burst(self, rate: int) -> dict[str, Any]:
        return self.load(NO_HISTORY, BURST_CONNECTIONS, BURST_SECONDS, "burst", str(rate))

    def load(self, scenario: Scenario, connections: int, seconds: int, *mode: str) -> dict[str, Any]:
        """What the load generator counted. Errors are kept for the end."""
        paths = self.folder / f"{scenario.name}.paths"
        if not paths.exists():
            ids = (f"00000000-0000-0000-0000-{number:012x}" for number in range(scenario.first, scenario.last + 1))
            paths.write_text("".join(" ".join(f"/ping/{id}{suffix}" for suffix in scenario.suffixes) + "\n" for id in ids), encoding="utf-8")
        command = [str(binary(LOAD)), f"127.0.0.1:{self.port}", str(paths), str(connections), str(seconds), *mode]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Problem(f"{LOAD} failed with exit status {done.returncode}")
        counted: dict[str, Any] = json.loads(done.stdout)
        if counted["errors"]:
            what = f"{scenario.name}, {' '.join(mode)}: {json.dumps(counted['errors_by_kind'])}"
            say(f"   errors: {what}")
            self.errors[what] = self.errors.get(what, 0) + counted["errors"]
        return counted

    def write(self, scenario: Scenario, connections: int, seconds: int) -> dict[str, Any]:
        """What pgbench counted, in the words of the load generator."""
        script = self.folder / f"{scenario.name}.sql"
        if not script.exists():
            script.write_text(f"\\set n random({scenario.first}, {scenario.last})\n{BARE_WRITE}", encoding="utf-8")
        pgbench, env = self.cluster.client("pgbench")
        threads = min(2, connections)
        command = [pgbench, "--no-vacuum", "--protocol=extended", f"--client={connections}", f"--jobs={threads}"]
        command += [f"--time={seconds}", f"--file={script}"]
        done = subprocess.run(command, env={**environment(), **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        found = [re.search(rf"^{what} ([\d.]+)", done.stdout, re.MULTILINE) for what in ("number of transactions actually processed:", "tps =")]
        failed = re.search(r"^number of failed transactions: ([1-9]\d*)", done.stdout, re.MULTILINE)
        if done.returncode or failed or not found[0] or not found[1]:
            raise Problem(f"pgbench failed: {done.stderr.strip() or done.stdout.strip()}")
        return {"pings": int(found[0].group(1)), "pings_per_s": float(found[1].group(1))}

    def cpu(self) -> Cpu:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        server = self.cluster.pid()
        if not server:
            raise Problem("PostgreSQL is gone")
        return Cpu(cpu_seconds(self.cronmon.pid), cpu_seconds(server, family=True), children.ru_utime + children.ru_stime)

    def measure(self, mark: str, work: Work, scenario: Scenario, connections: int, seconds: int) -> Measured:
        """`mark` is in the statements whose time counts."""
        lsn = self.sql("select pg_stat_statements_reset()", "select pg_current_wal_lsn()").splitlines()[-1]
        before = self.cpu()
        counted = work(scenario, connections, seconds)
        after = self.cpu()
        statements, pg_ms, wal = map(float, self.sql(COUNTED.format(mark=mark, lsn=lsn)).split("|"))
        if not counted["pings"]:
            raise Problem(f"{scenario.name}: nothing was answered: {', '.join(self.errors)}")
        each = 1 / counted["pings"]
        return Measured(
            counted["pings_per_s"], counted.get("p50_ms", 0), counted.get("p99_ms", 0), counted.get("max_ms", 0),
            statements * each, pg_ms * each, wal * each, (after.cronmon - before.cronmon) * 1000 * each,
            (after.postgres - before.postgres) * 1000 * each, (after.client - before.client) * 1000 * each,
        )  # fmt: skip

    def measure_pings(self, scenario: Scenario, connections: int, seconds: int) -> Measured:
        return self.measure("apply_signal(", self.ping, scenario, connections, seconds)

    def measure_writes(self, scenario: Scenario, connections: int, seconds: int) -> Measured:
        return self.measure("bare_write", self.write, scenario, connections, seconds)

    def forget(self) -> None:
        """Takes back the history. The tables are not vacuumed: Postgres would plan for empty ones, and go on so when they are full."""
        self.sql(
            "truncate signal, job, alert, delivery",
            """update monitor set open_jobs = 0, status = 'up', incident_id = null, incident_began_at = null, incident_cause = null
            where open_jobs > 0 or incident_id is not null""",
        )

    def tidy(self) -> None:
        """Nothing others left is in the way. A checkpoint makes the first write to each page dearer: the warm-up pays that, and no other comes."""
        self.sql("vacuum monitor", "checkpoint")


def cpu_seconds(pid: int, family: bool = False) -> float:
    """User and system time of a process; with its children, those that ended too."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat") if family else [Path(f"/proc/{pid}/stat")]:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        parts = text.rpartition(")")[2].split()
        if path.parent.name == str(pid):
            ticks += sum(map(int, parts[11:15] if family else parts[11:13]))
        elif parts[1] == str(pid):
            ticks += sum(map(int, parts[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def database() -> Iterator[postgres.Cluster]:
    """A PostgreSQL made for the run."""
    postgres.CLUSTERS[CLUSTER] = SETTINGS
    cluster = postgres.Cluster(CLUSTER)
    try:
        with cluster.use(fresh=True):
            cluster.client("psql")
            try:
                cluster.client("pgbench")
            except Problem:
                raise Problem(PGBENCH) from None
            yield cluster
    except Problem as problem:
        # It is loaded when the server starts.
        missing = "does not start" in str(problem) and "pg_stat_statements" in str(problem)
        raise Problem(PG_STAT_STATEMENTS) if missing else problem from None
    finally:
        with uninterrupted():
            cluster.delete()


@contextmanager
def running(url: str, folder: Path, log: IO[bytes], **more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """cronmon with the settings of make run, and more; without an inbox, for it would print."""
    port = postgres.free_port()
    spool = folder / "spool"
    spool.mkdir()
    settings = {
        "DATABASE_URL": url,
        "KEYCLOAK_CERTS_URL": (KEY / "jwks.json").as_uri(),
        "PORT": str(port),
        "RUST_LOG": "warn",
        "PING_LIMIT_PER_MINUTE": "1000000000",
        "SPOOL_DIR": str(spool),
        **more,
    }
    env = {"PATH": os.environ["PATH"], **settings}
    process = subprocess.Popen([str(binary("cronmon"))], cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    try:
        await_ready(process, port)
        yield process, port
    finally:
        end_process(process, END_LIMIT)


def await_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if request(http.client.HTTPConnection("127.0.0.1", port, timeout=5), "GET", "/api/v1/health/ready") == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise Problem("cronmon is not ready" if process.poll() is None else f"cronmon ended with exit status {process.returncode}")


def request(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> int:
    connection.request(method, path, None if body is None else json.dumps(body), headers or {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def create_monitors(bench: Bench) -> None:
    """Through the API, which knows what a monitor has. Its name is its number, and so is then its ping id, which pgbench makes without a look-up."""
    every, cron = {"every": 60}, {"cron": "* * * * *"}
    headers = {"Authorization": f"Bearer {token('bench')}"}

    def create(numbers: range) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", bench.port, timeout=30)
        for number in numbers:
            schedule = cron if CRON.first <= number <= CRON.last else every
            body = {"name": str(number), "schedule": schedule, "grace_duration": GRACE}
            status = request(connection, "POST", "/api/v1/monitors", body, headers)
            if status not in (200, 201):
                raise Problem(f"a monitor could not be created: the API answered {status}")
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, (range(first, ONE.last + 1, 8) for first in range(1, 9))))
    bench.sql("update monitor set ping_id = lpad(to_hex(name::integer), 32, '0')::uuid", "vacuum analyze monitor")


def seed(bench: Bench) -> None:
    wanted = ((JOBS_EACH, 1000), (ONE, 100_000))
    counts = ", ".join(f"({scenario.first}, {scenario.last}, {jobs})" for scenario, jobs in wanted)
    bench.sql(*(part for part in HISTORY.format(counts=counts).split(";\n") if part.strip()), "vacuum analyze")


def compare(bench: Bench, scenario: Scenario, warm_up: int, seconds: int, fresh: bool = False) -> Pair:
    """In rounds, pings and bare writes by turns first, so that what disturbs and what grows meets both alike."""
    pair = Pair()
    sides = [
        (bench.ping, bench.measure_pings, pair.pings, pair.pings_alone),
        (bench.write, bench.measure_writes, pair.writes, pair.writes_alone),
    ]
    for number in range(1, ROUNDS + 1):
        for work, measure, together, alone in sides if number % 2 else reversed(sides):
            if fresh:
                bench.forget()
            bench.tidy()
            work(scenario, CONNECTIONS, warm_up)
            together.append(measure(scenario, CONNECTIONS, seconds))
            alone.append(measure(scenario, 1, ALONE_SECONDS))
        pings, writes = pair.pings[-1], pair.writes[-1]
        say(f"   round {number}: {pings.per_s:,.0f} pings/s, {writes.per_s:,.0f} writes/s; in Postgres {pings.pg_ms:.3f} ms, {writes.pg_ms:.3f} ms")
    return pair


def kinds(bench: Bench) -> dict[str, dict[str, float]]:
    rounds: dict[str, list[Measured]] = {scenario.name: [] for scenario in KINDS}
    for _ in range(ROUNDS):
        for scenario in random.sample(KINDS, len(KINDS)):
            bench.forget()
            bench.tidy()
            bench.ping(scenario, CONNECTIONS, KIND_WARM_UP)
            rounds[scenario.name].append(bench.measure_pings(scenario, CONNECTIONS, KIND_SECONDS))
    found = {}
    for name, pings in ((name, middle(each)) for name, each in rounds.items()):
        numbers = {
            "pings_per_s": pings.per_s, "p50_ms": pings.p50_ms, "p99_ms": pings.p99_ms, "max_ms": pings.max_ms,
            "statements_per_ping": pings.statements, "pg_ms_per_ping": pings.pg_ms, "wal_bytes_per_ping": pings.wal_bytes,
        }  # fmt: skip
        found[name] = {key: rounded(number) for key, number in numbers.items()}
    return found


def rounded(number: float) -> float:
    return round(number, 1) if number >= 100 else round(number, 3)


def middle(rounds: list[Measured]) -> Measured:
    return Measured(**{name: median(asdict(each)[name] for each in rounds) for name in asdict(rounds[0])})


def result(pair: Pair) -> dict[str, Any]:
    pings, writes, ping, write = (middle(each) for each in (pair.pings, pair.writes, pair.pings_alone, pair.writes_alone))
    numbers = {
        "pings_per_s": pings.per_s, "limit_per_s": writes.per_s, "ratio": pings.per_s / writes.per_s,
        "p50_ms": pings.p50_ms, "p99_ms": pings.p99_ms, "max_ms": pings.max_ms, "statements_per_ping": pings.statements,
        "pg_ms_per_ping": pings.pg_ms, "limit_pg_ms": writes.pg_ms, "pg_ratio": pings.pg_ms / writes.pg_ms,
        "alone_pg_ms_per_ping": ping.pg_ms, "alone_limit_pg_ms": write.pg_ms,
        "wal_bytes_per_ping": pings.wal_bytes, "limit_wal_bytes": writes.wal_bytes,
    }  # fmt: skip
    ping_cpu = (pings.cronmon_cpu_ms, pings.postgres_cpu_ms, pings.client_cpu_ms)
    write_cpu = (writes.postgres_cpu_ms, writes.client_cpu_ms)
    return {
        **{name: rounded(number) for name, number in numbers.items()},
        "cpu_ms_per_ping": dict(zip(("cronmon", "postgres", "load"), map(rounded, ping_cpu))),
        "limit_cpu_ms": dict(zip(("postgres", "load"), map(rounded, write_cpu))),
    }


def go_first() -> None:
    """Lets this process and all that it starts come before what else is busy here, if it may (as root)."""
    try:
        os.nice(-10)
    except PermissionError:
        pass


def measure(log: IO[bytes]) -> tuple[dict[str, Any], dict[str, int]]:
    LOCAL.mkdir(exist_ok=True)
    token("bench")  # makes the key
    with database() as cluster, tempfile.TemporaryDirectory(prefix="bench-ping.", dir=LOCAL) as name:
        folder = Path(name)
        with running(cluster.url(), folder, log) as (process, port):
            bench = Bench(cluster, process, port, folder)
            bench.sql("create extension pg_stat_statements")
            scenarios = {}
            with stage("create monitors"):
                create_monitors(bench)
            with stage("pings without history"):
                scenarios[NO_HISTORY.name] = result(compare(bench, NO_HISTORY, WARM_UP, SECONDS, fresh=True))
            with stage("a burst"):
                bench.forget()
                bench.tidy()
                bench.ping(NO_HISTORY, CONNECTIONS, WARM_UP)
                rate = min(MOST_BACKGROUND, int(scenarios[NO_HISTORY.name]["pings_per_s"] / 4))
                burst = {name: rounded(number) for name, number in bench.burst(rate).items() if not name.startswith("errors")}
            with stage("kinds of pings"):
                by_kind = kinds(bench)
            with stage("seed history"):
                bench.forget()
                seed(bench)
            with stage("pings with 1,000 jobs a monitor"):
                scenarios[JOBS_EACH.name] = result(compare(bench, JOBS_EACH, WARM_UP, SECONDS))
            with stage("pings of one monitor with 100,000 jobs"):
                scenarios[ONE.name] = result(compare(bench, ONE, ONE_WARM_UP, ONE_SECONDS))
            version = bench.sql("show server_version").split()[0]
    machine = {"cores": len(os.sched_getaffinity(0)), "postgresql": version}
    return {**scenarios[NO_HISTORY.name], "scenarios": scenarios, "kinds": by_kind, "burst": burst, "machine": machine}, bench.errors


def table(found: dict[str, Any]) -> str:
    columns = {
        "pings/s": "pings_per_s", "limit/s": "limit_per_s", "ratio": "ratio", "p50 ms": "p50_ms", "p99 ms": "p99_ms", "max ms": "max_ms",
        "stmts": "statements_per_ping", "pg ms": "pg_ms_per_ping", "limit ms": "limit_pg_ms", "x limit": "pg_ratio",
        "alone ms": "alone_pg_ms_per_ping", "its limit": "alone_limit_pg_ms", "WAL B": "wal_bytes_per_ping", "limit B": "limit_wal_bytes",
    }  # fmt: skip
    rows = [["", *columns]]
    for name, each in {**found["scenarios"], **found["kinds"]}.items():
        rows.append([name, *(shown(each[key]) if key in each else "" for key in columns.values())])
    mine, bare, burst = found["cpu_ms_per_ping"], found["limit_cpu_ms"], found["burst"]
    return "\n".join([
        *((f"{row[0]:24}" + "".join(f"{cell:>10}" for cell in row[1:])).rstrip() for row in rows),
        "",
        f"CPU ms: a ping {sum(mine.values()):.3f} (cronmon {mine['cronmon']}, postgres {mine['postgres']}, load {mine['load']}); "
        f"a bare write {sum(bare.values()):.3f} (postgres {bare['postgres']}, pgbench {bare['load']})",
        f"burst: {burst['burst_pings']:,.0f} pings within a second beside {burst['background_per_s']:,.0f} a second: p50 {burst['burst_p50_ms']} ms, "
        f"p99 {burst['burst_p99_ms']} ms, max {burst['burst_max_ms']} ms, all answered after {burst['burst_drained_s']} s; "
        f"before it p50 {burst['background_p50_ms']} ms, p99 {burst['background_p99_ms']} ms",
    ])  # fmt: skip


def shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3f}" if number < 1 else f"{number:.2f}"


def verdict(found: dict[str, Any]) -> str:
    rate, postgres_time, history = found["ratio"], found["pg_ratio"], found["scenarios"][JOBS_EACH.name]
    pings, writes = (history[key] / found[key] for key in ("pings_per_s", "limit_per_s"))
    return "\n".join([
        f"limit: pings a second at least {RATE_LIMIT:g} of the bare writes: {rate:.2f}, {_holds(rate >= RATE_LIMIT)}",
        f"limit: Postgres' time at most {POSTGRES_LIMIT:g} times the bare write's: {postgres_time:.2f}, {_holds(postgres_time <= POSTGRES_LIMIT)}",
        f"for information: with history at least {HISTORY_LIMIT:g} of the pings without: {pings:.2f}, {_holds(pings >= HISTORY_LIMIT)}; "
        f"of the bare writes {writes:.2f}",
    ])  # fmt: skip


def _holds(holds: bool) -> str:
    return "holds" if holds else "DOES NOT HOLD"


def command(arguments: list[str]) -> int:
    if arguments:
        raise Problem("usage: make bench-ping")
    if sys.platform != "linux":
        raise Problem("make bench-ping needs Linux: it reads /proc")
    need_rust()
    with stage("build"):
        build("cronmon", TOKEN_TOOL, LOAD)
    go_first()
    with tempfile.TemporaryFile() as log:
        try:
            found, errors = measure(log)
        finally:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            if said:
                say("\n".join(["cronmon said:", *said[-20:]]))
    print(f"{table(found)}\n\n{verdict(found)}")
    if errors:
        raise Problem(f"{sum(errors.values())} pings were not answered with 200, so nothing is written: {'; '.join(errors)}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    main(command)
