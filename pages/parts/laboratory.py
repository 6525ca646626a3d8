"""Page "Experiments": one experiment at a time, from its question to what became of the published claim."""

import json
from collections.abc import Callable

import streamlit as st

from core import registry
from core.errors import UsageError
from core.experiments.catalogue import EXPERIMENTS
from core.experiments.drawn import drawn_arms
from core.experiments.protocols import PROTOCOLS
from core.experiments.results import REFERENCES, Cell, Line, Results, installed_results
from core.experiments.talk import talk_pptx
from core.figures.arms import arms_alt, arms_figure
from core.figures.style import number
from core.manifest import DEMO_STATEMENT
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.laboratory_curves import show_costs, show_curves
from pages.parts.laboratory_looks import show_looks
from pages.parts.laboratory_pairs import show_pairs
from pages.parts.method import show_references, show_rows
from pages.parts.words import literal, t, translator

_PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_FILES = (("runs.csv", "text/csv"), ("unseen.csv", "text/csv"), ("summary.json", "application/json"))
_VERDICTS = {
    "held": (":green[:material/check_circle:]"),
    "open": ":orange[:material/help:]",
    "not held": ":red[:material/cancel:]",
}


def show_laboratory() -> None:
    """Choose an experiment, read its answer, then how it came about."""
    st.title(t("Experiments"))
    st.markdown(
        t("The experiments of the five reference systems, run again on our data: their protocol beside a careful one.")
    )
    try:
        found = installed_results()
    except UsageError as error:
        show_error(error)
        return
    if found:
        results = _choose(found)
        is_talk = st.toggle(t("Present"), key="laboratory.talk", persist_state="session")
        _show(results, is_talk=is_talk)
        if is_talk:
            return
    _show_missing(set(found))


def _choose(found: dict[str, Results]) -> Results:
    tasks = list(dict.fromkeys(own.declared.task for own in found.values()))
    titles = {task: t(registry.task(task).title) for task in tasks}
    task = st.pills(
        t("Task"),
        tasks,
        format_func=titles.__getitem__,
        key="laboratory.task",
        persist_state="session",
        default=tasks[0],
        required=True,
    )
    names = {name: t(own.declared.title) for name, own in found.items() if own.declared.task == task}
    chosen = st.selectbox(
        t("Experiment"), list(names), format_func=names.__getitem__, key=f"laboratory.{task}", persist_state="session"
    )
    return found[str(chosen)]


def _show(results: Results, *, is_talk: bool) -> None:
    declared = results.declared
    st.header(t(declared.question))
    with st.container(horizontal=True):
        if results.summary["data"] == "phantoms":
            st.badge(t(DEMO_STATEMENT), icon=":material/warning:", color="orange")
        if results.summary["fast"]:
            st.badge(t("Fast size: few and small images, few epochs"), icon=":material/speed:", color="orange")
    _show_arms(results, is_talk=is_talk)
    _show_claims(results)
    if is_talk:
        return
    _show_table(results)
    show_pairs(results)
    show_looks(results)
    show_curves(results)
    show_costs(results)
    _show_details(results)


def _show_arms(results: Results, *, is_talk: bool) -> None:
    """Published, and what each protocol measures; on patients nobody trained on for every one of them."""
    words, drawn = translator(), drawn_arms(results, translator())
    figure = arms_figure(drawn.arms, drawn.series, title=drawn.title, axis=drawn.axis, t=words, dark=is_dark())
    if is_talk:
        figure.update_layout(height=int(1.25 * figure.layout.height), font_size=20)
    alt = arms_alt(drawn.arms, drawn.series, ", ".join(drawn.title), words)
    show_chart(figure, f"laboratory.{results.declared.id}", alt)


def _show_claims(results: Results) -> None:
    """In plain words, each with what became of it."""
    claims = results.claims()
    if not claims:
        return
    names = {
        "held": t("Seen here too"),
        "open": t("Not settled: the intervals overlap"),
        "not held": t("Not seen here"),
    }
    st.markdown(f"**{t('What became of it')}**")
    for claim in claims:
        values = {name: t(value) if name == "protocol" else literal(value) for name, value in claim.values.items()}
        st.markdown(f"{_VERDICTS[claim.verdict]} {t(claim.text, **values)} **{names[claim.verdict]}.**")


def _show_table(results: Results) -> None:
    heads = (
        t("Arm"),
        t("Protocol"),
        t("Published"),
        t("Measured"),
        t("Unseen patients"),
        t("Seconds a run"),
        t("Runs"),
    )
    show_rows(heads, [_row(line) for line in results.lines])
    st.caption(
        t(
            "Mean ± SD over seeds. Measured: on the cases that the protocol measures on. Unseen patients: the same networks on "
            "patients whom no protocol trains on. A run that diverged counts and gives no number."
        )
    )


def _row(line: Line) -> tuple[str, ...]:
    published = f"{line.published.value:g} {line.published.unit} ({line.published.source})" if line.published else "–"
    runs = f"{line.n_runs}" + (f" ({t('{n} diverged', n=line.n_diverged)})" if line.n_diverged else "")
    seconds = "–" if line.seconds is None else number(line.seconds, 1)
    cells = (_words(line.measured), _words(line.unseen))
    return (literal(line.arm), t(PROTOCOLS[line.protocol].title), published, *cells, seconds, runs)


def _words(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    return number(cell.mean, 3) + ("" if cell.sd is None else f" ± {number(cell.sd, 3)}")


def _show_details(results: Results) -> None:
    declared = results.declared
    with st.expander(t("How it was made"), icon=":material/science:"):
        st.markdown("\n".join(f"- {t(note)}" for note in declared.notes))
        st.code(results.command, language=None)
        facts = ("python", "torch", "system", "device", "cores", "date", "training_seconds")
        rows = [(name, str(results.environment[name])) for name in facts if name in results.environment]
        show_rows((t("Fact"), t("Value")), rows)
        if results.summary["only_in_full"]:
            arms = ", ".join(results.summary["only_in_full"])
            st.caption(t("At the full size alone: {arms}.", arms=literal(arms)))
        _show_downloads(results)
        show_references(registry.task(declared.task))


def _show_downloads(results: Results) -> None:
    """Tables, recipe, slides and sources."""
    name = results.declared.id
    with st.container(horizontal=True):
        for file, mime in _FILES:
            if (results.folder / file).is_file():
                _save(file, (results.folder / file).read_bytes(), f"{name}_{file}", mime)
        recipe = json.dumps(results.environment.get("recipe", {}), indent=2).encode()
        _save("recipe", recipe, f"{name}_recipe.json", "application/json", t("Recipe (JSON)"))
        words = translator()
        slides = t("Figures for a talk (PPTX)")
        _save("slides", lambda: talk_pptx(results, words), f"{name}_figures.pptx", _PPTX, slides)
        _save("bib", REFERENCES.read_bytes(), "fivefold_references.bib", "application/x-bibtex", t("Sources (BibTeX)"))


def _save(key: str, data: bytes | Callable[[], bytes], file: str, mime: str, label: str = "") -> None:
    st.download_button(label or key, data, file, mime, key=f"laboratory.save.{key}", on_click="ignore")


def _show_missing(known: set[str]) -> None:
    """Declared, not run yet on this machine."""
    rest = [own for own in EXPERIMENTS.values() if own.id not in known]
    if not rest:
        return
    with st.expander(t("Declared, not run yet: {n}", n=len(rest)), icon=":material/pending:"):
        show_rows(
            (t("Experiment"), t("Command")),
            [(t(own.title), f"`python -m core experiment {own.id} --fast`") for own in rest],
        )
