"""The user manual: how to read a result, what was checked, what the numbers mean, where the limits are."""

import pandas as pd
import streamlit as st

from pages.parts.words import t


def show_manual() -> None:
    """All chapters on one page, with a width that can be read."""
    st.title(t("User manual"))
    with st.container(width=860):
        st.markdown(
            t("Fivefold examines one image at a time. It gives a score, shows why, and says what the score is worth.")
        )
        st.warning(
            t("Research use, not a medical device. A result is never a diagnosis: decisions belong to a doctor."),
            icon=":material/warning:",
        )
        _show_steps()
        _show_result()
        _show_checks()
        _show_explanation()
        _show_numbers()
        _show_evaluation()
        _show_limits()
        _show_glossary()


def _show_steps() -> None:
    st.subheader(t("In four steps"))
    steps = [
        t("**Choose a page** in the sidebar: each page reads one kind of image."),
        t("**Choose a sample or upload a file.** Samples are phantoms: simulated images whose truth is known."),
        t("**Read the checks, then the headline.** It says on which side of the operating point the score lies."),
        t("**Look at the explanation, then save** the overlay or the result with the buttons below."),
    ]
    st.markdown("\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)))
    st.markdown(
        t(
            "Files can be DICOM (compressed or not), PNG, JPEG, TIFF or BMP, up to 64 MB. "
            "The CT page needs DICOM and also takes a zip file of a series; the knee page also reads MATLAB .mat files."
        )
    )


def _show_result() -> None:
    st.subheader(t("How to read a result"))
    lines = [
        t("**Score**: a number from 0 to 1. It is not the probability of a disease in this person."),
        t(
            "**Grade**: on the CT and knee pages the most probable grade; the score is for a stated grade or a worse one."
        ),
        t("**Operating point**: the score from which the answer is called positive. Its pale band is a 95 % interval."),
        t(
            "**Above or below**: near the operating point the answer can go either way; read the score, not only the colour."
        ),
        t(
            "**How many score this high**: the share of held-out cases with and without the finding at this score or higher."
        ),
        t("**Next step**: what a positive or negative answer is a reason for, and what it does not rule out."),
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))


def _show_checks() -> None:
    st.subheader(t("Checks before the score"))
    rows = [
        (":green[:material/check_circle:] " + t("Passed"), t("The image is of the kind that the model was made for.")),
        (
            ":orange[:material/help:] " + t("Question"),
            t(
                "Something is unknown or unusual: side, view, age, metal, blur. The score stays hidden until you confirm."
            ),
        ),
        (
            ":red[:material/cancel:] " + t("Refused"),
            t(
                "Another kind of image, or nothing to see. There is no score; the right page is named where there is one."
            ),
        ),
    ]
    for name, words in rows:
        left, right = st.columns([1, 4])
        left.markdown(name)
        right.markdown(words)
    st.markdown(t("A model that never saw a patient asks for confirmation on every image that is not a phantom."))


def _show_explanation() -> None:
    st.subheader(t("What the colours mean"))
    lines = [
        t("Bright places raised the score. They show where evidence lay, not the outline of a finding."),
        t("Where nothing raised the score the page says so and draws nothing."),
        t("Two maps can be compared only through their methods and their raw values, not through their colours."),
        t("The tab *Explanation check* tests the map of your image: blanking what it marks must lower the score."),
        t("The orange frame is the examined region. It can be redrawn with a box or with four numbers."),
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))


def _show_numbers() -> None:
    st.subheader(t("What the numbers mean"))
    lines = [
        t("Every number stands with n, the number of cases it was measured on, and a 95 % interval."),
        t("Held-out cases took no part in training or in choosing the operating point."),
        t("*Simulated data only* means that no patient was among the cases: the numbers describe the simulation."),
        t("Predictive values depend on how common the finding is: set the prevalence of your own clinic."),
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))


def _show_evaluation() -> None:
    st.subheader(t("Measuring a model on your own cases"))
    steps = [
        t("**Bring images and labels**: a zip file or a folder of the server, and a table of labels (CSV or XLSX)."),
        t(
            "**Say what the columns are**: which image a row is about, the label, the patient. The answers can be saved."
        ),
        t(
            "**Read the check**: missing and double images, labels that contradict each other, cases the model has seen."
        ),
        t("**Run**: it goes on while the page is closed, and goes on where it was stopped."),
        t("**Read the curves, then the cases**: a click on a cell, bin or group lists its cases with their overlays."),
        t("**Take it along**: a bundle holds numbers and figures and no image, name or id; its key stays with you."),
    ]
    st.markdown("\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)))


def _show_limits() -> None:
    st.subheader(t("Limits and privacy"))
    lines = [
        t("The model knows only what its model card names: other devices, ages and findings are unknown to it."),
        t("A negative answer rules nothing out."),
        t("Images stay on this machine. Names, ids and dates of a file are not read into the result."),
        t(
            "An uploaded image is forgotten soon after its page is closed; those of an evaluation a day after its last use."
        ),
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))


def _show_glossary() -> None:
    st.subheader(t("Words"))
    rows = [
        (t("HU"), t("Hounsfield unit of CT: water is 0, air −1000, dense bone above 1000.")),
        (
            t("Weighted kappa"),
            t(
                "Agreement of grades beyond chance; 1 is perfect. A grade further off weighs by the square of its distance."
            ),
        ),
        (
            t("AUROC"),
            t("Chance that a case with the finding scores higher than one without; 0.5 is guessing, 1 is perfect."),
        ),
        (t("Calibration"), t("Whether a stated probability of 30 % comes true in 30 of 100 cases.")),
        (t("DXA"), t("Bone-density measurement with X-rays of two energies; the reference for osteoporosis.")),
        (t("Held-out"), t("Kept apart from training and used once, to measure.")),
        (t("Operating point"), t("A threshold together with the sensitivity and specificity measured there.")),
        (t("OSTA"), t("Index of age and weight for women in Asia after menopause.")),
        (t("Phantom"), t("Simulated image whose truth is known.")),
        (t("Sensitivity"), t("Share of cases with the finding that are called positive.")),
        (t("Specificity"), t("Share of cases without the finding that are called negative.")),
        (
            t("T-score"),
            t("Bone density compared with young women, in standard deviations; −2.5 or below is osteoporosis."),
        ),
    ]
    st.table(pd.DataFrame(rows, columns=[t("Word"), t("Meaning")]), hide_index=True, border="horizontal")
