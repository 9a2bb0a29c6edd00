"""Evaluation: cases, runs and judges, and the statistics that say what a difference is worth."""
