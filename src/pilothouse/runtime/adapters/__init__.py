"""The cores as parts of agent frameworks: one file a framework, each thin."""
