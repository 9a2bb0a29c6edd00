"""One file per dialect: ``NAME``, and ``read(span, draft)`` that fills what it knows."""
