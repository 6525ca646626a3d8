"""The image to zoom into, move and measure: all of it happens in the browser, and the picture of the result stays as it is."""

import plotly.graph_objects as go
import streamlit as st
from PIL import Image

from core.figures.style import HIGHLIGHT
from core.imaging.ruler import Ruler, ruler_of
from core.io.vocabulary import DETECTOR_SPACING
from core.records import ScreeningResult
from core.task import Task
from pages.parts.picture import Look, plain_picture
from pages.parts.words import t

_HEIGHT_PX = 640
_ENDS = ("x0", "y0", "x1", "y1")


def show_zoom(task: Task, result: ScreeningResult, look: Look) -> None:
    """The image on a surface of its own."""
    ruler = ruler_of(result.study.frame)
    sha = result.study.file_sha256[:12]
    st.caption(
        t("Turn the wheel to zoom, drag to move, double-click for the whole image. The line in the bar is the ruler.")
    )
    st.caption(_about(ruler, is_at_detector=DETECTOR_SPACING in result.study.notes))
    figure = _figure(*plain_picture(result, look), ruler)
    with st.expander(t("Measure with the keyboard"), icon=":material/straighten:", key=f"{task.id}.ruler.{sha}"):
        line = _typed_line(f"{task.id}.ruler.{sha}", result)
        length = ruler.length(line)
        st.markdown(t("Length: {length} {unit}", length=f"{length:.1f}", unit=ruler.unit))
    x0, y0, x1, y1 = ruler.placed(line)
    if length:
        figure.add_shape(type="line", x0=x0, y0=y0, x1=x1, y1=y1, line={"color": HIGHLIGHT, "width": 2})
    st.plotly_chart(
        figure,
        theme=None,
        key=f"{task.id}.zoom.{sha}",
        config={
            "scrollZoom": True,
            "displaylogo": False,
            "displayModeBar": True,
            "modeBarButtons": [
                ["pan2d", "zoom2d", "drawline", "eraseshape"],
                ["zoomIn2d", "zoomOut2d", "resetScale2d"],
            ],
        },
        alt=t("The image alone, for zooming and measuring."),
    )


def _about(ruler: Ruler, *, is_at_detector: bool) -> str:
    if not ruler.is_metric:
        return t("The file tells no pixel spacing: lengths are in pixels.")
    words = t("Lengths are in mm.")
    return f"{words} {t(DETECTOR_SPACING)}" if is_at_detector else words


def _typed_line(key: str, result: ScreeningResult) -> tuple[float, float, float, float]:
    """Ends of a line in pixels of the frame, for those who use no mouse; without length at first."""
    rows, columns = result.study.frame.pixels.shape[:2]
    names = (t("From x, px"), t("From y, px"), t("To x, px"), t("To y, px"))
    values = []
    for column, end, name, most in zip(st.columns(4), _ENDS, names, (columns, rows) * 2, strict=True):
        values.append(float(column.number_input(name, 0, most, 0, 10, key=f"{key}.{end}", persist_state="session")))
    x0, y0, x1, y1 = values
    return x0, y0, x1, y1


def _figure(picture: Image.Image, factor: float, ruler: Ruler) -> go.Figure:
    """The picture on axes in the ruler's unit, so that the label of a drawn line is its length."""
    _, _, columns, rows = ruler.placed((0, 0, picture.width * factor, picture.height * factor))
    figure = go.Figure(go.Scatter(x=[0], y=[0], mode="markers", marker={"opacity": 0}, hoverinfo="skip"))
    figure.add_layout_image(
        source=picture, x=0, y=0, sizex=columns, sizey=rows, xref="x", yref="y", sizing="stretch", layer="below"
    )
    label = {"texttemplate": f"%{{length:.1f}} {ruler.unit}", "font": {"color": HIGHLIGHT, "size": 18}}
    figure.update_layout(
        height=_HEIGHT_PX,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        dragmode="pan",
        paper_bgcolor="black",
        plot_bgcolor="black",
        showlegend=False,
        xaxis={"range": [0, columns], "visible": False},
        yaxis={"range": [rows, 0], "visible": False, "scaleanchor": "x"},
        newshape={"line": {"color": HIGHLIGHT, "width": 2}, "label": label},
        modebar={"bgcolor": "rgba(0,0,0,0.6)", "color": "#D9E1E8", "activecolor": HIGHLIGHT},
    )
    return figure
