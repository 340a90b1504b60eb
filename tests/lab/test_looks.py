"""Pages and drawings by day and by night: contrasts, colours by name, structure for who cannot see, room for words."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from slice_lab import IDEAL, PERFECT, job, run_slice, teleport, two_qpus
from test_controller import GHZ, network

from testbed.lettering import text_width
from testbed.page import RunFacts
from testbed.page.findings import findings
from testbed.page.histogram import histogram
from testbed.page.html import page
from testbed.page.jobs import jobs_page, timeline
from testbed.page.style import SHEET, unbroken
from testbed.palette import DARK, HAIRLINES, LIGHT, MARKS, by_name, standalone
from testbed.plotting import save
from testbed.report.jobs import Asked, asked
from testbed.report.whole import Report, build_report
from testbed.trace.ladder import chart
from testbed.trace.story import Arrow, Note, Story

SVG = "{http://www.w3.org/2000/svg}"
EDGE = r"border(?:-(?:top|bottom|left|right|color))*"
SAYS_COLOUR = re.compile(rf'\b(?:fill|stroke|color|background|{EDGE})(?:="|:\s*)([^";}}]+)')
PLAIN = re.compile(r"none|context-stroke|(?:[\d.]+(?:px)?|solid|\s|var\(--\w+\))+|url\(#\w+\)")
LEASES = ("blue", "green", "orange", "violet", "teal", "pink", "olive", "soft")


def palettes() -> dict[str, dict[str, str]]:
    """As the page's CSS has them: by day, and where a screen's reader likes it dark."""
    day, night = re.findall(r":root \{(.*?)\}", SHEET)
    assert SHEET.index("@media screen and (prefers-color-scheme: dark)") < SHEET.index(night)
    return {"day": dict(re.findall(r"--(\w+): (\S+?);", day)), "night": dict(re.findall(r"--(\w+): (\S+?);", night))}


def luminance(colour: tuple[float, ...]) -> float:
    """Relative, of sRGB in [0, 1] (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_of_contrast_is_that_of_wcag():
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21)
    assert contrast(rgb("#777777"), rgb("#ffffff")) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("when", ["day", "night"])
def test_words_can_be_read_and_marks_be_seen(when):
    colours = {name: rgb(colour) for name, colour in palettes()[when].items()}
    grounds = {"paper", "panel"}
    assert colours.keys() == LIGHT.keys()
    for name in colours.keys() - grounds - HAIRLINES:
        for ground in grounds:
            least = 3 if name in MARKS else 4.5
            assert contrast(colours[name], colours[ground]) >= least, (name, ground)
    for name in LEASES:
        assert contrast(colours["paper"], colours[name]) >= 4.5, f"a job's name on {name}"
        pale = tuple(0.4 * c + 0.6 * under for c, under in zip(colours[name], colours["panel"], strict=True))
        shaded = tuple(0.12 * c + 0.88 * under for c, under in zip(colours["red"], pale, strict=True))
        assert min(contrast(colours["ink"], pale), contrast(colours["ink"], shaded)) >= 4.5, f"on pale {name}"


def test_night_is_chosen_anew_and_day_is_unmistakable():
    day, night = palettes().values()
    assert (day, night) == (dict(LIGHT), dict(DARK))
    assert len(set(day.values())) == len(day), "a colour of a plot is known by its light value"
    assert not set(day.values()) & set(night.values())
    assert "@media print" in SHEET
    assert SHEET.count("prefers-color-scheme") == 1, "print has the colours of the day"


def written(kind: str, folder) -> str:
    """A page of each kind, with all the drawings that it may have."""
    if kind == "jobs":
        jobs = [{**GHZ, "name": "one"}, {**GHZ, "name": "other", "shots": 500, "at_s": 1e-5, "cancel_at_s": 2e-5}]
        faults = [{"at_s": 4e-5, "kill": "q2"}, {"at_s": 2e-4, "kill": "ctl"}, {"at_s": 3e-4, "restart": "ctl"}]
        ran = run_slice(network(3, jobs, faults=faults), folder)
        report = build_report(ran.scenario, ran.jobs, ran.outcome)
        return jobs_page(ran.scenario, asked(ran.scenario, ran.jobs, ran.outcome), report.figures)
    ran = run_slice(two_qpus(job(shots=5) if kind == "circuit" else teleport(2), IDEAL, PERFECT), folder, record=True)
    report = build_report(ran.scenario, ran.jobs, ran.outcome)
    if kind == "circuit":
        drawn = chart(STORY, ("west", "mid", "east"), "some frames")
        facts = RunFacts(
            ran.scenario, ran.jobs, ran.outcome, report.figures, report.sections["counts"], ["east: lost", "east: late"]
        )
        return page(facts, ran.all_events(), drawn)
    figure = Figure()
    axes = figure.subplots()
    axes.errorbar([1, 2], [1, 2], [0.1, 0.2], color=LIGHT["blue"], label="some")
    axes.axvspan(1, 2, color=LIGHT["grey"], alpha=0.2)
    axes.legend()
    axes.grid()
    return findings(ran.scenario, report, [save(figure, "a plot", folder / "plot.svg")])


