import numpy as np
import pytest

from pyimagesearch.lossgap.direction import higher_is_better

HIGHER = "accuracy acc Accuracy sparse_top_k_categorical_accuracy top2 top_5 Recall AUC auc_1"
HIGHER += (
    " precision f1 F1Score f1_score mean_io_u MeanIoU kind_accuracy dice_coef jaccard"
)
HIGHER += (
    " cosine_similarity psnr ssim mcc matthews_corr ndcg hits@10 hit_rate bleu rouge r2"
)
HIGHER += " pearson_correlation loss_accuracy custom_score"
LOWER = "loss kind_loss score_mae mean_squared_error rmse mape kl_divergence dice_loss"
LOWER += " categorical_crossentropy hinge accuracy_error poisson error_rate brier_score fid_score"


@pytest.mark.parametrize("metric", HIGHER.split())
def test_more_is_better_of_names_that_say_so(metric):
    assert higher_is_better({}, metric)


@pytest.mark.parametrize("metric", LOWER.split())
def test_less_is_better_of_names_that_say_so(metric):
    assert not higher_is_better({}, metric)


@pytest.mark.parametrize("metric", ["backtrack", "custom", "stop", "macchiato"])
def test_of_other_names_what_falls_with_the_loss_is_better_when_higher(metric):
    losses = np.array([0.5, 0.4, np.nan, 0.3])
    series = {}
    for name in ("{}", "val_{}", "training_mode_{}", "inference_mode_{}"):
        series[name.format("loss")] = losses + len(name) / 100
        series[name.format(metric)] = 3 - series[name.format("loss")]
    assert higher_is_better(series, metric)
    for name in list(series):
        if metric in name:
            series[name] = 3 - series[name]
    assert not higher_is_better(series, metric)
