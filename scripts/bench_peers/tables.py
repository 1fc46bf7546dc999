"""Turns records into the tables that are printed: medians, spread, and ratios to loadline. At most 100 columns."""

import statistics

# From here on the server is not believed to be on time: share of its core, and how far its means may be off what it was
# told. Gaps are too short as well when it catches up.
BUSY_MAX = 0.85
TTFT_OFF_MAX = 0.1
ITL_OFF_MAX = 0.02


def median_and_spread(values, digits):
    """`median ±half the range`; a dash where there is nothing."""
    values = [v for v in values if v is not None]
    if not values:
        return "-"
    half = (max(values) - min(values)) / 2
    spread = f" ±{half:.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.median(values):,.{digits}f}{spread}"


def middle(values, digits):
    values = [v for v in values if v is not None]
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


def time_text(values_us, spread=True):
    """Median, and half the range where there are several, in the unit that suits it."""
    if not values_us:
        return "-"
    mid, half = statistics.median(values_us), (max(values_us) - min(values_us)) / 2
    unit, name = next((u, n) for u, n in ((1e6, "s"), (1e3, "ms"), (1, "µs")) if mid >= u or n == "µs")
    digits = max(0, 2 - len(str(int(mid / unit))))
    return f"{mid / unit:.{digits}f}" + (f" ±{half / unit:.{digits}f}" if spread and len(values_us) > 1 else "") + f" {name}"


def error(record, metric, of="mean"):
    """Reported minus true, in milliseconds."""
    said, true = record["reported"][metric][of], record["truth"][metric][of]
    return None if said is None or true is None else said - true


def answered(record):
    """Answers that the server gave, as events: wrk ends by the clock, with answers half given."""
    load, events = record["load"], record["truth"]["events"]
    return max(1.0, events / (load["output_tokens"] + 3) if load["streaming"] else events)


def cpu_us(record):
    return record["cost"]["cpu_s"] * 1e6


def start_ms(record):
    return (record["truth"]["first_ns"] - record["cost"]["started_ns"]) / 1e6


def beyond_ms(record):
    """Wall time that was not load. wrk runs for as long as it was told."""
    cost = record["cost"]
    wall_s = (cost["ended_ns"] - cost["started_ns"]) / 1e9
    return None if record["tool"] == "wrk" else (wall_s - record["truth"]["load_s"]) * 1e3


class Group:
    """The records of one load, by tool."""

    def __init__(self, records):
        self.load, self.by_tool = records[0]["load"], {}
        for record in records:
            if "failure" not in record:
                self.by_tool.setdefault(record["tool"], []).append(record)

    def values(self, tool, of):
        return [of(record) for record in self.by_tool.get(tool, [])]

    def median(self, tool, of):
        values = [v for v in self.values(tool, of) if v is not None]
        return statistics.median(values) if values else None

    def ratios(self, tool, of):
        """Of a tool to loadline, repeat by repeat."""
        base = {r["repeat"]: of(r) for r in self.by_tool.get("loadline", [])}
        pairs = [(of(r), base.get(r["repeat"])) for r in self.by_tool.get(tool, [])]
        return [abs(a) / abs(b) for a, b in pairs if a is not None and b]


def groups(records, kind):
    """The groups of a kind, in the order in which they were run."""
    found = {}
    for record in records:
        if record["kind"] == kind:
            found.setdefault((record["load"]["streams"], record["load"]["requests"]), []).append(record)
    return [Group(group) for group in found.values()]


def further_us(base, group, tool):
    """CPU time of a further request: the difference to the base load, which takes start and end out."""
    cpu = [g.median(tool, cpu_us) for g in (base, group)]
    done = [g.median(tool, answered) for g in (base, group)]
    # A difference that is lost in what starting costs would be noise.
    if None in cpu or done[1] < 2 * done[0] or cpu[1] < 1.1 * cpu[0]:
        return None
    return (cpu[1] - cpu[0]) / (done[1] - done[0])


