"""Tokens of a real Keycloak at a real cronmon, as a stage: who gets in, who does not, and what happens when keys change or Keycloak is gone.

Time is moved by dev/later.c, for what is promised of minutes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import secrets
import shutil
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator

import functions
import keycloak
from keycloak import ADMIN, Keycloak
from postgres import Cluster, free_port
from run import binary
from tools import LOCAL, ROOT, Problem, call, end_process, say
from wheels import Missing

# What the original demanded of a token.
CLAIMS = ("acr", "auth_time", "azp", "name", "tenant", "exp", "iat", "iss", "jti", "sub")
REDIRECT = "http://localhost:8000/"
FIVE_MINUTES = 300
ANSWER_LIMIT = 30.0
START_LIMIT = 30.0
END_LIMIT = 10.0
LOG = LOCAL / "keycloak-cronmon.log"


def test() -> None:
    try:
        clock = Clock()
        keycloak.distribution()
    except Missing as problem:
        say(f"not run: {problem}")
        return
    functions.build_for_tests()
    check(clock)


def check(clock: Clock) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(Cluster("test-postgres").use(fresh=True))
        began = time.monotonic()
        issuer = stack.enter_context(keycloak.started("test-keycloak", free_port()))
        say(f"Keycloak was ready after {time.monotonic() - began:.1f} s")
        certs = stack.enter_context(counted(issuer.certs_url))
        cronmon = stack.enter_context(started(url, certs.url, issuer.issuer, clock))
        Tokens(issuer, certs, cronmon, clock).all()


class Tokens:
    def __init__(self, issuer: Keycloak, certs: Certs, cronmon: Cronmon, clock: Clock) -> None:
        self.issuer, self.certs, self.cronmon, self.clock = issuer, certs, cronmon, clock
        self.admin = by_password(f"{issuer.url}/realms/master", "admin-cli", ADMIN)
        self.alice = by_code(issuer, "alice")
        self.bob = by_password(issuer.issuer, "cron-mon", "bob")

    def all(self) -> None:
        self.the_frontend_must_use_pkce()
        self.tokens_say_what_the_original_demanded()
        self.each_tenant_sees_its_own()
        self.users_who_are_added_have_the_tenant_that_they_are_given()
        self.others_are_refused()
        self.new_keys_are_found_without_a_restart()
        self.without_keycloak_known_keys_still_open()

    def the_frontend_must_use_pkce(self) -> None:
        answer = request("GET", authorization_url(self.issuer, None))
        expect("without PKCE", "error=invalid_request" in (answer.location or ""), True)

    def tokens_say_what_the_original_demanded(self) -> None:
        claims = claims_of(self.alice)
        expect("missing claims", [name for name in CLAIMS if name not in claims], [])
        expect("aud", "cron-mon" in claims["aud"], True)
        expect("iss", claims["iss"], self.issuer.issuer)
        expect("who", (claims["name"], claims["tenant"], claims["azp"]), ("Alice Adams", "acme", "cron-mon"))
        expect("bob's tenant", claims_of(self.bob)["tenant"], "globex")

    def each_tenant_sees_its_own(self) -> None:
        ids = {}
        for token, name in ((self.alice, "of acme"), (self.bob, "of globex")):
            made = self.cronmon.api("POST", "/monitors", token, {"name": name, "expected_duration": 60, "grace_duration": 60})
            expect(f"creating {name}", made.status, 200)
            ids[token] = made.json()["data"]["monitor_id"]
        for token, name, other in ((self.alice, "of acme", self.bob), (self.bob, "of globex", self.alice)):
            listed = self.cronmon.api("GET", "/monitors", token).json()["data"]
            expect("the list", [monitor["name"] for monitor in listed], [name])
            expect("its own", self.cronmon.api("GET", f"/monitors/{ids[token]}", token).status, 200)
            expect("the other's", self.cronmon.api("GET", f"/monitors/{ids[other]}", token).status, 404)
        expect("requests for keys", self.certs.asked, 1)

    def users_who_are_added_have_the_tenant_that_they_are_given(self) -> None:
        # An import takes attributes that the realm's user profile does not have, and an administrator's request drops them.
        self.add_user("carol", {"attributes": {"tenant": ["initech"]}})
        self.manage("POST", "/groups", {"name": "hooli", "attributes": {"tenant": ["hooli"]}})
        self.add_user("dave", {"groups": ["/hooli"]})
        self.add_user("erin", {})
        for user, tenant in (("carol", "initech"), ("dave", "hooli")):
            token = by_password(self.issuer.issuer, "cron-mon", user)
            expect(f"{user}'s tenant", claims_of(token).get("tenant"), tenant)
            expect(f"what {user} sees", self.cronmon.api("GET", "/monitors", token).json()["data"], [])
        self.refused("a user without a tenant", by_password(self.issuer.issuer, "cron-mon", "erin"), "MissingRequiredClaim")

    def others_are_refused(self) -> None:
        head, signature = self.alice.rsplit(".", 1)
        altered = f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
        self.refused("a signature that was altered", altered, "InvalidSignature")
        header, claims, signature = self.alice.split(".")
        for_bob = encode(json.dumps({**claims_of(self.alice), "tenant": "globex"}).encode())
        self.refused("a tenant that was altered", f"{header}.{for_bob}.{signature}", "InvalidSignature")
        self.refused("another realm's", self.admin, "UnknownKey")
        self.add_client("elsewhere")
        self.refused("another client's", by_password(self.issuer.issuer, "elsewhere", "alice"), "InvalidAudience")
        # An unknown key asks the issuer once in five minutes.
        expect("requests for keys", self.certs.asked, 1)

    def new_keys_are_found_without_a_restart(self) -> None:
        # Ed25519 is of no use to CronMon; it stands among the good ones.
        self.add_key("eddsa-generated", 50, {"eddsaEllipticCurveKey": ["Ed25519"]})
        self.add_key("rsa-generated", 200, {"keySize": ["2048"]})
        rsa = by_password(self.issuer.issuer, "cron-mon", "alice")
        expect("the new key's algorithm", header_of(rsa)["alg"], "RS256")
        expect("another key", header_of(rsa)["kid"] != header_of(self.alice)["kid"], True)
        self.refused("a new key before five minutes have passed", rsa, "UnknownKey")
        expect("requests for keys", self.certs.asked, 1)
        self.clock.forward(FIVE_MINUTES)
        self.opens("a new RSA key", rsa)
        self.opens("the old key, which Keycloak still has", self.alice)
        expect("requests for keys", self.certs.asked, 2)

        self.add_key("ecdsa-generated", 200, {"ecdsaEllipticCurveKey": ["P-256"]})
        self.sign_with("ES256")
        ec = by_password(self.issuer.issuer, "cron-mon", "alice")
        expect("the EC key's algorithm", header_of(ec)["alg"], "ES256")
        self.refused("an EC key before five minutes have passed", ec, "UnknownKey")
        self.clock.forward(FIVE_MINUTES)
        self.opens("a new EC key", ec)
        self.opens("the RSA key beside it", rsa)
        expect("requests for keys", self.certs.asked, 3)
        kinds = {(key["kty"], key["alg"]) for key in request("GET", self.issuer.certs_url).json()["keys"]}
        expect("the kinds of keys", kinds, {("RSA", "RS256"), ("RSA", "RSA-OAEP"), ("EC", "ES256"), ("OKP", "EdDSA")})
        self.alice = ec

    def without_keycloak_known_keys_still_open(self) -> None:
        self.issuer.end()
        self.opens("Keycloak is gone", self.alice)
        self.clock.forward(FIVE_MINUTES)
        began = time.monotonic()
        self.refused("an unknown key while Keycloak is gone", self.admin, "UnknownKey")
        # Not longer than the time-out of a request for keys.
        expect("an answer within 6 s", time.monotonic() - began < 6, True)
        expect("requests for keys", self.certs.asked, 4)
        self.opens("a known key, after keys could not be loaded", self.alice)

    def opens(self, what: str, token: str) -> None:
        listed = self.cronmon.api("GET", "/monitors", token)
        expect(what, listed.status, 200)
        expect(what, [monitor["name"] for monitor in listed.json()["data"]], ["of acme"])

    def refused(self, what: str, token: str, reason: str) -> None:
        read = LOG.stat().st_size
        expect(what, self.cronmon.api("GET", "/monitors", token).status, 401)
        with open(LOG, encoding="utf-8") as log:
            log.seek(read)
            said = log.read()
        if f'AuthenticationError("{reason}")' not in said:
            raise Problem(f"{what} was not refused as {reason}: {said.strip()}")

    def add_user(self, name: str, more: dict[str, Any]) -> None:
        secret = {"type": "password", "value": name, "temporary": False}
        names = {"email": f"{name}@example.com", "firstName": name.title(), "lastName": "Added"}
        self.manage("POST", "/users", {"username": name, "enabled": True, "credentials": [secret], **names, **more})

    def add_client(self, client: str) -> None:
        """One without our mappers."""
        self.manage("POST", "/clients", {"clientId": client, "publicClient": True, "directAccessGrantsEnabled": True})

    def add_key(self, kind: str, priority: int, config: dict[str, list[str]]) -> None:
        config = {"priority": [str(priority)], "enabled": ["true"], "active": ["true"], **config}
        provider = {"name": f"{kind} {priority}", "providerId": kind, "providerType": "org.keycloak.keys.KeyProvider", "config": config}
        self.manage("POST", "/components", provider)

    def sign_with(self, algorithm: str) -> None:
        client = self.manage("GET", "/clients?clientId=cron-mon").json()[0]
        client["attributes"]["access.token.signed.response.alg"] = algorithm
        self.manage("PUT", f"/clients/{client['id']}", client)

    def manage(self, method: str, path: str, body: Any = None) -> Answer:
        # The administrator's tokens are good for a minute.
        admin = by_password(f"{self.issuer.url}/realms/master", "admin-cli", ADMIN)
        answer = request(method, f"{self.issuer.url}/admin/realms/cron-mon{path}", admin, body)
        expect(f"Keycloak's answer to {method} {path}", answer.status // 100, 2)
        return answer


def by_password(realm: str, client: str, user: str) -> str:
    """The passwords are the names."""
    form = {"grant_type": "password", "client_id": client, "username": user, "password": user}
    return token_of(request("POST", f"{realm}/protocol/openid-connect/token", form=form))


def by_code(issuer: Keycloak, user: str) -> str:
    """As a browser gets one: the login page, then the code that it leads back with."""
    verifier = secrets.token_urlsafe(48)
    page = request("GET", authorization_url(issuer, encode(hashlib.sha256(verifier.encode()).digest())))
    form = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    if not form:
        raise Problem(f"Keycloak's login page has no form: {page.status} {page.text[:300]}")
    # By hand, because a cookie jar keeps Secure ones from http.
    cookies = "; ".join(cookie.split(";")[0] for cookie in page.cookies)
    sent = request("POST", html.unescape(form.group(1)), form={"username": user, "password": user}, cookies=cookies)
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(sent.location or "").query).get("code")
    if not code:
        raise Problem(f"Keycloak gave {user} no code: {sent.status} {sent.location}")
    grant = {"grant_type": "authorization_code", "client_id": "cron-mon", "redirect_uri": REDIRECT, "code": code[0], "code_verifier": verifier}
    return token_of(request("POST", issuer.token_url, form=grant))


def authorization_url(issuer: Keycloak, challenge: str | None) -> str:
    query = {"client_id": "cron-mon", "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid"}
    if challenge:
        query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    return f"{issuer.issuer}/protocol/openid-connect/auth?{urllib.parse.urlencode(query)}"


def token_of(answer: Answer) -> str:
    expect("Keycloak's answer to who wants a token", answer.status, 200)
    token: str = answer.json()["access_token"]
    return token


def header_of(token: str) -> dict[str, Any]:
    return decoded(token.split(".")[0])


def claims_of(token: str) -> dict[str, Any]:
    return decoded(token.split(".")[1])


def decoded(part: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise Problem(f"{what}: {found!r}, and not {wanted!r}; see {LOG.relative_to(ROOT)}")


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    location: str | None
    cookies: list[str] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.text)


class Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are answers, and not followed: they lead to where no frontend is."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)


def request(
    method: str, url: str, token: str | None = None, body: Any = None, form: dict[str, str] | None = None, cookies: str | None = None
) -> Answer:
    headers, data = {}, None
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if cookies:
        headers["Cookie"] = cookies
    if form:
        data = urllib.parse.urlencode(form).encode()
    elif body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    try:
        answer = OPENER.open(urllib.request.Request(url, data, headers, method=method), timeout=ANSWER_LIMIT)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read().decode()
        return Answer(answer.status, text, answer.headers["Location"], answer.headers.get_all("Set-Cookie") or [])


@dataclass
class Certs:
    url: str = ""
    asked: int = 0


@contextmanager
def counted(certs_url: str) -> Iterator[Certs]:
    """Hands Keycloak's keys on, and counts how often it is asked for them."""
    certs = Certs()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            certs.asked += 1
            try:
                answer = request("GET", certs_url)
                status, text = answer.status, answer.text.encode()
            except OSError:
                status, text = 502, b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        certs.url = f"http://127.0.0.1:{server.server_port}/certs"
        try:
            yield certs
        finally:
            server.shutdown()


