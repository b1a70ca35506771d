"""Who holds which block of the KV cache, and which finished blocks may be shared. No torch.

A block is `block_size` token slots. Block 0 is padding and belongs to nobody. A freed block joins
the tail of the free list, a sequence's last block first, and keeps its contents until it is
handed out again from the head: the free list is the LRU of the prefix cache. Blocks with equal
contents are not merged: tables are append-only, and the first one published answers look-ups.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from .request import Request

ROOT_HASH = b"\0" * 16


def hash_block(parent: bytes, token_ids: list[int], extra_key: str = "") -> bytes:
    """16 bytes naming a block's tokens and, through `parent`, every token before them.

    extra_key (adapter, cache salt) enters a sequence's first block; the chain carries it onwards.
    """
    data = parent + struct.pack(f"{len(token_ids)}i", *token_ids) + extra_key.encode()
    return hashlib.blake2b(data, digest_size=16).digest()


class Block:
    """One block: how many sequences hold it, its published hash, its place in the free list."""

    __slots__ = ("block_id", "hash", "next", "previous", "ref_count")

    def __init__(self, block_id: int) -> None:
        self.block_id = block_id
        self.ref_count = 0
        self.hash: bytes | None = None
        self.previous: Block | None = None
        self.next: Block | None = None


class BlockPool:
    """All blocks, the free list (least recently freed first) and the table of published hashes."""

    def __init__(self, num_blocks: int) -> None:
        self.blocks = [Block(i) for i in range(num_blocks)]
        self.published: dict[bytes, Block] = {}
        self.num_free = 0
        self._ends = Block(-1)  # sentinel: next is the head, previous the tail
        self._ends.next = self._ends.previous = self._ends
        for block in self.blocks[1:]:
            self._append(block)

    def take(self) -> Block:
        """The least recently freed block, its old contents forgotten."""
        block = self._ends.next
        assert block is not None
        assert block is not self._ends, "take() from an empty free list"
        self._unlink(block)
        if block.hash is not None:
            del self.published[block.hash]
            block.hash = None
        block.ref_count = 1
        return block

    def share(self, block: Block) -> None:
        """One more sequence holds a published block, whether or not it was free."""
        if block.ref_count == 0:
            self._unlink(block)
        block.ref_count += 1

    def release(self, block: Block) -> None:
        """One sequence less; the last one puts the block at the tail of the free list."""
        assert block.ref_count > 0, f"block {block.block_id} released twice"
        block.ref_count -= 1
        if block.ref_count == 0:
            self._append(block)

    def publish(self, block: Block, block_hash: bytes) -> None:
        """Let look-ups find the block; a second block of equal contents stays private."""
        if block_hash not in self.published:
            block.hash = block_hash
            self.published[block_hash] = block

    def free_ids(self) -> list[int]:
        """Free blocks, the next to be taken first."""
        ids, block = [], self._ends.next
        while block is not None and block is not self._ends:
            ids.append(block.block_id)
            block = block.next
        return ids

    def _append(self, block: Block) -> None:
        tail = self._ends.previous
        assert tail is not None
        tail.next = self._ends.previous = block
        block.previous, block.next = tail, self._ends
        self.num_free += 1

    def _unlink(self, block: Block) -> None:
        before, after = block.previous, block.next
        assert before is not None
        assert after is not None
        before.next, after.previous = after, before
        block.previous = block.next = None
        self.num_free -= 1


@dataclass(slots=True)
class _Chain:
    """Hashes of a request's full blocks, each computed once, and how many are published."""

    hashes: list[bytes] = field(default_factory=list)
    num_published: int = 0


