#!/usr/bin/env python3
"""Opens a page in headless Chromium and checks what a person would see at once.

usage: check_page.py PAGE [FIGURES WORD]

FIGURES is the least number of figures (8), WORD what has to be on the page (Verdict); a sweep's page has 4 and "Deploy".

No console message, no request beyond the page itself, every figure has marks, the verdict stands on top.
"""

import base64
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --v=0"
).split()


def knows_its_script(page: str) -> bool:
    """Whether the page has one script and one style sheet, and a policy that lets nothing in but these."""

    def allowed(element: str) -> str:
        found = re.findall(rf"<{element}>(.*?)</{element}>", page, re.S)
        text = found[0] if len(found) == 1 else ""
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    return policy is not None and policy[1] == (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src '{allowed('style')}'; "
        f"script-src '{allowed('script')}'"
    ) and len(re.findall(r"<script\b", page)) == 1


def says(page: str) -> list:
    """What the page says of limits: written when it was made, and by its script when it is opened."""
    return re.findall(r"<output>(.*?)</output>", page)


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
        ("one script, which its policy knows by hash", knows_its_script(page.read_text("utf-8"))),
        ("the script ran: its tables can be copied", dom.count("Copy as CSV") == dom.count("</table>")),
        ("the script says what stood there", says(dom) == says(page.read_text("utf-8"))),
        ("nothing is fetched", not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", dom)),
        ("no console message", not console),
        ("under 400 KB", page.stat().st_size < 400_000),
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
