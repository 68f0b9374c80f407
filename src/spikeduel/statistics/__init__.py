"""Statistics of paired comparisons of classifiers, on NumPy and SciPy alone.

Inputs are arrays of correct predictions, bool `[seeds, images]`, or differences by data set. This
package imports nothing else of spikeduel, and can be copied on its own.
"""

from spikeduel.statistics.exact_tests import (
    MIN_GROUPS as MIN_GROUPS,
    MIN_PAIRED_SEEDS as MIN_PAIRED_SEEDS,
    MIN_SEEDS as MIN_SEEDS,
    PermutationTest as PermutationTest,
    mcnemar as mcnemar,
    min_seeds as min_seeds,
    sign_flips as sign_flips,
    smallest_p as smallest_p,
)
from spikeduel.statistics.intervals import (
    ALPHA as ALPHA,
    MAX_SEEDS as MAX_SEEDS,
    POWER as POWER,
    Uncertainty as Uncertainty,
    difference_uncertainty as difference_uncertainty,
    student as student,
    wilson as wilson,
)
from spikeduel.statistics.multiple_tests import holm as holm
from spikeduel.statistics.paired import (
    Conclusion as Conclusion,
    Measure as Measure,
    PairedTest as PairedTest,
    adjusted as adjusted,
    paired_test as paired_test,
)
from spikeduel.statistics.power_analysis import (
    ASSUMED_DEVIATIONS as ASSUMED_DEVIATIONS,
    BETWEEN as BETWEEN,
    WITHIN as WITHIN,
    Variability as Variability,
    assumed_variability as assumed_variability,
    detectable as detectable,
    detection_power as detection_power,
    seeds_needed as seeds_needed,
    variability_of as variability_of,
)
from spikeduel.statistics.rank_tests import (
    MIN_SHARE_INSIDE as MIN_SHARE_INSIDE,
    DatasetsTest as DatasetsTest,
    Outcome as Outcome,
    compare_over_datasets as compare_over_datasets,
    family_means as family_means,
    min_datasets as min_datasets,
    wilcoxon as wilcoxon,
)
from spikeduel.statistics.weighting import (
    MAX_IMBALANCE as MAX_IMBALANCE,
    MIN_IN_CLASS as MIN_IN_CLASS,
    accuracies as accuracies,
    accuracy as accuracy,
    are_unbalanced as are_unbalanced,
    balanced_classes as balanced_classes,
    clusters as clusters,
    count_alike as count_alike,
    effective_groups as effective_groups,
    mean_accuracy as mean_accuracy,
    numbered as numbered,
    scores as scores,
    weights_of as weights_of,
)
