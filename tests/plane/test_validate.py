"""The validation framework: rows pass or fail by the rule, files of cases are read, or refused by place."""

import inspect
import json
from math import isnan

import pytest
import yaml

import testbed.validate as validate
from testbed.errors import BadInput
from testbed.plane.links import (
    LINKS,
    LinkId,
    LinkParameters,
    Modes,
    Switched,
    barrett_kok,
    delivery,
    make_link,
    single_click,
    transducer,
)
from testbed.validate import heralds
from testbed.validate.heralds import mean_of, photons
from testbed.validate.judge import chi2_survival, judge, judge_table
from testbed.validate.link import TABLES
from testbed.validate.table import Case, Measurement, Row, nine

TABLE = {table.name: table for table in TABLES}
CLOSED = {
    "id": "mine",
    "table": "barrett-kok-p",
    "params": {"grade": "closed", "efficiency_a": 0.1, "efficiency_b": 0.1, "dark_probability": 1e-6,
               "detector_efficiency": 0.8, "visibility": 0.9025},
    "expected": 3.2002941e-3,
}  # fmt: skip


def case(expected):
    return Case("row", TABLE["pair-decay"], {}, expected, "", "row 1")


def write_cases(tmp_path, *rows):
    path = tmp_path / "cases.yaml"
    path.write_text(yaml.safe_dump(list(rows)))
    return path


def run(tmp_path, *rows, seed=1):
    """Exit code, printed text and rows of a run over these cases."""
    out = tmp_path / "out.json"
    text = []
    code = validate.run("link", seed, write_cases(tmp_path, *rows), out, None, text.append)
    return code, "".join(text), json.loads(out.read_text())["rows"]


@pytest.mark.parametrize(
    ("expected", "measured", "passed"),
    [
        (0.5, Measurement(0.5 + 9e-7), True),
        (0.5, Measurement(0.5 + 1.1e-6), False),
        (1e-5, Measurement(1.02e-5), False),  # within 1e-6, yet 2 % off
        (0.0, Measurement(9e-7), True),
        (0.5, Measurement(0.549, 0.01, 100), True),
        (0.5, Measurement(0.551, 0.01, 100), False),
        (0.5, Measurement(float("nan")), False),
        (0.5, Measurement(float("nan"), 0.01, 3), False),
    ],
)
def test_a_row_fails_beyond_five_sigma_or_beyond_a_millionth(expected, measured, passed):
    assert judge(case(expected), measured).passed is passed


def test_chi_squared_survival_against_known_quantiles():
    """Quantiles from tables (Abramowitz and Stegun, table 26.8), even and odd degrees of freedom."""
    for dof, chi2, chance in (
        (1, 3.841459, 0.05),
        (2, 9.210340, 0.01),
        (5, 20.515006, 0.001),
        (10, 18.307038, 0.05),
    ):
        assert chi2_survival(chi2, dof) == pytest.approx(chance, rel=1e-5)
    assert chi2_survival(0.0, 4) == 1
    assert chi2_survival(23.93, 1) == pytest.approx(1e-6, rel=1e-2)


def test_a_table_fails_by_chi_squared_though_every_row_passes():
    rows = [Row(str(i), "t", {}, 0, 0, 1, 1, sigma, True) for i, sigma in enumerate([4.0, -4.0, 4.0])]
    assert judge_table(rows[:1])[2]
    assert not judge_table(rows)[2]


def test_a_mean_of_equal_draws_still_has_an_error():
    """500 equal fidelities do not exclude an event of one in a thousand."""
    measured = mean_of([0.97] * 500)
    assert measured.value == pytest.approx(0.97)
    assert measured.stderr == pytest.approx(0.97 / 500)
    assert isnan(mean_of([]).value)


