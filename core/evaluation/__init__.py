"""Measuring an installed model on labelled images."""
