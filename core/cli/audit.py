"""Verify or export the audit log: who screened, overrode, deleted, exported and adopted what.

`verify` ends with exit code 0 when every row holds, and 1 at the first that was changed, taken out or put in. Rows cut off at the
end show only against a row that was noted earlier: `--known NUMBER:HASH`.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from core.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("verb", choices=("verify", "export"))
    parser.add_argument("--url", help="database; default: that of fivefold.toml")
    parser.add_argument("--known", metavar="NUMBER:HASH", help="of verify: a row as it was noted earlier")
    parser.add_argument("--out", type=Path, metavar="FILE", help="of export: default: print; one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Exit code 1 when the log is broken."""
    from core.services.audit import entries, verify
    from core.services.history_settings import history_settings
    from core.services.store import Store

    store = Store(options.url or history_settings().url, may_be_new=False)
    if options.verb == "export":
        lines = [json.dumps(asdict(entry), ensure_ascii=False) for entry in entries(store)]
        if options.out:
            options.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        else:
            print(*lines, sep="\n")
        return 0
    verdict = verify(store, _known(options.known) if options.known else None)
    if verdict.broken_at is not None:
        print(f"broken at row {verdict.broken_at}: {verdict.reason}; {verdict.n} rows before it hold")
        return 1
    print(f"{verdict.n} rows hold; the last one: {verdict.n}:{verdict.head}")
    return 0


def _known(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or not digest:
        raise UsageError("--known takes NUMBER:HASH, as verify prints it")
    return int(number), digest
