"""From the results to tables and plots: pure, but for `write`.

One function for each measurement: from what was kept to its text and a function that draws its plot.
"""

import json
import math
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import figures, plots
from benchmarks.balancers import ALL
from benchmarks.figures import middle, seconds

BEGIN, END = "<!-- figures: written by `python -m benchmarks report` -->", "<!-- /figures -->"
LINE_TITLES = {"none": "no check", "pace": "no check, full pace", "engine": "engine health, 1 s", "http": "HTTP check, 2 s"}
TITLES = {"backend": "the backend alone", "shell": "a shell script"} | {balancer.name: balancer.title for balancer in ALL}


# The collection's own, and how its aims begin; p50 and p99 of start without a check, and p50 of the balancer's part.
OWN = {"ours": "", "haproxy-ours": "HAProxy, "}
START_AIMS = {"ours": (0.08, 0.2, 0.05), "haproxy-ours": (0.05, 0.12, 0.02)}


def write(results: Path, document: Path) -> None:
    """Replace the figures in a document, and their plots beside it in a folder of the document's name.

    :raises ValueError: the document has no place for them
    """
    folder = document.with_suffix("")
    parts = []
    for name, tell in TELL.items():
        path = results / f"{name}.json"
        if path.exists():
            kept = json.loads(path.read_text())
            text, draw = tell(kept)
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.svg").write_text(draw())
            parts += [text, f"![{name}]({folder.name}/{name}.svg)", *map(machine, [*kept.get("earlier", []), kept])]
    document.write_text(inserted(document.read_text(), "\n\n".join(parts)))


