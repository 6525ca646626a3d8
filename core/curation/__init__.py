"""A labelled data set from a hospital's own files: pairs, exclusions with their reasons, splits, boxes. A process of its own."""