def late(record, options):
    true = record["truth"]
    told = (("ttft", options.ttft_ms, TTFT_OFF_MAX), ("itl", options.itl_ms, ITL_OFF_MAX)) if options.constant else ()
    is_off = lambda did, told_ms, most: did is not None and abs(did - told_ms) > most * told_ms  # noqa: E731
    return true["server_busy"] > BUSY_MAX or any(is_off(true[m]["mean"], ms, most) for m, ms, most in told)


STREAM_HEAD = (f"  {'tool':10}{'n':>2}{'TTFT error':>14}{'seen':>8}{'ITL err':>8}{'latency':>9}"
               f"{'CPU/request':>14}{'/event':>9}{'peak':>6}{'start':>7}{'beyond':>8}\n"
               f"  {'':10}{'':>2}{'ms':>14}{'ms':>8}{'µs':>8}{'err ms':>9}{'':>23}{'MB':>6}{'ms':>7}{'ms':>8}")


def stream_rows(group, options):
    """The lines of one load."""
    load, every = group.load, [r for records in group.by_tool.values() for r in records]
    if not every:
        return [f"{load['streams']} streams: nothing was measured"]
    true = lambda metric: middle([r["truth"][metric]["mean"] for r in every], 2)  # noqa: E731
    asked = sum(r["truth"]["requests"] for r in every)
    unstamped = asked - sum(r["truth"]["stamped"] for r in every)
    best = group.by_tool.get("loadline", every)
    rate = middle([r["truth"]["peak_events_per_s"] for r in best], 0)
    busy = middle([100 * r["truth"]["server_busy"] for r in best], 0)
    out = [f"{load['streams']:,} streams, {load['requests']:,} requests; server: TTFT {true('ttft')} (its queue "
           f"{true('queue')}), ITL {true('itl')} ms,",
           f"  peak {rate} events/s, {busy} % busy"]
    if unstamped:
        out[-1] += f"; of {asked:,} requests {unstamped:,} without the kernel's time"
    for tool in group.by_tool:
        of = lambda f: group.values(tool, f)  # noqa: E731, B023
        records = group.by_tool[tool]
        mark = "*" if any(late(r, options) for r in records) else " "
        itl = [None if (e := error(r, "itl")) is None else e * 1e3 for r in records]
        out.append(
            f"{mark} {tool:10}{len(records):>2}{median_and_spread(of(lambda r: error(r, 'ttft')), 2):>14}"
            f"{middle([r['server_to_stamp']['mean'] for r in records], 2):>8}{middle(itl, 0):>8}"
            f"{middle(of(lambda r: error(r, 'e2e')), 2):>9}"
            f"{time_text(of(lambda r: cpu_us(r) / answered(r))):>14}"
            f"{time_text(of(lambda r: cpu_us(r) / r['truth']['events']), False):>9}"
            f"{middle(of(lambda r: r['cost']['peak_rss'] / 1e6), 0):>6}{middle(of(start_ms), 0):>7}"
            f"{middle(of(beyond_ms), 0):>8}")
    return out


def ratio(values):
    if not values:
        return "-"
    low, high = min(values), max(values)
    digits = 1 if high < 100 else 0
    spread = f" [{low:.{digits}f}-{high:.{digits}f}]" if len(values) > 1 else ""
    return f"{statistics.median(values):.{digits}f}{spread}"


def ratio_rows(found):
    """Every tool over loadline, load by load."""
    out = [f"  {'streams':>7}  {'tool':10}{'TTFT error':>20}{'CPU/request':>18}{'further request':>17}{'peak':>8}{'start':>8}"]
    for group in found:
        own = further_us(found[0], group, "loadline")
        for tool in group.by_tool:
            if tool == "loadline":
                continue
            further = further_us(found[0], group, tool)
            further = f"{further / own:.1f}" if own and further else "-"
            out.append(
                f"  {group.load['streams']:>7,}  {tool:10}{ratio(group.ratios(tool, lambda r: error(r, 'ttft'))):>20}"
                f"{ratio(group.ratios(tool, lambda r: cpu_us(r) / answered(r))):>18}{further:>17}"
                f"{middle(group.ratios(tool, lambda r: r['cost']['peak_rss']), 1):>8}"
                f"{middle(group.ratios(tool, start_ms), 1):>8}")
    return out


