"""Who may do what: named rules in the syntax operators know, compiled at load to plain functions.

    text (defaults of the declarations, an operator's policy.yaml)
      → `syntax`   one rule's text as a tree of checks
      → `compile`  trees as functions of (caller, target), references resolved, cycles refused
      → `table`    `Policy`: every rule by name

Nothing is read or parsed when a request is answered.
"""

from alcor.api.policy.compile import Rule
from alcor.api.policy.defaults import action_name, default_rules
from alcor.api.policy.named import BASE_RULES
from alcor.api.policy.syntax import PolicyError
from alcor.api.policy.table import Policy, load_overrides

__all__ = [
    "BASE_RULES",
    "Policy",
    "PolicyError",
    "Rule",
    "action_name",
    "default_rules",
    "load_overrides",
]
