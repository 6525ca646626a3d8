"""The page "History" without a browser, and what task pages write into it."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from app_pages import SLOW_S, open_page, says, words
from streamlit.testing.v1 import AppTest

from core import registry
from core.i18n import LANGUAGES, Translator
from core.io.phantom_file import write_dicom
from core.io.reader import Reader
from core.manifest import DEMO_STATEMENT
from core.records import Check, Gate, ScreeningResult
from core.screening import load, screen
from core.services import history as service
from core.services.audit import entries
from core.services.history import History, Kept, Wanted, open_history
from pages.parts import past

TASKS = ("hip_osteoporosis", "knee_djd", "chest_lesions", "retina_lesions")
HIP, KNEE = "hip_osteoporosis", "knee_djd"
PATIENT = "ab" * 32


@pytest.fixture(scope="module")
def results() -> dict[str, ScreeningResult]:
    found = {}
    with Reader(workers=1) as reader:
        for task in TASKS:
            phantom = registry.part(task, "phantom")
            data = write_dicom(phantom.make_sample(next(iter(phantom.SAMPLES))))
            found[task] = screen(reader.read(data), load(task), is_explained=False)
    return found


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Of this test alone, for the page as well."""
    monkeypatch.setenv("FIVEFOLD_HISTORY", f"sqlite:///{tmp_path / 'history.sqlite'}")
    return open_history()


def _page() -> None:
    from pages.parts.past import show_past

    show_past()


def opened(language: str = "en", **state: Any) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=SLOW_S)
    app.session_state["language"] = language
    for key, value in state.items():
        app.session_state[key.replace("__", ".")] = value
    app.run()
    assert not app.exception
    return app


def marked(app: AppTest, monkeypatch: pytest.MonkeyPatch, rows: list[Kept]) -> AppTest:
    """With these rows marked in the list: a test without a browser cannot click a cell."""
    monkeypatch.setattr(past, "_choose", lambda listed, n: [row for row in listed if row in rows][::-1])
    app.run()
    assert not app.exception
    return app


def at(history: History, monkeypatch: pytest.MonkeyPatch, result: ScreeningResult, days_ago: float) -> Kept:
    """Keep a result as of an earlier day."""
    time = datetime.now(UTC) - timedelta(days=days_ago)

    class Then(datetime):
        @classmethod
        def now(cls, tz=None):
            return time

    with monkeypatch.context() as patch:
        patch.setattr(service, "datetime", Then)
        kept = history.find(history.add(result, "reader", "page", f"{days_ago}"))
    assert kept is not None
    return kept


def of_patient(result: ScreeningResult, pseudonym: str | None = PATIENT) -> ScreeningResult:
    return replace(result, study=replace(result.study, pseudonym=pseudonym))


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_task_page_keeps_what_it_shows_once(history: History) -> None:
    app = open_page(KNEE)
    for language in ("ko", "en"):
        app.session_state["language"] = language
        app.run()
    assert history.count(Wanted()) == 1
    [kept] = history.select(Wanted())
    assert (kept.task, kept.source, kept.has_score, kept.is_phantom) == (KNEE, "page", True, True)
    told = [entry.action for entry in entries(history.store)]
    assert told == ["models", "screening"]
    another = open_page(KNEE)
    assert not another.exception
    assert history.count(Wanted()) == 2  # somebody else


def test_nothing_is_kept_until_a_hidden_score_is_confirmed(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    question = [
        Check("doubt", "confirm", "Blurred: sharpness {value}, at least {limit} is wanted", {"value": 0, "limit": 1})
    ]
    monkeypatch.setattr(registry.part(KNEE, "gate"), "check", lambda *_: question)
    app = open_page(KNEE)
    assert app.button(key=f"{KNEE}.confirm")
    assert history.count(Wanted()) == 0


def test_a_history_at_fault_is_told_and_the_result_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "history.sqlite").write_text("no database " * 1000)
    monkeypatch.setenv("FIVEFOLD_HISTORY", f"sqlite:///{tmp_path / 'history.sqlite'}")
    app = open_page(KNEE)
    assert says(app, "The history cannot be read or written.")
    assert len(app.get("plotly_chart")) > 0


def test_a_history_that_is_switched_off_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVEFOLD_HISTORY", "off")
    assert says(opened(), "The history of this installation is switched off.")
    assert not says(open_page(KNEE), "The history cannot be read or written.")


# --- list and filters ------------------------------------------------------------------------------------------------


