"""What cnnlab needs of jax that jax does not export: the one module that touches `jax._src`.

Where a new jax breaks something of it, here is what to mend, and nothing else.

- `dispatch`: how a primitive runs outside of `jit`, and the set of those that are lowered with the
  devices at hand.
- `compilation_cache`: compiled programs kept on disk: how they are compressed, and what opens the
  cache.
- `LRUCache`: that cache.
"""

from jax._src import compilation_cache, dispatch
from jax._src.lru_cache import LRUCache

__all__ = ["LRUCache", "compilation_cache", "dispatch"]
