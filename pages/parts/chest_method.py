"""Tab "Method" of the chest page: network, equations, the published protocol beside ours, what was left out."""

import streamlit as st

from core.clinical.heart import MAX_RATIO
from core.figures.style import number
from core.manifest import Manifest
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.method import (
    show_formulas,
    show_lines,
    show_protocols,
    show_published_badge,
    show_references,
)
from pages.parts.network_drawing import Block, network_figure
from pages.parts.words import t, translator

_AIR = r"\rule{0pt}{2.4em}"  # between fractions below each other
_DRAWING_PX, _DRAWING_RANGE, _WORDS_PX = 320, [-1.75, 1.4], 11
_POOLED, _PYRAMID, _HIDDEN = 7, 256, 1024  # side of a pooled box, maps of the pyramid, units of the head
# Stages of the backbones: name, reduction of the side, maps. The last one is explained.
_STAGES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (
        *(("conv", 2, 16), ("2-3", 4, 24), ("4-6", 8, 40), ("7-12", 16, 112), ("13-15", 32, 160), ("16", 32, 960)),
    ),
    "fasterrcnn_resnet50_fpn": (
        *(("conv1", 2, 64), ("layer1", 4, 256), ("layer2", 8, 512), ("layer3", 16, 1024), ("layer4", 32, 2048)),
    ),
}


def show_method(task: Task, manifest: Manifest) -> None:
    """How the boxes are found, and what is known about the method elsewhere."""
    if manifest.architecture.name in _STAGES:
        _show_network(manifest)
    left, right = st.columns(2, gap="large")
    with left:
        _show_learning()
    with right:
        _show_explaining()
    show_protocols(t("Published (Tunghai, 2023)"), _protocol(manifest))
    _show_doubts()
    show_published_badge()
    st.markdown(t("None: the reference gives no average precision, no recall and no other number."))
    _show_left_out()
    show_references(task)