def test_a_right_row_passes_and_a_wrong_one_fails(tmp_path):
    code, text, rows = run(tmp_path, CLOSED)
    assert code == 0
    assert rows == [{
        "id": "mine", "table": "barrett-kok-p", "params": CLOSED["params"], "expected": 3.2002941e-3,
        "measured": rows[0]["measured"], "stderr": None, "n": None, "sigma": None, "pass": True,
    }]  # fmt: skip
    assert rows[0]["measured"] == pytest.approx(3.2002941e-3, abs=1e-10)
    code, text, rows = run(tmp_path, CLOSED, {**CLOSED, "id": "other", "expected": 3.3e-3})
    assert code == 1
    assert [row["pass"] for row in rows] == [True, False]
    assert "FAILED" in text


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_unseen_rows_are_measured_in_every_grade_and_told_from_wrong_ones(tmp_path, grade):
    """p = .5 a b = .245; F = (1+M)/2. A p that is 20 % off and an F .05 off must fail."""
    params = {"grade": grade, "efficiency_a": 0.7, "efficiency_b": 0.7, "visibility": 0.8}
    rows = [
        {"id": "p", "table": "barrett-kok-p", "params": params, "expected": 0.245},
        {"id": "F", "table": "barrett-kok-fidelity", "params": params, "expected": 0.9},
        {"id": "wrong p", "table": "barrett-kok-p", "params": params, "expected": 0.3},
        {"id": "wrong F", "table": "barrett-kok-fidelity", "params": params, "expected": 0.85},
    ]
    code, _, seen = run(tmp_path, *rows, seed=4)
    assert code == 1
    assert [row["pass"] for row in seen] == [True, True, False, False]
    assert seen[0]["n"] > seen[1]["n"] >= (5000 if grade == "sampled" else 500)
    assert (seen[1]["sigma"] is None) == (grade == "sampled")


def test_equal_seeds_measure_equal_figures(tmp_path):
    row = {**CLOSED, "params": {**CLOSED["params"], "grade": "sampled"}}
    first, second, other = (run(tmp_path, row, seed=seed)[2] for seed in (7, 7, 8))
    assert first == second
    assert first != other


@pytest.mark.parametrize("kind", LINKS)
def test_tables_offer_what_scenarios_know_and_every_column_counts(kind):
    """Each that changes a link's parameters changes its law, at least where every other one does something, too."""
    columns = {column.name: column for column in TABLE[f"{kind}-p"].parameters}
    rich = {"visibility": 0.9, "dark_probability": 0.01, "alpha": 0.1, "jitter_ps": 5, "width_rad_per_s": 1e11}
    rich |= {"modes": 2, "arm_a_m": 100, "arm_b_m": 100, "mean_pairs": 0.1, "noise_photons": 0.1}
    rich = {name: column.default for name, column in columns.items() if column.default is not None} | {
        name: value for name, value in rich.items() if name in columns
    }
    other = {"arrivals": "independent", "modes": 3, "speed_m_per_s": 1e8, "round_gap_ps": 1e5, "lifetime_s": 1e-11}
    other |= {"dead_time_ps": 2e6, "offset_ps": 3, "width_ratio": 2, "detuning_rad_per_s": 1e10}

    def law(values):
        return [heralds.outcome(kind, values, 1)[figure].value for figure in (0, 1)]

    for name in set(columns) - {"grade", "speed_m_per_s", "round_gap_ps", "lifetime_s"}:
        assert law({**rich, name: other.get(name, 0.25)}) != law(rich), name


def test_golden_rows_have_ids_tables_and_sources():
    from testbed.validate.cases import read_cases
    from testbed.validate.link import ROWS

    cases = read_cases(ROWS, TABLE)
    assert {c.table.name for c in cases} == set(TABLE)
    assert all(c.source for c in cases)
    grades = {(c.table.name, c.parameters["grade"]) for c in cases if "grade" in c.parameters}
    for kind in LINKS:
        for figure in ("p", "fidelity"):
            assert {grade for name, grade in grades if name == f"{kind}-{figure}"} == {"closed", "sampled", "photonic"}


