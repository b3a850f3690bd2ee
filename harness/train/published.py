"""What the tutorial printed, and the ranges that a correct run must land in."""

from harness.train.results import ClockRates, PublishedFigures

# Ranges are the mean +- 4 standard deviations of eight independent runs with the tutorial's settings (float32, CPU).
PUBLISHED = PublishedFigures(
    source="Dive into Deep Learning, section 8.5 (PyTorch, one GPU)",
    loss=0.264,
    train_accuracy=0.903,
    test_accuracy=0.739,
    step_examples_per_second=18366.4,
    device="cuda:0",
    gamma=(2.37, 2.66, 3.92, 0.58, 3.42, 2.40),
    beta=(1.68, -1.15, -2.57, -1.01, 3.62, -0.89),
    loss_range=(0.247, 0.289),
    train_accuracy_range=(0.891, 0.911),
    cpu_baseline_examples_per_second=ClockRates(step=6514, end_to_end=4900),
)
