"""What travels to another host: whole files, checked, nothing else; and addresses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from harness.errors import MeasurementError, UsageError
from harness.load import PointPlan
from harness.load.addresses import is_loopback, split_address
from harness.load.parcel import PART_BYTES, Item, Parcel, Store
from harness.load.polls import Polls
from harness.load.setup import prepare
from harness.scenario import expand, load_resolved, read_materials
from harness.traffic import TokenPlan, build_schedule

from .conftest import make_plan, open_load, scenario_of


def with_files(folder: Path) -> PointPlan:
    """A scenario that draws its lengths from a file outside the library, with a tokenizer."""
    folder.mkdir()
    lengths = folder / "lengths.csv"
    lengths.write_text("tokens\n" + "\n".join(str(20 + k % 40) for k in range(400)), "utf-8")
    scenario = scenario_of("http://127.0.0.1:1/v1", open_load(40, 60))
    scenario["traffic"][0]["workload"]["input_tokens"] = {
        "kind": "empirical", "file": str(lengths), "column": "tokens",
    }  # fmt: skip
    tokens = TokenPlan("tokenizer", 1.0, 0.0, tokenizer_json=b"x" * (PART_BYTES + 5))
    return make_plan(folder, scenario, token_plan=tokens)


def carry(parcel: Parcel, store: Store) -> list[Item]:
    """All parts of all files that are missing, as the messages carry them."""
    data = json.loads(json.dumps(parcel.to_json()))
    items = [Item(*row) for row in data["items"]]
    for item in store.missing(items):
        incoming = store.open(item)
        for index in range(item.num_parts):
            raw = parcel.part(item.name, index)
            assert 0 < len(raw) <= PART_BYTES
            incoming.add(raw)
        incoming.close()
    return items


def schedule_sha256(plan: PointPlan) -> str:
    loaded = load_resolved(plan.resolved_scenario)
    materials = read_materials(loaded.document, loaded.search_paths)
    return build_schedule(expand(loaded.document)[0], materials).sha256()


def test_a_plan_unpacked_elsewhere_makes_the_same_schedule(tmp_path: Path) -> None:
    plan, there = with_files(tmp_path / "here"), tmp_path / "there"
    there.mkdir()
    parcel, store = Parcel(plan), Store(there)
    items = carry(parcel, store)
    assert str(tmp_path / "here") not in json.dumps(parcel.to_json())
    (tmp_path / "here").rename(tmp_path / "gone")  # another host has none of these paths
    got = store.plan(parcel.to_json()["plan"], items)

    unpacked = schedule_sha256(got)
    (tmp_path / "gone").rename(tmp_path / "here")
    assert unpacked == schedule_sha256(plan)
    assert got.token_plan == plan.token_plan
    assert got.run_id == plan.run_id
    assert store.missing(items) == []  # the next point of the run asks for nothing again


def test_a_damaged_file_never_appears(tmp_path: Path) -> None:
    item = Item("a.csv", 3, hashlib.sha256(b"abc").hexdigest())
    incoming = Store(tmp_path).open(item)
    incoming.add(b"abd")
    with pytest.raises(MeasurementError, match=r"a\.csv arrived damaged"):
        incoming.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", "..", ""])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(MeasurementError, match="a file called"):
        Store(tmp_path).missing([Item(name, 1, "0")])


def test_all_workers_digest_the_same_bodies(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, scenario_of("http://127.0.0.1:1/v1", open_load(40, 60)))
    shards = [prepare(plan, k, 3, Polls(), lambda: None) for k in range(3)]
    assert len({shard.bodies_sha256 for shard in shards}) == 1
    reseeded = scenario_of("http://127.0.0.1:1/v1", open_load(40, 60), seed=8)
    other = make_plan(tmp_path / "o", reseeded)
    assert prepare(other, 0, 3, Polls(), lambda: None).bodies_sha256 != shards[0].bodies_sha256


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.5:5557", ("10.0.0.5", 5557)), ("10.0.0.5", ("10.0.0.5", 0)),
        ("host.example:80", ("host.example", 80)), ("[::1]:9", ("[::1]", 9)),
        ("[::1]", ("[::1]", 0)), ("*:7", ("*", 7)),
    ],
)  # fmt: skip
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["", ":5", "a:", "a:b", "a:0", "a:70000", "::1", "::1:5"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        split_address(text)


def test_a_worker_needs_a_port() -> None:
    with pytest.raises(UsageError, match="is no address"):
        split_address("10.0.0.5", needs_port=True)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.2", True), ("localhost", True), ("[::1]", True), ("0.0.0.0", False), ("*", False),
     ("10.0.0.5", False), ("127.evil.example", False)],
)  # fmt: skip
def test_what_other_hosts_can_reach(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_bodies_of_a_shard_are_its_own_and_stay_right_when_their_pages_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = scenario_of("http://127.0.0.1:1/v1", open_load(40, 60))
    plan = make_plan(tmp_path / "here", scenario)
    whole, part = (prepare(plan, 0, count, Polls(), lambda: None).bodies for count in (1, 2))
    before = [whole.body(0, row, "salt") for row in range(40)]
    assert len(set(before)) == 40
    monkeypatch.setattr("harness.load.bodies.MOST_MAPPED", 0)
    assert [whole.body(0, row, "salt") for row in range(40)] == before
    assert [part.body(0, row, "salt") for row in range(0, 40, 2)] == before[::2]
    with pytest.raises(KeyError):
        part.body(0, 1, "salt")
