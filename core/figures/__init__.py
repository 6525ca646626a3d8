"""Figures for the screen: computed results in, plotly figures out.

Every figure takes `t`, the reader's Translator, and `dark`. A page shows it with `st.plotly_chart(figure, theme=None)`, since
Streamlit's own theme would replace the template, and gives the matching `..._alt` sentence to readers who cannot see it.
"""
