"""Tab "Method" of the knee page: network, equations, files, the reference's fault, its protocol beside ours, its training log."""

from math import log

import streamlit as st

from core.figures.curves import epoch_curve_alt, epoch_curve_figure
from core.figures.style import number, with_interval
from core.manifest import Manifest
from core.metrics.proportions import wilson_interval
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.method import (
    show_formulas,
    show_lines,
    show_protocols,
    show_published_badge,
    show_references,
    show_rows,
)
from pages.parts.network_drawing import Block, network_figure
from pages.parts.words import t, translator

_GRADES = 5
# Inputs of the linear layer and parameters of SimpleCNN with 1, 2 and 3 convolution layers for 128 pixels.
_LAYERS = (
    ("1", "65\u202f536", "327\u202f877"),
    ("2", "32\u202f768", "168\u202f741"),
    ("3", "16\u202f384", "105\u202f445"),
)
# Log of the reference, epochs 1 to 20: loss, and knees counted as right of 402.
_LOG_LOSS = (
    *(1.6243, 1.6026, 1.5917, 1.5786, 1.5630, 1.5580, 1.5540, 1.5557, 1.5393, 1.5460),
    *(1.5173, 1.5182, 1.4916, 1.4957, 1.4827, 1.4760, 1.4536, 1.4447, 1.4421, 1.4307),
)
_LOG_RIGHT = (76, 92, 93, 93, 94, 95, 94, 96, 96, 97, 103, 96, 109, 111, 108, 105, 110, 114, 121, 114)
_N_LOG = 402
_RULE_HELD, _N_RULE = 81, 120  # knees inside the reference's regions
# SimpleCNN on simulated knees, 16 epochs, batch 32, 460 knees for training: optimiser, final ReLU, loss of the first and the last
# epoch, test knees counted as right, quadratic weighted kappa, mean error in grades.
_N_TRIAL = 140
_TRIALS = (
    ("SGD 0.001", True, 1.633, 1.465, 28, 0.010, 1.88),
    ("SGD 0.001", False, 1.858, 0.826, 52, 0.634, 0.94),
    ("Adam 0.001", True, 2.816, 1.609, 28, 0.000, 2.10),
    ("Adam 0.001", False, 6.013, 0.421, 70, 0.828, 0.59),
)


def show_method(task: Task, manifest: Manifest) -> None:
    """How the grades are found, and what is known about the method elsewhere."""
    words = t(
        "The grades are those of a scan reader, by uptake. Kellgren-Lawrence grades of radiographs are another scale."
    )
    st.info(words, icon=":material/straighten:")
    layers = manifest.architecture.name.removeprefix("simple_cnn_")
    if layers in ("1", "2", "3"):
        _show_network(int(layers), manifest.input.size[0], bool(manifest.architecture.options.get("final_relu", False)))
    _show_equations()
    _show_final_relu()
    show_protocols(t("Published (student project, Seoul)"), _protocol())
    _show_file()
    _show_published()
    _show_left_out()
    show_references(task)


def _show_network(n_layers: int, side: int, final_relu: bool) -> None:
    blocks = [
        Block(t("Region"), t("of a knee"), side, 1),
        *(
            Block(f"conv{k}", f"3×3<br>{t('pooling')}", side >> k, 8 << k, is_explained=k == n_layers)
            for k in range(1, n_layers + 1)
        ),
        Block(t("Linear"), t("grades"), 1, _GRADES),
    ]
    if final_relu:
        blocks.append(Block("ReLU", t("the fault"), 1, _GRADES))
    left, right = st.columns([3, 2], gap="large", vertical_alignment="center")
    with left:
        title = t("SimpleCNN, convolution layers: {n}", n=n_layers)
        alt = t(
            "SimpleCNN: one knee, convolution layers: {n}, one linear layer, five grades; the last pooling is explained.",
            n=n_layers,
        )
        show_chart(network_figure(title, blocks, translator(), is_dark()), "knee_djd.network", alt)
    with right:
        show_rows([t("Layers"), t("Into the linear layer"), t("Parameters")], _LAYERS)
        st.caption(t("Fewer layers have more parameters: each pooling leaves the linear layer half as many inputs."))
    st.caption(
        t("Orange: the layer whose activations the explanations use. Batch norm and ReLU follow each convolution.")
    )


