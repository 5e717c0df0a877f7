"""A Keycloak on 127.0.0.1 with the realm of keycloak/realm.json: `make keycloak`, and the one of its test.

    python3 dev/keycloak.py

It is the distribution from Maven Central, fetched by this machine's mvn with its own settings, compared with a digest, and unpacked and built
once into .local/. Its database is in memory: every start has the realm as the file says, and what is changed meanwhile is gone at the end.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from postgres import free_port, is_free
from tools import LOCAL, ROOT, Problem, Stop, end_session, lock, main, say, stage, uninterrupted
from wheels import Missing

VERSION = "26.7.3"
SHA256 = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
# Named with its version, because the one that a bare `dependency:copy` means depends on Maven's.
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
OLDEST_JAVA = 17
HOME = LOCAL / f"keycloak-{VERSION}"
REALM = ROOT / "keycloak" / "realm.json"
# For this machine only: nobody else reaches it.
ADMIN = "admin"
PORT = 8080
# With neither health nor metrics there is no management interface, which would want port 9000 too.
BUILD = ("build", "--db=dev-mem", "--health-enabled=false", "--metrics-enabled=false")
START_LIMIT = 180.0


@dataclass(frozen=True)
class Keycloak:
    url: str
    process: subprocess.Popen[bytes]

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/cron-mon"

    @property
    def certs_url(self) -> str:
        return f"{self.issuer}/protocol/openid-connect/certs"

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/protocol/openid-connect/token"

    def end(self) -> None:
        with uninterrupted():
            end_session(self.process)


@contextmanager
def started(name: str, port: int) -> Iterator[Keycloak]:
    """A Keycloak on this port, ready for requests. Its log is .local/NAME.log."""
    home, log = distribution(), LOCAL / f"{name}.log"
    url = f"http://127.0.0.1:{port}"
    options = ("--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}", f"--hostname={url}", "--cache=local")
    with open(log, "wb") as output:
        # A session of its own: ctrl-C in the terminal is for us, who then end it.
        process = subprocess.Popen(
            [str(home / "bin" / "kc.sh"), "start", "--optimized", "--import-realm", *options],
            cwd=home, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    running = Keycloak(url, process)
    try:
        _await(running, log)
        yield running
    finally:
        running.end()


def _await(running: Keycloak, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            urllib.request.urlopen(running.certs_url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if running.process.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"Keycloak does not start; see {log.relative_to(ROOT)}") from None
            time.sleep(0.1)


def environment() -> dict[str, str]:
    """Ours without what would change Keycloak's behaviour."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("KC_", "JAVA_OPTS", "QUARKUS_"))}
    return {
        **kept,
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN,
        "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
        # The quick compiler alone: most of its work is to start.
        "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
    }


def distribution() -> Path:
    """The folder of the Keycloak that is started, with the realm as it is now; the first call fetches and builds it."""
    need_java()
    with lock("keycloak", waiting="waiting for another process, which fetches Keycloak"):
        if not HOME.exists():
            _make()
        imports = HOME / "data" / "import"
        imports.mkdir(parents=True, exist_ok=True)
        new = imports.parent / "realm.json.new"
        shutil.copyfile(REALM, new)
        # At once, for another Keycloak that starts just now may be reading it.
        new.replace(imports / "realm.json")
    return HOME


def _make() -> None:
    new = LOCAL / f"{HOME.name}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    say(f"fetching Keycloak {VERSION} (170 MB, once)")
    file = _fetch(new)
    with zipfile.ZipFile(file) as packed:
        packed.extractall(new)
    file.unlink()
    unpacked = new / HOME.name
    kc = unpacked / "bin" / "kc.sh"
    # A zip is unpacked without the right to run it.
    kc.chmod(0o755)
    say("building Keycloak (some 20 s, once)")
    built = subprocess.run([str(kc), *BUILD], env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        raise Missing(f"Keycloak's build failed: {last_line(built.stdout)}")
    # Only now is it whole.
    unpacked.rename(HOME)
    shutil.rmtree(new)


def _fetch(folder: Path) -> Path:
    """Maven keeps a copy of its own, so that another checkout need not fetch it again."""
    if not shutil.which("mvn"):
        raise Missing("Maven is missing, which fetches Keycloak (on Debian and Ubuntu: apt install maven)")
    command = ["mvn", "--batch-mode", "--quiet", COPY, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"]
    # In the new folder, because a pom.xml around us is no concern of ours.
    mvn = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if mvn.returncode:
        errors = [line for line in mvn.stdout.splitlines() if "ERROR" in line]
        raise Missing(f"mvn could not fetch Keycloak: {(errors or [last_line(mvn.stdout)])[0]}")
    file = next(folder.glob("*.zip"))
    with open(file, "rb") as packed:
        digest = hashlib.sha256()
        for chunk in iter(lambda: packed.read(1 << 20), b""):
            digest.update(chunk)
    if digest.hexdigest() != SHA256:
        raise Problem(f"Maven's {file.name} is not the Keycloak that dev/keycloak.py names: its SHA-256 is {digest.hexdigest()}")
    return file


def need_java() -> None:
    """Looks where kc.sh does."""
    home = os.environ.get("JAVA_HOME")
    java = os.environ.get("JAVA") or (str(Path(home) / "bin" / "java") if home else "java")
    wanted = f"Keycloak needs Java {OLDEST_JAVA} or newer (on Debian and Ubuntu: apt install openjdk-{OLDEST_JAVA}-jre-headless)"
    try:
        said = subprocess.run([java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
    except OSError:
        raise Missing(f"Java is missing: {wanted}") from None
    version = re.search(r'version "(\d+)', said)
    if not version or int(version.group(1)) < OLDEST_JAVA:
        raise Missing(f"this Java is {version.group(1) if version else 'of an unknown version'}: {wanted}")


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def run() -> int:
    distribution()
    port = PORT if is_free(PORT) else free_port()
    with ExitStack() as stack:
        with stage("keycloak"):
            it = stack.enter_context(started("keycloak", port))
        print(PASTE.format(it=it, version=VERSION, admin=ADMIN), flush=True)
        it.process.wait()
    say("Keycloak ended by itself; see .local/keycloak.log")
    return 1


PASTE = """Keycloak {version} on {it.url}, realm cron-mon. Users: alice of tenant acme, bob of tenant globex; passwords: alice, bob.
The admin console is {it.url}/admin: {admin}, {admin}. Ctrl-C ends it, and nothing that was changed there stays.

Paste these into another terminal:

1. CronMon that believes it:
   KEYCLOAK_CERTS_URL={it.certs_url} JWT_ISSUER={it.issuer} make run

2. A token of alice, good for an hour:
   TOKEN=$(curl -s {it.token_url} -d grant_type=password -d client_id=cron-mon -d username=alice -d password=alice | sed 's/.*"access_token":"\\([^"]*\\).*/\\1/')

3. What alice may see:
   curl -s http://127.0.0.1:8000/api/v1/monitors -H "Authorization: Bearer $TOKEN"
"""


def command(arguments: list[str]) -> int:
    if arguments:
        raise Problem("usage: python3 dev/keycloak.py")
    try:
        return run()
    except Stop:
        # Ctrl-C is how it ends; make would report any other status as an error.
        return 0


if __name__ == "__main__":
    main(command)
