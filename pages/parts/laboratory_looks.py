"""Page "Experiments": classes of a CT network one by one (Figure 3 of the reference), and what networks look at or mark."""

import streamlit as st

from core import registry
from core.experiments.pictures import body_share, by_class, read_maps
from core.experiments.results import Results
from core.figures.grouped import grouped_alt, grouped_figure
from core.figures.map_cells import map_cell
from core.imaging.overlay import png_bytes
from pages.parts.chart import is_dark, show_chart
from pages.parts.words import literal, t, translator

_BRANCHES = {"": "{arm}", "s": "{arm}: G_s", "t": "{arm}: G_t"}


def show_looks(results: Results) -> None:
    """Figures 3 and 4, where the experiment measures what they show."""
    classes = [t(label.name) for label in registry.task(results.declared.task).labels]
    recalls = by_class(results, "recall")
    if recalls:
        best = max((line for line in results.lines if line.published), key=lambda line: _share(line.published))
        own = {_name(arm, branch): values for (arm, branch), values in recalls.items() if arm == best.arm}
        _show_bars(
            results, "recall", t("Each class, by each network of the pair alone"), t("Share right"), classes, own
        )
        st.caption(t("Figure 3 of the reference: there G_s was worst on normal, and G_t best on normal."))
    shares = {_name(*key): values for key, values in by_class(results, "inside").items()}
    if shares:
        chance = body_share(results)
        _show_bars(results, "inside", t("Map inside the vertebral body"), t("Share"), classes, shares, chance)
        st.caption(
            t("Dotted: the share of the picture that the body takes. A map without any preference has as much inside.")
        )
    _show_maps(results, classes)


def _share(published: object) -> float:
    return float(getattr(published, "share", 0.0))


def _name(arm: str, branch: str) -> str:
    return _BRANCHES[branch].format(arm=arm)


def _show_bars(
    results: Results,
    name: str,
    title: str,
    axis: str,
    classes: list[str],
    series: dict[str, list[float | None]],
    reference: float | None = None,
) -> None:
    lines = [title, t("Unseen patients, mean over {n} seeds", n=results.summary["n_seeds"])]
    figure = grouped_figure(classes, series, title=lines, axis=axis, dark=is_dark(), reference=reference)
    show_chart(figure, f"laboratory.{results.declared.id}.{name}", grouped_alt(classes, series, title, translator()))


def _show_maps(results: Results, classes: list[str]) -> None:
    """A row a class, a column a network."""
    grid = read_maps(results)
    if grid is None:
        return
    st.markdown(f"**{t(grid.words.title)}**")
    columns = st.columns(1 + len(grid.maps))
    for column, key in zip(columns, [None, *grid.maps], strict=True):
        with column:
            st.caption(literal(_name(*key)) if key else t(grid.words.image))
            for place, label in enumerate(classes):
                heat = grid.maps[key][place] if key else None
                cell = map_cell(grid.images[place], grid.bodies[place], heat)
                alt = f"{_name(*key)}: {label}" if key else label
                st.image(png_bytes(cell), caption=label, width="stretch", alt=alt)
    st.caption(t(grid.words.caption))