def test_the_page_says_that_hashes_do_not_last(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIVEFOLD_PSEUDONYM_KEY", raising=False)
    assert "FIVEFOLD_PSEUDONYM_KEY" in words(opened())
    monkeypatch.setenv("FIVEFOLD_PSEUDONYM_KEY", "secret")
    assert "FIVEFOLD_PSEUDONYM_KEY" not in words(opened())


def test_filters_leave_what_fits(
    history: History, results: dict[str, ScreeningResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    hip = at(history, monkeypatch, of_patient(results[HIP]), 40)
    knee = at(history, monkeypatch, of_patient(results[KNEE], "cd" * 32), 2)

    def listed(app: AppTest) -> list[str]:
        assert not app.exception
        return [] if not len(app.dataframe) else list(app.dataframe[0].value["Time (UTC)"])

    app = opened()
    times = {name: f"{kept.time:%Y-%m-%d %H:%M:%S}" for name, kept in (("hip", hip), ("knee", knee))}
    assert listed(app) == [times["knee"], times["hip"]]
    assert says(app, DEMO_STATEMENT + ".") or DEMO_STATEMENT in words(app)
    assert listed(app.selectbox(key="past.task").set_value(HIP).run()) == [times["hip"]]
    app.selectbox(key="past.task").set_value(None).run()
    assert listed(app.text_input(key="past.patient").set_value("CD").run()) == [times["knee"]]
    app.text_input(key="past.patient").set_value("").run()
    day = (datetime.now(UTC) - timedelta(days=10)).date()
    assert listed(app.date_input(key="past.since").set_value(day).run()) == [times["knee"]]
    assert listed(app.selectbox(key="past.kind").set_value("patients").run()) == []
    assert says(app, "No screening is of this kind.")


def test_a_list_of_other_rows_has_no_row_marked(
    history: History, results: dict[str, ScreeningResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark is a place in the list, and would stand at another screening."""
    first = at(history, monkeypatch, results[HIP], 2)
    before = opened().dataframe[0].proto.id
    assert opened().dataframe[0].proto.id == before
    history.delete([first.id], "somebody else")
    at(history, monkeypatch, results[HIP], 1)
    assert opened().dataframe[0].proto.id != before


# --- one again, several, deletion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "language"),
    [*((task, "en") for task in TASKS), *((HIP, language) for language in LANGUAGES if language != "en")],
)
def test_one_is_opened_again(
    history: History,
    results: dict[str, ScreeningResult],
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    language: str,
) -> None:
    kept = at(history, monkeypatch, of_patient(results[task]), 1)
    app = marked(opened(language), monkeypatch, [kept])
    shown = words(app)
    assert kept.file_sha256[:12] in shown
    assert not set("{}") & set(shown)
    assert Translator(language)(kept.statement) in shown  # "" of a model that saw patients
    if registry.task(task).kind in ("classifier", "grader"):
        assert len(app.get("plotly_chart")) > 0


def test_a_hidden_score_stays_hidden(
    history: History, results: dict[str, ScreeningResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = results[HIP]
    doubt = replace(result.gate.checks[0], outcome="confirm", code="doubt")
    kept = at(history, monkeypatch, replace(result, gate=Gate((doubt,))), 1)
    app = marked(opened(), monkeypatch, [kept])
    assert says(app, "No score was shown") or "No score was shown" in words(app)
    assert len(app.get("plotly_chart")) == 0


def test_the_picture_needs_the_same_file(
    history: History, results: dict[str, ScreeningResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    phantom = registry.part(HIP, "phantom")
    first, second = list(phantom.SAMPLES)[:2]
    kept = at(history, monkeypatch, results[HIP], 1)
    app = marked(opened(), monkeypatch, [kept])
    key = f"past.file.{kept.id}"
    for sample, is_same in ((second, False), (first, True)):
        data = write_dicom(phantom.make_sample(sample))
        assert (hashlib.sha256(data).hexdigest() == kept.file_sha256) is is_same
        app.file_uploader(key=key).set_value([("a.dcm", data, "application/dicom")]).run()
        assert not app.exception
        assert bool(len(app.get("image"))) is is_same
        assert ("another file" in " ".join(warning.value for warning in app.warning)) is not is_same
    assert "the same answer as the one that was kept" in words(app)


def test_results_of_one_patient_are_a_course_and_of_two_are_not(
    history: History, results: dict[str, ScreeningResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [at(history, monkeypatch, of_patient(results[HIP]), days) for days in (30, 20, 10)]
    other = at(history, monkeypatch, of_patient(results[HIP], "cd" * 32), 5)
    knee = at(history, monkeypatch, of_patient(results[KNEE]), 4)
    app = marked(opened(), monkeypatch, own)
    assert len(app.get("plotly_chart")) == 1
    assert len(app.table[0].value) == 3
    app = marked(opened(), monkeypatch, [own[0], other])
    assert len(app.get("plotly_chart")) == 0
    assert len(app.table[0].value) == 2
    app = marked(opened(), monkeypatch, [own[0], knee])
    assert len(app.table) == 0
    assert says(app, "Scores of different tasks do not compare: choose screenings of one task.")


def test_deletion_is_done_and_told(
    history: History, results: dict[str, ScreeningResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [at(history, monkeypatch, of_patient(results[HIP]), days) for days in (30, 20, 10)]
    other = at(history, monkeypatch, of_patient(results[HIP], "cd" * 32), 5)
    app = marked(opened(), monkeypatch, [own[0]])
    app.button(key="past.delete").click().run()
    assert history.count(Wanted()) == 3
    app = marked(opened(), monkeypatch, [own[1]])
    app.button(key="past.delete.patient").click().run()
    assert [kept.id for kept in history.select(Wanted())] == [other.id]
    told = [(entry.actor, entry.action) for entry in entries(history.store)]
    assert told[-2:] == 2 * [("test@example.com", "deletion")]  # who is signed in


def test_a_list_that_is_saved_is_told(
    history: History, results: dict[str, ScreeningResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(history, monkeypatch, results[HIP], 1)
    app = opened()
    app.download_button(key="past.csv").click().run()
    assert not app.exception
    last = list(entries(history.store))[-1]
    assert (last.action, last.object, json.loads(last.details)) == ("export", "history", {"n": 1})
