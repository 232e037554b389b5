"""Questions asked of a model."""

from cnnlab.analysis.activations import activation_maps
from cnnlab.analysis.cost import Cost, cost
from cnnlab.analysis.equivariance import equivariance_errors, invariance_error
from cnnlab.analysis.fields import Field, effective_field, receptive_field
from cnnlab.analysis.jacobian import jacobian_matrix
from cnnlab.analysis.memory import Memory, memory
from cnnlab.analysis.summary import Operations, Row, Summary, summary
from cnnlab.models import count_parameters

__all__ = [
    "Cost",
    "Field",
    "Memory",
    "Operations",
    "Row",
    "Summary",
    "activation_maps",
    "cost",
    "count_parameters",
    "effective_field",
    "equivariance_errors",
    "invariance_error",
    "jacobian_matrix",
    "memory",
    "receptive_field",
    "summary",
]
