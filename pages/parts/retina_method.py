"""Tab "Method" of the retina page: network, equations, the published protocol beside ours, its results, what was left out."""

import streamlit as st

from core.manifest import Manifest
from core.task import Task
from core.tasks.retina_lesions.task import FINER
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

_AIR = r"\rule{0pt}{2.4em}"  # between fractions below each other
_DRAWING_PX, _DRAWING_RANGE, _WORDS_PX = 320, [-1.75, 1.4], 11
# SmallUNet: words below a stage, reduction of the side, maps.
_DOWN = ((4, 48), (8, 96), (16, 160), (32, 192))
_UP = ((16, 160), (8, 96), (4, 48))
_FINE = (2, 16)


def show_method(task: Task, manifest: Manifest) -> None:
    """How the masks are found, and what is known about the method elsewhere."""
    side = manifest.input.size[0]
    if manifest.architecture.name == "unet_small":
        _show_network(side, manifest.input.channels, len(manifest.labels))
    _show_equations()
    show_protocols(t("Published (CCU, 2020)"), _protocol(manifest, side))
    _show_doubts()
    _show_published()
    _show_left_out(side)
    show_references(task)


def _show_network(side: int, n_inputs: int, n_labels: int) -> None:
    reduction, channels = _FINE
    blocks = [
        Block(t("Input"), "RGB × 2", side, n_inputs),
        Block(t("fold"), "2×2", side // reduction, channels),
        *(
            Block(f"↓ {number}", t("residual"), side // reduction, channels, is_explained=number == len(_DOWN))
            for number, (reduction, channels) in enumerate(_DOWN, start=1)
        ),
        *(
            Block("↑ 2", f"+ ↓ {number}", side // reduction, channels)
            for number, (reduction, channels) in zip(range(len(_UP), 0, -1), _UP, strict=True)
        ),
        Block(t("unfold"), t("+ fold"), side // reduction, channels),
        Block(t("unfold"), t("scores"), side, n_labels),
    ]
    figure = network_figure(t("A small U-Net of residual blocks"), blocks, translator(), is_dark())
    figure.update_annotations(font={"size": _WORDS_PX})
    figure.update_layout(height=_DRAWING_PX)
    figure.update_yaxes(range=_DRAWING_RANGE)  # room for the words of the largest maps
    alt = t(
        "U-Net from left to right: field of view of {side} pixels, four stages down to {least} pixels, three stages up again, "
        "one score a pixel and kind of lesion; the coarsest stage is explained.",
        side=side,
        least=side // _DOWN[-1][0],
    )
    show_chart(figure, "retina_lesions.network", alt)
    _tell_layers(side)


def _tell_layers(side: int) -> None:
    """What the drawing means, and that its layers look twice."""
    st.caption(
        t(
            "Orange: the layer whose activations the explanations use. fold: 2×2 pixels become channels, so that most of the "
            "work is done on a sixteenth of the pixels and none is lost; unfold is the way back. ↑ 2: twice the size, then the "
            "maps of the same size on the way down are added, so that outlines stay sharp."
        )
        + " "
        + t(
            "The same layers look twice: at {side} pixels for hard exudates, which need detail, and at {coarse} for "
            "haemorrhages, which need context.",
            side=side,
            coarse=side // FINER,
        )
    )


def _show_equations() -> None:
    left, right = st.columns(2, gap="large")
    with left:
        _show_learning()
    with right:
        _show_measures()


def _show_learning() -> None:
    st.markdown(f"**{t('Input')}**")
    show_formulas(
        r"x_c &= \frac{I_c - G * I_c}{1.4826\,\mathrm{MAD}_c}",
        r"\mathrm{MAD}_c &= \mathrm{median}\,|I_c - G * I_c|",
    )
    st.caption(
        t(
            "I: each colour inside the field of view. G: a Gaussian mean, once narrow for fine detail and once over the whole "
            "field for large lesions: six channels. Light, tint and contrast of a camera go."
        )
    )
    st.markdown(f"**{t('Loss')}**")
    show_formulas(
        r"\mathcal{L} &= \textstyle\sum_k w_k \,(20\,\mathcal{L}_{BCE,k} + \mathcal{L}_{Dice,k})",
        r"\mathcal{L}_{BCE} &= -\tfrac{1}{N} \textstyle\sum_i \big[\, y_i \log p_i",
        r"&\quad + (1 - y_i) \log (1 - p_i) \,\big]",
        r"\mathcal{L}_{Dice} &= 1 - \frac{2\, p \cdot y + 1}{|p| + |y| + 1}",
    )
    st.caption(
        t(
            "p: scores, y: 1 where a pixel is marked, |·|: their sums. k: haemorrhages and hard exudates; with 0.3 of their "
            "weight also microaneurysms, soft exudates and the optic disc, which are learnt in training alone. Cross-entropy by "
            "itself would learn to call nothing; Dice looks at the lesions only."
        )
    )
    st.markdown(f"**{t('Explanation (Grad-CAM)')}**")
    show_formulas(
        r"\Omega &= \{i : z_i > 0\}",
        r"S &= \frac{1}{|\Omega|} \sum_{i \in \Omega} z_i",
        r"\alpha_k &= \frac{1}{|A|} \sum_{ij} \frac{\partial S}{\partial A^k_{ij}}",
        r"M &= \max\Big(0,\ \sum_k \alpha_k A^k\Big)",
    )
    st.caption(t("z: logits of one label, A: the maps of the orange layer. Where no logit is above 0 there is no map."))


def _show_measures() -> None:
    st.markdown(f"**{t('Pixels: two areas')}**")
    show_formulas(
        r"\mathrm{AUC} &= P(s^+ > s^-)",
        r"&\quad + \tfrac{1}{2} P(s^+ = s^-)",
        r"\mathrm{AP} &= \textstyle\sum_n (R_n - R_{n-1})\, P_n",
    )
    st.caption(
        t(
            "s⁺, s⁻: scores of a lesion pixel and of another one. R, P: recall and precision at falling thresholds. With one "
            "lesion pixel in a hundred, chance has AUROC 0.5 and AP 0.01."
        )
    )
    st.markdown(f"**{t('Pixels at a threshold')}**")
    show_formulas(
        r"\mathrm{Dice} &= \frac{2\,TP}{2\,TP + FP + FN}",
        rf"{_AIR}\mathrm{{IoU}} &= \frac{{TP}}{{TP + FP + FN}}",
        rf"{_AIR}\mathrm{{Acc}} &= \frac{{TP + TN}}{{N}}",
    )
    st.caption(
        t("TP, FP, FN, TN: pixels. Acc: accuracy; it is high for whoever calls nothing, so that rule stands beside it.")
    )
    st.markdown(f"**{t('Whole lesions (FROC)')}**")
    show_formulas(
        r"\mathrm{Se} &= N_{found} / N_{lesions}",
        r"\mathrm{FP} &= N_{false} / N_{images}",
    )
    st.caption(
        t(
            "A lesion that a called piece touches is found; a called piece that touches none is false. Both are connected "
            "pixels, corners included."
        )
    )


def _protocol(manifest: Manifest, side: int) -> list[tuple[str, str, str]]:
    n = sum(data.n or 0 for data in manifest.provenance.datasets if data.role in ("training", "validation"))
    return [
        (
            t("Images"),
            t("200: 40 patients at five time points each, which differ mainly in contrast"),
            t("Simulated photographs with known lesions")
            if manifest.data_kind == "phantom"
            else t("IDRiD: {n} eyes, with lesions and without", n=n),
        ),
        (t("Lesions"), t("Two kinds, not named"), t("Haemorrhage and hard exudate")),
        (
            t("Input"),
            t("Not stated"),
            t("Field of view on {side} × {side} pixels, without illumination and tint", side=side),
        ),
        (
            t("Network"),
            t("U-Net, FCN-ResNet101, SegNet, DeepLabv3, DeepLabv3+ with ResNet, DRN and Xception"),
            t("All of these can be chosen; a small U-Net of residual blocks by default"),
        ),
        (
            t("Loss"),
            t("Cross-entropy: of each pixel's classes, or for U-Net of yes and no"),
            t("Cross-entropy of yes and no, and soft Dice, for each kind; softmax or either alone can be chosen"),
        ),
        (
            t("Augmentation"),
            t("None; named as future work"),
            t(
                "Anew at every epoch: any angle, mirrored, scaled, moved; contrast, tint and noise; a large haemorrhage drawn "
                "into one in seven"
            ),
        ),
        (
            t("Optimiser"),
            t("RMSprop (U-Net) or SGD, rate 0.001 or 0.0002, batch 1 or 5, 10 to 150 epochs"),
            t("The model card gives the command"),
        ),
        (
            t("Split"),
            t("9 : 1, five folds 4 : 1, 0.55 : 0.45, or folds by time point"),
            t("Five folds by patient; IDRiD names none, so each image is one"),
        ),
        *_judgement(),
    ]


def _judgement() -> list[tuple[str, str, str]]:
    """How model and threshold are chosen, and what is reported."""
    return [
        (
            t("Choice of model"),
            t("The best of five folds"),
            t(
                "The fold with the lowest loss is installed; an image that counts is answered by the fold that never saw it"
            ),
        ),
        (
            t("Threshold"),
            t("Not stated"),
            t("Largest Dice on the validation images of one fold, measured on the others"),
        ),
        (
            t("Reported"),
            t("“Best AUC” of each network, and an accuracy of 98.6111 %"),
            t("AUROC, average precision, Dice, whole lesions and false alarms, with 95 % intervals and n"),
        ),
    ]


def _show_doubts() -> None:
    show_lines(
        t("What does not add up in the reference"),
        [
            t(
                "Folds by time point (SegNet, DeepLabv3+): one eye has the same lesions at all five, so training and validation "
                "share them. That flatters the AUC, and by how much is not known."
            ),
            t(
                "Accuracy 98.6111 % is 71 of 72 or 142 of 144, and no split of 200 images that is described has 72 or 144. "
                "It is another measure than AUC 0.9681: the two must not be set side by side."
            ),
            t(
                "“Best AUC” does not say whether over images, epochs or folds. An image without the lesion has no AUC; how many "
                "there were is not said."
            ),
            t(
                "AUC of pixels flatters where lesions are rare: “dark green” alone, less its background, reaches "
                "0.97 on a simulated retina. The tab Performance shows that rule on the images of this model."
            ),
            t(
                "Batch 1 is called the final choice, yet two networks list 5, and the pooling branch of DeepLabv3 and v3+ cannot "
                "train on one image in common libraries. Here it can: that branch then uses its running statistics."
            ),
            t("Few images are a reason for few parameters, it says; its best network has 52 million."),
        ],
    )


def _show_published() -> None:
    show_published_badge()
    rows = [
        ("FCN-ResNet101", "0.9681", t("best")),
        ("DeepLabv3+", "0.95", t("unstable: below 0.5 on a few images")),
        ("DeepLabv3", "0.9398", t("unstable: below 0.5 on a few images")),
        ("SegNet", "0.73", t("stable but limited")),
        ("U-Net", "0.6051", t("the baseline")),
    ]
    show_rows([t("Network"), t("Best AUC"), t("Remark")], rows)
    st.caption(t("No interval and no n are given with these values, so the order of the first three may be chance."))


def _show_left_out(side: int) -> None:
    show_lines(
        t("What was not built, and why"),
        [
            t(
                "DRN as a backbone of DeepLabv3+: no maintained library has it. A ResNet50 at stride 8 stands in: dilation in "
                "place of the last two strides is the idea of DRN; its layers against gridding are missing."
            ),
            t("Folds by time point: IDRiD has one photograph of an eye, and the split would leak."),
            t("Cropped skips of the first U-Net: with padded convolutions the maps have equal sizes."),
            t(
                "Masks of microaneurysms: at {side} pixels most are only a few wide. They are learnt beside, so that they are "
                "not taken for haemorrhages, and are not shown.",
                side=side,
            ),
            t("A grade of retinopathy: other signs count for it, and no label of it was used."),
        ],
    )