def _show_equations() -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{t('Input')}**")
        st.latex(r"x = \log\Big(1 + \frac{n}{n_{shaft}}\Big)")
        st.caption(
            t(
                "n: counts. The shaft: femur and tibia of the same leg. In osteoarthritis the knee takes up 170 to 240 % of the "
                "tibial shaft (Mazzuca 2004), so the ratio tells the grade and raw counts do not."
            )
        )
        st.markdown(f"**{t('Grades and loss')}**")
        st.latex(r"p_c = \frac{e^{z_c}}{\sum_k e^{z_k}}, \quad \mathcal{L} = -\log p_y")
        st.latex(r"S = \log \frac{\sum_{c \ge k} p_c}{\sum_{c < k} p_c}")
        st.caption(t("z: the five logits, y: the true grade, S: the score of grade k or worse."))
    with right:
        st.markdown(f"**{t('Explanation (HiResCAM)')}**")
        show_formulas(
            r"M^c &= \sum_m \frac{\partial z_c}{\partial A^m} \odot A^m",
            r"z_c &= b_c + \sum_{ij} M^c_{ij}",
            r"M &= \max\Big(0,\ \sum_c \frac{\partial S}{\partial z_c}\, M^c\Big)",
        )
        st.caption(
            t(
                "A: the maps of the last pooling. The head is linear, so the map of a grade and its bias add up to exactly its "
                "logit; Grad-CAM does not. The score joins the maps of the grades."
            )
        )
        st.markdown(f"**{t('Agreement of ordered grades')}**")
        st.latex(r"\kappa = 1 - \frac{\sum_{ij} (i - j)^2\, O_{ij}}{\sum_{ij} (i - j)^2\, E_{ij}}")
        st.caption(
            t(
                "O: observed pairs of grades, E: pairs expected by chance. An error of four grades costs sixteen times as much "
                "as an error of one; accuracy counts both alike."
            )
        )


def _show_final_relu() -> None:
    st.markdown(f"**{t('The ReLU behind the last layer')}**")
    left, right = st.columns(2, gap="large", vertical_alignment="center")
    with left:
        show_formulas(
            r"\mathcal{L} &= -\log \frac{e^{\max(0, z_y)}}{\sum_k e^{\max(0, z_k)}}",
            r"&= \ln 5 \qquad (z < 0)",
            r"\partial \mathcal{L} / \partial z &= 0 \qquad (z < 0)",
        )
    right.caption(
        t(
            "The reference puts a ReLU behind the linear layer. Where all five logits are negative the loss is ln 5 = 1.609, "
            "that of a blind guess, and its gradient is zero: nothing is learned from such a knee. Kept as a switch, off."
        )
    )
    heads = [
        t("Training"),
        t("Final ReLU"),
        t("Loss"),
        t("Test accuracy"),
        t("Weighted kappa"),
        t("Mean error, grades"),
    ]
    inputs = {"SGD 0.001": t("raw counts"), "Adam 0.001": t("logarithm")}
    rows = [
        (
            f"{optimiser}, {inputs[optimiser]}",
            t("yes") if has_relu else t("no"),
            f"{number(first, 3)} → {number(last, 3)}",
            with_interval(wilson_interval(n_right, _N_TRIAL), translator()),
            number(kappa, 3),
            number(error),
        )
        for optimiser, has_relu, first, last, n_right, kappa, error in _TRIALS
    ]
    show_rows(heads, rows)
    st.caption(
        t(
            "Simulated knees, {n} for testing, 16 epochs. With the final ReLU hardly anything is learned, whatever the input and "
            "the optimiser: the ReLU, not the data, explains the stall of the reference.",
            n=_N_TRIAL,
        )
    )


