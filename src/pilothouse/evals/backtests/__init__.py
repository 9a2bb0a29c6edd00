"""Backtests: what was recorded in production, run again by a candidate or judged anew, and what production's failures say of a suite."""
