from __future__ import annotations

import json
import re
import unittest
from pathlib import Path
from typing import Any

from loaded import ROOT, TEXT, name_of, of_type, properties

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROUTES = {route["Properties"]["RouteKey"]: route["Properties"] for route in of_type("AWS::ApiGatewayV2::Route").values()}
PERMISSIONS = [permission["Properties"] for permission in of_type("AWS::Lambda::Permission").values()]


def matches(pattern: str, path: str) -> bool:
    """Whether a path of a route key takes a path: {x} is one segment, {x+} all that are left, one at least."""
    expression = re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(pattern))
    expression = re.sub(r"\\\{\w+\\\}", "[^/]+", expression)
    return re.fullmatch(expression, path) is not None


def selected(method: str, path: str) -> str | None:
    """The route key that the HTTP API chooses: exact before {x} before {x+} before $default, a method before ANY."""

    def rank(key: str) -> tuple[int, int, int]:
        route_method, pattern = key.split(" ", 1)
        return ("+}" in pattern, "{" in pattern, route_method == "ANY")

    keys = [key for key in ROUTES if key != "$default" and key.split(" ", 1)[0] in (method, "ANY") and matches(key.split(" ", 1)[1], path)]
    return min(keys, key=rank, default="$default" if "$default" in ROUTES else None)


def integration(key: str) -> dict[str, Any]:
    (name,) = re.findall(r"^integrations/\$\{(\w+)\}$", ROUTES[key]["Target"]["Fn::Sub"])
    return properties(name)


def called(method: str, path: str) -> str | None:
    """The function that a request reaches, if it may call it."""
    key = selected(method, path)
    if key is None:
        return None
    function = name_of(integration(key)["IntegrationUri"])
    # A permission names the route without its method, or as $default.
    end = "/*/$default" if key == "$default" else "/*/*" + key.split(" ", 1)[1]
    allowed = any(
        name_of(permission["FunctionName"]) == function
        and permission["Action"] == "lambda:InvokeFunction"
        and permission["Principal"] == "apigateway.amazonaws.com"
        and permission["SourceArn"]["Fn::Sub"].endswith("${HttpApi}" + end)
        for permission in PERMISSIONS
    )
    return function if allowed else None


def paths_of_api() -> list[str]:
    text = (ROOT / "functions" / "api" / "src" / "lib.rs").read_text(encoding="utf-8")
    routes = text.split("fn routes()", 1)[1]
    return re.findall(r'\(\s*"(/[^"]*)"\s*,', routes)


def paths_of_ping() -> list[str]:
    files: list[Path] = sorted((ROOT / "functions" / "ping" / "src").rglob("*.rs"))
    return [path for file in files for path in re.findall(r'\.route\(\s*"(/[^"]*)"', file.read_text(encoding="utf-8"))]


def paths_of_jobs() -> list[str]:
    """What the ping function answers to POST, among the paths of management."""
    text = (ROOT / "functions" / "ping" / "src" / "cronmon" / "mod.rs").read_text(encoding="utf-8")
    return re.findall(r'\(\s*"(/api/[^"]*)"\s*,', text)


def requests(path: str) -> list[str]:
    """Paths that a router's path takes."""
    one = re.sub(r"\{\w+\}", "b0a1c2d3", path)
    return [re.sub(r"\{\*\w+\}", rest, one) for rest in ("b0a1c2d3", "b0a1c2d3/", "b0a1c2d3/start", "b0a1c2d3/1")] if "{*" in one else [one, one + "/"]


