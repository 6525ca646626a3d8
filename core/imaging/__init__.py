"""Pure picture arithmetic on arrays (numpy, scipy, Pillow): display values, crops, quality, overlays."""
