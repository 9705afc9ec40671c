"""LIBERO's assets made from boxes and turned profiles: `build` writes them, `primitive_assets` caches them.

The result is a folder like LIBERO's own (`scenes/`, `stable_hope_objects/`, ...), so LIBERO's task files,
initial states and success predicates work on it unchanged. Nothing is downloaded; the same sources always
give the same bytes.
"""

from envs.primitives.cache import build, is_primitive, primitive_assets

__all__ = ["build", "is_primitive", "primitive_assets"]
