"""The hospital's picture archive over DICOMweb: search, fetch, store back. Off unless an installation names one."""
