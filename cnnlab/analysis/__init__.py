"""Questions asked of a model."""

from .fields import receptive_field
from .summary import Row, Summary, count_parameters, summary

__all__ = ["Row", "Summary", "count_parameters", "receptive_field", "summary"]
