"""Tab "Method" of the CT page: the pair, its equations, the published protocol beside ours, published counts, references."""

from collections.abc import Sequence

import streamlit as st

from core.figures.bars import bar_with_intervals_alt, bar_with_intervals_figure
from core.figures.style import with_interval
from core.manifest import Manifest
from core.metrics.proportions import wilson_interval
from core.task import Task
from core.tasks.ct_osteoporosis.task import SIDE_MM, SIZE, SMOOTH_PX
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

_N_PUBLISHED = 900  # every percentage of Tables 2 to 5 is a count of these slices
_SMOOTH_MM = f"{SMOOTH_PX * SIDE_MM / SIZE:.1f}"
_PROPOSED = 694
_STAGES = (("layer1", 4, 64), ("layer2", 8, 128), ("layer3", 16, 256), ("layer4", 32, 512))  # reduction, channels


def show_method(task: Task, manifest: Manifest) -> None:
    """How the classes are found, and what is known about the method elsewhere."""
    words = t(
        "This is HU grading, not DXA: the classes stand for ranges of HU, and no training slice had a DXA measurement."
    )
    st.info(words, icon=":material/straighten:")
    if manifest.architecture.name == "resnet18_acm" and manifest.architecture.options.get("branches", "st") == "st":
        _show_network(manifest.input.size[0])
    _show_equations()
    show_protocols(t("Published (Choi et al., 2021)"), _protocol(manifest.input.size[0]))
    _show_open_points()
    _show_published()
    _show_left_out()
    show_references(task)


