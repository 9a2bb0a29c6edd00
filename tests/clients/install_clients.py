"""Make the environments of the real clients: `python -m tests.clients.install_clients [clients clients-pinned node ...]`.

Each dependency group becomes a virtual environment `.venv-<group>` beside the project, and `node` runs `npm ci` for
the AI SDK and for `examples/node`.
Without arguments everything is installed but the large `clients-mlflow` and `clients-adk-old`, and `rivals`, which only
`python -m benchmarks --only runtime` and `--only evals` ask for.
"""

import subprocess
import sys
import venv

from tests.clients.client_runs import AGENTS, ROOT

DEFAULT = ("clients", "clients-pinned", "node")


def install(environment: str) -> None:
    """Install one environment, or bring it up to date."""
    if environment == "node":
        for folder in (AGENTS / "vercel", ROOT / "examples/node"):
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True)
        return
    folder = ROOT / f".venv-{environment}"
    if not folder.exists():
        venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    # Older versions of pip do not know dependency groups.
    subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip>=25.1"], check=True)
    subprocess.run([*pip, "install", "--quiet", "--group", environment], cwd=ROOT, check=True)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or DEFAULT:
        print("installing", wanted)
        install(wanted)
