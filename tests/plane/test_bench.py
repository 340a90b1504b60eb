"""What the bench promises without a clock: what a node process does not import, and that figures say their limits."""

from testbed.bench import Measured
from testbed.bench.engine import heavy_imports


def test_a_node_process_imports_no_heavy_library():
    assert heavy_imports() == []


def test_a_figure_over_its_limit_says_so():
    assert "OVER" in str(Measured("x", 5.0, "us", "by hand", 4.0))
    assert "OVER" not in str(Measured("x", 3.0, "us", "by hand", 4.0))


def test_what_was_not_measured_is_null_in_json():
    assert Measured("x", float("nan"), "us", "not there").as_dict()["value"] is None
