from __future__ import annotations

import unittest
from typing import Any

from loaded import FUNCTIONS, QUEUES, ROOT, dead_letter_queues, mapped_queues, of_type, properties

ALARMS = {name: alarm["Properties"] for name, alarm in of_type("AWS::CloudWatch::Alarm").items()}


def watching(namespace: str, metric: str, **dimensions: Any) -> list[dict[str, Any]]:
    """The alarms on a metric with these dimensions."""
    wanted = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return [alarm for alarm in ALARMS.values() if (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"]) == (namespace, metric, wanted)]


def of_queue(name: str, metric: str) -> list[dict[str, Any]]:
    return watching("AWS/SQS", metric, QueueName={"Fn::GetAtt": [name, "QueueName"]})


def of_function(name: str, metric: str) -> list[dict[str, Any]]:
    return watching("AWS/Lambda", metric, FunctionName={"Ref": name})


class Alarms(unittest.TestCase):
    def only(self, alarms: list[dict[str, Any]]) -> dict[str, Any]:
        self.assertEqual(len(alarms), 1, "there is not exactly one such alarm")
        return alarms[0]

    def begins_above(self, alarm: dict[str, Any], threshold: int, minutes: int) -> None:
        self.assertEqual((alarm["ComparisonOperator"], alarm["Threshold"]), ("GreaterThanThreshold", threshold))
        self.assertEqual(alarm["Period"] * alarm["EvaluationPeriods"], 60 * minutes)
        self.assertEqual(alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"])

    def test_every_queue_has_one(self) -> None:
        for name in QUEUES:
            with self.subTest(name):
                self.assertTrue(of_queue(name, "ApproximateNumberOfMessagesVisible") or of_queue(name, "ApproximateAgeOfOldestMessage"))

    def test_a_dead_letter_raises_one_at_once(self) -> None:
        for name in dead_letter_queues():
            with self.subTest(name):
                self.begins_above(self.only(of_queue(name, "ApproximateNumberOfMessagesVisible")), 0, 1)

    def test_an_old_message_raises_one_but_not_while_it_is_meant_to_wait(self) -> None:
        # The longest delay of a delivery, and of a wake.
        delays = {"Delivery": 900, "Wake": 120}
        self.assertEqual(set(delays), set(mapped_queues()))
        for name, delay in delays.items():
            with self.subTest(name):
                alarm = self.only(of_queue(name, "ApproximateAgeOfOldestMessage"))
                self.assertGreater(alarm["Threshold"], delay)

    def test_a_ping_that_stays_in_the_spool_raises_one(self) -> None:
        self.begins_above(self.only(of_queue("Spool", "ApproximateNumberOfMessagesVisible")), 0, 5)

    def test_a_late_check_that_does_not_run_raises_one_though_it_says_nothing(self) -> None:
        alarm = self.only(of_function("LateCheck", "Invocations"))
        self.assertEqual(alarm["TreatMissingData"], "breaching")
        self.assertEqual((alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]), ("Sum", "LessThanThreshold", 1))
        self.assertEqual((alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]), (60, 3, 3))

    def test_they_wait_for_the_rule_without_which_late_check_is_silent(self) -> None:
        for name in ("LateCheckSilent", "JudgingBehind"):
            self.assertEqual(of_type("AWS::CloudWatch::Alarm")[name].get("DependsOn"), "LateCheckEveryMinute", name)

    def test_a_late_check_and_a_notify_that_fail_raise_one(self) -> None:
        for name in ("LateCheck", "Notify"):
            with self.subTest(name):
                alarm = self.only(of_function(name, "Errors"))
                self.assertEqual((alarm["ComparisonOperator"], alarm["Threshold"]), ("GreaterThanThreshold", 0))
                self.assertEqual((alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]), (60, 3, 2))

    def test_judging_and_delivering_that_lag_raise_one(self) -> None:
        judging = self.only(watching("CronMon", "JudgingBehind", Stack={"Ref": "AWS::StackName"}))
        self.begins_above(judging, 120, 3)
        # A tick that is cut off writes no metric.
        self.assertEqual(judging["TreatMissingData"], "breaching")
        delivery = self.only(watching("CronMon", "DeliveryBehind", Stack={"Ref": "AWS::StackName"}))
        self.begins_above(delivery, 300, 3)
        self.assertEqual(delivery["TreatMissingData"], "ignore")

    def test_a_canary_that_does_not_come_through_raises_one(self) -> None:
        alarm = self.only(watching("CronMon", "CanaryFailing", Stack={"Ref": "AWS::StackName"}))
        self.begins_above(alarm, 0, 3)
        self.assertEqual(alarm["TreatMissingData"], "ignore")

    def test_late_check_writes_the_metrics_that_they_watch(self) -> None:
        code = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "functions" / "late-check" / "src").rglob("*.rs")))
        for text in ('"Namespace": "CronMon"', '"Dimensions": [["Stack"]]', '"JudgingBehind"', '"DeliveryBehind"', '"CanaryFailing"'):
            self.assertIn(text, code)
        self.assertEqual(properties("LateCheck")["Environment"]["Variables"]["METRICS_STACK"], {"Ref": "AWS::StackName"})

    def test_pings_that_fail_or_are_turned_away_raise_one(self) -> None:
        self.only(watching("AWS/ApiGateway", "5xx", ApiId={"Ref": "HttpApi"}))
        self.only(of_function("Ping", "Errors"))
        self.only(of_function("Ping", "Throttles"))

    def test_pings_that_fail_at_the_function_url_raise_one_where_there_is_such_a_url(self) -> None:
        self.only(of_function("Ping", "Url5xxCount"))
        (name,) = [name for name, alarm in ALARMS.items() if alarm["MetricName"] == "Url5xxCount"]
        self.assertEqual(of_type("AWS::CloudWatch::Alarm")[name].get("Condition"), "HasPingFunctionUrl")

    def test_each_tells_somebody_when_it_begins_and_when_it_is_over(self) -> None:
        for name, alarm in ALARMS.items():
            with self.subTest(name):
                self.assertEqual(alarm["AlarmActions"], [{"Ref": "AlarmTopic"}])
                self.assertEqual(alarm["OKActions"], [{"Ref": "AlarmTopic"}])

    def test_each_says_what_to_look_at_first(self) -> None:
        for name, alarm in ALARMS.items():
            self.assertIn("First look", alarm["AlarmDescription"], name)

    def test_each_says_what_no_data_means(self) -> None:
        for name, alarm in ALARMS.items():
            self.assertIn("TreatMissingData", alarm, name)

    def test_cloudwatch_may_publish_them(self) -> None:
        (policy,) = of_type("AWS::SNS::TopicPolicy").values()
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        self.assertEqual(policy["Properties"]["Topics"], [{"Ref": "AlarmTopic"}])
        self.assertEqual(statement["Principal"], {"Service": "cloudwatch.amazonaws.com"})
        self.assertEqual((statement["Effect"], statement["Action"]), ("Allow", "sns:Publish"))

    def test_every_function_that_they_watch_exists(self) -> None:
        for alarm in ALARMS.values():
            for dimension in alarm["Dimensions"]:
                if dimension["Name"] == "FunctionName":
                    self.assertIn(dimension["Value"]["Ref"], FUNCTIONS)
