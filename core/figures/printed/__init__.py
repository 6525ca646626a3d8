"""Figures for paper: the same computed results as the figures of the screen, drawn with matplotlib as vectors or pixels.

Every drawing takes the `Panel` that it fills, so that one function serves a figure of its own and a report of one page. No state
is kept between drawings: matplotlib's pyplot is never touched.
"""