def short_rows(found):
    """Short replies: CPU per request in all, and of a further one."""
    base, group = found[0], found[-1]
    out = [f"  {'tool':10}{'n':>2}{'req/s':>9}{'server':>8}{'CPU/request':>18}{'ratio':>18}{'further':>9}{'ratio':>7}"
           f"{'peak':>7}{'start':>7}",
           f"  {'':10}{'':>2}{'':>9}{'% core':>8}{'µs':>18}{'to loadline':>18}{'µs':>9}{'':>7}{'MB':>7}{'ms':>7}"]
    own = further_us(base, group, "loadline")
    for tool, records in group.by_tool.items():
        further = further_us(base, group, tool)
        share = f"{further / own:.2f}" if own and further else "-"
        out.append(
            f"  {tool:10}{len(records):>2}{middle([r['truth']['requests'] / r['truth']['load_s'] for r in records], 0):>9}"
            f"{middle([100 * r['truth']['server_busy'] for r in records], 0):>8}"
            f"{median_and_spread(group.values(tool, lambda r: cpu_us(r) / answered(r)), 2):>18}"
            f"{ratio(group.ratios(tool, lambda r: cpu_us(r) / answered(r))):>18}"
            f"{'-' if further is None else f'{further:.2f}':>9}{share:>7}"
            f"{middle(group.values(tool, lambda r: r['cost']['peak_rss'] / 1e6), 0):>7}"
            f"{middle(group.values(tool, start_ms), 0):>7}")
    return out


LEGEND = """\
Errors are what a tool reports (mean) minus what the server's log of the same run says. The log
counts TTFT and latency from when the kernel had received a request: the server's queue from then
until it has read it (all streams start at once) is the server's, and in no tool's error. "seen" is
the part after the server: from its stamp before the write of the first token to the tool's stamp,
for tools that tell of single requests.
CPU is user and system time of the whole process tree, its start and end included. "further request"
takes those out: the difference to the first load, per request. "start": from the process's start
to its first request at the server. "beyond": wall time that was not load. "±" is half the range of
n runs. Ratios are tool / loadline, repeat by repeat: median [range]. A dash: not told, or noise.
* The server was not on time in a run: over 85 % of its core, or mean TTFT 10 % or ITL 2 % off."""


def ceiling_line(records, options):
    """At which rate the server half is at its end."""
    runs = [r for r in records if "failure" not in r and r["load"]["streaming"]]
    if not runs:
        return ""
    most = max(runs, key=lambda r: r["truth"]["peak_events_per_s"])
    kept = [r for r in runs if not late(r, options)]
    on_time = max((r["truth"]["peak_events_per_s"] for r in kept), default=0)
    return (f"Peak of the server over 0.1 s: {most['truth']['peak_events_per_s']:,.0f} events/s "
            f"({most['load']['streams']:,} streams, {most['tool']}); while on time: {on_time:,.0f}")


def text(records, options):
    """All tables."""
    timing = f"{options.ttft_ms:g} ms TTFT, {options.itl_ms:g} ms ITL" if options.constant else "times of its cost model"
    stream, short = groups(records, "stream"), groups(records, "short")
    lines = [f"Streams of {options.tokens} tokens; the server is set to {timing}", STREAM_HEAD]
    for group in [*stream, *groups(records, "ceiling")]:
        lines += stream_rows(group, options)
    lines += ["", ceiling_line(records, options), "", "Ratios to loadline", *ratio_rows(stream)]
    if short:
        load = short[-1].load
        lines += ["", f"Short replies, in one piece: {load['streams']} connections, {load['requests']:,} requests "
                      "(wrk: 2 s)", *short_rows(short)]
    failed = [f"{r['tool']} failed at {r['load']['streams']} streams: {r['failure']}" for r in records if "failure" in r]
    return "\n".join([*lines, "", *failed, LEGEND])
