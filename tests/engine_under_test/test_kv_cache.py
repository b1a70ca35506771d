"""Blocks: a state machine checked after every operation, and the rules of publishing and reuse."""

from __future__ import annotations

import hashlib
import struct

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine_under_test.kv_cache import ROOT_HASH, BlockPool, KVCacheManager, hash_block
from engine_under_test.request import Request, SamplingParams

BLOCK = 4


def request(name: str, tokens: list[int], salt: str = "") -> Request:
    return Request(name, tokens, SamplingParams(), cache_salt=salt)


class KVCacheMachine(RuleBasedStateMachine):
    """Requests over three tokens, so prefixes collide often; block contents are tracked apart.

    `written` is what a device would hold: the tokens computed into each block's slots. A block
    that look-ups can find must hold exactly the tokens its finder believes in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kv = KVCacheManager(num_blocks=9, block_size=BLOCK)
        self.live: dict[str, Request] = {}
        self.accepted: dict[str, int] = {}  # tokens accepted; later ones are drafts on trial
        self.written: dict[int, list[int]] = {}
        self.count = 0

    @rule(tokens=st.lists(st.integers(0, 2), min_size=1, max_size=20), salt=st.sampled_from("ab"))
    def arrive(self, tokens: list[int], salt: str) -> None:
        r = request(f"r{self.count}", tokens, salt)
        self.count += 1
        num_cached = self.kv.match_prefix(r)
        assert num_cached % BLOCK == 0
        assert num_cached <= r.num_tokens - 1
        free_before = self.kv.pool.num_free
        if not self.kv.allocate(r, r.num_tokens - num_cached, num_cached):
            assert r.block_ids == []
            assert self.kv.pool.num_free == free_before
            return
        for i in range(num_cached // BLOCK):
            expected = [ord(salt), *r.token_ids[: (i + 1) * BLOCK]]
            assert self.written[r.block_ids[i]] == expected
        r.num_computed = num_cached
        self.live[r.request_id] = r
        self.accepted[r.request_id] = r.num_tokens

    @precondition(lambda self: self.live)
    @rule(data=st.data(), drafts=st.lists(st.integers(0, 2), max_size=5), keep=st.integers(0, 5))
    def step(self, data: st.DataObject, drafts: list[int], keep: int) -> None:
        """Compute what is missing and some drafts, accept a few of them, append one token."""
        r = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        num_new = r.num_tokens + len(drafts) - r.num_computed
        if not self.kv.allocate(r, num_new):
            return
        sequence = r.token_ids + drafts
        for i, block_id in enumerate(r.block_ids):
            if (i + 1) * BLOCK > r.num_computed:
                self.written[block_id] = [ord(r.cache_salt), *sequence[: (i + 1) * BLOCK]]
        kept = drafts[:keep]
        r.num_computed = r.num_tokens + len(kept)
        r.token_ids = r.token_ids + kept + [data.draw(st.integers(0, 2))]
        self.kv.commit(r, r.num_computed)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), is_preempted=st.booleans())
    def leave(self, data: st.DataObject, is_preempted: bool) -> None:
        r = self.live.pop(data.draw(st.sampled_from(sorted(self.live))))
        self.kv.free(r)
        assert r.block_ids == []
        if not is_preempted:
            self.kv.forget(r)

    @invariant()
    def integrity(self) -> None:
        self.kv.check_integrity()
        assert 0 <= self.kv.usage <= 1

    @invariant()
    def no_unaccepted_token_is_published(self) -> None:
        """Each published hash is recomputed from what the block truly holds."""
        for block_hash, block in self.kv.pool.published.items():
            salt, *tokens = self.written[block.block_id]
            assert len(tokens) % BLOCK == 0
            parent = ROOT_HASH
            for start in range(0, len(tokens), BLOCK):
                key = (
                    ""
                    if start
                    else Request("", [0], SamplingParams(), cache_salt=chr(salt)).cache_key
                )
                parent = hash_block(parent, tokens[start : start + BLOCK], key)
            assert parent == block_hash


KVCacheMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestKVCacheMachine = KVCacheMachine.TestCase


def full(kv: KVCacheManager, name: str, tokens: list[int], salt: str = "") -> Request:
    """A request computed and committed whole."""
    r = request(name, tokens, salt)
    assert kv.allocate(r, len(tokens))
    r.num_computed = len(tokens)
    kv.commit(r, r.num_computed)
    return r


def test_a_partial_block_and_the_last_token_are_never_matched() -> None:
    kv = KVCacheManager(10, BLOCK)
    full(kv, "a", [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert kv.match_prefix(request("b", [1, 2, 3, 4, 5, 6, 7, 8])) == 4
    assert kv.match_prefix(request("c", [1, 2, 3, 4, 5, 6, 7, 8, 9, 9])) == 8
    assert kv.match_prefix(request("d", [1, 2, 3, 4, 5, 6, 0, 8, 9])) == 4
    assert kv.match_prefix(request("e", [0, 2, 3, 4, 5, 6, 7, 8, 9])) == 0


def test_salt_and_position_isolate_equal_blocks() -> None:
    kv = KVCacheManager(10, BLOCK)
    full(kv, "a", [1, 2, 3, 4, 1, 2, 3, 4, 0], salt="x")
    assert kv.match_prefix(request("b", [1, 2, 3, 4, 9], "x")) == 4
    assert kv.match_prefix(request("c", [1, 2, 3, 4, 9], "y")) == 0
    assert kv.match_prefix(request("d", [1, 2, 3, 4, 9])) == 0


def test_freed_blocks_are_found_until_reused_and_endings_go_first() -> None:
    kv = KVCacheManager(4, BLOCK)  # three usable blocks
    a = full(kv, "a", list(range(12)))
    first, second, third = a.block_ids
    kv.free(a)
    assert kv.pool.free_ids() == [third, second, first]
    b = request("b", [9] * 4)
    assert kv.allocate(b, 4)
    assert b.block_ids == [third]
    assert kv.match_prefix(request("c", list(range(13)))) == 8


def test_shared_blocks_are_counted_not_copied() -> None:
    kv = KVCacheManager(10, BLOCK)
    a = full(kv, "a", list(range(9)))
    b = request("b", [*range(8), 77])
    assert kv.allocate(b, 1, num_cached=kv.match_prefix(b))
    assert b.block_ids[:2] == a.block_ids[:2]
    kv.free(a)
    kv.check_integrity()
    assert kv.pool.blocks[b.block_ids[0]].ref_count == 1


def test_allocation_is_all_or_nothing_and_counts_cached_free_blocks() -> None:
    kv = KVCacheManager(4, BLOCK)
    kv.free(full(kv, "a", list(range(8))))
    b = request("b", list(range(16)))
    assert kv.match_prefix(b) == 8
    # Two cached blocks lie in the free list and two new ones are needed: one too many.
    assert kv.num_free_after(b, 16, 8) == -1
    assert not kv.allocate(b, 8, num_cached=8)
    assert (b.block_ids, kv.pool.num_free) == ([], 3)
    assert kv.allocate(b, 4, num_cached=8)


def test_caching_off_finds_nothing() -> None:
    kv = KVCacheManager(10, BLOCK, enable_prefix_caching=False)
    full(kv, "a", list(range(9)))
    assert kv.match_prefix(request("b", list(range(9)))) == 0


def test_a_hash_is_blake2b_of_parent_int32_tokens_and_salt() -> None:
    data = ROOT_HASH + struct.pack("=3i", 1, 2, 70_000) + b"tenant"
    expected = hashlib.blake2b(data, digest_size=16).digest()
    assert hash_block(ROOT_HASH, [1, 2, 70_000], "tenant") == expected


def test_a_pool_hands_out_every_block_but_the_padding_block() -> None:
    pool = BlockPool(5)
    assert sorted(pool.take().block_id for _ in range(4)) == [1, 2, 3, 4]
    assert pool.num_free == 0
