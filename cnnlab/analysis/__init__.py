"""Questions asked of a model."""

from .summary import Row, Summary, count_parameters, summary

__all__ = ["Row", "Summary", "count_parameters", "summary"]
