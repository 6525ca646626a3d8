"""One case before a model: its answer as JSON values, kept in a journal, or the reason why it cannot be counted."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from core import registry
from core.engine.loader import Model
from core.errors import BusyError, ScreeningError, UsageError
from core.io.journal import Journal
from core.records import LabelledCase

Answer = Callable[[], Any]
NOTHING_KEPT = Journal(None, {})


class Uncounted(Exception):
    """The case cannot be counted; the text is the reason."""


def answer_once(
    journal: Journal, model: Model, case: LabelledCase, excluded: Counter[str], answer: Answer
) -> Any | None:
    """What `answer` gives, or None where it cannot be counted.

    Args:
        journal: Of the run.
        model: That answers.
        case: Answered once by each model.
        excluded: Gets the reason.
        answer: Gives JSON values, or raises Uncounted or a ScreeningError.

    Raises:
        BusyError, UsageError: As `answer` raised them: they are not of the case.
    """

    def compute() -> dict[str, Any]:
        try:
            return {"answer": answer()}
        except (BusyError, UsageError):
            raise
        except Uncounted as reason:
            return {"excluded": str(reason)}
        except ScreeningError as error:
            return {"excluded": error.code}

    key = f"{model.manifest.weights.sha256} {case.study.pixel_hash} {case.case_id}"
    found = journal.once(key, compute)
    if "excluded" in found:
        excluded[found["excluded"]] += 1
    return found.get("answer")


def check_gate(model: Model, case: LabelledCase) -> None:
    """The gate's questions count as confirmed.

    Raises:
        Uncounted: The gate refuses.
    """
    gate = registry.part(model.manifest.task, "gate")
    refused = [check.code for check in gate.check(case.study, model.manifest, None) if check.outcome == "refused"]
    if refused:
        raise Uncounted(f"refused: {refused[0]}")
