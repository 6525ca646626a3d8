"""Page "Experiments": what every arm learns, epoch by epoch, beside what was published; and what an arm costs."""

import streamlit as st

from core.experiments.protocols import PROTOCOLS
from core.experiments.results import Results
from core.figures.grouped import grouped_alt, grouped_figure
from core.figures.training import epochs_alt, epochs_figure
from pages.parts.chart import is_dark, show_chart
from pages.parts.words import t, translator

_MEASURED = "loss"


def show_curves(results: Results) -> None:
    """A number of every epoch, on the training and the validation cases under the careful protocol."""
    names = results.epoch_columns()
    st.markdown(f"**{t('Training, epoch by epoch')}**")
    chosen = str(
        st.selectbox(
            t("What is drawn"),
            names,
            index=names.index(_MEASURED),
            format_func=lambda name: name.replace("_", " "),
            key=f"laboratory.curve.{results.declared.id}",
        )
        if len(names) > 1
        else _MEASURED
    )
    columns = st.columns(2, gap="medium")
    sides = (("train", t("Training cases")), ("validation", t("Validation cases")))
    drawn = [(side, title) for side, title in sides if results.curves(results.careful, f"{side}_{chosen}")]
    for place, (side, title) in enumerate(drawn):
        with columns[place]:
            _show_curve(results, f"{side}_{chosen}", title, chosen.replace("_", " "))
    st.caption(t("{protocol}; mean over seeds.", protocol=t(PROTOCOLS[results.careful].title)))
    if "train_loss" in results.declared.curve and chosen == _MEASURED:
        st.caption(
            t(
                "Published: the log of the reference, on its own 402 knees, all of them trained on. A loss of ln 5 = 1.609 is "
                "that of five classes guessed: nothing was learnt."
            )
        )


def _show_curve(results: Results, column: str, title: str, axis: str) -> None:
    lines = results.curves(results.careful, column)
    if published := results.declared.curve.get(column):
        lines = {t("Published, other data"): list(published), **lines}
    longest = max(map(len, lines.values()))
    padded = {name: [*values, *[None] * (longest - len(values))] for name, values in lines.items()}
    figure = epochs_figure(title, axis, padded, longest - 1, translator(), is_dark())
    show_chart(
        figure, f"laboratory.{results.declared.id}.{column}", epochs_alt(title, padded, longest - 1, translator())
    )


def show_costs(results: Results) -> None:
    """The mean validation loss of the kept epoch, and the time of a run, of every arm (Figure 4-5 of the hip reference)."""
    lines = [line for line in results.lines if line.protocol == results.careful and line.validation_loss is not None]
    if len(lines) < 2:
        return
    arms, folds = [line.arm for line in lines], results.summary["n_folds"]
    st.markdown(f"**{t('Validation loss and time')}**")
    head = t("Mean, seeds: {n}, folds: {folds}", n=results.summary["n_seeds"], folds=folds)
    numbers = (
        ("loss", t("Validation loss"), t("Loss"), [line.validation_loss for line in lines], 3),
        ("seconds", t("Time of a run"), t("Seconds"), [line.seconds for line in lines], 1),
    )
    for place, (name, title, axis, values, digits) in zip(st.columns(2, gap="medium"), numbers, strict=True):
        with place:
            series = {title: values}
            figure = grouped_figure(arms, series, title=[title, head], axis=axis, dark=is_dark(), digits=digits)
            alt = grouped_alt(arms, series, f"{title}, {head}", translator(), digits)
            show_chart(figure, f"laboratory.{results.declared.id}.cost.{name}", alt)
