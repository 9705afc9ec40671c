"""A scripted expert: it sees where everything is and shows how LIBERO's tasks are done."""

from envs.expert.expert import Expert, ExpertAction

__all__ = ["Expert", "ExpertAction"]