class HttpApi(unittest.TestCase):
    def test_every_path_of_the_routers_reaches_its_function(self) -> None:
        self.assertGreaterEqual(len(paths_of_api()), 10)
        self.assertIn("/ping/{*rest}", paths_of_ping())
        self.assertEqual(len(paths_of_jobs()), 3)
        for function, paths in (("Api", paths_of_api() + paths_of_jobs()), ("Ping", paths_of_ping())):
            for path in paths:
                for request in requests(path):
                    for method in METHODS:
                        with self.subTest(f"{method} {request}"):
                            of_a_job = method == "POST" and path in paths_of_jobs()
                            self.assertEqual(called(method, request), "Ping" if of_a_job else function)

    def test_whatever_is_posted_below_the_jobs_of_a_monitor_reaches_ping(self) -> None:
        for path in ("start", "start/", "b0a1c2d3/finish", "b0a1c2d3", "b0a1c2d3/x/y"):
            self.assertEqual(called("POST", f"/api/v1/monitors/b0a1c2d3/jobs/{path}"), "Ping", path)
        self.assertEqual(called("POST", "/api/v1/monitors/b0a1c2d3/jobs"), "Api")

    def test_what_no_router_knows_is_answered_by_api(self) -> None:
        for path in ("/", "/ping", "/pings/x", "/api/v2/monitors"):
            self.assertEqual(called("GET", path), "Api", path)

    def test_events_have_the_payload_that_the_functions_read(self) -> None:
        for key in ROUTES:
            self.assertEqual(integration(key)["PayloadFormatVersion"], "2.0", key)

    def test_the_api_answers_cors_itself(self) -> None:
        self.assertNotIn("CorsConfiguration", properties("HttpApi"))

    def test_the_access_log_holds_no_ping_id(self) -> None:
        (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
        line = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
        self.assertEqual(line["routeKey"], "$context.routeKey")
        for value in line.values():
            self.assertNotRegex(value.lower(), r"path|query|uri|url|header|referer|authorizer")
        for name in ("status", "latency", "integrationError"):
            self.assertIn(name, line)

    def test_the_access_log_has_a_group_with_retention(self) -> None:
        (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
        self.assertEqual(stage["Properties"]["AccessLogSettings"]["DestinationArn"], {"Fn::GetAtt": ["HttpApiLogs", "Arn"]})

    def test_the_stage_is_live_and_throttled(self) -> None:
        (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
        self.assertEqual((stage["Properties"]["StageName"], stage["Properties"]["AutoDeploy"]), ("$default", True))
        for settings in (stage["Properties"]["DefaultRouteSettings"], *stage["Properties"]["RouteSettings"].values()):
            self.assertTrue(settings["ThrottlingRateLimit"] > 0 and settings["ThrottlingBurstLimit"] > 0)

    def test_routes_with_settings_exist_before_the_stage(self) -> None:
        (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
        routes = {name: route["Properties"]["RouteKey"] for name, route in of_type("AWS::ApiGatewayV2::Route").items()}
        for key in stage["Properties"]["RouteSettings"]:
            self.assertIn(key, [routes[name] for name in stage["DependsOn"]])


class FunctionUrl(unittest.TestCase):
    def test_it_is_there_only_if_wanted(self) -> None:
        (url,) = of_type("AWS::Lambda::Url").values()
        self.assertEqual(url.get("Condition"), "HasPingFunctionUrl")
        self.assertEqual((name_of(url["Properties"]["TargetFunctionArn"]), url["Properties"]["AuthType"]), ("Ping", "NONE"))

    def test_anybody_may_call_it_with_both_permissions_that_this_takes(self) -> None:
        public = {name: p["Properties"] for name, p in of_type("AWS::Lambda::Permission").items() if p["Properties"]["Principal"] == "*"}
        by_action = {p["Action"]: p for p in public.values()}
        self.assertEqual(set(by_action), {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"})
        self.assertEqual(by_action["lambda:InvokeFunctionUrl"].get("FunctionUrlAuthType"), "NONE")
        self.assertIs(by_action["lambda:InvokeFunction"].get("InvokedViaFunctionUrl"), True)
        for name, permission in public.items():
            self.assertEqual(name_of(permission["FunctionName"]), "Ping")
            self.assertEqual(of_type("AWS::Lambda::Permission")[name].get("Condition"), "HasPingFunctionUrl", name)

    def test_no_function_but_ping_is_public(self) -> None:
        self.assertNotIn("FunctionUrlConfig", TEXT)
