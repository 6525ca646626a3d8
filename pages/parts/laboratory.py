"""Page "Experiments": one experiment at a time, from its question to what became of the published claim."""

import json

import streamlit as st

from core import registry
from core.errors import UsageError
from core.experiments.catalogue import EXPERIMENTS
from core.experiments.protocols import PROTOCOLS
from core.experiments.results import Cell, Line, Results, installed_results
from core.figures.arms import ArmPoint, ArmSeries, arms_alt, arms_figure
from core.figures.style import number
from core.manifest import DEMO_STATEMENT
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.laboratory_curves import show_costs, show_curves
from pages.parts.laboratory_looks import show_looks
from pages.parts.laboratory_pairs import show_pairs
from pages.parts.method import show_references, show_rows
from pages.parts.words import literal, t, translator

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
    arms = list(dict.fromkeys(line.arm for line in results.lines))
    published = {line.arm: line.published.share for line in results.lines if line.published}
    series = []
    if published:
        points = tuple(ArmPoint(arm, value) for arm, value in published.items())
        series.append(ArmSeries(t("Published, other data"), points, is_published=True))
    for protocol in results.protocols:
        own = [line for line in results.lines if line.protocol == protocol]
        title = t(PROTOCOLS[protocol].title)
        series.append(ArmSeries(title, tuple(_point(line.arm, line.measured) for line in own if line.measured)))
    careful = [line for line in results.lines if line.protocol == results.careful]
    series.append(
        ArmSeries(
            t("On patients nobody trained on"), tuple(_point(line.arm, line.unseen) for line in careful if line.unseen)
        )
    )
    lines = [t(results.declared.title), t("Mean and 95 % CI over {n} seeds", n=results.summary["n_seeds"])]
    words, axis = translator(), t("{metric} (0 to 1)", metric=results.declared.metric.replace("_", " "))
    figure = arms_figure(arms, series, title=lines, axis=axis, t=words, dark=is_dark())
    if is_talk:
        figure.update_layout(height=int(1.25 * figure.layout.height), font_size=20)
    show_chart(figure, f"laboratory.{results.declared.id}", arms_alt(arms, series, ", ".join(lines), words))


def _point(arm: str, cell: Cell) -> ArmPoint:
    return ArmPoint(arm, cell.mean, cell.low, cell.high)


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
        with st.container(horizontal=True):
            for name, mime in (("runs.csv", "text/csv"), ("summary.json", "application/json")):
                data = (results.folder / name).read_bytes()
                st.download_button(
                    name, data, f"{declared.id}_{name}", mime, key=f"laboratory.save.{name}", on_click="ignore"
                )
            st.download_button(
                t("Recipe (JSON)"),
                json.dumps(results.environment.get("recipe", {}), indent=2),
                f"{declared.id}_recipe.json",
                "application/json",
                key="laboratory.save.recipe",
                on_click="ignore",
            )
        show_references(registry.task(declared.task))


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
