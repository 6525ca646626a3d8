"""DICOM objects made from a result: pictures, masks, measurements and the report. Made in the reader process only."""
