"""Python imports this at its start under ``pilothouse run``, which puts this folder first on ``PYTHONPATH``.

It starts the recorder, gets out of the way, and gives the turn to the ``sitecustomize`` that would have been imported.
Nothing here may keep the program from running.
"""

import importlib.machinery
import importlib.util
import json
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # pathlib would cost each child 10 ms


def _start() -> None:
    folder = os.environ.get("PILOTHOUSE_RUN", "")
    if not folder:
        return
    try:
        from pilothouse.sdk import run_child
    except ImportError as error:
        path = os.path.join(folder, f"{os.getpid()}.json")  # noqa: PTH118
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"python": sys.executable, "missing_module": error.name or str(error)}, file)
        return
    run_child.start(folder)


def _chain() -> None:
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


try:
    _start()
except Exception as _error:
    sys.stderr.write(f"pilothouse run: not recorded: {type(_error).__name__}: {_error}\n")
_chain()