STORY = Story(
    ("west", "mid", "east"),
    (
        *(Arrow("west", "east", t, t + 1, name, "Gen", {}) for t, name in enumerate(("MHP", "EGP", "QNP", "QTP"))),
        Arrow("east", "mid", 9, None, "ECHO", "Ask", {}),
        Note("mid", 9, "link", "ok", {}),
    ),
)
KINDS = ("circuit", "jobs", "findings")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    return {kind: written(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_names_its_colours(pages, kind):
    sheet, body = re.findall(r"<style>(.*?)</style>(.*)", pages[kind], re.DOTALL)[0]
    rules = re.sub(r":root \{.*?\}", "", sheet)
    said = SAYS_COLOUR.findall(rules) + SAYS_COLOUR.findall(body)
    assert len(said) > 20
    assert not [colour for colour in said if not PLAIN.fullmatch(colour.strip())]
    assert not re.findall(r"#[0-9a-f]{3,8}\b|rgb|hsl", rules)
    named = set(re.findall(r"var\(--(\w+)\)", rules + body))
    assert named <= LIGHT.keys()
    for faint in MARKS | HAIRLINES:
        assert not re.findall(rf'<text[^>]*fill="var\(--{faint}\)"|[ {{]color: var\(--{faint}\)', pages[kind])
    assert not re.findall(r"<text(?![^>]*fill=)", body), "words without a colour are black by night, too"


class Outline(HTMLParser):
    """What a page is made of, for who has it read to them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag in tags]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_can_be_read_to_somebody(pages, kind):
    outline = Outline(pages[kind])
    assert outline.all("html") == [{"lang": "en"}]
    assert re.search(r"<title>\S.*</title>", pages[kind])
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels
    assert outline.all("svg")
    for drawing in outline.all("svg"):
        assert drawing["role"] == "img"
        assert len(drawing["aria-label"] or "") > 5
    assert all(head["scope"] in ("col", "row", "colgroup") for head in outline.all("th"))
    assert len(outline.all("table")) == (kind != "findings")
    for rolled in (attrs for attrs in outline.all("div") if "tabindex" in attrs):
        assert rolled["aria-label"]


def test_a_chart_begins_where_the_text_does():
    rules = dict(re.findall(r"^(\.chart[^{]*) \{(.*?)\}", SHEET, re.MULTILINE))
    assert rules
    assert not any("margin-left" in rule or "margin: 0 auto" in rule for rule in rules.values())


def test_a_drawing_as_a_file_is_light_for_who_knows_no_variables_and_dark_for_who_likes_it(tmp_path):
    drawn = chart(STORY, ("west", "mid", "east"), "a < b & c")
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4], color=LIGHT["orange"])
    plot = save(figure, "a plot", tmp_path / "plot.svg")
    for text, title in ((standalone(drawn), "a < b & c: 5 frames"), ((tmp_path / "plot.svg").read_text(), "a plot")):
        root = ElementTree.fromstring(text)
        assert (root.findtext(f"{SVG}title") or "").startswith(title)
        sheet = root.findtext(f"{SVG}style") or ""
        assert "@media screen and (prefers-color-scheme: dark)" in sheet
        assert "var(" not in text
        seen = set()
        for element in root.iter():
            for what in ("fill", "stroke"):
                inline = re.findall(rf"(?:^|; ?){what}: (#\w+)", element.get("style", ""))
                seen |= {(what, colour, True) for colour in inline}
                if (element.get(what) or "").startswith("#"):
                    seen.add((what, element.attrib[what], False))
        assert len(seen) >= 4
        names = {colour: name for name, colour in LIGHT.items()}
        for what, colour, inline in seen:
            selector = f'[style*="{what}: {colour}"]' if inline else f'[{what}="{colour}"]'
            (rule,) = [line for line in sheet.splitlines() if selector in line]
            assert f"{{ {what}: {DARK[names[colour]]} !important; }}" in rule
    assert by_name(standalone(plot).replace("\n", "")).count("var(--orange)") >= 1
    assert "<style" not in plot, "it would count for all of a page around it"


def test_whiskers_and_numbers_stay_inside_however_few_shots_there_were():
    for counts in ({"0": 13, "1": 11}, {"1" * 64: 1}, {"00": 3, "11": 1, "10": 1}):
        drawn = ElementTree.fromstring(histogram(counts, {next(iter(counts)): 0.5}, len(next(iter(counts)))))
        wide = float(drawn.attrib["viewBox"].split()[2])
        for line in drawn.iter(f"{SVG}line"):
            assert float(line.attrib["x2"]) < wide
        for text in drawn.iter(f"{SVG}text"):
            if text.get("text-anchor") is None:
                assert float(text.attrib["x"]) + text_width(text.text or "", 13) < wide


def some_jobs(names, killed_at_ps):
    """Of each a lease of q1, one after the other, 100 ps long."""
    qpus = [SimpleNamespace(name="q1", kind="qpu")]
    faults = [SimpleNamespace(kind="kill", node="q1", at_ps=at) for at in killed_at_ps]
    scenario = SimpleNamespace(nodes=qpus, faults=faults, jobs=[SimpleNamespace(controller="ctl")])
    told = []
    for number, name in enumerate(names):
        lease = {"nodes": ["q1"], "began_ps": 100 * number, "freed_ps": [100 * number + 100]}
        record = {"state": "DONE", "placings": [lease], "ended_ps": 100 * number + 100}
        told.append(Asked(SimpleNamespace(name=name), record))
    return scenario, told


@pytest.mark.parametrize("at_ps", range(0, 200, 7))
def test_no_name_of_a_job_lies_under_a_cross(at_ps):
    drawn = ElementTree.fromstring(timeline(*some_jobs(["short", "rather-a-long-one"], [at_ps])))
    texts = list(drawn.iter(f"{SVG}text"))
    (cross,) = (float(text.attrib["x"]) for text in texts if text.text == "×")
    names = [text for text in texts if text.text in ("short", "rather-a-long-one")]
    assert names
    for name in names:
        left = float(name.attrib["x"])
        assert cross <= left - 8 or left + text_width(name.text or "", 13) + 8 <= cross


def test_what_is_long_is_wrapped_and_short_names_are_kept_whole(pages):
    reason = "failed: " + "the circuit has 40 qubits, all QPUs together 12 data qubits " * 3
    assert f'class="words">{reason}' in jobs_page_of("REFUSED", reason)
    assert unbroken("north-1") == '<span class="whole">north-1</span>'
    assert unbroken("processor-of-the-western-hall-01") == "processor-of-the-western-hall-01"
    assert unbroken("<q1>") == "&lt;q1&gt;"
    assert re.search(r"\.words \{[^}]*white-space: normal", SHEET)
    assert re.search(r'<td class="words">west → east</td>', pages["circuit"])


def jobs_page_of(state, reason):
    job = SimpleNamespace(name="big", shots=5)
    record = {"state": "FAILED", "reason": reason.removeprefix("failed: "), "submitted_ps": 0}
    scenario = SimpleNamespace(
        name="s", description="", seed=1, faults=[], nodes=[SimpleNamespace(name="q1", kind="qpu")],
        jobs=[SimpleNamespace(controller="ctl")],
    )  # fmt: skip
    return jobs_page(scenario, [Asked(job, record)], [])


def test_a_page_says_what_was_not_finished(tmp_path, pages):
    assert "Not finished:<ul><li>east: lost</li><li>east: late</li></ul>" in pages["circuit"], "and is no job's"
    assert "Not finished" not in pages["findings"]
    ran = run_slice(two_qpus(teleport(2), IDEAL, PERFECT), tmp_path)
    text = findings(ran.scenario, Report(unfinished=["west: request <1>: TIMEOUT"]), [])
    assert '<div class="verdict drowned">Not finished. west: request &lt;1&gt;: TIMEOUT</div>' in text


def test_headings_of_a_ladder_are_inside_however_long_names_are():
    long = ("processor-of-the-western-hall-01", "heralding-station-of-the-halls-1", "processor-of-the-eastern-hall-02")
    story = Story(long, (Arrow(long[0], long[2], 0, 1, "MHP", "Gen", {}),))
    drawn = ElementTree.fromstring(chart(story, long, "a title that goes on and on " * 8))
    for text in drawn.iter(f"{SVG}text"):
        wide, x = text_width(text.text or "", 13, bold=text.get("font-weight") == "bold"), float(text.attrib["x"])
        left = x - wide / 2 if text.get("text-anchor") == "middle" else x
        assert left >= 0
        assert left + wide <= float(drawn.attrib["width"])
