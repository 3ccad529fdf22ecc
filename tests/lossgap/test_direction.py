import numpy as np
import pytest
from histories import course

from pyimagesearch.lossgap.direction import higher_is_better

HIGHER = """accuracy acc Accuracy sparse_top_k_categorical_accuracy top2 top_5 Recall AUC auc_1
precision f1 F1Score f1_score mean_io_u MeanIoU kind_accuracy dice_coef jaccard dice_coefficient
psnr ssim mcc matthews_corr ndcg hits@10 hit_rate bleu rouge r2 pearson_correlation loss_accuracy"""
LOWER = """loss kind_loss score_mae mean_squared_error rmse mape kl_divergence dice_loss hinge
categorical_crossentropy accuracy_error poisson error_rate brier_score fid_score"""
BOTH = """dice cosine_similarity energy_score custom_score tversky backtrack stop
macchiato"""


def moving(metric, slope):
    """A history whose loss falls, while the metric moves by `slope` times as much."""
    losses = np.array([0.5, 0.4, np.nan, 0.3])
    series = course(val=losses[::-1], inference_mode=losses)
    for name in [name for name in series if name.endswith("loss")]:
        series[name.replace("loss", metric)] = 3 + slope * series[name]
    return series


@pytest.mark.parametrize("names, more_is_better", [(HIGHER, True), (LOWER, False)])
def test_a_name_that_says_what_is_better_wins_over_the_numbers(names, more_is_better):
    for metric in names.split():
        for slope in (-1, 1):
            found = higher_is_better(moving(metric, slope), metric)
            assert found is more_is_better, metric


def test_of_other_names_what_falls_with_the_loss_is_better_when_higher():
    for metric in BOTH.split():
        assert higher_is_better(moving(metric, -1), metric) is True, metric
        assert higher_is_better(moving(metric, 1), metric) is False, metric
    # The validation's loss may rise while its accuracy does: it is not asked.
    rising = moving("dice", -1)
    rising["val_loss"] = rising["val_dice"] = np.array([1.0, 10, 100, 1000])
    assert higher_is_better(rising, "dice") is True


def test_what_does_not_move_with_the_loss_does_not_tell():
    series = moving("dice", 0)
    assert higher_is_better(series, "dice") is None
    series["dice"], series["training_mode_dice"] = [1, 0, 0, 1], [0, 1, 1, 0]
    assert higher_is_better(series, "dice") is None
