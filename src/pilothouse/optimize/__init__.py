"""Optimize: one prompt file improved by itself, within a budget, and only where cases prove it."""
