"""Statistics of detectors' metrics, for any COCO results: no table, store or model is needed.

    from detbench.statistics import coco
    found = coco.compare("instances_val2017.json", ["a.json"], ["b.json"], ["AP", "APs"])
    found["AP"].value, found["AP"].low, found["AP"].high, found["AP"].real

| module | what it answers |
|---|---|
| ``coco`` | from COCO results files or lists: ``compare``, ``intervals``, ``by_class``,
``randomise`` |
| ``bootstrap`` | ``difference`` and ``interval`` of matches; ``between`` of what is resampled |
| ``replicates`` | a training's metrics in every bootstrap replicate, made once |
| ``estimate`` | what interval and p follow: images alone, or images and seeds |
| ``small`` | what few images cannot tell |
| ``corrections`` | Holm, max-T, simultaneous intervals, Benjamini and Hochberg, rows like the best
|
| ``equivalence`` | two one-sided tests; better, worse, equivalent or undecided |
| ``power`` | the smallest difference that can be shown, seeds and images that a gain needs |
| ``looks`` | planned looks at three and six seeds |
| ``contrasts`` | main effects and interactions of a table's own settings |
| ``randomisation`` | a second p, detectors swapped image by image |

docs/statistics.md says which rule is used where, with its source; docs/statistics-examples.md has
examples. Metrics and differences are fractions. No torch.
"""