def _show_network(manifest: Manifest) -> None:
    side, stages = manifest.input.size[0], _STAGES[manifest.architecture.name]
    blocks = [
        Block(t("Input"), t("grey, 3 times"), side, 3),
        *(
            Block(name, t("backbone"), side // reduction, maps, is_explained=place == len(stages) - 1)
            for place, (name, reduction, maps) in enumerate(stages)
        ),
        Block("FPN", t("pyramid"), side // stages[-1][1], _PYRAMID),
        Block("RoIAlign", t("each proposal"), _POOLED, _PYRAMID),
        Block(t("Head"), t("2 layers"), 1, _HIDDEN),
        Block(t("Output"), t("scores, box"), 1, len(manifest.labels) + 1),
    ]
    title = t("Faster R-CNN: a backbone, a pyramid, proposals, and a head that names each of them")
    figure = network_figure(title, blocks, translator(), is_dark())
    figure.update_annotations(font={"size": _WORDS_PX})
    figure.update_layout(height=_DRAWING_PX)
    figure.update_yaxes(range=_DRAWING_RANGE)  # room for the words of the largest maps
    alt = t(
        "Faster R-CNN from left to right: film of {side} pixels, backbone down to {least} pixels, feature pyramid, regions "
        "pooled to 7 by 7, two layers, scores of {n} classes and the box; the last stage of the backbone is explained.",
        side=side,
        least=side // stages[-1][1],
        n=len(manifest.labels) + 1,
    )
    show_chart(figure, "chest_lesions.network", alt)
    st.caption(
        t(
            "Orange: the layer that EigenCAM and Grad-CAM look at. Between the pyramid and RoIAlign the proposal network names "
            "places that may hold something, from boxes of 0.25 to 6 times as high as wide: a spine is tall. The classes are "
            "seven findings and the background; a normal film is one without a box."
        )
    )


def _show_learning() -> None:
    st.markdown(f"**{t('Loss')}**")
    show_formulas(
        r"\mathcal{L} &= \mathcal{L}_{obj} + \mathcal{L}_{rpn} + \mathcal{L}_{cls} + \mathcal{L}_{box}",
        r"\mathcal{L}_{cls} &= -\log p_{u}",
        r"\mathcal{L}_{box} &= [u \ge 1] \textstyle\sum_i \mathrm{smooth}_{L1}(t_i - t_i^*)",
        r"t_x &= \frac{x - x_a}{w_a}, \quad t_w = \log \frac{w}{w_a}",
    )
    st.caption(
        t(
            "u: class of a proposal, 0 = background. t: shift and size of a box against its anchor a. The first two are the same "
            "for the proposals: objectness and box. These four are the losses that the reference records."
        )
    )
    st.markdown(f"**{t('Boxes')}**")
    show_formulas(
        r"\mathrm{IoU} &= \frac{|B \cap B^*|}{|B \cup B^*|}",
        rf"{_AIR}\mathrm{{AP}} &= \textstyle\sum_n (R_n - R_{{n-1}})\, P_n",
        r"\mathrm{Se}(\lambda) &= N_{found}(\lambda) / N_{boxes}",
    )
    st.caption(
        t(
            "A box counts as found where IoU is 0.5 or more with one of the same finding. R, P: recall and precision at falling "
            "scores. λ: false boxes per film (FROC). The mean box of each finding is measured beside the model."
        )
    )
    st.markdown(f"**{t('Cardiothoracic ratio')}**")
    show_formulas(r"\mathrm{CTR} &= \frac{x_{heart}^{max} - x_{heart}^{min}}{x_{lungs}^{max} - x_{lungs}^{min}}")
    st.caption(
        t(
            "From masks of heart and lungs by a second, small U-Net. Above {limit} the heart is enlarged, on PA films only: on "
            "AP films it lies far from the detector and is magnified.",
            limit=number(MAX_RATIO),
        )
    )


def _show_explaining() -> None:
    st.markdown(f"**{t('What is explained')}**")
    show_formulas(r"s &= \ell_c - \log \textstyle\sum_{k \ne c} e^{\ell_k}")
    st.caption(
        t(
            "ℓ: outputs of the head for the chosen box, which is held fixed. Proposals and suppression are left out: they have "
            "no gradient, and a box that jumps elsewhere would explain nothing."
        )
    )
    st.markdown("**Grad-CAM**")
    show_formulas(
        r"\alpha_k &= \frac{1}{|A|} \sum_{ij} \frac{\partial s}{\partial A^k_{ij}}",
        r"M &= \max\Big(0,\ \sum_k \alpha_k A^k\Big)",
    )
    st.markdown("**Ablation-CAM**")
    show_formulas(r"\alpha_k &= \frac{s - s_{A^k = 0}}{|s|}")
    st.caption(t("A: maps of the pyramid that the box is pooled from; one of 256 is set to zero at a time."))
    st.markdown("**EigenCAM**")
    show_formulas(r"A &= U \Sigma V^{T}", r"M &= A\, v_1")
    st.caption(t("The first singular vector of the layer; its sign is chosen so that it follows the mean activation."))
    st.markdown("**Saliency**")
    show_formulas(r"M_{ij} &= \max_c \Big| \frac{\partial s}{\partial x_{cij}} \Big|")


def _protocol(manifest: Manifest) -> list[tuple[str, str, str]]:
    side = manifest.input.size[0]
    n = max((data.n or 0 for data in manifest.provenance.datasets if data.role == "training"), default=0)
    return [
        (
            t("Images"),
            t("E-Da hospital: normal and abnormal films with boxes; number not stated"),
            t("Simulated films, n = {n}", n=n)
            if manifest.data_kind == "phantom"
            else t("Simulated films, real films with drawn findings, real films with words of reports, n = {n}", n=n),
        ),
        (t("Findings"), t("Seven; “8 categories” in the figures"), t("The same seven; normal = no box")),
        (
            t("Input"),
            t("DICOM to JPEG, window of the file, logarithm, normalisation, clip"),
            t("The file's own window on {side} × {side} pixels; logarithm and normalisation for the eye", side=side),
        ),
        (t("Network"), t("Faster R-CNN, backbone not stated"), t("Faster R-CNN on MobileNetV3 or ResNet50")),
        (
            t("Augmentation"),
            t("Rotation by up to 5°"),
            t("The same with the boxes turned along; scale, shift, contrast and noise; never mirrored"),
        ),
        (t("Optimiser"), t("SGD, rate 0.005; epochs not stated"), t("The model card gives the command")),
        (t("Split"), t("Not stated"), t("By patient; every film of the test is of a patient never seen")),
        (
            t("Threshold"),
            t("Not stated"),
            t("One for each finding, chosen on validation films and measured on the test films"),
        ),
        (
            t("Reported"),
            t("Four losses, average precision and recall by epoch, as names without numbers"),
            t("Average precision, FROC and presence of each finding, with 95 % intervals, beside the mean box"),
        ),
        (
            t("Explanation"),
            t("Grad-CAM, saliency, EigenCAM, Ablation-CAM"),
            t("The same four, of one chosen box, with tests in the tab Explanation check"),
        ),
    ]


def _show_doubts() -> None:
    show_lines(
        t("What does not add up in the reference"),
        [
            t(
                "Seven findings, yet “EigenCAM images of 8 categories”: the eighth is the background class of the network or the "
                "normal film. Here a film without a box is normal, and normal is never the class of a box."
            ),
            t(
                "The text speaks of Grad-CAM and saliency, the captions of EigenCAM and Ablation-CAM. EigenCAM gives one map for "
                "the whole film: its pictures cannot show why a finding was named."
            ),
            t(
                "“Intercostal pleural thickening” is a slip of translation: the Chinese name says apical. The ids of the "
                "reference are kept, the names on screen are those of the clinic."
            ),
            t("Steps of a CT network, a stack of 64 × 64 × 64, stand between those for films: a film has one plane."),
            t("JPEG keeps 8 bits with losses; here a film keeps all its grey levels up to the network."),
        ],
    )


def _show_left_out() -> None:
    show_lines(
        t("What was not built, and why"),
        [
            t(
                "The stack of 64 × 64 × 64 for a 3-D network: it does not fit boxes on a film and comes from another work."
            ),
            t("YOLOv8, other modalities beside the film, removal of bones and vessels: named there as future work."),
            t(
                "The words of the reference's figures for Grad-CAM: each map here carries the name of the method that made it."
            ),
            t("“Normal” as an eighth class with a box: no place of a film is where it is normal."),
            t("Marks on the films of E-Da hospital: they are not public, so no box of a reader was learnt."),
        ],
    )
