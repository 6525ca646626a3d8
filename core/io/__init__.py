"""Bytes to records and back: every foreign file goes through the reader process (reader, worker)."""
