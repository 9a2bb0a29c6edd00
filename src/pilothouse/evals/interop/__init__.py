"""Cases and runs of other tools: read into suites, and written from them."""
