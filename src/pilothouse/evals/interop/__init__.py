"""Cases and runs of other tools, read into suites."""
