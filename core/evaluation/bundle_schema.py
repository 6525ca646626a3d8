"""What may stand in an evaluation bundle: closed schemas, and no text that holds the path of a file."""

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator

from core.errors import BundleError
from core.manifest import STATEMENTS

FORMAT = "fivefold-evaluation-1"
MAX_ROWS = 200_000
_MOST_QUESTIONS, _MOST_GROUPS = 30, 200
_SHA256 = r"^[0-9a-f]{64}$"
# An absolute path of any system, a folder of a person or a network share, at the start of a word or behind an option.
_PATH = re.compile(
    r"""(?:^|[\s="'(:,;])(?:~/|(?:/[^/\s"']+){2,}|/(?:root|home|tmp)\b)|\b[A-Za-z]:[\\/](?!/)|\\\\\w|file://"""
)

QuestionId = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
Words = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PointInForce(_Closed):
    """The threshold that the numbers of a question follow.

    Attributes:
        origin: Declared by the model, Youden's on these very cases, or set by hand.
        prevalence: That predictive values are stated for; None = that of the cases.
    """

    threshold: float
    origin: Literal["model", "youden", "hand"]
    prevalence: float | None = Field(default=None, gt=0, lt=1)


class About(_Closed):
    """What was measured, how and on what; see `core.evaluation.bundle.describe`."""

    format: Literal["fivefold-evaluation-1"]
    task: str = Field(pattern=r"^[a-z0-9_]{0,60}$")
    model: Words
    model_version: Words
    weights_sha256: str = Field(pattern=rf"{_SHA256}|^$")
    statement: str
    operating_points: dict[QuestionId, PointInForce] = Field(min_length=1, max_length=_MOST_QUESTIONS)
    configuration: dict[str, JsonValue]
    excluded: dict[Words, Annotated[int, Field(ge=1)]]
    command: str = Field(max_length=4000)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}Z)?$")
    data_sha256: str = Field(pattern=_SHA256)

    @model_validator(mode="after")
    def _is_known(self) -> "About":
        if self.statement not in STATEMENTS.values():
            raise ValueError("statement: an unknown one")
        return self


class CaseRow(_Closed):
    """One case of one question; see `core.evaluation.bundle.BundleCase`."""

    number: int = Field(ge=1)
    question: QuestionId
    label: Literal[0, 1]
    score: float
    patient: int = Field(ge=0)
    group: Words
    note: Words


class Environment(_Closed):
    """What the numbers were computed with."""

    python: Words
    implementation: Words
    system: Words
    machine: Words
    fivefold: Words
    packages: dict[str, Words]


_ROWS = TypeAdapter(Annotated[list[CaseRow], Field(min_length=1, max_length=MAX_ROWS)])


def check_about(about: Any) -> None:
    """Refuse what is no description.

    Raises:
        BundleError: A key is missing, unknown or has a value of another kind.
    """
    _check(About.model_validate, about, "configuration.json")


def check_environment(found: Any) -> None:
    """As `check_about`, of the environment."""
    _check(Environment.model_validate, found, "environment.json")


def check_rows(rows: Any) -> None:
    """As `check_about`, of the cases; refused are also two answers of a case to a question, and patients known in part."""
    _check(_ROWS.validate_python, rows, "cases")
    places = [(row["number"], row["question"]) for row in rows]
    if any(one >= two for one, two in pairwise(places)):
        raise BundleError("cases: out of order, or a case that answers a question twice")
    if len({row["patient"] == 0 for row in rows}) > 1:
        raise BundleError("cases: patients known in part")
    patients: dict[int, int] = {}
    if any(patients.setdefault(row["number"], row["patient"]) != row["patient"] for row in rows):
        raise BundleError("cases: a case of two patients")
    groups = {row["group"] for row in rows}
    if len(groups) > _MOST_GROUPS or ("" in groups and len(groups) > 1):
        raise BundleError(f"cases: more than {_MOST_GROUPS} groups, or groups known in part")


def _check(validate: Any, value: Any, where: str) -> None:
    try:
        validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # Names of keys that are not ours may be anything: they are not repeated.
        raise BundleError(f"{where}: {first['type'].replace('_', ' ')}") from None


def check_texts(values: Iterable[Any]) -> None:
    """Refuse a path of a file in any text, however deep.

    Raises:
        BundleError: There is one; it is not repeated.
    """
    for text in map(str, _texts(values)):
        if _PATH.search(text):
            raise BundleError("a text that holds the path of a file")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, own in value.items():
            yield str(key)
            yield from _texts(own)
    elif isinstance(value, Iterable):
        for own in value:
            yield from _texts(own)


def json_bytes(value: Any) -> bytes:
    """The one way in which a value is written.

    Raises:
        BundleError: It is more than JSON can say, or JSON would change it.
    """
    try:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        is_same = json.loads(text) == value
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError("a value that JSON cannot hold") from error
    if not is_same:
        raise BundleError("a value that JSON cannot hold as it is")
    return data


def parse_json(data: bytes, name: str) -> Any:
    """What JSON says; whether `json_bytes` wrote it is for the caller to compare.

    Raises:
        BundleError: It is no JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} is no JSON") from error
