import pytest
from histories import course

from pyimagesearch.lossgap import in_words

NAN = float("nan")
RISING = {"val": [0.6, 0.5, 0.8], "inference_mode": [0.5, 0.4, 0.3]}
BOTH_RISING = RISING | {"inference_mode": [0.5, 0.4, 0.535]}
UNKNOWN = {"errors": {"memorization_and_data": NAN}}
LARGER = {"errors": {"memorization_and_data": 0.02}}
EQUAL = {"val": [0.5, 0.4], "inference_mode": [0.5, 0.4]}
# Of a part of all, moving averages cost as much as the network got better.
LAGGING = {"val": [5.6, 5.5, 5.8], "inference_mode": [0.5, 0.4, 0.6]}
LAGGING |= {"batch_statistics": [0.5, 0.4, 0.44]}
SORTED = {"val": [0.5, 0.5], "inference_mode": [0.5, 0.5], "": [0.4, 0.4]}
HELD_OUT = {"val": [0.4], "inference_mode": [0.3], "held_out": [0.421]}

# What is said of a history, and the changes after which it must not be said. An error is
# 0.01, that of a difference of two epochs 0.0141.
SENTENCES = [
    (
        ", which may be chance",
        {"val": [0.5], "inference_mode": [0.519]},
        [{"inference_mode": [0.521]}, {"inference_mode": [0.5]}, UNKNOWN],
    ),
    ("by an unknown error", EQUAL | UNKNOWN | {"val": [0.5, 0.3]}, [{"errors": {}}]),
    ("to four decimals the same", EQUAL, [{"val": [0.5, 0.4001]}]),
    (
        "Nothing shows a fault",
        EQUAL,
        [
            {"val": [0.5, 0.421]},
            {"val": [0.5, 0.379]},
            {"val": [0.37, 0.4]},
            {"error": 0.041},
            {"": [0.428, 0.4], "inference_mode": [0.428, 0.4]},
            UNKNOWN,
        ],
    ),
    (
        "cannot be said: an error is unknown",
        EQUAL | {"error": 0.041},
        [{"error": 0.04}],
    ),
    ("cannot be said: an error is unknown", EQUAL | UNKNOWN, [{"errors": {}}]),
    ("lowest in the last epoch.", EQUAL, [{"val": [0.4, 0.4001]}, {"val": [0.4, NAN]}]),
    ("lowest in epoch 2 of 3 (0.5000), and has risen by 0.3000 since.", RISING, []),
    ("has not clearly risen", RISING | {"val": [0.6, 0.5, 0.528]}, [RISING]),
    ("has not clearly risen", RISING | {"error": NAN}, [{"error": 0.1}]),
    (
        "has probably risen by",
        RISING | {"val": [0.6, 0.5, 0.529]},
        [{"val": [0.6, 0.5, 0.528]}, {"val": [0.6, 0.5, 0.543]}],
    ),
    (
        "training data's has not risen half as much: so it goes where a network overfits",
        RISING,
        [
            {"val": [0.6, 0.5, 0.528]},
            {"inference_mode": [0.5, 0.4, 0.536]},
            {"inference_mode": [0.5, 0.4, 0.49]} | LARGER,
            UNKNOWN,
        ],
    ),
    (
        "too, by 0.1350: a smaller learning rate, for example.\nBut it has not risen half",
        BOTH_RISING,
        [{"inference_mode": [0.5, 0.4, 0.536]}, {"batch_statistics": [0.5, 0.4, 0.4]}],
    ),
    (
        "has risen, too, by 0.0500",
        BOTH_RISING | {"inference_mode": [0.5, 0.4, 0.45]} | LARGER,
        [{"inference_mode": [0.5, 0.4, 0.448]}, UNKNOWN, {"val": [0.6, 0.5, 0.5]}],
    ),
    (
        "too, cannot be told",
        RISING | UNKNOWN,
        [{"errors": {}}, {"val": [0.6, 0.5, 0.5]}],
    ),
    (
        "before all else: half of the difference was there in epoch 2",
        RISING | {"inference_mode": [0.5, 0.2, 0.3]},
        [{"inference_mode": [0.5, 0.24, 0.3]}, {"inference_mode": [0.5, 0.2, 0.36]}],
    ),
    (
        "moving averages cost the training data 0.0400.\nThey lag",
        {"val": [0.39], "inference_mode": [0.4], "batch_statistics": [0.36]},
        [
            {"batch_statistics": [0.362]},
            {"batch_statistics": [0.44]},
            {"error": 0.021},
            {"val": [-0.41]},
        ],
    ),
    (
        "moving averages cost the training data 0.1600",
        LAGGING,
        [{"batch_statistics": [0.5, 0.4, 0.46]}, {"val": [5.6, 5.5, 5.5]}],
    ),
    (
        "not risen half as much",
        LAGGING | {"batch_statistics": [0.5, 0.4, 0.46]},
        [LAGGING],
    ),
    (
        "did better by 0.1000 as they came than after it",
        SORTED,
        [
            {"": [0.4, 0.451]},
            {"": [0.4, 0.6]},
            {"val": [0.44, 0.5]},
            {"val": [1.1, 1.1]},
            {"error": 0.051},
            {"val": [0.5], "inference_mode": [0.5], "": [0.4]},
        ],
    ),
    (
        "The validation's data probably do better than the training data",
        {"val": [0.4], "inference_mode": [0.421]},
        [{"inference_mode": [0.419]}, {"inference_mode": [0.379]}, UNKNOWN],
    ),
    (
        "The validation's data do better than the training data",
        # Each of both parts may be chance: only their sum is clear.
        {"val": [0.3], "inference_mode": [0.338], "held_out": [0.319]},
        [{"inference_mode": [0.319]}, {"held_out": [0.321]}],
    ),
    (
        "The validation's data probably do better than the held-out data",
        HELD_OUT,
        [{"held_out": [0.419]}, {"held_out": [0.379]}],
    ),
    (
        "The training data do better than the held-out data, measured alike: the network k",
        HELD_OUT,
        [{"inference_mode": [0.402]}, {"inference_mode": [0.5]}],
    ),
    (
        "The held-out data do better than the training data",
        HELD_OUT | {"inference_mode": [0.46]},
        [{"inference_mode": [0.44]}],
    ),
    (
        "The held-out data probably do better than the validation's data: these are harder",
        HELD_OUT | {"held_out": [0.379]},
        [{"held_out": [0.381]}],
    ),
    (
        "The training data probably do better than the validation's data, measured alike",
        EQUAL | {"val": [0.5, 0.421]},
        [{"val": [0.5, 0.419]}, {"val": [0.5, 0.431]}, {"val": [0.38, 0.421]}, UNKNOWN],
    ),
    (
        "has not clearly improved in or since the first epoch: nothing is learnt",
        {"val": [0.4], "inference_mode": [0.4], "": [0.428]},
        [
            {"": [0.429]},
            {"errors": {"timing": NAN}},
            EQUAL | {"": [0.5, 0.4]},
            {"val": [0.3, 0.4], "inference_mode": [0.4, 0.4], "": [0.4, 0.4]},
        ],
    ),
    ("measure more batches (`steps`)", EQUAL | {"share": 0.99}, [{"share": 1.0}]),
    ("An error is unknown of", EQUAL | {"errors": {"timing": NAN}}, [{"errors": {}}]),
]


@pytest.mark.parametrize("metric, sign", [("loss", 1), ("accuracy", -1)])
@pytest.mark.parametrize("sentence, measured, changes", SENTENCES)
def test_a_sentence_is_said_and_not_after_the_smallest_change(
    sentence, measured, changes, metric, sign
):
    if metric == "accuracy":  # the same numbers with the other sign
        sentence = sentence.replace("risen", "fallen").replace("lowest", "highest")
        sentence = sentence.replace("(0.5000)", "(-0.5000)")
    assert sentence in in_words(course(metric, sign, **measured), metric)
    for change in changes:
        assert sentence not in in_words(
            course(metric, sign, **measured | change), metric
        )


@pytest.mark.parametrize(
    "val, metric, is_said",
    [
        ([0.3, 0.02], "accuracy", True),
        ([0.3, 0.47], "accuracy", True),
        ([0.3, 0.48], "accuracy", False),
        ([0.3, 0.02], "mae", False),
    ],
)
def test_less_than_half_of_the_training_datas_accuracy(val, metric, is_said):
    words = in_words(course(metric, val=val, inference_mode=[0.98, 0.99]), metric)
    assert ("before all else: the validation's" in words) == is_said
