"""The figures of an experiment as slides: arms, training, and maps where there are some."""

from collections.abc import Iterator

from core import registry
from core.experiments.drawn import drawn_arms
from core.experiments.pictures import read_maps
from core.experiments.protocols import PROTOCOLS
from core.experiments.results import Results
from core.figures.arms import arms_alt
from core.figures.map_cells import map_cell
from core.figures.printed.experiment import draw_arms, draw_cells, draw_epochs
from core.figures.printed.style import Panel, sheet, to_png
from core.figures.training import epochs_alt
from core.i18n import Translator, mark
from core.manifest import DEMO_STATEMENT
from core.reports.slides import FIGURE, Slide, slides_pptx

_TEXT_PT, _EDGE = 13.0, 0.15
_CURVES = (
    ("train_loss", mark("Training loss")),
    ("validation_loss", mark("Validation loss")),
    ("validation_ap50", "AP50"),
)
_REAL = mark("Real images: research use, not a medical device")


def talk_pptx(results: Results, t: Translator) -> bytes:
    """One slide a figure, each with n, seeds, protocol, command and what the numbers are worth.

    Args:
        results: Of one experiment.
        t: The reader's words.
    """
    return slides_pptx(list(_slides(results, t)), t(results.declared.title))


def _slides(results: Results, t: Translator) -> Iterator[Slide]:
    drawn = drawn_arms(results, t)
    panel = _panel(t)
    draw_arms(panel, drawn.arms, drawn.series, drawn.title, drawn.axis)
    alt = arms_alt(drawn.arms, drawn.series, ", ".join(drawn.title), t)
    yield _slide(results, t(results.declared.question), panel, alt, t)
    for column, title in _CURVES:
        lines = results.curves(results.careful, column)
        if not lines:
            continue
        if published := results.declared.curve.get(column):
            lines = {t("Published, other data"): list(published), **lines}
        panel = _panel(t)
        draw_epochs(panel, lines, [t(results.declared.title), t("mean over seeds")], t(title))
        longest = max(map(len, lines.values()))
        padded = {name: [*values, *[None] * (longest - len(values))] for name, values in lines.items()}
        yield _slide(results, t(title), panel, epochs_alt(t(title), padded, longest - 1, t), t)
    yield from _map_slide(results, t)


def _map_slide(results: Results, t: Translator) -> Iterator[Slide]:
    grid = read_maps(results)
    if grid is None:
        return
    rows = [t(label.name) for label in registry.task(results.declared.task).labels]
    columns = [t(grid.words.image), *(f"{arm}{f': G_{branch}' if branch else ''}" for arm, branch in grid.maps)]
    heats = [None, *grid.maps.values()]
    cells = [
        [map_cell(grid.images[row], grid.bodies[row], None if heat is None else heat[row]) for heat in heats]
        for row in range(len(rows))
    ]
    panel, title = _panel(t), t(grid.words.title)
    draw_cells(panel, cells, rows, columns, [t(grid.words.head)])
    yield _slide(results, title, panel, f"{title}: {', '.join(columns)}", t)


def _panel(t: Translator) -> Panel:
    across, down = FIGURE
    return Panel(sheet(across, down), t, _EDGE, _EDGE, across - 2 * _EDGE, down - 2 * _EDGE, _TEXT_PT)


def _slide(results: Results, title: str, panel: Panel, alt: str, t: Translator) -> Slide:
    summary = results.summary
    n_cases = "\u2013" if results.n_unseen is None else str(results.n_unseen)
    line = t(
        "n = {n} unseen cases, seeds: {seeds}, folds: {folds}",
        n=n_cases,
        seeds=summary["n_seeds"],
        folds=summary["n_folds"],
    )
    protocols = "; ".join(t(PROTOCOLS[name].title) for name in results.protocols)
    size = f" {t('Fast size: few and small images, few epochs')}." if summary["fast"] else ""
    caption = (f"{line}. {protocols}.{size}", results.command)
    statement = t(DEMO_STATEMENT) if summary["data"] == "phantoms" else t(_REAL)
    return Slide(title, to_png(panel.figure), alt, caption, statement)
