"""From evidence to findings: all rules, and which findings explain which others away."""

from convsmith.insight import course_rules, data_rules, step_rules, survey_rules
from convsmith.insight.evidence import Evidence, Finding, Rule

__all__ = ["RULES", "find"]

# rule -> (function, rules whose finding makes this one a mere consequence)
RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "nonfinite": (step_rules.nonfinite, ()),
    "input-scale": (survey_rules.inputs, ()),
    "exploding": (step_rules.exploding, ("input-scale",)),
    "saturated": (survey_rules.saturated, ("input-scale",)),
    "rate-high": (step_rules.rate_too_high, ("exploding",)),
    "vanishing": (step_rules.vanishing, ("saturated", "rate-high")),
    "rate-low": (step_rules.rate_too_low, ("vanishing",)),
    "batch-norm": (survey_rules.batch_norm, ("rate-high", "vanishing")),
    "dead-relu": (
        survey_rules.dead_units,
        ("rate-high", "exploding", "vanishing", "batch-norm"),
    ),
    "spike": (course_rules.spikes, ("rate-high", "exploding", "nonfinite")),
    "leakage": (data_rules.leakage, ()),
    "imbalance": (data_rules.imbalance, ()),
    "small-validation": (data_rules.small_validation, ()),
    "label-noise": (  # only a network that was trained well can tell
        data_rules.label_noise,
        ("input-scale", "rate-high", "rate-low", "vanishing", "batch-norm", "dead-relu"),
    ),
    "overfit": (course_rules.overfitting, ("label-noise", "batch-norm")),
    "underfit": (
        course_rules.underfitting,
        (
            *("nonfinite", "input-scale", "exploding", "saturated", "rate-high", "rate-low"),
            *("dead-relu", "vanishing", "label-noise"),
        ),
    ),
}


def find(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what is wrong, the worst first; nothing for a training that shows nothing wrong."""
    found: dict[str, list[Finding]] = {}
    for name, (rule, causes) in RULES.items():
        if not any(found.get(cause) for cause in causes):
            found[name] = list(rule(evidence))
    findings = [each for every in found.values() for each in every]
    return tuple(sorted(findings, key=lambda each: each.severity != "bad"))
