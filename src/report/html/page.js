/* Conveniences of the page: tables that sort and copy, and the limits that move. Without it nothing is missing but these.
   No text from the page becomes markup: textContent and attributes only. */
(() => {
  "use strict";
  const all = (root, selector) => [...root.querySelectorAll(selector)];
  const make = (name, fields) => Object.assign(document.createElement(name), fields);

  /* Numbers as the page writes them: thousands separated, perhaps a letter, a mark or a percent sign. */
  const POWER = { "": 1, M: 1e6, G: 1e9, T: 1e12 };
  const value = (text) => {
    const m = /^([-+]?[\d.]+(?:e[-+]?\d+)?)([MGT]?)(?: ?%)?\*?$/.exec(text.trim().replaceAll(",", ""));
    return m ? Number(m[1]) * POWER[m[2]] : null;
  };
  const short = (x) => {
    const size = Math.abs(x);
    const digits = Number.isInteger(x) || size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;
    return x.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  };

  /* Shares as the page writes them: what is not all is never shown as 100 %. */
  const percent = (share) => (share > 0.999 && share !== 1 ?
    (Math.floor(share * 1e4) / 1e2).toFixed(2) : (share * 100).toFixed(1)) + " %";

  const sortBy = (table, head, column) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    all(table, "thead th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = all(table, "tbody tr").map((row) => {
      const text = row.cells[column] ? row.cells[column].textContent : "";
      return { row, text, number: value(text) };
    });
    const numeric = keyed.some((k) => k.number !== null);
    keyed.sort((a, b) => {
      if (!numeric) return (down ? -1 : 1) * a.text.localeCompare(b.text, "en");
      /* What is no number stays below, whichever way. */
      if (a.number === null || b.number === null) return (a.number === null) - (b.number === null);
      return (down ? -1 : 1) * (a.number - b.number);
    });
    keyed.forEach((k) => k.row.parentNode.append(k.row));
  };

  const cells = (table) => all(table, "tr").map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
  const csv = (rows) => {
    /* A spreadsheet must not take a server's words for a formula. */
    const safe = (text) => (/^[=+\-@\t\r]/.test(text) && value(text) === null ? "'" + text : text);
    const quote = (text) => (/[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);
    return rows.map((row) => row.map((text) => quote(safe(text))).join(",")).join("\r\n") + "\r\n";
  };
  const markdown = (rows) => {
    const escape = (text) => text.replace(/[\\|`<>*_[\]]/g, "\\$&").replace(/\s+/g, " ");
    const line = (row) => "| " + row.map(escape).join(" | ") + " |";
    return [line(rows[0]), "|" + rows[0].map(() => " --- |").join(""), ...rows.slice(1).map(line)].join("\n") + "\n";
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { value: text, className: "offscreen" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  for (const table of all(document, "table")) {
    all(table, "thead th").forEach((head, column) => {
      if (!head.textContent) return;
      const button = make("button", { type: "button", className: "sort", textContent: head.textContent });
      button.addEventListener("click", () => sortBy(table, head, column));
      head.replaceChildren(button);
    });
    const tools = make("p", { className: "tools" });
    for (const [name, write] of [["CSV", csv], ["Markdown", markdown]]) {
      const button = make("button", { type: "button", textContent: "Copy as " + name });
      button.addEventListener("click", async () => {
        await copy(write(cells(table)));
        button.textContent = "Copied as " + name;
        setTimeout(() => { button.textContent = "Copy as " + name; }, 1500);
      });
      tools.append(button, " ");
    }
    (table.closest(".scroll") || table).after(tools);
  }

  /* The plane of limits: counts of requests by cell, added up to the corner. */
  for (const plane of all(document, "[data-plane]")) {
    const svg = plane.querySelector("svg.chart");
    const says = plane.querySelector("output");
    const numbers = (name) => plane.dataset[name].split(" ").map(Number);
    const limits = [numbers("x"), numbers("y")];
    const places = [numbers("atX"), numbers("atY")];
    const [ended, seconds, ...start] = numbers("plane");
    const [columns, lines] = limits.map((l) => l.length);
    const met = new Float64Array(columns * lines);
    let cell = 0;
    for (const pair of plane.dataset.cells.split(" ").filter(Boolean)) {
      const [step, n] = pair.split("x").map(Number);
      cell += step;
      met[cell] = n;
    }
    for (let y = 0; y !== lines; y += 1) {
      for (let x = 0; x !== columns; x += 1) {
        const i = y * columns + x;
        met[i] += (x && met[i - 1]) + (y && met[i - columns]) - (x && y && met[i - columns - 1]);
      }
    }
    const inputs = ["TTFT", "ITL"].map((name, axis) => {
      const input = make("input", { type: "range", min: 0, max: limits[axis].length - 1, step: 1 });
      const label = make("label", { textContent: name + " limit " });
      label.append(input);
      return { label, input };
    });
    const corner = [...start];
    const show = () => {
      const [x, y] = corner.map((i, axis) => places[axis][i]);
      const mark = (name, fields) => {
        const element = svg.querySelector(name);
        Object.entries(fields).forEach(([key, v]) => element.setAttribute(key, v));
      };
      const left = Number(svg.querySelector(".reach").getAttribute("x"));
      const base = Number(plane.dataset.base);
      mark(".reach", { width: Math.max(0, x - left), y, height: Math.max(0, base - y) });
      mark(".corner", { cx: x, cy: y });
      const n = met[corner[1] * columns + corner[0]];
      const [ttft, itl] = corner.map((i, axis) => short(limits[axis][i]));
      const rate = seconds ? short(n / seconds) + " good req/s, " : "";
      says.textContent = `TTFT at most ${ttft} ms and ITL at most ${itl} ms: ${rate}` +
        `attainment ${percent(n / ended)} (${short(n)} of ${short(ended)})`;
      inputs.forEach(({ input }, axis) => {
        input.value = corner[axis];
        input.setAttribute("aria-valuetext", short(limits[axis][corner[axis]]) + " ms");
      });
    };
    const nearest = (axis, at) => places[axis].reduce(
      (best, place, i) => (Math.abs(place - at) >= Math.abs(places[axis][best] - at) ? best : i), 0);
    const follow = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      corner[0] = nearest(0, at.x);
      corner[1] = nearest(1, at.y);
      show();
    };
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      follow(event);
    });
    svg.addEventListener("pointermove", (event) => {
      if (svg.hasPointerCapture(event.pointerId)) follow(event);
    });
    inputs.forEach(({ input }, axis) => input.addEventListener("input", () => {
      corner[axis] = Number(input.value);
      show();
    }));
    const back = make("button", { type: "button", textContent: "Back to the start" });
    back.addEventListener("click", () => {
      start.forEach((i, axis) => { corner[axis] = i; });
      show();
    });
    const controls = make("p", { className: "tools" });
    controls.append(...inputs.map((i) => i.label), " ", back);
    says.after(controls);
    plane.classList.add("live");
    show();
  }

  /* Any request of the sample, on a scale of its own. */
  for (const figure of all(document, "[data-raster]")) {
    const box = figure.querySelector(".chosen");
    const space = figure.querySelector("svg").namespaceURI;
    const columns = Number(figure.dataset.raster);
    const lines = figure.dataset.lines.split(";").filter(Boolean).map((text) => text.split(" "));
    const [left, width] = [48, columns];
    const draw = ([id, , ttft, latency, events, coalesced, stalls, any, together, gaps]) => {
      const at = (ms) => left + (ms / latency) * width;
      const svg = document.createElementNS(space, "svg");
      svg.setAttribute("viewBox", "0 0 460 30");
      svg.setAttribute("role", "img");
      const path = (kind, d) => {
        const element = document.createElementNS(space, "path");
        element.setAttribute("class", "line " + kind);
        element.setAttribute("d", d);
        svg.append(element);
      };
      path("ref", `M${left} 15H${at(Number(ttft))}`);
      gaps.split(",").filter(Boolean).map((gap) => gap.split("-").map(Number)).forEach(([from, to]) => path("s3 wide", `M${at(from)} 15H${at(to)}`));
      const bits = (hex) => [...hex].flatMap((digit, i) => [8, 4, 2, 1].flatMap((bit, j) => (parseInt(digit, 16) & bit ? [4 * i + j] : [])));
      const several = new Set(bits(together));
      const stroke = (from, to) => (i) => `M${left + i + 0.5} ${from}V${to}`;
      path("s1 thin", bits(any).filter((i) => !several.has(i)).map(stroke(7, 23)).join(""));
      path("s2 thick", [...several].map(stroke(2, 28)).join(""));
      const says = make("span", { textContent: `TTFT ${short(Number(ttft))} ms, the whole width ${short(Number(latency))} ms; ` +
        `${short(Number(events))} events with tokens, ${short(Number(coalesced))} of them together with others; stalls: ${short(Number(stalls))}` });
      svg.setAttribute("aria-label", `request ${id}: ${says.textContent}`);
      box.replaceChildren(svg, says);
    };
    const select = make("select");
    lines.forEach((line, i) => select.append(make("option", { value: i, textContent: `request ${line[0]}, latency ${short(Number(line[3]))} ms` })));
    select.addEventListener("change", () => draw(lines[Number(select.value)]));
    const label = make("label", { textContent: "Another request, by latency: " });
    label.append(select);
    const find = make("input", { type: "search", size: 26 });
    find.addEventListener("change", () => {
      const wanted = find.value.trim();
      const at = lines.findIndex((line) => line.slice(0, 2).includes(wanted));
      if (at >= 0) {
        select.value = String(at);
        draw(lines[at]);
      } else if (wanted) {
        box.replaceChildren(make("span", { textContent: `${wanted} is not among the ${lines.length} requests of this page; ` +
          `loadline report RUN_DIR --request ${wanted} makes one with it` }));
      }
    });
    const byId = make("label", { textContent: "by request id or X-Request-Id: " });
    byId.append(find);
    const tools = make("p", { className: "tools" });
    tools.append(label, " ", byId);
    box.before(tools);
    const first = Number(figure.dataset.asked) ? 0 : lines.length - 1;
    select.value = String(first);
    if (lines.length) draw(lines[first]);
  }
})();
