"""How good a set of scores is: arrays in, frozen results out. Knows no image, no task and no page.

Everywhere: `y_true` is 0 or 1 a case (a grade from 0 where classes are ordered), `y_score` any monotone number, `>=` the
threshold is positive, intervals are 95 %, and a quantity that these cases cannot give (one class only, not-a-number scores)
raises `UsageError` rather than returning 0 or NaN.
"""
