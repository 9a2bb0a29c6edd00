"""Judges: language models that are asked about the criteria of a case, and are held against people before they gate."""
