"""Questions asked of a model."""

from cnnlab.analysis.fields import receptive_field
from cnnlab.analysis.summary import Row, Summary, count_parameters, summary

__all__ = ["Row", "Summary", "count_parameters", "receptive_field", "summary"]
