from __future__ import annotations

import unittest

from loaded import FUNCTIONS, QUEUES, dead_letter_queues, events_of, mapped_queues, name_of, of_type, properties

DAY = 24 * 60 * 60


class Queues(unittest.TestCase):
    def test_each_is_encrypted(self) -> None:
        for name in QUEUES:
            self.assertIs(properties(name).get("SqsManagedSseEnabled"), True, name)

    def test_a_message_stays_hidden_for_six_times_as_long_as_its_function_may_run(self) -> None:
        self.assertEqual(mapped_queues(), {"Delivery": "Notify", "Wake": "LateCheck"})
        for queue, function in mapped_queues().items():
            with self.subTest(queue):
                self.assertGreaterEqual(properties(queue)["VisibilityTimeout"], 6 * properties(function)["Timeout"])

    def test_a_message_that_calls_a_function_in_vain_becomes_a_dead_letter_after_three_times(self) -> None:
        for queue in mapped_queues():
            with self.subTest(queue):
                self.assertEqual(properties(queue)["RedrivePolicy"]["maxReceiveCount"], 3)

    def test_messages_do_not_wait_for_company(self) -> None:
        for function in FUNCTIONS:
            for event in events_of(function, "SQS").values():
                self.assertEqual((event["BatchSize"], event["MaximumBatchingWindowInSeconds"]), (10, 0), function)

    def test_notify_reports_each_message_by_itself(self) -> None:
        (event,) = events_of("Notify", "SQS").values()
        self.assertEqual(event["FunctionResponseTypes"], ["ReportBatchItemFailures"])

    def test_dead_letters_are_kept_for_14_days(self) -> None:
        self.assertEqual(dead_letter_queues(), {"DeliveryDeadLetters", "WakeDeadLetters", "TickDeadLetters"})
        for name in dead_letter_queues():
            self.assertEqual(properties(name)["MessageRetentionPeriod"], 14 * DAY, name)

    def test_dead_letters_outlive_the_messages_they_were(self) -> None:
        # A dead letter keeps the age of its message.
        for name in mapped_queues():
            self.assertLess(properties(name).get("MessageRetentionPeriod", 4 * DAY), 14 * DAY, name)

    def test_the_spool_keeps_the_order_of_each_monitor_and_gives_no_ping_away(self) -> None:
        spool = properties("Spool")
        self.assertIs(spool["FifoQueue"], True)
        self.assertNotIn("RedrivePolicy", spool)
        self.assertIs(spool["ContentBasedDeduplication"], False)
        self.assertEqual(spool["MessageRetentionPeriod"], 14 * DAY)
        self.assertEqual((spool["DeduplicationScope"], spool["FifoThroughputLimit"]), ("messageGroup", "perMessageGroupId"))
        self.assertEqual(QUEUES["Spool"].get("UpdateReplacePolicy"), "Retain")
        self.assertNotIn("Spool", mapped_queues())
        self.assertGreater(spool["VisibilityTimeout"], properties("LateCheck")["Timeout"])


class Schedule(unittest.TestCase):
    def test_late_check_is_woken_every_minute(self) -> None:
        self.assertEqual([event["Schedule"] for event in events_of("LateCheck", "Schedule").values()], ["rate(1 minute)"])

    def test_a_tick_that_was_not_handed_over_is_a_dead_letter(self) -> None:
        (event,) = events_of("LateCheck", "Schedule").values()
        self.assertEqual(name_of(event["DeadLetterConfig"]["Arn"]), "TickDeadLetters")
        (policy,) = of_type("AWS::SQS::QueuePolicy").values()
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        self.assertEqual(policy["Properties"]["Queues"], [{"Ref": "TickDeadLetters"}])
        self.assertEqual((statement["Principal"], statement["Action"]), ({"Service": "events.amazonaws.com"}, "sqs:SendMessage"))
        (rule,) = events_of("LateCheck", "Schedule")
        self.assertEqual(statement["Condition"], {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [f"LateCheck{rule}", "Arn"]}}})

    def test_a_stale_tick_is_not_tried_for_hours(self) -> None:
        (event,) = events_of("LateCheck", "Schedule").values()
        self.assertLessEqual(event["RetryPolicy"]["MaximumEventAgeInSeconds"], 60)
        invoked = properties("LateCheck")["EventInvokeConfig"]
        self.assertEqual((invoked["MaximumRetryAttempts"], invoked["MaximumEventAgeInSeconds"]), (0, 60))