class KVCacheManager:
    """Block tables of all requests. Writes request.block_ids and nothing else of a request."""

    def __init__(
        self, num_blocks: int, block_size: int = 16, enable_prefix_caching: bool = True
    ) -> None:
        assert num_blocks >= 2, "block 0 is padding: at least one more is needed"
        self.block_size = block_size
        self.enable_prefix_caching = enable_prefix_caching
        self.pool = BlockPool(num_blocks)
        self._chains: dict[str, _Chain] = {}
        self._tables: dict[str, list[int]] = {}

    @property
    def num_usable_blocks(self) -> int:
        """Blocks that sequences can hold: all but the padding block."""
        return len(self.pool.blocks) - 1

    @property
    def usage(self) -> float:
        """Share of usable blocks held by sequences, 0..1."""
        return 1 - self.pool.num_free / self.num_usable_blocks

    def num_blocks_for(self, num_tokens: int) -> int:
        """Blocks that hold num_tokens."""
        return -(-num_tokens // self.block_size)

    def match_prefix(self, r: Request) -> int:
        """Tokens of r found in the cache: whole blocks, at most num_tokens - 1. Holds nothing.

        None for a prompt that is yet to be scored, or whose mean or first token is wanted: only
        what is computed has logits and hidden states.
        """
        if r.pooling in ("mean", "cls"):
            return 0
        if r.params.prompt_logprobs is not None and r.num_scored < r.num_prompt - 1:
            return 0
        return len(self._cached_blocks(r)) * self.block_size

    def num_free_after(self, r: Request, num_tokens: int, num_cached: int = 0) -> int:
        """Free blocks left once r's table holds num_tokens; negative: it does not fit.

        num_cached: what match_prefix found, for a request that holds nothing yet. A cached block
        that lies in the free list costs as much as a new one.
        """
        num_needed = self.num_blocks_for(num_tokens) - len(r.block_ids)
        if num_cached:
            cached = self._cached_blocks(r)[: num_cached // self.block_size]
            num_needed -= sum(block.ref_count > 0 for block in cached)
        return self.pool.num_free - num_needed

    def allocate(self, r: Request, num_new_tokens: int, num_cached: int = 0) -> bool:
        """Grow r's table to hold num_computed + num_cached + num_new_tokens: all or nothing."""
        num_tokens = r.num_computed + num_cached + num_new_tokens
        if num_tokens <= len(r.block_ids) * self.block_size:
            return True
        if self.num_free_after(r, num_tokens, num_cached) < 0:
            return False
        num_needed = self.num_blocks_for(num_tokens) - len(r.block_ids)
        if num_cached:
            assert not r.block_ids, "a prefix match needs an empty table"
            cached = self._cached_blocks(r)[: num_cached // self.block_size]
            for block in cached:
                self.pool.share(block)
            r.block_ids.extend(block.block_id for block in cached)
            self._chain(r).num_published = len(cached)
            num_needed -= len(cached)
        for _ in range(num_needed):
            r.block_ids.append(self.pool.take().block_id)
        self._tables[r.request_id] = r.block_ids
        return True

    def commit(self, r: Request, num_computed: int) -> None:
        """Publish r's blocks that lie wholly below num_computed, all of whose tokens are accepted.

        Never call it with tokens that may still be rejected: another request would continue from
        a text nobody wrote.
        """
        if not self.enable_prefix_caching:
            return
        num_full = min(num_computed, r.num_tokens) // self.block_size
        chain = self._chain(r)
        if num_full <= chain.num_published:
            return
        self._extend(chain, r, num_full)
        for i in range(chain.num_published, num_full):
            self.pool.publish(self.pool.blocks[r.block_ids[i]], chain.hashes[i])
        chain.num_published = num_full

    def free(self, r: Request) -> None:
        """Take all blocks from r, the last one first, so that a prefix outlives its endings."""
        for block_id in reversed(r.block_ids):
            self.pool.release(self.pool.blocks[block_id])
        r.block_ids = []
        self._tables.pop(r.request_id, None)
        if (chain := self._chains.get(r.request_id)) is not None:
            chain.num_published = 0

    def forget(self, r: Request) -> None:
        """Drop the hashes kept for r; call once it will not come back."""
        self._chains.pop(r.request_id, None)

    def check_integrity(self) -> None:
        """Raise AssertionError unless every block is free or held as often as tables say."""
        held = [0] * len(self.pool.blocks)
        for table in self._tables.values():
            assert len(set(table)) == len(table), f"a table lists a block twice: {table}"
            for block_id in table:
                held[block_id] += 1
        assert held[0] == 0, "the padding block is in a table"
        free = self.pool.free_ids()
        assert len(free) == self.pool.num_free == len(set(free)), "the free list miscounts"
        assert 0 not in free, "the padding block is free"
        for block in self.pool.blocks[1:]:
            assert block.ref_count == held[block.block_id], f"block {block.block_id} refs"
        assert sum(n > 0 for n in held) + len(free) == self.num_usable_blocks, "a block is lost"
        for block_hash, block in self.pool.published.items():
            assert block.hash == block_hash, f"block {block.block_id} is published by another name"
        assert sum(block.hash is not None for block in self.pool.blocks) == len(
            self.pool.published
        ), "a block has a hash that nobody can find"

    def _cached_blocks(self, r: Request) -> list[Block]:
        if not self.enable_prefix_caching:
            return []
        chain, found = self._chain(r), []
        hashes, published = chain.hashes, self.pool.published
        for i in range((r.num_tokens - 1) // self.block_size):
            if i == len(hashes):
                self._extend(chain, r, i + 1)
            if (block := published.get(hashes[i])) is None:
                break
            found.append(block)
        return found

    def _chain(self, r: Request) -> _Chain:
        chain = self._chains.get(r.request_id)
        if chain is None:
            chain = self._chains[r.request_id] = _Chain()
        return chain

    def _extend(self, chain: _Chain, r: Request, num_full: int) -> None:
        """Hash r's blocks up to num_full; each block is hashed once in a request's life."""
        size = self.block_size
        for i in range(len(chain.hashes), num_full):
            parent = chain.hashes[-1] if chain.hashes else ROOT_HASH
            tokens = r.token_ids[i * size : (i + 1) * size]
            chain.hashes.append(hash_block(parent, tokens, "" if i else r.cache_key))
