"""From labelled studies to a weights folder: collect -> pack -> fit -> publish."""
