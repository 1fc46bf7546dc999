#!/usr/bin/env python3
"""Opens a page in headless Chromium and checks what a person would see at once.

usage: check_page.py PAGE [FIGURES WORD] [--shots DIR]

FIGURES is the least number of figures (8), WORD what has to be on the page (Verdict); a sweep's page has 4 and "Deploy".

No console message, no request beyond the page itself, every figure has marks, the verdict stands on top. Then, in a browser that is
driven over its pipe: the page opens in under a second and keeps the main thread for no more than 200 ms at once; the corner of the plane of limits,
where there is one, is dragged and its sentence changes, and the keyboard does the same; a request of the sample is found by its id; nothing has to be scrolled sideways at 400 px; and it prints
with every figure whole on one page of paper. With --shots, how it looks at 1200 and at 400 px, light and dark, and on paper, is left in DIR.
"""

import base64
import hashlib
import json
import os
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


def marks(figure: str) -> int:
    """What is drawn in a figure: its shapes, and each stroke of a path, of which a stream that never stood still has hundreds in one."""
    strokes = sum(d.count("M") for d in re.findall(r"\bd=\"([^\"]*)\"", figure))
    return strokes + len(re.findall(r"<(?:rect|circle|polyline|polygon|line)\b", figure))


def says(page: str) -> list:
    """What the page says of limits: written when it was made, and by its script when it is opened."""
    return re.findall(r"<output>(.*?)</output>", page)


class Browser:
    """A headless Chromium with one tab, driven by DevTools messages over a pipe."""

    def __init__(self, profile: str):
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()

        def descriptors() -> None:
            # What the browser reads is its descriptor 3, what it writes is 4; first out of the way of both.
            reads, writes = os.dup2(to_browser, 103), os.dup2(from_browser, 104)
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        command = ["chromium", *FLAGS, "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(
            command, preexec_fn=descriptors, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.last, self.session = b"", 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Emulation.setFocusEmulationEnabled", enabled=True)

    def message(self) -> dict:
        while b"\0" not in self.buffer:
            more = os.read(self.into, 1 << 20)
            if not more:
                raise RuntimeError("the browser is gone")
            self.buffer += more
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def ask(self, method: str, **params) -> dict:
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data) :]
        while True:
            answer = self.message()
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def says(self, expression: str):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def view(self, width: int, height: int, scheme: str, media: str = "") -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, uri: str) -> None:
        self.ask("Page.navigate", url=uri)
        while self.message().get("method") != "Page.loadEventFired":
            pass

    def mouse(self, kind: str, x: float, y: float) -> None:
        down = kind != "mouseReleased"
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=int(down), clickCount=1)

    def close(self) -> None:
        os.close(self.out)
        self.process.wait(20)
        os.close(self.into)


