"""What the checks need and the tree does not hold: from PyPI into virtual environments, from Debian as packages. Once.

Versions are pinned: a server that changes its stream should do so in a commit of ours. A failed install raises.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loadline-ci"

# Lists of arguments to `pip install`, one call each.
PACKAGES = {
    # The checks themselves run in this one.
    "interop": [["duckdb==2.0.1", "numpy==2.4.6", "gguf==0.19.0", "tokenizers==0.23.3", "xllamacpp==2026.10.11549", "llmock==0.2.2",
                 "openai==3.54.0"]],
    "aiperf": [["aiperf==0.13.0"]],
    # ai-dynamo asks for `aisimulate`, which on PyPI is a placeholder that downloads from elsewhere. aiconfigurator-core
    # has the same engine; `_as_aisimulate` gives it that name.
    "dynamo": [["--no-deps", "ai-dynamo==1.5.1", "ai-dynamo-runtime==1.5.1"],
               ["aiohttp>=3.14.3,<4", "kubernetes>=32.0.1,<33", "msgspec>=0.19", "prometheus-client<1", "pyzmq>=26", "tqdm",
                "transformers>=4.56", "zstandard<1", "pydantic>=2.10.6,<=2.13", "uvloop>=0.21", "typing-extensions>=4.10",
                "aiconfigurator-core==0.12.0"]],
}

SHIM = '''"""aiconfigurator_core under the name that ai-dynamo 1.5.1 imports."""
import importlib
import importlib.abc
import importlib.util
import sys


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name.startswith("aisimulate_core.") else None

    def create_module(self, spec):
        return importlib.import_module("aiconfigurator_core." + spec.name.partition(".")[2])

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Finder())
from aiconfigurator_core import *  # noqa

__path__ = []
'''


def venv(name):
    """The virtual environment of this name, installed where it is not yet, or not what `PACKAGES` asks for."""
    home, wanted = CACHE / name, repr(PACKAGES[name])
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return home
    started = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    # The environment that runs this may be the one that is made.
    subprocess.run([shutil.which("python3"), "-m", "venv", home], check=True)
    for packages in PACKAGES[name]:
        subprocess.run([home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
    if name == "dynamo":
        asked = [home / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
        site = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
        (site / "aisimulate_core").mkdir(exist_ok=True)
        (site / "aisimulate_core" / "__init__.py").write_text(SHIM)
    stamp.write_text(wanted)
    print(f"installed {name} in {time.monotonic() - started:.0f} s", flush=True)
    return home


def debian(*packages):
    """Debian's packages, each of which holds a program of its own name, up to a dash."""
    missing = [p for p in packages if not shutil.which(p.partition("-")[0])]
    if missing:
        subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=sys.stderr)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True,
                       stdout=subprocess.DEVNULL)