def test_every_table_is_listed_with_units_and_an_example_that_runs(tmp_path):
    listing = validate.list_tables("link")
    examples = []
    for table in TABLES:
        assert f"{table.name}: {table.quantity}" in listing
        block = listing.split(f"{table.name}: {table.quantity}")[1].split("\n\n")[0]
        for column in table.parameters:
            assert f"{column.name} [{column.unit}]" in block
        examples += yaml.safe_load(block.split("example row:\n")[1])
    assert [e["table"] for e in examples] == list(TABLE)
    quick = [e for e in examples if e["params"].get("grade", "closed") == "closed" and "sequence" not in e["table"]]
    for example in quick:
        if example["table"] == "estimate-coverage":  # 20 s as it stands: wrong device data is found out
            assert set(example["params"]) >= {"for_s", "device_data_off"}
            example["params"] |= {"for_s": 0.2, "device_data_off": 0.0}
    code, _, _ = run(tmp_path, *quick)
    assert code == 0


LINK_CLASSES = {
    "barrett-kok": {"visibility": 0.9},
    "dual-rail": {},
    "single-click": {"double_excitation": 0.1, "phase_sigma_rad": 0.2},
    "source-midpoint": {"mean_pairs": 0.2},
    "sender-receiver": {},
    "transducer-upconversion": {"noise_photons": 0.1},
    "transducer-pair": {"noise_photons": 0.1},
}


@pytest.mark.parametrize("kind", LINK_CLASSES)
def test_photons_never_ask_a_law(kind, monkeypatch):
    """Every closed form of every link class raises while attempts run as events; heralds come all the same."""
    known = {"arm_a_m": 0.0, "arm_b_m": 0.0, "fidelity_cost": 0.01, "modes": 2, "dark_probability": 0.02}
    link = make_link(kind, LinkParameters(**known, **LINK_CLASSES[kind]), "photonic", LinkId("x", 5))

    def law(*arguments, **keywords):
        raise AssertionError("a closed form was called")

    laws = ("success_probability", "heralded_fidelity", "estimate", "draw_attempts", "draw_state")
    for owner in (*LINKS.values(), Modes, Switched):
        for name in laws:
            monkeypatch.setattr(owner, name, law)
    for module in (barrett_kok, single_click, delivery, transducer):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and "heralded_state" not in name:
                monkeypatch.setattr(module, name, law)
    monkeypatch.setattr(heralds, "PHOTONIC_HERALDS", 20)
    monkeypatch.setattr(heralds, "_BLOCK", 50)
    seen = photons(link, 0.2)
    assert seen.fidelity.n >= 20


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_a_law_that_is_off_by_little_is_caught(tmp_path, grade, monkeypatch):
    """Eight σ off fails a row; each row a little off, in one table, fails it by its χ²."""
    monkeypatch.setattr(heralds, "PHOTONIC_HERALDS", 200)
    params = [{"grade": grade, "efficiency_a": x, "efficiency_b": x} for x in (0.6, 0.65, 0.7, 0.75, 0.8, 0.85)]
    right = [
        {"id": str(i), "table": "barrett-kok-p", "params": p, "expected": p["efficiency_a"] ** 2 / 2}
        for i, p in enumerate(params)
    ]
    code, _, rows = run(tmp_path, *right, seed=3)
    assert code == 0
    one_off = {**right[0], "expected": right[0]["expected"] + 8 * rows[0]["stderr"]}
    assert [row["pass"] for row in run(tmp_path, one_off, *right[1:], seed=3)[2]] == [False, *[True] * 5]
    # 4 σ from what was measured: no row fails by itself.
    off = [seen["measured"] + 4 * seen["stderr"] for seen in rows]
    all_off = [{**row, "expected": expected} for row, expected in zip(right, off, strict=True)]
    code, text, rows = run(tmp_path, *all_off, seed=3)
    assert all(row["pass"] for row in rows)
    assert code == 1
    assert "FAILED" in text


