"""finding.json: the facts behind the study's answer; the report puts them in sentences."""

from pipeline.tables.base import Document

FINDING = Document(
    "finding",
    6,
    "The figures behind the study's answer, which the report's finding.txt puts in words.",
    {
        "confidence": "coverage of every interval in this study",
        "bootstrap": "resamples behind every interval of texts",
        "reference_level": "level at which orders of removal are compared",
        "models": "rows: model, activation, parameters, neurons, natural_sparsity (share of "
        "inactive (token, neuron) pairs), active_rule (nonzero or cett), policy and share (of the "
        "classification that the cold and the hot arm go by), hot (neurons in the hot set), "
        "carried (share of all activations that the hot set carries)",
        "dense": "rows: model, task, reasoning, steps (null for all), n, accuracy, chance",
        "contrasts": "rows: model, first and second ({method, level, neuron_sparsity} each, the "
        "last one imposed), estimate, low, high, n: accuracy lost under the first minus accuracy "
        "lost under the second, mean of the reasoning tasks, in shares (0.1 is ten points)",
        "decomposition": "rows: model, scope (layer or model), part (layers, not hot, order of "
        "coldness), first and second (methods), estimate, low, high: accuracy lost under the first "
        "minus accuracy lost under the second; the parts of a scope add up to the difference "
        "between random neurons of every layer and the coldest",
        "dense_reasoning": "rows: model, accuracy, low, high, chance, n: the dense model on the "
        "mean of the reasoning tasks; it is clear of chance where low lies above chance",
        "text_contrasts": "rows: as contrasts, and task: nats a token under the first minus nats a "
        "token under the second, on the n texts of a task that scores texts",
        "text_decomposition": "rows: as decomposition, and task, in nats a token",
    },
)
