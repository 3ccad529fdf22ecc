"""Whether more of a metric is better, or less: from its name, or from its numbers."""

import re

import numpy as np

from .parts import measurements

# What a part of a metric's name, in lower case, says of the metric. Dice, cosine,
# similarity, tversky and score are not here: each is also the name of a loss.
HIGHER = (
    r"(acc|accuracy|auc|bleu|coef|coefficient|corr|correlation|f1|f2|fbeta|hits?|iou|"
    r"jaccard|kappa|matthews|mcc|ndcg|precision|psnr|r2|recall|rouge|sensitivity|"
    r"specificity|ssim|top)\d*"
)
LOWER = (
    r"(brier|crossentropy|crps|distance|divergence|entropy|err|errors?|fid|hinge|loss|"
    r"mae|mape|mse|msle|nll|perplexity|poisson|rmse)\d*"
)
# Numbers that are less correlated with the loss do not tell.
CORRELATION = 1 / 2


def higher_is_better(history, metric):
    """Whether more of it is better: by its name, or else because it falls with the loss.

    The last part of the name that says something decides: `score_mae` is an error. None
    if neither tells.
    """
    # `kind_MeanIoU` is kind, mean and iou, which Keras calls `mean_io_u`.
    name = metric.replace("IoU", "_iou").replace("io_u", "iou")
    name = re.sub("([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    for part in reversed(re.split("[^a-z0-9]+", name)):
        if re.fullmatch(HIGHER, part):
            return True
        if re.fullmatch(LOWER, part):
            return False
    # Of the training data only: the validation's loss can rise while its accuracy does.
    series = [measurements(history, "loss"), measurements(history, metric)]
    training = [name for name in series[0] if name not in ("held_out", "val")]
    both = np.reshape([[x[name] for name in training] for x in series], (2, -1))
    losses, values = both[:, np.isfinite(both).all(axis=0)]
    if len(values) < 2 or np.ptp(losses) == 0 or np.ptp(values) == 0:
        return None
    correlation = np.corrcoef(losses, values)[0, 1]
    return bool(correlation < 0) if abs(correlation) >= CORRELATION else None
