"""Statistics that classifiers pretrained on ImageNet expect their input to be normalised by."""

import numpy as np

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]  # of red, green and blue, (3, 1, 1)
SD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
