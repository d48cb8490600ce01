"""What runs are worth: scores, intervals, comparisons, claims, mistakes."""
