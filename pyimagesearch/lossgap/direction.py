"""Whether more of a metric is better, or less: from its name, or from its numbers."""

import re

import numpy as np

from .parts import measurements

# What a part of a metric's name, in lower case, says of the metric.
HIGHER = (
    r"(acc|accuracy|auc|bleu|corr|correlation|cosine|dice|f1|f2|fbeta|hits?|iou|jaccard|"
    r"kappa|matthews|mcc|ndcg|precision|psnr|r2|recall|rouge|sensitivity|"
    r"similarity|specificity|ssim|top)\d*"
)
LOWER = (
    r"(brier|crossentropy|distance|divergence|entropy|err|errors?|fid|hinge|loss|mae|"
    r"mape|mse|msle|nll|perplexity|poisson|rmse)\d*"
)


def higher_is_better(history, metric):
    """Whether more of it is better: by its name, or else because it falls with the loss.

    The last part of the name that says something decides: `score_mae` is an error.
    Where the numbers do not tell either, less is better, as of a loss.
    """
    parts = parts_of_name(metric)
    for part in reversed(parts):
        if re.fullmatch(HIGHER, part):
            return True
        if re.fullmatch(LOWER, part):
            return False
    if "score" in parts:  # a Brier score is an error
        return True
    losses, values = (
        np.concatenate(list(measurements(history, name).values()))
        for name in ("loss", metric)
    )
    known = np.isfinite(losses) & np.isfinite(values)
    if not np.any(known):
        return False
    return bool(np.cov(losses[known], values[known], bias=True)[0, 1] < 0)


def parts_of_name(metric):
    """`kind_MeanIoU` is kind, mean and iou, which Keras calls `mean_io_u`."""
    name = metric.replace("IoU", "_iou").replace("io_u", "iou")
    name = re.sub("([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.split("[^a-z0-9]+", name.lower())
