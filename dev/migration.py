"""Creates the next migration and its undo: python3 dev/migration.py NAME"""

from __future__ import annotations

import re

from tools import ROOT, Problem, main

FOLDER = ROOT / "migrations"


def command(arguments: list[str]) -> int:
    name = arguments[0] if len(arguments) == 1 else ""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise Problem("usage: make migration name=add_tags (small letters, digits and _)")
    taken = [int(found.group(1)) for file in FOLDER.glob("**/V*.sql") if (found := re.match(r"V(\d+)__", file.name))]
    file = f"V{max(taken, default=0) + 1:04}__{name}.sql"
    sentences = {FOLDER / file: f"-- {name}: say here what changes, and why.", FOLDER / "undo" / file: f"-- Undoes migrations/{file}."}
    for path, sentence in sentences.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{sentence}\n", encoding="utf-8")
        print(path.relative_to(ROOT))
    print("now list it in MIGRATIONS of shared/database/src/migrations.rs")
    return 0


if __name__ == "__main__":
    main(command)
