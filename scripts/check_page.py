#!/usr/bin/env python3
"""Opens a page in headless Chromium and checks what a person would see at once.

usage: check_page.py PAGE [FIGURES WORD]

FIGURES is the least number of figures (8), WORD what has to be on the page (Verdict); a sweep's page has 4 and "Deploy".

No console message, no request beyond the page itself, every figure has marks, the verdict stands on top.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --v=0"
).split()


def main(page: Path, least: int, word: str) -> int:
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.resolve().as_uri()]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    dom = ran.stdout
    figures = [svg for svg in re.findall(r"<svg\b.*?</svg>", dom, re.S) if 'role="img"' in svg]
    marks = [len(re.findall(r"<(?:path|rect|circle|polyline|polygon|line)\b", figure)) for figure in figures]
    console = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    checks = [
        ("the browser read the page", ran.returncode == 0 and "</html>" in dom),
        (f"it has at least {least} figures", len(figures) >= least),
        ("every figure has marks", all(n >= 5 for n in marks)),
        (f"{word} is on it", word in dom),
        ("no script", "<script" not in dom.lower()),
        ("nothing is fetched", not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", dom)),
        ("no console message", not console),
        ("under 300 KB", page.stat().st_size < 300_000),
    ]
    for name, held in checks:
        print(f"{'ok' if held else 'FAILED':6} {name}")
    for line in console:
        print(line)
    failed = sum(not held for _, held in checks)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    least, word = sys.argv[2:4] if len(sys.argv) > 3 else (8, "Verdict")
    sys.exit(main(Path(sys.argv[1]), int(least), word))