def _protocol() -> list[tuple[str, str, str]]:
    rule = t(
        "Rows 510 to 638, or 70 rows further down where row 510 has no zero in columns 100 to 149; "
        "then around the brightest row. Columns are cut at the middle of the picture"
    )
    weakness = t(
        "In an early simulation it held {share} of {n} knees; it needs zeros in the background",
        n=_N_RULE,
        share=with_interval(wilson_interval(_RULE_HELD, _N_RULE), translator(), 3),
    )
    return [
        (t("Images"), t("205 patients, anterior view"), t("Simulated whole-body scans, anterior view")),
        (t("Reference"), t("Grade of a scan reader for each knee"), t("Grade that the knee was simulated with")),
        (t("Region"), rule, t("Legs are followed, joints sought where they stand out; left knees are mirrored")),
        (t("Why replaced"), weakness, t("Needs no zeros and no centred patient")),
        (t("Intensity"), t("Raw counts"), t("Multiples of the shafts of the same leg, then the logarithm")),
        (t("Unspecified knees"), t("Four files left out by name"), t("Left out and counted")),
        (t("Network"), t("Two layers, also one and three; final ReLU"), t("The same; the final ReLU is a switch, off")),
        (t("Optimiser"), t("SGD, momentum, Adagrad, Adam; 0.001, batch 32, 100 epochs"), t("All four as switches")),
        (t("Split"), t("40 test knees, all in the training set"), t("Five folds by patient, both knees together")),
        (
            t("Reported"),
            t("Training accuracy; no test result"),
            t("Weighted kappa on held-out knees, with 95 % interval"),
        ),
    ]


def _show_file() -> None:
    st.markdown(f"**{t('The MATLAB file')}**")
    codes = t("Right knee, left knee: −1 unspecified, 2 normal, 3 minimal, 4 mild, 5 moderate, 6 severe")
    rows = [
        ("V", t("Counts, 1024 × 256 × 2: anterior, posterior"), t("V, else Y, else the only array of this size")),
        ("kneejointid", codes, t("Grades 0 to 4; anything else is unspecified")),
        ("kneejointname", t("The same in words"), t("Where both disagree, the knee is left out and counted")),
        ("roitable, comment", t("A MATLAB table and free text"), t("Never read")),
    ]
    show_rows([t("Variable"), t("Content"), t("Here")], rows)
    st.caption(t("In the anterior view the left of the image is the patient's right; the posterior view is mirrored."))


def _show_published() -> None:
    show_published_badge()
    words, shares = translator(), [n_right / _N_LOG for n_right in _LOG_RIGHT]
    shown = (
        ("loss", t("Training loss"), t("Loss"), _LOG_LOSS, log(_GRADES)),
        ("accuracy", t("Training accuracy"), t("Accuracy"), shares, 1 / _GRADES),
    )
    for column, (key, title, axis, values, guess) in zip(st.columns(2, gap="large"), shown, strict=True):
        with column:
            figure = epoch_curve_figure(values, title=title, axis_title=axis, guess=guess, t=words, dark=is_dark())
            alt = epoch_curve_alt(values, title=title, guess=guess, t=words)
            show_chart(figure, f"knee_djd.published.{key}", alt)
    st.caption(
        t(
            "After 20 epochs {right} of {n} knees are right: {accuracy}. Every accuracy of the log is a count of {n}: both knees "
            "of 201 patients, all files but the four left out. So the 40 test knees are in the training set.",
            right=_LOG_RIGHT[-1],
            n=_N_LOG,
            accuracy=with_interval(wilson_interval(_LOG_RIGHT[-1], _N_LOG), words),
        )
    )


def _show_left_out() -> None:
    show_lines(
        t("What was not built, and why"),
        [
            t("Graph networks: one small crop a knee gives one grade, and there is no graph to join."),
            t("PET-MRI: the reference names it as background only, and it is another examination."),
            t("The posterior view: the reference grades the anterior view only."),
        ],
    )
