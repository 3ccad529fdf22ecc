import pytest
from histories import course

from pyimagesearch.lossgap import in_words

NAN = float("nan")


def losses(val, training, own_statistics=None, **more):
    """What `course` needs, in short."""
    if own_statistics:
        more["batch_statistics"] = own_statistics
    return {"val": val, "inference_mode": training} | more


EQUAL = losses([0.5, 0.4], [0.5, 0.4])
RISING = losses([0.6, 0.5, 0.8], [0.5, 0.4, 0.3])
BOTH_RISING = losses([0.6, 0.5, 0.8], [0.5, 0.4, 0.52])
ON_THE_SAME_EXAMPLES = {"errors": {"memorization_and_data": 0.02}}
UNKNOWN = {"errors": {"memorization_and_data": NAN}}
LAGGING = losses([5.6, 5.5, 5.8], [0.5, 0.4, 0.6], [0.5, 0.4, 0.44])
SORTED = losses([0.5, 0.5], [0.5, 0.5], reported=[0.4, 0.4])
HELD_OUT = losses([0.4], [0.3], held_out=[0.421])

# What is said of a history, and changes of it after which it must not be said. Each error
# is 0.01, and that of a difference of two epochs 0.0141.
# fmt: off
SENTENCES = [
    (", which may be chance", losses([0.5], [0.519]),
        [losses([0.5], [0.521]), losses([0.5], [0.5]), UNKNOWN]),
    ("by an unknown error", RISING | UNKNOWN, [{"errors": {}}]),
    ("to four decimals the same", EQUAL, [{"val": [0.5, 0.4001]}]),
    ("Nothing shows a fault", EQUAL,
        [{"val": [0.5, 0.421]}, {"val": [0.5, 0.379]}, {"val": [0.37, 0.4]}, UNKNOWN,
         {"error": 0.041}, losses([0.43, 0.4], [0.428, 0.4], reported=[0.428, 0.4])]),
    ("cannot be said: an error is unknown", EQUAL | {"error": 0.041}, [{"error": 0.04}]),
    ("cannot be said: an error is unknown", EQUAL | UNKNOWN, [{"errors": {}}]),
    ("lowest in the last epoch.", EQUAL, [{"val": [0.4, 0.4001]}, losses([0.4], [0.4])]),
    ("lowest in epoch 2 of 3 (0.5000), and has risen by 0.3000 since.", RISING,
        [{"val": [0.6, 0.5, 0.5]}, {"val": [0.5, 0.6, 0.8]}]),
    ("has not clearly risen", RISING | {"val": [0.6, 0.5, 0.528]}, [RISING]),
    ("whether it has risen since cannot be told", RISING | {"error": NAN}, [{"error": 0.1}]),
    ("has probably risen by", RISING | {"val": [0.6, 0.5, 0.529]},
        [{"val": [0.6, 0.5, 0.528]}, {"val": [0.6, 0.5, 0.543]}]),
    ("has not risen half as much. This happens\nwhere a network overfits", RISING,
        [{"val": [0.6, 0.5, 0.528]}, losses([0.6, 0.5, 0.8], [0.5, 0.4, 0.529]), UNKNOWN,
         losses([0.6, 0.5, 0.8], [0.5, 0.4, 0.5]) | ON_THE_SAME_EXAMPLES]),
    ("too, by 0.1200: a smaller learning rate, for example.\nBut it has not", BOTH_RISING,
        [losses([0.6, 0.5, 0.8], [0.5, 0.4, 0.53]), {"batch_statistics": [0.5, 0.4, 0.4]}]),
    ("has risen, too, by",
        losses([0.6, 0.5, 0.8], [0.5, 0.4, 0.48]) | ON_THE_SAME_EXAMPLES,
        [losses([0.6, 0.5, 0.8], [0.5, 0.4, 0.47]), UNKNOWN, {"val": [0.6, 0.5, 0.5]}]),
    ("too, cannot be told", RISING | UNKNOWN, [{"errors": {}}, {"val": [0.6, 0.5, 0.5]},
        LAGGING | UNKNOWN]),
    ("Half of what the validation does worse",
        losses([0.6, 0.5, 0.8], [0.5, 0.2, 0.3]),
        [losses([0.6, 0.5, 0.8], [0.5, 0.26, 0.3]), {"val": [0.6, 0.5, 0.91]},
         {"error": 0.11}]),
    ("Half of what the validation does worse",
        losses([0.89, 0.9], [0.5, 0.4], reported=[0.8, 0.5]),
        [{"reported": [0.88, 0.5]}, {"errors": {"memorization_and_data": 0.14}},
         {"batch_statistics": [0.5, 0.3]}, {"val": [0.5, 0.9]},
         {"inference_mode": [0.5, 0.9]}]),
    ("moving averages cost the training data 0.0400", losses([0.39], [0.4], [0.36]),
        [losses([0.39], [0.4], [0.362]), losses([0.39], [0.4], [0.44]),
         losses([0.41], [0.4], [0.36]), losses([-0.41], [0.4], [0.36]), {"error": 0.014}]),
    ("moving averages cost the training data 0.1600", LAGGING,
        [{"batch_statistics": [0.5, 0.4, 0.46]}, {"val": [5.6, 5.5, 5.52]},
         {"errors": {"batch_normalization": 0.04}}]),
    ("risen half as much", LAGGING | {"batch_statistics": [0.5, 0.4, 0.46]}, [LAGGING]),
    ("did better by 0.1000 as they came than after it", SORTED,
        [{"reported": [0.4, 0.451]}, {"reported": [0.4, 0.6]}, {"val": [0.44, 0.5]},
         {"val": [1.1, 1.1]}, {"error": 0.034}, losses([0.5], [0.5], reported=[0.4])]),
    ("The validation's data probably do better than the tr", losses([0.4], [0.421]),
        [losses([0.4], [0.419]), losses([0.4], [0.431]), losses([0.4], [0.379]), UNKNOWN]),
    # Each of both parts may be chance: only their sum is clear.
    ("The validation's data do better than the tr", losses([0.3], [0.338], held_out=[0.319]),
        [{"inference_mode": [0.319]}, {"held_out": [0.321]}]),
    ("The validation's data probably do better than the held-out data", HELD_OUT,
        [{"held_out": [0.419]}, {"held_out": [0.431]}, {"held_out": [0.379]}]),
    ("The training data do better than the held-out data, measured alike: the net", HELD_OUT,
        [{"inference_mode": [0.402]}, {"inference_mode": [0.5]}]),
    ("The held-out data do better than the training data",
        HELD_OUT | {"inference_mode": [0.46]}, [{"inference_mode": [0.44]}]),
    ("The held-out data probably do better than the validation's data: these are harder",
        HELD_OUT | {"held_out": [0.379]}, [{"held_out": [0.381]}, {"held_out": [0.369]}]),
    ("The training data probably do better than the validation's", losses([0.4], [0.379]),
        [losses([0.4], [0.381]), losses([0.4], [0.369]), UNKNOWN]),
    ("measured alike: the network knows them", losses([0.4], [0.379]), [RISING]),
    ("Held-out data (`held_out`) would tell", losses([0.4], [0.379]), [HELD_OUT, RISING]),
    ("has not clearly improved in or since the first", losses([0.4], [0.4], reported=[0.428]),
        [{"reported": [0.429]}, {"errors": {"timing": NAN}}, UNKNOWN,
         losses([0.4] * 2, [0.429, 0.4], training_mode=[0.4] * 2, reported=[0.4] * 2),
         losses([0.4, 0.4], [0.4, 0.4], training_mode=[0.429, 0.4], reported=[0.4, 0.4]),
         losses([0.3, 0.4], [0.4, 0.4], reported=[0.4, 0.4])]),
    ("measure more batches (`steps`)", EQUAL | {"share": 0.99}, [{"share": 1.0}]),
    ("An error is unknown of", EQUAL | {"errors": {"timing": NAN}}, [{"errors": {}}]),
]
# fmt: on


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
        words = in_words(course(metric, sign, **measured | change), metric)
        assert sentence not in words, change
