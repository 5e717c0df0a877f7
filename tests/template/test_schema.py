from __future__ import annotations

import unittest

from loaded import FUNCTIONS, RESOURCES, ROOT, properties


class Schema(unittest.TestCase):
    def test_it_names_the_newest_migration(self) -> None:
        newest = max(path.stem for path in (ROOT / "migrations").glob("V*.sql"))
        self.assertEqual(properties("Schema")["Newest"], newest)

    def test_every_function_but_migrate_waits_for_it(self) -> None:
        for name in FUNCTIONS:
            with self.subTest(name):
                depends = FUNCTIONS[name].get("DependsOn", [])
                self.assertEqual("Schema" in ([depends] if isinstance(depends, str) else depends), name != "Migrate")

    def test_migrate_serves_it_and_has_the_time_to_answer(self) -> None:
        self.assertEqual(properties("Schema")["ServiceToken"], {"Fn::GetAtt": ["Migrate", "Arn"]})
        self.assertGreater(properties("Schema")["ServiceTimeout"], properties("Migrate")["Timeout"])

    def test_nothing_is_done_to_the_database_when_the_stack_goes(self) -> None:
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            self.assertEqual(RESOURCES["Schema"].get(policy), "Retain", policy)

    def test_the_template_has_no_database_that_could_be_deleted(self) -> None:
        for name, resource in RESOURCES.items():
            self.assertFalse(resource["Type"].startswith(("AWS::RDS::", "AWS::DSQL::")), name)
