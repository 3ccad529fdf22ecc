import numpy as np
import pytest
from histories import course

from pyimagesearch.lossgap.direction import higher_is_better

HIGHER = "accuracy acc Accuracy sparse_top_k_categorical_accuracy top2 top_5 Recall AUC auc_1"
HIGHER += (
    " precision f1 F1Score f1_score mean_io_u MeanIoU kind_accuracy dice_coef jaccard"
)
HIGHER += (
    " dice_coefficient psnr ssim mcc matthews_corr ndcg hits@10 hit_rate bleu rouge r2"
)
HIGHER += " pearson_correlation loss_accuracy"
LOWER = "loss kind_loss score_mae mean_squared_error rmse mape kl_divergence dice_loss"
LOWER += " categorical_crossentropy hinge accuracy_error poisson error_rate brier_score fid_score"
BOTH = (
    "dice cosine_similarity energy_score custom_score tversky backtrack stop macchiato"
)


def moving(metric, slope):
    """A history whose loss falls, while the metric moves by `slope` times as much."""
    losses = np.array([0.5, 0.4, np.nan, 0.3])
    series = course(val=losses[::-1], inference_mode=losses)
    for name in [name for name in series if name.endswith("loss")]:
        series[name.replace("loss", metric)] = 3 + slope * series[name]
    return series


@pytest.mark.parametrize("slope", [-1, 1])
@pytest.mark.parametrize("metric", HIGHER.split())
def test_more_is_better_of_names_that_say_so_whatever_the_numbers(metric, slope):
    assert higher_is_better(moving(metric, slope), metric) is True


@pytest.mark.parametrize("slope", [-1, 1])
@pytest.mark.parametrize("metric", LOWER.split())
def test_less_is_better_of_names_that_say_so_whatever_the_numbers(metric, slope):
    assert higher_is_better(moving(metric, slope), metric) is False


@pytest.mark.parametrize("metric", BOTH.split())
def test_of_other_names_what_falls_with_the_loss_is_better_when_higher(metric):
    assert higher_is_better(moving(metric, -1), metric) is True
    assert higher_is_better(moving(metric, 1), metric) is False
    # The validation's loss may rise while its accuracy does: it is not asked.
    rising = moving(metric, -1)
    rising["val_loss"] = rising[f"val_{metric}"] = np.array([1.0, 10, 100, 1000])
    assert higher_is_better(rising, metric) is True


def test_what_does_not_move_with_the_loss_does_not_tell():
    series = moving("dice", 0)
    assert higher_is_better(series, "dice") is None
    series["dice"], series["training_mode_dice"] = [1, 0, 0, 1], [0, 1, 1, 0]
    assert higher_is_better(series, "dice") is None