def _show_network(side: int) -> None:
    branches = [
        [
            Block(f"x<sub>{window}</sub>", hu, side, 3),
            Block("conv1", "7×7 / 2", side // 2, 64),
            *(
                Block(name, f"{t('2 blocks')}<br>ACM", side // reduction, channels, is_explained=name == "layer4")
                for name, reduction, channels in _STAGES
            ),
            Block(f"g<sub>{window}</sub>", t("mean"), 1, 512),
        ]
        for window, hu in (("s", "−128…<br>1024 HU"), ("t", "−450…<br>1024 HU"))
    ]
    joined = [Block("g", "α g<sub>s</sub> +<br>(1 − α) g<sub>t</sub>", 1, 512), Block("F", t("softmax"), 1, 3)]
    figure = network_figure(
        t("Pair of ResNet18 with attend-and-compare modules"), joined, translator(), is_dark(), branches=branches
    )
    alt = t("Two ResNet18 with attend-and-compare modules, joined with the weight α; layer4 of each is explained.")
    show_chart(figure, "ct_osteoporosis.network", alt)
    st.caption(
        t(
            "Orange: the layers whose activations the explanations use. ACM: attend-and-compare module, before the shortcut "
            "of each block is added. Each branch also has a head of its own, which is trained and shown beside the answer."
        )
    )


def _show_equations() -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{t('Two windows')}**")
        show_formulas(
            r"x' &= 255\,\frac{h - h_{min}}{h_{max} - h_{min}}",
            r"x &= \min(255,\ \max(0,\ x'))",
            r"h_{max} &= 1024",
            r"h_{min}^{s} &= -128, \ \ h_{min}^{t} = -450",
        )
        st.caption(t("h: HU. Equation 1 of the paper, and the limits 0 and 255, which it leaves out."))
        st.markdown(f"**{t('Attend-and-compare module')}**")
        show_formulas(
            r"Y &= (X + K - Q) \odot P",
            r"\bar X &= X - \mu",
            r"K_g &= \sum_{ij} a_{g,ij}\, \bar X_{g,ij}",
            r"a_{g,ij} &= \mathrm{softmax}_{ij}\big(u_g^\top \bar X_{g,ij}\big)",
            r"P &= \sigma\big(W_2\, \mathrm{ReLU}(W_1\, \mu)\big)",
        )
        st.caption(
            t(
                "μ: mean of X over all positions. K: what one attention map sees in each of 32 groups g of channels. Q: the same "
                "with weights of its own. P: a gate for each channel. Eight modules add 28 992 parameters, 0.26 %."
            )
        )
    with right:
        st.markdown(f"**{t('Pair and loss')}**")
        show_formulas(
            r"g &= \alpha\, g_s + (1 - \alpha)\, g_t",
            r"\mathcal{L} &= \mathrm{CE}(F(g), y)",
            r"&+ \mathrm{CE}(F_s(g_s), y)",
            r"&+ \mathrm{CE}(F_t(g_t), y)",
            r"&+ 0.1\, \cos(g_s, g_t)",
        )
        st.caption(
            t(
                "CE: cross-entropy. α is learned from 0.5. The features are not below 0, so the cosine lies between 0 and 1: the "
                "least is that both branches use different channels."
            )
        )
        st.markdown(f"**{t('Explanation (Grad-CAM)')}**")
        show_formulas(
            r"S &= \log \frac{\sum_{c \ge k} p_c}{\sum_{c < k} p_c}",
            r"w_n &= \partial S / \partial g^{\,n}",
            r"M_b &= \sum_n w_n A_b^n, \ \ b = s, t",
            r"M' &= \alpha M_s + (1 - \alpha) M_t",
            r"M &= \max(0,\ M')",
        )
        st.caption(
            t(
                "S: the fused score of class k or worse. The map of a branch is the part of its M above 0, with the other branch "
                "held fixed. The mean weighted by α is exactly Grad-CAM on both branches at once."
            )
        )


def _protocol(side: int) -> list[tuple[str, str, str]]:
    return [
        (
            t("Images"),
            t("4500 axial CT slices, 1500 of each class"),
            t("Simulated slices, and real slices from TCIA, as they are and with shifted trabecular HU"),
        ),
        (
            t("Reference"),
            t("Normal, osteopenia, osteoporosis; how they were decided is not stated"),
            t(
                "Real slices: below 110 HU, 110 to 160 HU, above 160 HU (Pickhardt 2013). Simulated slices: T-score with "
                "measurement noise"
            ),
        ),
        (
            t("Input"),
            t("Size not stated"),
            t(
                "Square of {mm} mm around the vertebral body, {side} × {side} pixels; can be redrawn",
                mm=f"{SIDE_MM:.0f}",
                side=side,
            ),
        ),
        (
            t("Sharpness"),
            t("Not stated"),
            t("Smoothed by {mm} mm (SD) before the windows: kernels and slice thickness no longer tell", mm=_SMOOTH_MM),
        ),
        (t("Windows"), t("Not clipped: values below 0 and above 255"), t("Clipped")),
        (t("Network"), t("Two ResNet18 with ACM, from ImageNet"), t("The same by default; Tables 2 to 5 as switches")),
        (
            t("Augmentation"),
            t("Not stated"),
            t("Rotation, mirror image, shift, scale, noise, unevenness that keeps the mean HU, other surroundings"),
        ),
        (t("Split"), t("80 % and 20 %; no split by patient is stated"), t("Five folds by patient")),
        (
            t("Optimiser"),
            t("Adam 0.001, batch 128, cosine, 60 epochs (ViT 500)"),
            t("The model card gives the command"),
        ),
        (t("Choice of epoch"), t("Not stated"), t("The last epoch: nothing is chosen on the cases that are reported")),
        (
            t("Test"),
            t("The same 900 slices are called validation and test"),
            t("Simulated slices are held out; a real slice is answered by the fold that never saw its subject"),
        ),
        (t("Reported"), t("Accuracy of one run without interval"), t("95 % intervals and n with every number")),
    ]


def _show_open_points() -> None:
    show_lines(
        t("What the paper leaves open"),
        [
            t("Patients: 4500 slices surely share some. Slices of one patient on both sides flatter the result."),
            t(
                "Labels: neither the measurement nor its site is named, so the paper's accuracy cannot be compared with ours."
            ),
            t("α: whether the runs with fixed α use the cosine term. Here each of the two is set on its own."),
            t("ACM: its own orthogonality loss is not mentioned. Here it is off and can be switched on."),
        ],
    )


def _show_published() -> None:
    show_published_badge()
    pair = t("Pair of the paper")
    networks = [
        (pair, _PROPOSED),
        ("EfficientNet-b0", 649),
        ("Xception", 623),
        ("Inception-v3", 619),
        ("ResNet18 + ACM", 616),
        ("ResNet18", 600),
        ("ViT-16×16", 501),
    ]
    parts = [
        (t("One network, s"), 576),
        (t("One network, t"), 616),
        (t("Pair, s and s"), 575),
        (t("Pair, t and t"), 600),
        (t("Pair, s and t"), 666),
        *((f"α = {alpha}", n) for alpha, n in ((0.1, 666), (0.3, 657), (0.5, 668), (0.7, 662), (0.9, 641))),
        (pair, _PROPOSED),
    ]
    left, right = st.columns(2, gap="large")
    with left:
        _show_counts(t("Networks (Table 5)"), networks, "networks")
    with right:
        _show_counts(t("Parts of the pair (Tables 2 to 4)"), parts, "parts")
    st.caption(
        t(
            "Accuracy of three classes, one run each on one split. Dotted: the pair of the paper, with learned α and cosine "
            "term, {proposed}. Without that term it is {without}: the intervals overlap. Where slices share patients, the true "
            "intervals are wider. The single networks of Table 5 see window t.",
            proposed=_accuracy(_PROPOSED),
            without=_accuracy(666),
        )
    )
    with st.expander(t("As a table")):
        rows = [(name, str(n), _accuracy(n)) for name, n in dict([*networks, *parts]).items()]
        show_rows([t("Network"), t("Correct of {n}", n=_N_PUBLISHED), t("Accuracy")], rows)


def _show_counts(title: str, counts: Sequence[tuple[str, int]], key: str) -> None:
    names = [name for name, _ in counts]
    intervals = [wilson_interval(n, _N_PUBLISHED) for _, n in counts]
    numbers = [i.value for i in intervals], [i.low for i in intervals], [i.high for i in intervals]
    figure = bar_with_intervals_figure(
        names,
        *numbers,
        title=title,
        axis_title=t("Accuracy"),
        n_cases=_N_PUBLISHED,
        t=translator(),
        dark=is_dark(),
        reference=_PROPOSED / _N_PUBLISHED,
    )
    alt = bar_with_intervals_alt(names, *numbers, title=title, n_cases=_N_PUBLISHED, t=translator())
    show_chart(figure, f"ct_osteoporosis.published.{key}", alt)


def _accuracy(n_correct: int) -> str:
    return with_interval(wilson_interval(n_correct, _N_PUBLISHED), translator(), 3)


def _show_left_out() -> None:
    show_lines(
        t("What was not built, and why"),
        [
            t("Graph convolution networks: the paper names them as future work, without a design or a result."),
            t("A T-score or a bone density: no slice had a DXA measurement to learn it from."),
            t("A split over slices instead of patients: slices of one patient are alike."),
        ],
    )