def test_sequence_components_driven_bare_obey_the_law_too(tmp_path):
    params = {"arm_m": 5000, "memory_efficiency": 0.9, "detector_efficiency": 0.9}
    p = {"id": "p", "table": "sequence-components", "params": params, "expected": 0.20698556}
    fidelity = {**p, "id": "F", "params": {**params, "figure": "fidelity"}, "expected": 1.0}
    assert run(tmp_path, p, fidelity)[0] == 0


def test_each_table_gets_a_plot_beside_the_json(tmp_path):
    other = {"id": "wait", "table": "pair-decay", "params": {"t1_s": 1, "t2_s": 1, "wait_s": 0.1}, "expected": 0.5}
    run(tmp_path, CLOSED, other)
    plots = sorted(path.name for path in (tmp_path / "out-plots").iterdir())
    assert plots == ["barrett-kok-p.svg", "pair-decay.svg"]
    text = (tmp_path / "out-plots" / "pair-decay.svg").read_text()
    assert text.startswith("<svg")


def test_rows_are_checked_before_any_is_run(tmp_path):
    """A row that nobody can measure is named while nothing has been printed yet."""
    bad = {"id": "bad", "table": "transducer-pair-p", "params": {"alpha": 0.9, "noise_photons": 1}, "expected": 0.5}
    text = []
    with pytest.raises(BadInput, match=r"row 2 \(bad\), params.alpha: 0.9 \(1 \+ n\) is more than 1"):
        validate.run("link", 1, write_cases(tmp_path, CLOSED, bad), None, None, text.append)
    assert text == []


def test_comments_and_empty_fields_have_no_effect_and_that_is_said(tmp_path):
    """A user's table has columns for people, and those of other classes left empty."""
    params = {**CLOSED["params"], "doi": "10.1000/1", "double_excitation": None, "t1_s": None}
    text = []
    row = {**CLOSED, "params": params, "note": "mine"}
    validate.run("link", 1, write_cases(tmp_path, row), None, None, text.append)
    assert text[0] == "read as comments, with no effect: note, doi\n"
    plain = []
    validate.run("link", 1, write_cases(tmp_path, CLOSED), None, None, plain.append)
    assert [line for line in text if line.startswith(CLOSED["id"])] == [
        line for line in plain if line.startswith(CLOSED["id"])
    ] != []


