"""The contenders, each a program of its own that runs workload W and tells how far it is.

All of them print `MARK start` when the warm-up is over and `MARK end` when the last event is
done; what they use between the two is measured from outside.
"""