# Long tasks are told by the browser from 50 ms on, to who asked before the page came.
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({type: "longtask", buffered: true});
"""
OPENED = """
new Promise((done) => setTimeout(() => {
  const [load] = performance.getEntriesByType("navigation");
  done([load.loadEventEnd - load.startTime, window.longest]);
}, 500))
"""
# Where the corner of the plane stands at each limit of each axis: it is never anywhere else.
STOPS = """
[...document.querySelectorAll('[data-plane] input')].map((input, axis) => {
  const stops = [];
  const start = input.value;
  const go = (value) => { input.value = value; input.dispatchEvent(new Event("input")); };
  for (let i = Number(input.min); i <= Number(input.max); i++) {
    go(i);
    const b = document.querySelector('[data-plane] .corner').getBoundingClientRect();
    stops.push(axis ? b.y + b.height / 2 : b.x + b.width / 2);
  }
  go(start);
  return stops;
})
"""
# An A4 page less Chromium's margins of 1 cm, in CSS points of 1/96 inch.
PAPER = (718, 1047)


def moved(browser: Browser) -> list:
    """Whether the plane of limits follows the pointer and the keyboard; nothing to check where a page has none."""
    corner = "document.querySelector('[data-plane] .corner')"
    if not browser.says(f"!!{corner}"):
        return []
    sentence = "document.querySelector('[data-plane] output').textContent"
    browser.says(f"{corner}.scrollIntoView({{block: 'center'}})")
    place = f"(() => {{ const b = {corner}.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
    x, y = browser.says(place)
    # Somewhere in the middle of the plane, but not where the corner is.
    to_x, to_y = browser.says(
        "(() => { const b = document.querySelector('[data-plane] svg.chart').getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    if abs(to_x - x) + abs(to_y - y) < 60:
        to_x += 60
    before = browser.says(sentence)
    nearest = [min(abs(stop - to) for stop in stops) for stops, to in zip(browser.says(STOPS), (to_x, to_y))]
    browser.mouse("mousePressed", x, y)
    for step in range(1, 9):
        browser.mouse("mouseMoved", x + (to_x - x) * step / 8, y + (to_y - y) * step / 8)
    browser.mouse("mouseReleased", to_x, to_y)
    dragged, at = browser.says(sentence), browser.says(place)
    browser.mouse("mouseMoved", x, y)
    still = browser.says(sentence)
    browser.says("document.querySelector('[data-plane] input').focus()")
    for kind in ("rawKeyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37)
    typed = browser.says(sentence)
    browser.says("[...document.querySelectorAll('[data-plane] button')].pop().click()")
    return [
        ("the corner of the plane is dragged, and its sentence changes", dragged != before),
        (
            "it went to the limits nearest to where the pointer was let go",
            len(nearest) == 2 and abs(at[0] - to_x) < nearest[0] + 2 and abs(at[1] - to_y) < nearest[1] + 2,
        ),
        ("it stays there when the pointer moves on", still == dragged),
        ("a key moves it too", typed != dragged),
        ("it goes back to the start", browser.says(sentence) == before),
    ]


def found(browser: Browser) -> list:
    """Whether a request of the sample is found by its id, and one that is not there is told of; nothing to check where a page has no streams."""
    if not browser.says("!!document.querySelector('[data-raster] input[type=search]')"):
        return []
    ids = browser.says("document.querySelector('[data-raster]').dataset.lines.split(';').filter(Boolean).map((l) => l.split(' ').slice(0, 2))")
    find = """((id) => {
      const input = document.querySelector('[data-raster] input[type=search]');
      input.value = id;
      input.dispatchEvent(new Event('change'));
      const box = document.querySelector('[data-raster] .chosen');
      return box.querySelector('svg')?.getAttribute('aria-label') ?? box.textContent;
    })"""
    number, name = ids[len(ids) // 2]
    by = [browser.says(f"{find}({json.dumps(id)})") for id in (number, name if name != "-" else number, "nobody")]
    return [
        ("a request is found by its number and by its name", all(text.startswith(f"request {number}:") for text in by[:2])),
        ("what is not there is told of, with its remedy", "not among" in by[2] and "--request nobody" in by[2]),
    ]


def driven(page: Path, shots) -> list:
    """What is only seen in a browser that is driven."""
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        browser.ask("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        browser.view(1200, 900, "light")
        browser.open(page.resolve().as_uri())
        opened, longest = browser.says(OPENED)
        print(f"opened in {opened:.0f} ms, longest task {longest:.0f} ms, {page.stat().st_size} bytes")
        checks = [("it opens in under 1 s", opened < 1000), ("no task above 200 ms", longest <= 200), *moved(browser), *found(browser)]
        for width in (1200, 400):
            for scheme in ("light", "dark"):
                browser.view(width, 900, scheme)
                wide = browser.says("document.documentElement.scrollWidth")
                checks.append((f"nothing to scroll sideways at {width} px, {scheme}", wide <= width))
                if shots:
                    whole = browser.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
                    (shots / f"{page.stem}-{width}-{scheme}.png").write_bytes(base64.b64decode(whole))
        browser.view(*PAPER, "light", "print")
        tallest = browser.says("Math.max(0, ...[...document.querySelectorAll('figure')].map((f) => f.offsetHeight))")
        kept = browser.says("[...document.querySelectorAll('figure')].every((f) => getComputedStyle(f).breakInside === 'avoid')")
        hidden = browser.says("[...document.querySelectorAll('.tools')].every((t) => t.offsetHeight === 0)")
        wide = browser.says("document.documentElement.scrollWidth")
        paper = base64.b64decode(browser.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
        pages = len(re.findall(rb"/Type\s*/Page\b", paper))
        print(f"prints on {pages} pages; the tallest figure takes {tallest} of {PAPER[1]}")
        checks += [
            ("it prints", paper.startswith(b"%PDF") and 1 <= pages <= 40),
            ("no figure is cut by the end of a page", kept and tallest <= PAPER[1]),
            ("nothing is cut at the side of the paper, and no button is on it", wide <= PAPER[0] and hidden),
        ]
        if shots:
            (shots / f"{page.stem}.pdf").write_bytes(paper)
        browser.close()
    return checks


def main(page: Path, least: int, word: str, shots) -> int:
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.resolve().as_uri()]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    dom = ran.stdout
    figures = [svg for svg in re.findall(r"<svg\b.*?</svg>", dom, re.S) if 'role="img"' in svg]
    console = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    checks = [
        ("the browser read the page", ran.returncode == 0 and "</html>" in dom),
        (f"it has at least {least} figures", len(figures) >= least),
        ("every figure has marks", all(marks(figure) >= 5 for figure in figures)),
        (f"{word} is on it", word in dom),
        ("one script, which its policy knows by hash", knows_its_script(page.read_text("utf-8"))),
        ("the script ran: its tables can be copied", dom.count("Copy as CSV") == dom.count("</table>")),
        ("the script says what stood there", says(dom) == says(page.read_text("utf-8"))),
        ("nothing is fetched", not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", dom)),
        ("no console message", not console),
        ("under 400 KB", page.stat().st_size < 400_000),
        *driven(page, shots),
    ]
    for name, held in checks:
        print(f"{'ok' if held else 'FAILED':6} {name}")
    for line in console:
        print(line)
    failed = sum(not held for _, held in checks)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    arguments, shots = sys.argv[1:], None
    if "--shots" in arguments:
        at = arguments.index("--shots")
        shots = Path(arguments[at + 1])
        shots.mkdir(parents=True, exist_ok=True)
        del arguments[at : at + 2]
    least, word = arguments[1:3] if len(arguments) > 2 else (8, "Verdict")
    sys.exit(main(Path(arguments[0]), int(least), word, shots))