def edit(**changes):
    return {**CLOSED, **changes}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (edit(table="barret-kok-p"), r"row 1 \(mine\), table: unknown table .*did you mean barrett-kok-p"),
        (edit(params={"visibilty": 1}), r"params.visibilty: unknown parameter; did you mean visibility"),
        (edit(params={"visibility": 1.2}), r"params.visibility: 1.2 is not within 0 and 1"),
        (edit(params={"visibility": "high"}), r"params.visibility: .* is not a number"),
        (edit(params={"visibility": True}), r"params.visibility: .* is not a finite number"),
        (edit(params={"grade": "exact"}), r"params.grade: .*use one of closed, sampled, photonic"),
        (edit(params=[1]), r"params: is not a mapping"),
        (edit(expected=float("nan")), r"expected: .* is not a finite number"),
        (edit(sigma=3), r"unknown field 'sigma'; use expected, id, params, source, table, or comment"),
        (edit(params={"colour": "red"}), r"unknown parameter; a comment goes under comment; .* has .*visibility"),
        ({"id": "x", "expected": 1}, r"row 1 \(x\): has no table"),
        (edit(table="single-click-p", params={"grade": "closed"}), r"params: has no alpha"),
        (edit(table="single-click-p", params={"alpha": 2}), r"params.alpha: 2.0 is not within 0 and 1"),
        (
            edit(table="pair-decay", params={"t1_s": 1, "t2_s": 3, "wait_s": 1}),
            r"params.t2_s: 3.* is more than twice t1_s",
        ),
        (
            edit(table="pair-decay", params={"t1_s": 1, "t1_b_s": 1e-13, "t2_s": 1, "wait_s": 1}),
            r"params.t1_b_s: 1e-13 is less than a picosecond",
        ),
        (edit(table="overlap", params={"by": "width-ratio", "value": -1}), r"params.value: a ratio of -1"),
        (edit(table="jitter", params={"seen_by": "frozen", "sigma_s": -1}), r"params.sigma_s: -1 is negative"),
        (edit(table="transducer-fmax", params={"noise_photons": 0}), r"params.noise_photons: 0.0 is not positive"),
        (
            edit(table="transducer-fmax", params={"N": 2, "eta": 0.5}),
            r"params.noise_photons: 2.0 times efficiency 0.5 is not less than 1",
        ),
        (
            edit(table="transducer-upconversion-p", params={"alpha": 0.2, "N": 2, "eta": 0.9}),
            r"params.noise_photons: 1.8 of them per detector and window, after all losses, is not less than 1",
        ),
        (edit(table="sender-receiver-p", params={"efficiency_b": 0.5}), r"params.efficiency_b: unknown parameter"),
        (edit(table="source-midpoint-p", params={"double_excitation": 0.5}), r"double_excitation: unknown parameter"),
        (
            edit(table="pair-rate", params={"link": "barrett-kok", "slot_s": 1, "noise_photons": 0.1}),
            r"params.noise_photons: it has no meaning for barrett-kok",
        ),
        (edit(table="transducer-efficiency", params={"cooperativity": 0}), r"params.cooperativity: 0 is not positive"),
        (edit(table="werner", params={"shows": "qber", "fidelity": 0.1}), r"params.fidelity: 0.1 is not within 0.25"),
        (edit(table="dark-count", params={"rate_hz": 0, "window_s": 1}), r"params.rate_hz: 0 is not positive"),
        (edit(params={"detuning_rad_per_s": 1e9}), r"params.detuning_rad_per_s: it means nothing without width"),
        (edit(params={"modes": 1.5}), r"params.modes: 1.5 is not a whole number"),
        (edit(table="pair-rate", params={"link": "dual-rail", "slot_s": 0}), r"params.slot_s: 0 is not positive"),
        (
            edit(table="sequence-stack-rate", params={"length_m": 1}),
            r"params.length_m: 1 is not within 100 and 200000",
        ),
        ("word", r"row 1: 'word' is not a case"),
    ],
)
def test_bad_cases_are_named_by_file_and_place(tmp_path, row, said):
    with pytest.raises(BadInput, match=said) as raised:
        run(tmp_path, row)
    assert str(raised.value).startswith(str(tmp_path / "cases.yaml"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no list"),
        (b"a: 1", "holds no list"),
        (b"- {a: 1", "is not YAML"),
        (b"\xff\x00\xfe", "cannot be read"),
        (b"[" * 5000, "is not YAML"),
        (b"- !!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_files_that_hold_no_cases_are_refused(tmp_path, content, said):
    path = tmp_path / "cases.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        validate.run("link", 1, path)


def test_missing_files_and_areas_and_doubled_ids_are_refused(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        validate.run("link", 1, tmp_path / "none.yaml")
    with pytest.raises(BadInput, match="unknown area 'links'; areas are link"):
        validate.run("links", 1)
    with pytest.raises(BadInput, match="stands twice"):
        run(tmp_path, CLOSED, CLOSED)
    with pytest.raises(BadInput, match="folder does not exist"):
        validate.run("link", 1, write_cases(tmp_path, CLOSED), tmp_path / "no" / "out.json")


def test_numbers_without_a_dot_are_numbers(tmp_path):
    """YAML 1.1 reads 1e-6 as text."""
    path = tmp_path / "cases.yaml"
    path.write_text("[{id: a, table: barrett-kok-p, params: {dark_probability: 1e-2}, expected: 0.499851}]")
    assert validate.run("link", 1, path, None, None, lambda text: None) == 0


def test_nine_digits():
    assert nine(0.123456789123) == 0.123456789
    assert nine(float("nan")) is None


def test_ends_may_differ_and_columns_may_have_the_symbols_of_formulas(tmp_path):
    """The published exact law of single click at unequal ends, worked out here from its own letters."""
    a_a, a_b, p_a, p_b, dark, m = 0.12, 0.3, 0.2, 0.35, 1e-3, 0.8
    q, k = 1 - dark, 2 * dark * (1 - dark)
    uu = a_a * a_b * (k * (1 - p_a) * (1 - p_b) + q * (p_a * (1 - p_b) + p_b * (1 - p_a)) + q * p_a * p_b * (1 + m) / 2)
    ud, du = a_a * (1 - a_b) * (q * p_a + k * (1 - p_a)), a_b * (1 - a_a) * (q * p_b + k * (1 - p_b))
    p = uu + ud + du + (1 - a_a) * (1 - a_b) * k
    coherent = q * (m * a_a * (1 - a_a) * a_b * (1 - a_b) * p_a * p_b) ** 0.5
    params = {"αA": a_a, "αB": a_b, "pA": p_a, "pB": p_b, "p_dc": dark, "M": m}
    plain = {"alpha": a_a, "alpha_b": a_b, "efficiency_a": p_a, "efficiency_b": p_b, "dark_probability": dark,
             "visibility": m, "grade": "sampled"}  # fmt: skip
    rows = [
        {"id": "p", "table": "single-click-p", "params": params, "expected": p},
        {"id": "F", "table": "single-click-fidelity", "params": params, "expected": ((ud + du) / 2 + coherent) / p},
        {"id": "drawn", "table": "single-click-fidelity", "params": plain, "expected": ((ud + du) / 2 + coherent) / p},
    ]
    assert run(tmp_path, *rows)[0] == 0
    swapped = {**params, "αA": a_b, "αB": a_a}
    assert run(tmp_path, {**rows[1], "params": swapped})[0] == 1


@pytest.mark.parametrize("grade", ["closed", "sampled", "photonic"])
def test_a_lost_microwave_photon_leaves_its_qubit_empty(tmp_path, grade, monkeypatch):
    """Psi+- under amplitude damping of shares a and b: F = (a + b)/4 + sqrt(a b)/2."""
    monkeypatch.setattr(heralds, "PHOTONIC_HERALDS", 100)
    params = {"grade": grade, "alpha": 1e-3, "eta": 1.0, "extraction_a": 0.3, "extraction_b": 0.9}
    row = {"id": "F", "table": "transducer-pair-fidelity", "params": params, "expected": 0.3 + 0.27**0.5 / 2}
    _, _, (seen,) = run(tmp_path, row)
    # Two pairs at once are one in a thousand.
    assert seen["measured"] == pytest.approx(row["expected"], abs=2e-3 if grade != "photonic" else 0.03)


def test_what_cannot_be_measured_in_bounded_time_is_called_inconclusive(tmp_path, monkeypatch):
    """A photonic link that heralds once in 1e8 attempts: the run ends, and says so, instead of passing by its error."""
    monkeypatch.setattr(heralds, "PHOTONIC_PATIENCE", 500)
    params = {"grade": "photonic", "alpha": 1e-5, "eta": 1e-3}
    rows = [
        {"id": figure, "table": f"single-click-{figure}", "params": params, "expected": expected}
        for figure, expected in (("p", 2e-8), ("fidelity", 0.9))
    ]
    code, text, seen = run(tmp_path, *rows)
    assert code == 1
    assert [row["pass"] for row in seen] == [False, False]
    assert all(row["note"] == "inconclusive: 0 heralds in 500 attempts" for row in seen)
    assert text.count("inconclusive") == 2


def test_a_symbol_beside_its_own_column_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"params.eta: efficiency_a has its value already"):
        run(tmp_path, edit(params={"efficiency_a": 1, "eta": 1}))