def inserted(document: str, text: str) -> str:
    """A document with the text between its two marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no place for the figures: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown: the first column to the left, figures to the right."""
    lines = [headings, ["---"] + ["--:"] * (len(headings) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(kept: dict) -> str:
    """What was measured on."""
    about, versions = kept["machine"], kept["machine"]["versions"]
    found = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (
        f"{about['time']}, {about['cpus']} CPUs ({about['cpu']}), {about['memory'] / 2**30:.0f} GiB, Linux {about['kernel']},"
        f" load average before: {about['load_before']:.1f}; took {kept['took'] / 60:.0f} min. {found}."
    )


def propagation(kept: dict) -> tuple[str, Callable[[], str]]:
    """Table and plot of (a)."""
    rows, panels, lines = [], {"start": {}, "drain": {}, "kill": {}}, {}
    for entry in kept["results"]:
        events, balancer = entry["events"], entry["balancer"]
        found = {key: figures.summary([e[key] for e in events]) for key in ("start", "catalog")}
        found |= {key: figures.summary([e[key] for e in events if key in e]) for key in ("drain", "kill")}
        row = [LINE_TITLES[entry["line"]], TITLES[balancer]]
        row += [_both(found[key]) for key in ("start", "catalog", "drain", "kill")]
        rows.append([*row, str(sum(event["failed"] for event in events))])
        part = figures.summary([_less(e["start"], e["catalog"]) for e in events])
        lines.setdefault(entry["line"], {})[balancer] = {"start": found["start"], "part": part}
        if entry["line"] == "none":
            for key, panel in panels.items():
                panel[balancer] = [e[key] for e in events if e.get(key) is not None]
    headings = ["health", "balancer", "start", "(in the catalog)", "drain", "kill", "failed requests"]
    count = kept["settings"]["events"]
    text = f"### Propagation\n\np50 / p99 / longest of {count} events each.\n\n{table(headings, rows)}{_propagation_aims(lines)}"
    names = {"start": "start → first answer", "drain": "drain → last answer", "kill": "kill → last wrong answer"}
    drawn = {names[key]: panel for key, panel in panels.items() if any(panel.values())}
    drawn = {panel: {balancer: values for balancer, values in of.items() if values} for panel, of in drawn.items()}
    return text, partial(plots.shares, drawn, TITLES, "s")


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _both(found: dict) -> str:
    if not found["count"] and not found["missing"]:
        return "–"
    text = " / ".join(seconds(found.get(key)) for key in ("p50", "p99", "max"))
    return text + (f" ({found['missing']} never)" if found["missing"] else "")


def _propagation_aims(lines: dict) -> str:
    """Beside the aims: without a check, the balancer's part of that, and before every peer with one.

    :param lines: {line: {balancer: {"start": its figures, "part": those of start less catalog}}}
    """
    verdicts = []
    for name, (p50, p99, most) in START_AIMS.items():
        own = lines.get("none", {}).get(name)
        if own and "p50" in own["start"]:
            start, part = own["start"], own["part"].get("p50", math.inf)
            met = _met(start["p50"] <= p50 and start["p99"] <= p99)
            aim = f"p50 ≤ {seconds(p50)} and p99 ≤ {seconds(p99)}"
            verdicts.append(f"{OWN[name]}no check, {aim}: {seconds(start['p50'])} and {seconds(start['p99'])}, {met}")
            title = f"{OWN[name]}the balancer's part of it (start less catalog), p50 ≤ {seconds(most)}"
            verdicts.append(f"{title}: {seconds(part)}, {_met(part <= most)}")
    for line in ("engine", "http"):
        figures_of = {name: one["start"] for name, one in lines.get(line, {}).items() if "p50" in one["start"]}
        if "ours" in figures_of and set(figures_of) - set(OWN):
            best = [min(one[key] for name, one in figures_of.items() if name not in OWN) for key in ("p50", "p99")]
            met = _met(all(figures_of["ours"][key] < peer for key, peer in zip(("p50", "p99"), best, strict=True)))
            verdicts.append(f"{LINE_TITLES[line]}, before every peer ({' and '.join(map(seconds, best))}): {met}")
    return "\n\nAims: " + "; ".join(verdicts) + "." if verdicts else ""


def throughput(kept: dict) -> tuple[str, Callable[[], str]]:
    """Table and plot of (b)."""
    found = {entry["balancer"]: middle(entry["rounds"]) for entry in kept["results"]}
    own = found.get("ours", {"rate": 0})["rate"]
    rows = []
    for balancer, one in found.items():
        rates = [r["rate"] for e in kept["results"] if e["balancer"] == balancer for r in e["rounds"]]
        rows.append([
            TITLES[balancer], f"{one['rate']:,.0f}", f"{min(rates):,.0f} – {max(rates):,.0f}", seconds(one["p50"]),
            seconds(one["p99"]), f"{one['cpu'] * 1e6:.0f} µs" if "cpu" in one else "–", figures.share_of(own, one["rate"]),
            str(one["failed"]),
        ])  # fmt: skip
    settings = kept["settings"]
    headings = ["balancer", "requests/s", "of all rounds", "p50", "p99", "CPU a request", "ours to it", "failed requests"]
    text = (
        f"### Throughput\n\nwrk, one thread, {settings['connections']} connections, {settings['seconds']} s; the middle one of"
        f" {settings['rounds']} rounds.\n\n" + table(headings, rows) + _throughput_aims(found, own)
    )
    panels = {
        "requests/s": {balancer: one["rate"] for balancer, one in found.items()},
        "p99, ms": {balancer: one["p99"] * 1e3 for balancer, one in found.items()},
    }
    return text, partial(plots.bars, panels, TITLES, "{:,.0f}")


def _throughput_aims(found: dict, own: float) -> str:
    """Beside the aims of both backends."""
    aims = {"keepalive": 1.0, "template": 1.8, "traefik": 1.5}
    results = [
        f"≥ {aim} × {TITLES[peer]}: {own / found[peer]['rate']:.2f} ×, {_met(own / found[peer]['rate'] >= aim)}"
        for peer, aim in aims.items() if own and peer in found
    ]  # fmt: skip
    if other := found.get("haproxy-ours"):
        for peer in ("haproxy-hand", "ours"):
            if peer in found:
                share = other["rate"] / found[peer]["rate"]
                results.append(f"{OWN['haproxy-ours']}≥ 1.0 × {TITLES[peer]}: {share:.2f} ×, {_met(share >= 1)}")
    return "\n\nAims: " + "; ".join(results) + "." if results else ""


def churn(kept: dict) -> tuple[str, Callable[[], str]]:
    """Table and plot of (c)."""
    rows = []
    for entry in kept["results"]:
        reloads, failed = entry["reloads"], entry["failed"]
        rate = "–" if reloads is None else f"{reloads / entry['seconds']:.2f}"
        rows.append([
            TITLES[entry["balancer"]], f"{entry['events']} in {entry['seconds']:.0f} s", "–" if reloads is None else str(reloads),
            rate, *(f"{failed[service]} of {entry['asked'][service]}" for service in failed), str(entry["sent_again"]),
        ])  # fmt: skip
    headings = ["balancer", "starts and stops", "reloads", "a second", "failed, calm", "failed, busy", "sent again"]
    text = "### Churn\n\n" + table(headings, rows)
    if own := next((entry for entry in kept["results"] if entry["balancer"] == "ours"), None):
        # A second apart is one more than there are seconds.
        failed, paced = sum(own["failed"].values()), _met(own["reloads"] <= own["seconds"] + 1)
        text += f"\n\nAims: 0 failed: {failed}, {_met(failed == 0)}; reloads a second apart: {own['reloads']}"
        text += f" in {own['seconds']:.1f} s, {paced}."
    if own := next((entry for entry in kept["results"] if entry["balancer"] == "haproxy-ours"), None):
        reloads, failed = own["reloads"], sum(own["failed"].values())
        text += f"\n\nAims of HAProxy: 0 failed: {failed}, {_met(failed == 0)}; 0 reloads: {reloads}, {_met(reloads == 0)}."
    panels = {
        "reloads a second": {e["balancer"]: (e["reloads"] or 0) / e["seconds"] for e in kept["results"]},
        "failed requests": {e["balancer"]: sum(e["failed"].values()) for e in kept["results"]},
    }
    return text, partial(plots.bars, panels, TITLES, "{:.3g}")


def many(kept: dict) -> tuple[str, Callable[[], str]]:
    """Table and plot of (d)."""
    rows, panels = [], {"all served, s": {}, "memory, MB": {}}
    for entry in kept["results"]:
        balancer, size = entry["balancer"], entry["services"]
        served = seconds(entry["served"]) if entry["served"] is not None else f"{entry['missing']} never"
        more = figures.summary(entry["one_more"])
        rows.append([
            str(size), TITLES[balancer], seconds(entry["registered"]), seconds(entry["catalog"]), served,
            seconds(more.get("p50")), "–" if entry["reloads"] is None else str(entry["reloads"]),
            f"{entry['memory'] / 1e6:.0f} MB",
        ])  # fmt: skip
        if entry["served"] is not None:
            panels["all served, s"].setdefault(balancer, {})[size] = entry["served"]
        panels["memory, MB"].setdefault(balancer, {})[size] = entry["memory"] / 1e6
    headings = ["services", "balancer", "registered", "in the catalog", "all served", "one more (p50)", "reloads", "memory"]
    text = "### Many services at once\n\n" + table(headings, rows) + _many_aims(kept["results"])
    return text, partial(plots.sizes, panels, TITLES, "services")


def _many_aims(results: list[dict]) -> str:
    aims, verdicts = {"ours": {30: 0.3, 150: 0.4, 1000: 1.2}, "haproxy-ours": {1000: 1.2}}, []
    for entry in results:
        name = entry["balancer"]
        if aim := aims.get(name, {}).get(entry["services"]):
            served, met = entry["served"], _met(entry["served"] is not None and entry["served"] <= aim)
            verdicts.append(f"{OWN[name]}{entry['services']} in {aim:g} s: {seconds(served)}, {met}")
            if entry["services"] == 1000:
                memory = f"{entry['memory'] / 1e6:.0f} MB, {_met(entry['memory'] <= 120e6)}"
                verdicts.append(f"{OWN[name]}memory ≤ 120 MB then: {memory}")
    return "\n\nAims: " + "; ".join(verdicts) + "." if verdicts else ""


STEP_TITLES = {"bare": "three bare hosts", "again": "again", "edited": "one file edited", "add": "a fourth host"}


def provision(kept: dict) -> tuple[str, Callable[[], str]]:
    """Table and plot of (e)."""
    found = {(one["balancer"], one["step"]): statistics.median_low(one["seconds"]) for one in kept["results"]}
    rows = []
    for step, title in STEP_TITLES.items():
        if ("ours", step) in found and ("shell", step) in found:
            ours, shell = found["ours", step], found["shell", step]
            rows.append([title, seconds(ours), seconds(shell), figures.share_of(ours, shell)])
    rounds = kept["settings"]["rounds"]
    text = (
        f"### Provisioning\n\n{'One round' if rounds == 1 else f'The middle one of {rounds} rounds'}.\n\n"
        + table(["step", TITLES["ours"], TITLES["shell"], "ours to it"], rows)
        + _provision_aims(found)
    )
    panels = {f"{title}, s": {tool: found[tool, step] for tool in ("ours", "shell") if (tool, step) in found}
              for step, title in STEP_TITLES.items()}  # fmt: skip
    return text, partial(plots.bars, panels, TITLES, "{:.0f}")


def _provision_aims(found: dict) -> str:
    bare, shell = found.get(("ours", "bare")), found.get(("shell", "bare"))
    if not bare or not shell:
        return ""
    again, more = found["ours", "again"], found["ours", "add"]
    return (
        f"\n\nAims: from bare ≤ 1.5 × the script: {bare / shell:.2f} ×, {_met(bare <= 1.5 * shell)}; again in 30 s:"
        f" {seconds(again)}, {_met(again <= 30)}; a fourth host in 35 % of three: {100 * more / bare:.0f} %,"
        f" {_met(more <= 0.35 * bare)}."
    )


def _met(yes: bool) -> str:
    return "met" if yes else "missed"


TELL = {"propagation": propagation, "throughput": throughput, "churn": churn, "many": many, "provision": provision}