class Clock:
    """How far cronmon is ahead of this machine."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise Missing("the clock of a program is moved on Linux only")
        self.library, self.file = LOCAL / "later.so", LOCAL / "later.seconds"
        LOCAL.mkdir(exist_ok=True)
        compiler = next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "cc", "gcc", "clang"))))
        call(compiler, "-shared", "-fPIC", "-O1", "-o", str(self.library), str(ROOT / "dev" / "later.c"))
        self.seconds = 0
        self.file.write_bytes(struct.pack("=q", 0))

    def forward(self, seconds: int) -> None:
        self.seconds += seconds
        # In place: it is mapped, and eight bytes are written at once.
        with open(self.file, "r+b") as file:
            file.write(struct.pack("=q", self.seconds))

    def settings(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "CLOCK_AHEAD": str(self.file)}


@dataclass(frozen=True)
class Cronmon:
    url: str

    def api(self, method: str, path: str, token: str, body: Any = None) -> Answer:
        return request(method, f"{self.url}/api/v1{path}", token, body)


@contextmanager
def started(database: str, certs_url: str, issuer: str, clock: Clock) -> Iterator[Cronmon]:
    port = free_port()
    settings = {"DATABASE_URL": database, "PORT": str(port), "KEYCLOAK_CERTS_URL": certs_url, "JWT_ISSUER": issuer, "RUST_LOG": "info"}
    with open(LOG, "wb") as log:
        process = subprocess.Popen(
            [str(binary("cronmon"))], cwd=ROOT, env={**os.environ, **settings, **clock.settings()}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_LIMIT
        while not answers(f"{url}/api/v1/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"cronmon does not start; see {LOG.relative_to(ROOT)}")
            time.sleep(0.05)
        yield Cronmon(url)
    finally:
        end_process(process, END_LIMIT)


def answers(url: str) -> bool:
    try:
        return request("GET", url).status == 200
    except OSError:
        return False
