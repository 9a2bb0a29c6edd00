"""The desk of the annotations' tests: a log in SQLite and a trace store."""

from tests.annotations.conftest import desk, module_desk  # noqa: F401  # fixtures
